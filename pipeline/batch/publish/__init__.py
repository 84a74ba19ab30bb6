"""Finished lists into serving.sqlite, where the web app reads them.

``generations`` makes lists visible, and ``write_lists`` writes them in the bytes of ``list_packing``. ``prune``
removes what no reader needs, and ``deleted_accounts`` the lists of accounts that were deleted.
"""
