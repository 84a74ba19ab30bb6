"""Whether a whole installation is in order: ``foryou doctor``.

Owns: the checks of this machine (``machine_checks``) and of the network (``network_checks``), and showing their
findings (``command``). Leaves to others: mending anything. The doctor writes nothing and may run at any time.
"""
