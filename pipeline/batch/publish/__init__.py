"""Finished lists into serving.sqlite, where the web app reads them.

``generations`` makes lists visible, ``write_lists`` writes them in the bytes of ``list_packing``, ``prune`` removes
what no reader needs (``readers`` says who reads), ``deleted_accounts`` what nobody may see any more.
"""
