"""The stores of the pipeline: landing.sqlite and what its numbers mean.

``model`` names flags and statuses, ``landing`` opens and writes landing.sqlite, ``locks`` keeps one writer
a store, ``arrow`` brings SQLite rows to DuckDB. serving.sqlite is written by ``batch.publish``.
"""
