"""Asking the stores: SQL for analysts, and why a list is as it is.

``session`` opens DuckDB with the views of ``sql/explore/views.sql``, ``queries`` knows the files beside it
and their parameters, ``command`` is ``foryou sql``, ``formats`` shows rows. ``table_copies`` copies what no
batch run has in memory, ``explain_command`` and its helpers run the ranking's own SQL for one viewer,
``dashboard_figures`` writes the figures that the web app's page shows. Nothing here writes a store.
"""
