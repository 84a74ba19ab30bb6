"""The web app: reads serving.sqlite, writes activity.sqlite, and touches nothing else.

It never imports ``pipeline``, DuckDB or Polars, so a worker starts in a fraction of a second and stays small.
"""
