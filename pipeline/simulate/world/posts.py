"""All posts of a world, as growing columns, and what makes one attractive.

Owns: post numbers, quality, lifetime, flags. Leaves to others: who likes them (``attention``), what they say
(``render``, ``sentences``).

A post's number never changes; the oldest posts can be forgotten.
"""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.randomness import Bytes, Column, Floats, Ints, hashed
from pipeline.simulate.text_columns import cid_matrix

NEVER_US = 2**62

# Quality: a log-normal body and a Pareto tail, fitted so that 54 % of top-level posts get no like and the
# tail of likes per post falls with exponent 2.15 (2.26 for replies). The tail is heavier than that of likes,
# because nobody likes a post twice: in a small network, too few people are left to like the best posts.
TOP_BODY, TOP_TAIL = (-1.15, 2.95), (300.0, 0.8)
REPLY_BODY, REPLY_TAIL = (-0.3, 2.0), (42.0, 1.0)
# Lifetime: attention to a post fades by a Weibull law of this shape; its scale differs between posts.
SHAPE = 0.65
SCALE_MINUTES, SCALE_SIGMA = 105.0, 0.85
BURST_SHARE, BURST_QUALITY, BURST_MINUTES = 0.02, 3.0, 12.0  # a share of better top-level posts
# Posts that rise (``WorldParameters.risers``): hardly anybody looks at them for some hours, then many do, for hours.
RISE_AFTER_HOURS, RISE_HOURS, RISE_LATE = (4.0, 16.0), 3.0, 0.95


class Mark(IntFlag):
    """Properties of a post beside its text."""

    REPLY = 1
    ADULT = 2
    HIDE = 4
    SIGNED_IN = 8
    IMAGES = 16
    VIDEO = 32
    EXTERNAL = 64
    QUOTE = 128


_COLUMNS: dict[str, type] = {
    "author": np.int32,
    "community": np.int16,
    "created_us": np.int64,
    "rkey": np.int64,
    "quality": np.float64,
    "scale_us": np.float64,
    "burst_us": np.int64,
    "burst_scale_us": np.float64,
    "late": np.float64,
    "left": np.float64,
    "burst_left": np.float64,
    "marks": np.uint16,
    "parent": np.int64,
    "root": np.int64,
    "deleted_us": np.int64,
}


class PostTable:
    """The posts numbered ``base`` .. ``end`` - 1; columns are read by name with ``of`` or ``since``.

    author (person), community, created_us, rkey (TID number), quality (expected likes in a typical world), scale_us,
    burst_us and burst_scale_us (start of a burst, 0 for none, and how long it lasts), late (share of the attention
    before the burst that a post that rises lacks), left and burst_left (share of attention still to come), marks
    (Mark), parent (post answered or quoted) and root (post numbers, -1 for none), deleted_us (NEVER_US while it
    exists).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.base = 0
        self.end = 0
        self._columns: dict[str, Column] = {name: np.zeros(1024, kind) for name, kind in _COLUMNS.items()}

    def since(self, name: str, first: int) -> Column:
        """Return a column from a post on, as a writable view."""
        return self._columns[name][first - self.base : self.end - self.base]

    def of(self, name: str, numbers: Ints) -> Column:
        """Return a column's values for some posts."""
        result: Column = self._columns[name][numbers - self.base]
        return result

    def cids(self, numbers: Ints) -> Bytes:
        """Return the CIDs of posts, (n, 59)."""
        return cid_matrix(hashed(self.seed, 20, numbers))

    def append(self, count: int, **columns: Column) -> Ints:
        """Add posts and return their numbers; columns left out are 0, ``left`` starts at 1."""
        used = self.end - self.base
        room = len(self._columns["author"])
        if used + count > room:
            grow = max(room, used + count)
            for name, old in self._columns.items():
                self._columns[name] = np.concatenate([old, np.zeros(grow, old.dtype)])
        for name, column in self._columns.items():
            column[used : used + count] = columns.get(name, 0)
        self._columns["left"][used : used + count] = 1.0
        self.end += count
        return np.arange(self.end - count, self.end, dtype=np.int64)

    def forget_before(self, number: int) -> None:
        """Forget posts numbered below ``number``."""
        drop = min(number, self.end) - self.base
        if drop > 0:
            self._columns = {name: column[drop:].copy() for name, column in self._columns.items()}
            self.base += drop


def draw_quality(rng: np.random.Generator, reply: bool, count: int, most: float) -> Floats:
    """Return the quality of new posts, at most ``most`` expected likes."""
    (mu, sigma), (least, exponent) = (REPLY_BODY, REPLY_TAIL) if reply else (TOP_BODY, TOP_TAIL)
    quality = np.exp(mu + sigma * rng.normal(size=count))
    tail = least * rng.random(count) ** (-1 / exponent)
    result: Floats = np.minimum(np.where(quality > least, tail, quality), most)
    return result


def draw_scale_us(rng: np.random.Generator, count: int) -> Floats:
    """Return the time scale of attention to new posts."""
    result: Floats = 60e6 * SCALE_MINUTES * np.exp(SCALE_SIGMA * rng.normal(size=count))
    return result


def draw_marks(rng: np.random.Generator, adult: NDArray[np.bool_], reply: bool) -> NDArray[np.uint16]:
    """Return the marks of new posts; ``adult`` says which are in the adult community."""
    count = len(adult)
    marks = np.full(count, Mark.REPLY if reply else 0, np.uint16)
    embed = rng.random(count)
    scale = 0.3 if reply else 1.0
    for mark, low, high in (
        (Mark.IMAGES, 0.0, 0.27),
        (Mark.EXTERNAL, 0.27, 0.45),
        (Mark.VIDEO, 0.45, 0.51),
        (Mark.QUOTE, 0.51, 0.60),
    ):
        marks[(embed >= low * scale) & (embed < high * scale)] |= int(mark)
    marks[rng.random(count) < np.where(adult, 0.6, 0.006)] |= int(Mark.ADULT)
    marks[rng.random(count) < 0.002] |= int(Mark.HIDE)
    marks[rng.random(count) < 0.01] |= int(Mark.SIGNED_IN)
    return marks
