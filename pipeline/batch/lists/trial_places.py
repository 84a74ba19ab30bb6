"""Places of a list that try posts few have seen: which places, and which post is drawn for one.

Owns: the rule itself, in plain Python, which ``arrange`` compiles and ``foryou explain`` runs as it is.
Leaves to others: the list it is applied to.

Of the posts of a viewer's own ranking that at most ``trial_max_likers`` like, that were not seen and that
stand AHEAD places or more further back, one is drawn, with a chance in proportion to its score: so promise is
what the ranking already says of it. The draw depends on the viewer, the post and the hour of the likes it is
made from, and on nothing else: a run for some gives the lists of a run for all, and a list does not change at
every run.
"""

import math

AHEAD = 30  # a page: what is nearer is seen anyway
_MODULUS = 2**32


def is_place(place: int, share: float) -> bool:
    """Tell whether a place, counted from 0, tries a post: of the first n places at most share · n do."""
    return math.floor((place + 1) * share + 1e-9) > math.floor(place * share + 1e-9)


def turn(viewer_id: int, hour: int, rkey: int, score: float) -> float:
    """Return when a post would be drawn: the smallest is, and its chance is in proportion to the score."""
    mixed = (viewer_id * 2654435761 + hour * 40503 + rkey % 2147483647) % _MODULUS
    mixed = (mixed ^ (mixed >> 15)) * 1540483477 % _MODULUS
    mixed = (mixed ^ (mixed >> 13)) * 1540483477 % _MODULUS
    return -math.log((mixed + 0.5) / _MODULUS) / score
