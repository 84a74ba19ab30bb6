"""The items of a candidate list, as serving.sqlite holds them.

Owns: reading the layout that sql/serving/0001_schema.sql defines. Leaves to others: which list and which part of
it, and writing it, which is the batch's.

A list is a head, then arrays one after another, so a page decodes only its own stretch of each.
"""

import struct
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

SOURCE_CO_LIKERS = 1
SOURCE_POPULAR = 2
SOURCE_TRIAL = 3  # from co-likers too, but shown before its turn
HEAD_BYTES = 16  # how much of a list ``stored_length`` needs to see

_HEAD = struct.Struct("<BBHIff")
_SHORT = struct.Struct("<H").unpack_from
_LAYOUT = 2
_WIDE_POSTS, _WIDE_CO_LIKERS, _TRIAL = 1, 2, 4
_STEPS = (1 << 20) - 2
_NEVER_MULTIPLE_OF = 11
_CODES = {SOURCE_CO_LIKERS: "c", SOURCE_POPULAR: "p", SOURCE_TRIAL: "e"}


class ListError(Exception):
    """The bytes of a stored list do not fit its layout: the store is damaged."""


class ListItem(NamedTuple):
    """One place of a list: a post, its score, and why it is there."""

    post_id: int
    score: float
    co_likers: int
    source: int

    def context(self, generation: int) -> str:
        """Return the feedContext that interactions return; ``c7.41``: 7 co-likers, generation 41."""
        code = _CODES.get(self.source, "x")
        return f"{code}{'' if self.source == SOURCE_POPULAR else self.co_likers}.{generation}"


def length(blob: bytes) -> int:
    """Return how many items a list has; raise ListError."""
    return stored_length(blob, len(blob))


def stored_length(head: bytes, size: int) -> int:
    """Return how many items a list of ``size`` bytes has, of which ``head`` are the first; raise ListError."""
    return _Parts(head, size).count if size else 0


def post_ids(blob: bytes) -> tuple[int, ...]:
    """Return the posts of a list, best first."""
    if not blob:
        return ()
    parts = _Parts(blob, len(blob))
    return parts.post_ids(blob, 0, parts.count)


def items_at(blob: bytes, places: Sequence[int]) -> list[ListItem]:
    """Return the items at some places, counted from 0, in the order given."""
    if not places:
        return []
    if places[-1] - places[0] == len(places) - 1 and list(places) == list(range(places[0], places[-1] + 1)):
        return items(blob, places[0], places[-1] + 1)
    parts = _Parts(blob, len(blob))
    return [parts.item(blob, place) for place in places]


def items(blob: bytes, start: int, stop: int) -> list[ListItem]:
    """Return the items at places start (counted from 0) up to, not including, stop."""
    if not blob:
        return []
    parts = _Parts(blob, len(blob))
    start, stop = max(0, start), min(stop, parts.count)
    return parts.items(blob, start, stop) if start < stop else []


class _Parts:
    """Where the arrays of a list lie."""

    __slots__ = (
        "co_likers_at",
        "count",
        "low",
        "lowest_post",
        "marks_at",
        "spread",
        "trial_at",
        "wide_co_likers",
        "wide_posts",
    )

    def __init__(self, head: bytes, size: int) -> None:
        try:
            layout, widths, count, self.lowest_post, self.low, high = _HEAD.unpack_from(head)
        except struct.error:
            raise ListError(f"a list of {size} bytes has no head") from None
        self.count: int = count
        self.wide_posts, self.wide_co_likers = widths & _WIDE_POSTS, widths >> 1 & 1
        self.co_likers_at = HEAD_BYTES + count * (3 + self.wide_posts)
        self.marks_at = self.co_likers_at + count * (1 + self.wide_co_likers)
        end = self.marks_at + 2 * count + (count + 1) // 2
        self.trial_at = end if widths & _TRIAL else 0
        end += (count + 7) // 8 if widths & _TRIAL else 0
        end += end % _NEVER_MULTIPLE_OF == 0
        if layout != _LAYOUT or widths > _WIDE_POSTS | _WIDE_CO_LIKERS | _TRIAL or size != end:
            raise ListError(f"a list of {size} bytes, layout {layout}, {count} items, does not fit together")
        self.spread = log(high / self.low) / _STEPS if high > self.low > 0 else 0.0

    def post_ids(self, blob: bytes, start: int, stop: int) -> tuple[int, ...]:
        """Return the posts at some places."""
        taken = stop - start
        # Both parts of each number are moved into one array of 32-bit numbers, which is read at once.
        numbers = bytearray(4 * taken)
        lows = HEAD_BYTES + 2 * start
        numbers[0::4], numbers[1::4] = (
            blob[lows : lows + 2 * taken : 2],
            blob[lows + 1 : lows + 2 * taken : 2],
        )
        width = 1 + self.wide_posts
        tops = HEAD_BYTES + 2 * self.count + width * start
        for byte in range(width):
            numbers[2 + byte :: 4] = blob[tops + byte : tops + width * taken : width]
        lowest = self.lowest_post
        return tuple([lowest + number for number in struct.unpack(f"<{taken}I", numbers)])

    def item(self, blob: bytes, place: int) -> ListItem:
        """Return the item at one place."""
        tops = HEAD_BYTES + 2 * self.count
        top = _SHORT(blob, tops + 2 * place)[0] if self.wide_posts else blob[tops + place]
        at = self.co_likers_at
        liked = _SHORT(blob, at + 2 * place)[0] if self.wide_co_likers else blob[at + place]
        at = self.marks_at
        mark = _SHORT(blob, at + 2 * place)[0] + (
            (blob[at + 2 * self.count + place // 2] >> 4 * (place & 1) & 15) << 16
        )
        return ListItem(
            self.lowest_post + (top << 16) + _SHORT(blob, HEAD_BYTES + 2 * place)[0],
            self.low * exp(self.spread * (mark - 1)) if mark else 0.0,
            liked,
            self._source(blob, place, liked),
        )

    def _source(self, blob: bytes, place: int, liked: int) -> int:
        if not liked:
            return SOURCE_POPULAR
        at = self.trial_at
        return SOURCE_TRIAL if at and blob[at + place // 8] >> (place & 7) & 1 else SOURCE_CO_LIKERS

    def items(self, blob: bytes, start: int, stop: int) -> list[ListItem]:
        """Return the items at some places."""
        taken, low, spread = stop - start, self.low, self.spread
        code = "H" if self.wide_co_likers else "B"
        co_likers = struct.unpack_from(
            f"<{taken}{code}", blob, self.co_likers_at + (1 + self.wide_co_likers) * start
        )
        marks = struct.unpack_from(f"<{taken}H", blob, self.marks_at + 2 * start)
        tops = self.marks_at + 2 * self.count
        return [
            ListItem(
                post_id,
                low * exp(spread * (mark + top - 1)) if mark + top else 0.0,
                liked,
                self._source(blob, place, liked),
            )
            for place, post_id, liked, mark, top in zip(
                range(start, stop),
                self.post_ids(blob, start, stop),
                co_likers,
                marks,
                [(blob[tops + place // 2] >> 4 * (place & 1) & 15) << 16 for place in range(start, stop)],
                strict=True,
            )
        ]
