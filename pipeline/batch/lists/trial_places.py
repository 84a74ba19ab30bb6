"""Trial places: places of a list that try posts few have seen. Which places, and which post is drawn for one.

Owns: the rule, in plain Python; ``arrange`` compiles it, and ``foryou explain`` runs it as it is. Leaves to others:
the list it is applied to.

A post may be drawn when it is in the viewer's own ranking, was not seen, has at most ``trial_max_likers`` likers and
stands at least AHEAD places further back. Its chance is in proportion to its score, so the ranking decides what is
promising. The draw depends only on the viewer, the post and the hour of the likes. So a run for some viewers gives
the lists of a run for everybody, and a list does not change with every run.
"""

import math

AHEAD = 30  # a page; a post that is nearer is seen anyway
_MODULUS = 2**32


def is_place(place: int, share: float) -> bool:
    """Tell whether a place, counted from 0, is a trial place; of the first n places at most share · n are."""
    return math.floor((place + 1) * share + 1e-9) > math.floor(place * share + 1e-9)


def turn(viewer_id: int, hour: int, rkey: int, score: float) -> float:
    """Return a post's turn: the post with the smallest turn is drawn; its chance is in proportion to its score."""
    mixed = (viewer_id * 2654435761 + hour * 40503 + rkey % 2147483647) % _MODULUS
    mixed = (mixed ^ (mixed >> 15)) * 1540483477 % _MODULUS
    mixed = (mixed ^ (mixed >> 13)) * 1540483477 % _MODULUS
    return -math.log((mixed + 0.5) / _MODULUS) / score
