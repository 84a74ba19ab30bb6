"""The likes of the slots that a world has forgotten.

Owns: ``LikeLog``. The rule: the last event of a (liker, rkey) decides whether the like exists. Leaves to others: when
events are forgotten (``timeline``), the whole truth at a time (``ground_truth``).
"""

from dataclasses import dataclass, fields

import numpy as np

from pipeline.simulate.randomness import Flags, Ints
from pipeline.simulate.world.event_columns import Events, Kind, join, no_events
from pipeline.simulate.world.posts import PostTable


@dataclass(frozen=True, slots=True)
class LikeColumns:
    """Like records, as columns of equal length.

    ``author`` is -1 where ``post_rkey`` holds no post's rkey but a subject below 0 (see ``event_columns.Subject``).
    """

    actor: Ints
    rkey: Ints
    seen_us: Ints
    author: Ints
    post_rkey: Ints
    exists: Ints

    def take(self, rows: Ints) -> "LikeColumns":
        """Return some rows."""
        return LikeColumns(*(getattr(self, item.name)[rows] for item in fields(self)))


def _existing(parts: list[LikeColumns]) -> LikeColumns:
    """Return the last row of each (liker, rkey), where it says that the like exists."""
    names = [item.name for item in fields(LikeColumns)]
    whole = LikeColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    ordered = whole.take(np.lexsort((whole.seen_us, whole.rkey, whole.actor)))
    last = np.ones(len(ordered.actor), np.bool_)
    last[:-1] = (ordered.actor[1:] != ordered.actor[:-1]) | (ordered.rkey[1:] != ordered.rkey[:-1])
    return ordered.take(np.flatnonzero(last & (ordered.exists == 1)))


class LikeLog:
    """Likes, account events and post deletions of the slots that the world has forgotten."""

    def __init__(self, table: PostTable) -> None:
        self._table = table
        self.until_us = 0
        self._unmerged: list[LikeColumns] = []
        self._likes = self.columns(no_events())
        self._others = no_events()

    def absorb(self, events: Events) -> None:
        """Take over a slot that is being forgotten."""
        if not len(events):
            return
        self._unmerged.append(self.columns(events))
        self._others = join([self._others, events.take(_is_lasting(events))])
        self.until_us = int(events.time_us[-1])
        if len(self._unmerged) > 100:
            self._merge()

    def _merge(self) -> None:
        self._likes = _existing([self._likes, *self._unmerged])
        self._unmerged = []

    def state(self, slots: list[Events], until_us: int) -> tuple[LikeColumns, Events]:
        """Return the likes that exist and the other lasting events, up to and including a time."""
        self._merge()
        likes, others = [self._likes], [self._others]
        for events in slots:
            upto = events.take(slice(0, int(np.searchsorted(events.time_us, until_us, side="right"))))
            likes.append(self.columns(upto))
            others.append(upto.take(_is_lasting(upto)))
        return _existing(likes), join(others)

    def columns(self, events: Events) -> LikeColumns:
        """Return the like events of a slot, with their posts' authors and rkeys."""
        rows = events.take(events.kind <= Kind.LIKE_UPDATE)
        author, post_rkey = np.full(len(rows), -1, np.int64), rows.target.copy()
        known = np.flatnonzero((rows.kind != Kind.UNLIKE) & (rows.target >= 0))
        author[known] = self._table.of("author", rows.target[known])
        post_rkey[known] = self._table.of("rkey", rows.target[known])
        exists = (rows.kind != Kind.UNLIKE).astype(np.int64)
        return LikeColumns(rows.actor.astype(np.int64), rows.rkey, rows.time_us, author, post_rkey, exists)


def _is_lasting(events: Events) -> Flags:
    return np.isin(events.kind, [Kind.UNPOST, Kind.ACTIVE, Kind.DEACTIVATED, Kind.DELETED])
