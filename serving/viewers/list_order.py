"""The order in which a viewer is shown a list.

Owns: the marks of a list's posts (two bits each), the order that follows, and which posts are of a kind that the
viewer rejected. Leaves to others: what a viewer has seen (``viewer_memory``), and which page is read (``paging``).

Fresh posts come first, then posts that were shown but not seen, then posts that were seen or are of a rejected
kind. Each group keeps the order of the list. Posts left out are not shown. Marks are made once, for the first page,
and travel in the page cursor: what a viewer does while scrolling changes no place.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, repeat

FRESH, SHOWN, SEEN, LEFT_OUT = range(4)
LESS_MIN = 3  # answers of "show less" that make a kind; one or two may be about the posts
NEAR_BITS = 20  # of 64: by chance, one pair of unrelated posts in 500 is as near

# Every page is coded and decoded, so both go through tables: a byte of marks and the four codes in it, and for each
# code which codes are that one.
_CODES = [bytes(mark >> shift & 3 for shift in (0, 2, 4, 6)) for mark in range(256)]
_MARKS = {codes: mark for mark, codes in enumerate(_CODES)}
_IS = [bytes(code == wanted for code in range(256)) for wanted in range(4)]


def marks_of(
    posts: Sequence[int],
    *,
    shown: Iterable[int] = (),
    seen: Iterable[int] = (),
    left_out: Iterable[int] = (),
) -> bytes:
    """Return the marks of a list's posts, four posts a byte, without the bytes at the end that are zero."""
    code_of = dict.fromkeys(shown, SHOWN)
    code_of.update(dict.fromkeys(seen, SEEN))
    code_of.update(dict.fromkeys(left_out, LEFT_OUT))
    codes = bytes(map(code_of.get, posts, repeat(FRESH))) + bytes(-len(posts) % 4)
    return bytes(_MARKS[codes[place : place + 4]] for place in range(0, len(codes), 4)).rstrip(b"\0")


def order_of(marks: bytes, count: int) -> Sequence[int]:
    """Return the places of a list of ``count`` posts, counted from 0, in the order they are shown."""
    if not marks:
        return range(count)
    codes = b"".join(map(_CODES.__getitem__, marks))[:count].ljust(count, b"\0")
    order: list[int] = []
    for code in (FRESH, SHOWN, SEEN):
        order.extend(compress(range(count), codes.translate(_IS[code])))
    return order


def unwanted(
    posts: Sequence[int], less: Sequence[int], more: Sequence[int], sketches: Mapping[int, int]
) -> set[int]:
    """Return those of a list's posts that are near LESS_MIN rejected ones more than wanted ones.

    They stay in the list, at its end: a sketch has 64 bits and may be wrong. The batch weighs rejected kinds better.
    """
    rejected = [sketches[post] for post in less if post in sketches]
    if len(rejected) < LESS_MIN:
        return set()
    wanted = [sketches[post] for post in more if post in sketches]
    return {
        post
        for post in posts
        if post in sketches and _near(sketches[post], rejected) - _near(sketches[post], wanted) >= LESS_MIN
    }


def _near(sketch: int, others: Sequence[int]) -> int:
    # Python's integers have no fixed width: without the mask, numbers of opposite sign differ in endless bits.
    return sum(((sketch ^ other) & 0xFFFFFFFFFFFFFFFF).bit_count() <= NEAR_BITS for other in others)
