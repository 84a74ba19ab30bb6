"""The order in which a list is shown to a viewer who has seen some of it.

Owns: the marks of a list's posts, two bits each, and the order they make. Leaves to others: what a viewer has
seen (``viewer_memory``), and which page is read (``paging``).

Fresh posts come first, then those that were shown but not seen, then those that were seen, each in the order of
the list; posts left out are not shown. Marks are made once, for the first page, and travel in the page cursor:
what a viewer does while they scroll changes no place.
"""

from collections.abc import Iterable, Sequence
from itertools import compress, repeat

FRESH, SHOWN, SEEN, LEFT_OUT = range(4)

# Every page asks for both ways, so they go through tables: a byte of marks and the four codes it stands for, and
# for each code which codes are that one.
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
    """Return the marks of a list's posts, four posts a byte; bytes at the end that are zero are not there."""
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
