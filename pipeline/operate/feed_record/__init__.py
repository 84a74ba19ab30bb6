"""The feed's record in its publisher's repository: what makes the feed exist for Bluesky.

Owns: asking a repository's host (``repository``), what the record should be (``record``), and ``foryou
publish`` (``command``). Leaves to others: whether the service can be reached
(``service_check``).
"""
