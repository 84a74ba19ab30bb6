"""How long to wait before trying again: twice as long each time, up to a limit.

Owns: the one formula, for connections and for processes that crash. The number of failures has no limit, for the power
itself is bounded: 2**1100 is too large for a float.
"""

_DOUBLINGS_MAX = 32


def pause_seconds(failures: int, first: float, most: float) -> float:
    """Return the seconds to wait after a failure, with so many failures in a row before it."""
    return float(min(first * 2 ** min(failures, _DOUBLINGS_MAX), most))
