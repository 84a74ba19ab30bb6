"""How long to wait before trying again: twice as long each time, up to a limit.

Owns: the one formula, for connections and for parts that crash. It holds however often something failed: the
power itself is bounded, for 2**1100 is no float.
"""

_DOUBLINGS_MAX = 32


def pause_seconds(failures: int, first: float, most: float) -> float:
    """Return the seconds to wait after this many failures in a row before the last one."""
    return float(min(first * 2 ** min(failures, _DOUBLINGS_MAX), most))
