"""Events as columns: what kinds there are and what each column means for them.

Owns: the compact form of an event, about 34 bytes. Leaves to others: making events (``slot_maker``), their text
(``render``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.randomness import Flags, Ints


class Kind(IntEnum):
    """What happened. The comment says what ``target`` holds; ``rkey`` is the record's own."""

    LIKE = 0  # a post number, or below 0 another subject (see ``Subject``)
    UNLIKE = 1
    LIKE_UPDATE = 2  # a post number: the like with this rkey now has another subject
    POST = 3  # a post number
    UNPOST = 4  # a post number
    REPOST = 5  # a post number
    UNREPOST = 6
    FOLLOW = 7  # a person
    UNFOLLOW = 8
    BLOCK = 9  # a person
    PROFILE = 10
    IDENTITY = 11
    ACTIVE = 12
    DEACTIVATED = 13
    DELETED = 14
    BAD_LIKE = 15  # which malformation (``malformed``)
    BAD_POST = 16  # which malformation


COLLECTIONS: tuple[str | None, ...] = (
    *["app.bsky.feed.like"] * 3,
    *["app.bsky.feed.post"] * 2,
    *["app.bsky.feed.repost"] * 2,
    *["app.bsky.graph.follow"] * 2,
    "app.bsky.graph.block",
    "app.bsky.actor.profile",
    *[None] * 4,
    "app.bsky.feed.like",
    "app.bsky.feed.post",
)
"""The collection of each kind; None for identity and account events."""


class Subject(IntEnum):
    """The subject of a like that is not a post of this world."""

    UNKNOWN_POST = 0
    FEED = 1
    LIST = 2
    LABELER = 3


class Trait(IntFlag):
    """Peculiarities of an event."""

    FORGED = 1  # createdAt is years off
    VIA = 2  # the like came through a repost
    SAME_COMMIT = 4  # in one commit with the row before


def odd_subject(subject: Ints, numbers: Ints) -> Ints:
    """Return targets below 0 for subjects that are not posts of this world."""
    result: Ints = -1 - (subject + len(Subject) * numbers)
    return result


@dataclass(frozen=True, slots=True)
class Events:
    """Rows of equal length. ``rkey`` is the number of a TID, negative for a key that is not a TID."""

    time_us: Ints
    kind: NDArray[np.uint8]
    actor: NDArray[np.int32]
    target: Ints
    rkey: Ints
    traits: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, rows: "Ints | Flags | slice") -> "Events":
        """Return some rows."""
        return Events(*(getattr(self, name)[rows] for name in _NAMES))


_NAMES = tuple(item.name for item in fields(Events))


def make_events(
    time_us: Ints,
    kind: "int | NDArray[np.uint8]",
    actor: "Ints | NDArray[np.int32]",
    target: "int | Ints" = 0,
    rkey: "int | Ints" = 0,
    traits: "int | NDArray[np.uint8]" = 0,
) -> Events:
    """Return rows; scalars are repeated."""
    count = len(time_us)
    return Events(
        np.asarray(time_us, np.int64),
        np.full(count, kind, np.uint8),
        np.asarray(actor, np.int32),
        np.full(count, target, np.int64),
        np.full(count, rkey, np.int64),
        np.full(count, traits, np.uint8),
    )


def no_events() -> Events:
    """Return no rows."""
    return make_events(np.zeros(0, np.int64), 0, np.zeros(0, np.int32))


def join(parts: Sequence[Events]) -> Events:
    """Return the rows of all parts, in that order."""
    if not parts:
        return no_events()
    return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))


def in_order(events: Events, after_us: int) -> Events:
    """Return rows sorted by time and moved by microseconds, so that times rise strictly from ``after_us``."""
    ordered = events.take(np.argsort(events.time_us, kind="stable"))
    steps = np.arange(len(ordered))
    times = np.maximum(np.maximum.accumulate(ordered.time_us - steps) + steps, after_us + 1 + steps)
    return Events(times, ordered.kind, ordered.actor, ordered.target, ordered.rkey, ordered.traits)
