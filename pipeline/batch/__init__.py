"""The batch: likes at rest in, every viewer's candidate list out.

    landing.sqlite ── compact ──► lake/likes/day=YYYY-MM-DD/likes.parquet
    landing.sqlite + lake ── neighbours ──► lake/neighbours.parquet
    all of these + activity.sqlite ── candidates ──► serving.sqlite (one generation)

``jobs.run`` is the way in. ``sql/batch`` defines the ranking readably; ``kernel`` does its two sparse
products fast, and tests hold the two equal. One process at a time, holding the lock "batch", and beside it
one for viewers who wait, holding the lock of that name.
"""
