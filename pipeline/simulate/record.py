"""What is true of a world at a time: which like records exist, who is gone, which posts are deleted.

Owns: replaying events to that record, and keeping it for events the world has forgotten. Leaves to others:
what a store should make of it. The rule: the last event of a (liker, rkey) decides whether it exists.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

from pipeline.identifiers import post_uri
from pipeline.simulate.events import Events, Kind, join, no_events
from pipeline.simulate.people import People
from pipeline.simulate.posts import PostTable
from pipeline.simulate.randomness import Flags, Ints
from pipeline.simulate.render import Renderer, rkey_text

if TYPE_CHECKING:
    from pipeline.simulate.world import World

_STATUS = {Kind.ACTIVE: "active", Kind.DEACTIVATED: "deactivated", Kind.DELETED: "deleted"}


class RecordedLike(NamedTuple):
    """A like record: ``subject`` is its at-uri; ``seen_us`` when the stream last wrote it, in us."""

    did: str
    rkey: str
    subject: str
    is_post: bool
    seen_us: int


@dataclass(frozen=True, slots=True)
class _Likes:
    """Like records, as columns of equal length; author -1 where the post number or odd subject is in rkey."""

    actor: Ints
    rkey: Ints
    seen_us: Ints
    author: Ints
    post_rkey: Ints
    exists: Ints

    def take(self, rows: Ints) -> "_Likes":
        return _Likes(*(getattr(self, item.name)[rows] for item in fields(self)))


def _last_wins(parts: list[_Likes]) -> _Likes:
    whole = _Likes(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(_Likes)))
    order = np.lexsort((whole.seen_us, whole.rkey, whole.actor))
    ordered = whole.take(order)
    last = np.ones(len(order), np.bool_)
    last[:-1] = (ordered.actor[1:] != ordered.actor[:-1]) | (ordered.rkey[1:] != ordered.rkey[:-1])
    return ordered.take(np.flatnonzero(last & (ordered.exists == 1)))


class LikeLog:
    """Likes, accounts and post deletions of slots the world has forgotten."""

    def __init__(self, people: People, table: PostTable) -> None:
        self._people, self._table = people, table
        self.until_us = 0
        self._waiting: list[_Likes] = []
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

    def state(self, slots: list[Events], until_us: int) -> tuple[_Likes, Events]:
        """Return the likes that exist and the lasting other events, after time_us <= until_us."""
        self._fold()
        parts, rest = [self._likes], [self._rest]
        for events in slots:
            upto = events.take(slice(0, int(np.searchsorted(events.time_us, until_us, side="right"))))
            parts.append(self.columns(upto))
            rest.append(upto.take(_lasting(upto)))
        return _last_wins(parts), join(rest)

    def columns(self, events: Events) -> _Likes:
        """Return the like events of a slot, subjects resolved."""
        rows = events.take(events.kind <= Kind.LIKE_UPDATE)
        author, post_rkey = np.full(len(rows), -1, np.int64), rows.target.copy()
        known = np.flatnonzero((rows.kind != Kind.UNLIKE) & (rows.target >= 0))
        author[known] = self._table.of("author", rows.target[known])
        post_rkey[known] = self._table.of("rkey", rows.target[known])
        exists = (rows.kind != Kind.UNLIKE).astype(np.int64)
        return _Likes(rows.actor.astype(np.int64), rows.rkey, rows.time_us, author, post_rkey, exists)


def _lasting(events: Events) -> Flags:
    kinds = [Kind.UNPOST, Kind.ACTIVE, Kind.DEACTIVATED, Kind.DELETED]
    return np.isin(events.kind, kinds)


class Record:
    """The record at a time. ``accounts``: DID → (status, since when in us) of all that are not active.

    ``deleted_posts``: at-uri → time_us of its deletion, whether or not its creation was ever told.
    """

    def __init__(self, people: People, renderer: Renderer, likes: _Likes, rest: Events) -> None:
        self._people, self._renderer, self._likes = people, renderer, likes
        status: dict[int, tuple[Kind, int]] = {}
        self.deleted_posts: dict[str, int] = {}
        for kind, actor, rkey, time_us in zip(
            rest.kind.tolist(), rest.actor.tolist(), rest.rkey.tolist(), rest.time_us.tolist(), strict=True
        ):
            if kind == Kind.UNPOST:
                self.deleted_posts[post_uri(people.dids[actor], rkey)] = time_us
            else:
                status[actor] = (Kind(kind), time_us)
        self.accounts: dict[str, tuple[str, int]] = {
            people.dids[actor]: (_STATUS[kind], time_us)
            for actor, (kind, time_us) in status.items()
            if kind is not Kind.ACTIVE
        }

    def __len__(self) -> int:
        """Return the number of like records."""
        return len(self._likes.actor)

    def likes(self) -> Iterator[RecordedLike]:
        """Yield the like records that exist, those of accounts that are gone included."""
        columns = (getattr(self._likes, item.name).tolist() for item in fields(_Likes))
        for actor, rkey, seen_us, author, post_rkey, _ in zip(*columns, strict=True):
            if author >= 0:
                subject = post_uri(self._people.dids[author], post_rkey)
            else:
                subject = self._renderer.subject_uri(post_rkey)
            is_post = "/app.bsky.feed.post/" in subject
            yield RecordedLike(self._people.dids[actor], rkey_text(rkey), subject, is_post, seen_us)

    def lines(self) -> Iterator[bytes]:
        """Yield the record as JSON lines of type like, account and deleted_post.

        A like's ``account`` is the status of its liker: the likes of a deleted account no longer exist.
        """
        for like in self.likes():
            account = self.accounts.get(like.did, ("active", 0))[0]
            yield orjson.dumps({"type": "like", **like._asdict(), "account": account})
        for did, (status, since_us) in self.accounts.items():
            yield orjson.dumps({"type": "account", "did": did, "status": status, "since_us": since_us})
        for uri, deleted_us in self.deleted_posts.items():
            yield orjson.dumps({"type": "deleted_post", "uri": uri, "deleted_us": deleted_us})


def record(world: "World", until_us: int) -> Record:
    """Return the record after all events with time_us <= until_us, making them if need be.

    Raises ValueError when events after that time are already forgotten.
    """
    with world.lock:
        world.make_until(until_us + 1)
        if until_us < world.log.until_us:
            raise ValueError(f"the record before {world.log.until_us} is no longer known")
        likes, rest = world.log.state(world.kept_slots(), until_us)
        return Record(world.people, world.renderer, likes, rest)
