"""What is true of a world at a time: which likes exist, which accounts are not active, which posts are deleted.

Owns: the truth as Python values and as JSON lines. Leaves to others: the likes of forgotten events (``like_log``),
what a store should make of it.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

import orjson

from pipeline.identifiers import post_uri
from pipeline.simulate.like_log import LikeColumns
from pipeline.simulate.lines.render import Renderer, rkey_text
from pipeline.simulate.timeline import World
from pipeline.simulate.world.event_columns import Events, Kind
from pipeline.simulate.world.people import People


class LikeRecord(NamedTuple):
    """A like record: ``subject`` is its at-uri; ``seen_us`` when the stream last wrote it, in us."""

    did: str
    rkey: str
    subject: str
    is_post: bool
    seen_us: int


class GroundTruth:
    """The truth at a time. ``accounts``: DID → (status, since when in us) of all that are not active.

    ``deleted_posts``: at-uri → time_us of its deletion, even where the post was never in the stream.
    """

    def __init__(self, people: People, renderer: Renderer, likes: LikeColumns, others: Events) -> None:
        self._people, self._renderer, self._likes = people, renderer, likes
        self.accounts: dict[str, tuple[str, int]] = {}
        self.deleted_posts: dict[str, int] = {}
        columns = (others.kind.tolist(), others.actor.tolist(), others.rkey.tolist(), others.time_us.tolist())
        for kind, actor, rkey, time_us in zip(*columns, strict=True):
            did = people.dids[actor]
            if kind == Kind.UNPOST:
                self.deleted_posts[post_uri(did, rkey)] = time_us
            elif kind == Kind.ACTIVE:
                self.accounts.pop(did, None)
            else:
                self.accounts[did] = (Kind(kind).name.lower(), time_us)

    def __len__(self) -> int:
        """Return the number of like records."""
        return len(self._likes.actor)

    def likes(self) -> Iterator[LikeRecord]:
        """Yield the like records that exist, including those of accounts that are deleted or deactivated."""
        columns = (getattr(self._likes, item.name).tolist() for item in fields(LikeColumns))
        for actor, rkey, seen_us, author, post_rkey, _ in zip(*columns, strict=True):
            if author >= 0:
                subject = post_uri(self._people.dids[author], post_rkey)
            else:
                subject = self._renderer.subject_uri(post_rkey)
            is_post = "/app.bsky.feed.post/" in subject
            yield LikeRecord(self._people.dids[actor], rkey_text(rkey), subject, is_post, seen_us)

    def lines(self) -> Iterator[bytes]:
        """Yield the truth as JSON lines of type like, account and deleted_post.

        A like's ``account`` is the status of its liker: the likes of a deleted account no longer exist.
        """
        for like in self.likes():
            account = self.accounts.get(like.did, ("active", 0))[0]
            yield orjson.dumps({"type": "like", **like._asdict(), "account": account})
        for did, (status, since_us) in self.accounts.items():
            yield orjson.dumps({"type": "account", "did": did, "status": status, "since_us": since_us})
        for uri, deleted_us in self.deleted_posts.items():
            yield orjson.dumps({"type": "deleted_post", "uri": uri, "deleted_us": deleted_us})


def ground_truth(world: World, until_us: int) -> GroundTruth:
    """Return the truth after all events with time_us <= until_us, and make these events if need be.

    Raises ValueError when later events are already forgotten.
    """
    with world.lock:
        world.make_until(until_us + 1)
        if until_us < world.log.until_us:
            raise ValueError(f"the truth before {world.log.until_us} is forgotten")
        likes, others = world.log.state(world.kept_slots(), until_us)
        return GroundTruth(world.people, world.renderer, likes, others)
