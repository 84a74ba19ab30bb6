"""Backups: copies of what cannot be computed again, and the way back.

Owns: the form of a backup (``manifest``), taking one while everything runs (``take``), the lake's part of it
(``lake_copy``), and restoring one (``restore``). Leaves to others: what the stores mean, and moving backups to
another disk.
"""
