"""``foryou demo``: the whole feed on a simulated network, on this machine alone.

``command`` starts it and tells where to look, ``parts`` knows where everything is, ``end_to_end_checks`` is
``--once``.
"""
