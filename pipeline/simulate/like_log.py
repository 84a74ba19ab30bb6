"""Likes of a simulated world, kept for what the world forgets of its events.

Owns: ``LikeLog``. The rule: the last event of a (liker, rkey) decides whether the like exists. Leaves to
others: when events are forgotten (``timeline``), the whole record at a time (``world_record``).
"""

from dataclasses import dataclass, fields

import numpy as np

from pipeline.simulate.randomness import Flags, Ints
from pipeline.simulate.world.event_columns import Events, Kind, join, no_events
from pipeline.simulate.world.posts import PostTable


@dataclass(frozen=True, slots=True)
class Likes:
    """Like records, as columns of equal length; author -1 where the post number or odd subject is in rkey."""

    actor: Ints
    rkey: Ints
    seen_us: Ints
    author: Ints
    post_rkey: Ints
    exists: Ints

    def take(self, rows: Ints) -> "Likes":
        return Likes(*(getattr(self, item.name)[rows] for item in fields(self)))


def _last_wins(parts: list[Likes]) -> Likes:
    whole = Likes(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Likes)))
    order = np.lexsort((whole.seen_us, whole.rkey, whole.actor))
    ordered = whole.take(order)
    last = np.ones(len(order), np.bool_)
    last[:-1] = (ordered.actor[1:] != ordered.actor[:-1]) | (ordered.rkey[1:] != ordered.rkey[:-1])
    return ordered.take(np.flatnonzero(last & (ordered.exists == 1)))


class LikeLog:
    """Likes, accounts and post deletions of slots the world has forgotten."""

    def __init__(self, table: PostTable) -> None:
        self._table = table
        self.until_us = 0
        self._waiting: list[Likes] = []
        self._likes = self.columns(no_events())
        self._rest = no_events()

    def absorb(self, events: Events) -> None:
        """Take over a slot that is being forgotten."""
        if not len(events):
            return
        self._waiting.append(self.columns(events))
        self._rest = join([self._rest, events.take(_lasting(events))])
        self.until_us = int(events.time_us[-1])
        if len(self._waiting) > 100:
            self._fold()

    def _fold(self) -> None:
        self._likes = _last_wins([self._likes, *self._waiting])
        self._waiting = []

    def state(self, slots: list[Events], until_us: int) -> tuple[Likes, Events]:
        """Return the likes that exist and the lasting other events, after time_us <= until_us."""
        self._fold()
        parts, rest = [self._likes], [self._rest]
        for events in slots:
            upto = events.take(slice(0, int(np.searchsorted(events.time_us, until_us, side="right"))))
            parts.append(self.columns(upto))
            rest.append(upto.take(_lasting(upto)))
        return _last_wins(parts), join(rest)

    def columns(self, events: Events) -> Likes:
        """Return the like events of a slot, subjects resolved."""
        rows = events.take(events.kind <= Kind.LIKE_UPDATE)
        author, post_rkey = np.full(len(rows), -1, np.int64), rows.target.copy()
        known = np.flatnonzero((rows.kind != Kind.UNLIKE) & (rows.target >= 0))
        author[known] = self._table.of("author", rows.target[known])
        post_rkey[known] = self._table.of("rkey", rows.target[known])
        exists = (rows.kind != Kind.UNLIKE).astype(np.int64)
        return Likes(rows.actor.astype(np.int64), rows.rkey, rows.time_us, author, post_rkey, exists)


def _lasting(events: Events) -> Flags:
    kinds = [Kind.UNPOST, Kind.ACTIVE, Kind.DEACTIVATED, Kind.DELETED]
    return np.isin(events.kind, kinds)
