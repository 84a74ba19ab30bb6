"""What a run starts from: one frozen look at the stores, as relations of a DuckDB in memory.

``snapshot`` reads all of it, and ``few_viewers`` what can matter to a few viewers. ``neighbour_files`` has the
neighbours that were computed before. ``sql_steps`` runs the files of ``sql/batch`` on these relations.
"""
