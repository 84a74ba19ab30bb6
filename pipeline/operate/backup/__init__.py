"""Copies of what can't be made again, and the way back.

Owns: what belongs in a backup (``manifest``), taking one while everything runs (``take``), the lake's part of
it (``lake_copy``), and putting one back (``restore``). Leaves to others: what the stores mean, and bringing
backups to another disk or place.
"""
