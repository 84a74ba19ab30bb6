"""Asking the stores: SQL for analysts, and why a list is as it is.

Owns: ``foryou sql`` (``command``; ``queries`` reads the files, ``box`` is the process in which ``session`` runs them,
``statements`` says which may run, ``formats`` writes rows),
``foryou explain`` (``explain_command``), and what follows a batch (``after_batch``: ``table_copies`` and
``dashboard_figures``). Leaves to others: the copies that a batch run itself leaves (``batch.analyst_copies``). Nothing
here changes a store.
"""
