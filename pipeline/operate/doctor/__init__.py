"""Whether a whole installation is in order: ``foryou doctor``.

Owns: the checks of this machine (``machine_checks``) and of what lies outside (``network_checks``), and
showing them (``command``). Leaves to others: mending anything; it writes nothing and may run at any time
beside everything else.
"""
