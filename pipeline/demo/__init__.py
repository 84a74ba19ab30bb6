"""``foryou demo``: the whole feed on a simulated network, on this machine alone.

Owns: starting it and printing where to look (``command``), whom to look at (``people``), what the lists are worth
(``worth``), the checks of ``--once`` (``end_to_end_checks``), and a plain reading of the stored likes
(``stored_likes``). Leaves to others: the feed and the simulator themselves.
"""
