"""The stores of the pipeline: landing.sqlite, copies for analysts, and what their numbers mean.

``model`` names flags and statuses. ``events`` is what ingest decodes; ``landing`` writes it, with the help of
``actors``. ``landing_retention`` removes rows that are no longer needed, ``fetched_likes`` is backfill's part of the
store. ``analyst_snapshot`` makes the copies. ``arrow`` reads SQLite rows for DuckDB, ``duck`` opens DuckDB, ``locks``
keeps one writer per store. serving.sqlite is written by ``batch.publish.generations``.
"""
