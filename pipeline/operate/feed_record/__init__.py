"""The feed's record in its publisher's repository: what makes the feed exist for Bluesky.

Owns: calls to the repository's host (``repository``), what the record should be (``record``), whether Bluesky can
reach this service (``service_check``), and ``foryou publish`` (``command``). Leaves to others: serving the feed.
"""
