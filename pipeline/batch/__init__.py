"""The batch: likes at rest in, every viewer's candidate list out.

    landing.sqlite ── compact ──► lake/likes/day=YYYY-MM-DD/likes.parquet
    landing.sqlite + lake ── neighbours ──► lake/neighbour-parts
    all of these + activity.sqlite ── candidates ──► serving.sqlite (one generation)

``jobs.run`` is the entry point. ``sql/batch`` is the readable definition of the ranking. ``kernel`` computes its two
sparse products fast, and tests hold both forms equal. One process at a time holds the lock "batch". Beside it there
may be one run for waiting viewers and one for viewers seen lately, each with a lock of its own.
"""
