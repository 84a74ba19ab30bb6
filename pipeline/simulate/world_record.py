"""What is true of a world at a time: which like records exist, who is gone, which posts are deleted.

Owns: the record as Python values and as JSON lines. Leaves to others: the likes of forgotten events
(``like_log``), what a store should make of it.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

import orjson

from pipeline.identifiers import post_uri
from pipeline.simulate.like_log import Likes
from pipeline.simulate.lines.render import Renderer, rkey_text
from pipeline.simulate.timeline import World
from pipeline.simulate.world.event_columns import Events, Kind
from pipeline.simulate.world.people import People

_STATUS = {Kind.ACTIVE: "active", Kind.DEACTIVATED: "deactivated", Kind.DELETED: "deleted"}


class RecordedLike(NamedTuple):
    """A like record: ``subject`` is its at-uri; ``seen_us`` when the stream last wrote it, in us."""

    did: str
    rkey: str
    subject: str
    is_post: bool
    seen_us: int


class Record:
    """The record at a time. ``accounts``: DID → (status, since when in us) of all that are not active.

    ``deleted_posts``: at-uri → time_us of its deletion, whether or not its creation was ever told.
    """

    def __init__(self, people: People, renderer: Renderer, likes: Likes, rest: Events) -> None:
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
        columns = (getattr(self._likes, item.name).tolist() for item in fields(Likes))
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


def record(world: World, until_us: int) -> Record:
    """Return the record after all events with time_us <= until_us, making them if need be.

    Raises ValueError when events after that time are already forgotten.
    """
    with world.lock:
        world.make_until(until_us + 1)
        if until_us < world.log.until_us:
            raise ValueError(f"the record before {world.log.until_us} is no longer known")
        likes, rest = world.log.state(world.kept_slots(), until_us)
        return Record(world.people, world.renderer, likes, rest)
