"""The stores of the pipeline: landing.sqlite, copies for analysts, and what their numbers mean.

``model`` names flags and statuses, ``events`` is what a stream says, ``landing`` writes landing.sqlite with
the help of ``actors``, ``landing_retention`` removes from it what is no longer needed, ``fetched_likes`` is
backfill's part of it, ``arrow`` brings SQLite rows to DuckDB,
``duck`` opens one, ``locks`` keeps one writer a store. serving.sqlite is written by
``batch.publish.generations``.
"""
