"""Serving on several machines, which share a folder: the head makes all lists, a node serves a shard of viewers.

The head gives its lists as parts (``give_lists``), which a node takes into its own serving.sqlite (``take_lists``);
``part_manifest`` is what both agree on. ``shared_files`` are small stores as copies. ``sync`` does all of that, again
and again, and ``node`` runs it beside the web app. What viewers do goes the other way, as journals
(``serving/viewers/journal.py``).
"""
