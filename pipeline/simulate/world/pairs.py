"""A set of (post, person) pairs that answers for whole arrays.

Owns: membership. Leaves to others: what the pairs mean. Two sorted arrays, the small one merged into the large one
now and then, keep both look-ups and additions cheap.
"""

import numpy as np

from pipeline.simulate.randomness import Flags, Ints

_PERSON_BITS = 20  # a world has at most a million people
_MERGE_AT = 20_000


class PairSet:
    """A set of (post number, person number)."""

    def __init__(self) -> None:
        self._large = np.zeros(0, np.int64)
        self._small = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._large) + len(self._small)

    def add(self, posts: Ints, people: Ints) -> Flags:
        """Add pairs; return which were new. Of equal pairs in one call, only the first is new."""
        keys = posts << _PERSON_BITS | people
        fresh = ~(_contains(self._large, keys) | _contains(self._small, keys))
        _, first = np.unique(keys, return_index=True)
        once = np.zeros(len(keys), np.bool_)
        once[first] = True
        fresh &= once
        self._small = np.sort(np.concatenate([self._small, keys[fresh]]))
        if len(self._small) > _MERGE_AT:
            self._large = np.sort(np.concatenate([self._large, self._small]), kind="stable")
            self._small = np.zeros(0, np.int64)
        return fresh

    def forget_before(self, post: int) -> None:
        """Forget the pairs of posts numbered below ``post``."""
        least = post << _PERSON_BITS
        self._large = self._large[np.searchsorted(self._large, least) :]
        self._small = self._small[np.searchsorted(self._small, least) :]


def _contains(ordered: Ints, keys: Ints) -> Flags:
    if not len(ordered):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    result: Flags = ordered[place] == keys
    return result
