"""The items of a candidate list, as serving.sqlite holds them.

Owns: the layout of the blob. Leaves to others: which list and which part of it.

n entries lie as four arrays one after another, little-endian: n x uint32 post_id, n x float32 score,
n x uint16 co_likers, n x uint8 source; so a page decodes only its own stretch of each.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

ITEM_BYTES = 11
SOURCE_CO_LIKERS = 1
SOURCE_POPULAR = 2
SOURCE_EXPLORE = 3  # co-likers too, but tried before its turn
_ID, _SCORE, _CO_LIKERS = struct.Struct("<I"), struct.Struct("<f"), struct.Struct("<H")
_CODES = {SOURCE_CO_LIKERS: "c", SOURCE_POPULAR: "p", SOURCE_EXPLORE: "e"}


class ListError(Exception):
    """A stored list is not a whole number of items: the store is damaged, or a newer program wrote it."""


class Item(NamedTuple):
    """One place of a list: a post, why it is there, and its score."""

    post_id: int
    score: float
    co_likers: int
    source: int

    def context(self, generation: int) -> str:
        """Return the feedContext that interactions bring back; ``c7.41``: 7 co-likers, generation 41."""
        code = _CODES.get(self.source, "x")
        return f"{code}{'' if self.source == SOURCE_POPULAR else self.co_likers}.{generation}"


def length(blob: bytes) -> int:
    """Return how many items a list has; raise ListError."""
    count, rest = divmod(len(blob), ITEM_BYTES)
    if rest:
        raise ListError(f"a list of {len(blob)} bytes is no whole number of items")
    return count


def post_ids(blob: bytes) -> tuple[int, ...]:
    """Return the posts of a list, best first."""
    return struct.unpack_from(f"<{length(blob)}I", blob)


def items_at(blob: bytes, places: Sequence[int]) -> list[Item]:
    """Return the items at some places, counted from 0, in the order given."""
    if (
        places
        and places[-1] - places[0] == len(places) - 1
        and list(places) == list(range(places[0], places[-1] + 1))
    ):
        return items(blob, places[0], places[-1] + 1)
    count = length(blob)
    return [
        Item(
            _ID.unpack_from(blob, 4 * place)[0],
            _SCORE.unpack_from(blob, 4 * count + 4 * place)[0],
            _CO_LIKERS.unpack_from(blob, 8 * count + 2 * place)[0],
            blob[10 * count + place],
        )
        for place in places
    ]


def items(blob: bytes, start: int, stop: int) -> list[Item]:
    """Return the items at places start (counted from 0) up to, not including, stop."""
    count = length(blob)
    start, stop = max(0, start), min(stop, count)
    taken = stop - start
    if taken <= 0:
        return []
    return [
        Item(*fields)
        for fields in zip(
            struct.unpack_from(f"<{taken}I", blob, 4 * start),
            struct.unpack_from(f"<{taken}f", blob, 4 * count + 4 * start),
            struct.unpack_from(f"<{taken}H", blob, 8 * count + 2 * start),
            struct.unpack_from(f"<{taken}B", blob, 10 * count + start),
            strict=True,
        )
    ]
