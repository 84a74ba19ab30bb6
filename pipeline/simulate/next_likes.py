"""What people like after a time: the world's own events, made before anybody is sent them.

Owns: reading them. Leaves to others: making them (``timeline``), HTTP (``http_pages``). The stream still sends each
event at its time, so whoever asks knows what no recommender can.
"""

from typing import NamedTuple

import numpy as np

from pipeline.identifiers import post_uri
from pipeline.simulate.timeline import World
from pipeline.simulate.world.event_columns import Kind, join


class NextLike(NamedTuple):
    """A like of a post, and when the post was written."""

    did: str
    uri: str
    seen_us: int
    written_us: int


def next_likes(world: World, from_us: int, until_us: int) -> list[NextLike]:
    """Return the likes of posts with from_us < seen_us <= until_us."""
    with world.lock:
        world.make_until(until_us + 1)
        events = join(world.kept_slots())
        within = (events.time_us > from_us) & (events.time_us <= until_us)
        events = events.take(within & (events.kind == Kind.LIKE) & (events.target >= 0))
        authors = world.posts.of("author", events.target).tolist()
        rkeys = world.posts.of("rkey", events.target).astype(np.int64).tolist()
        written = world.posts.of("created_us", events.target).tolist()
        dids = world.people.dids
        return [
            NextLike(dids[actor], post_uri(dids[author], rkey), time_us, written_us)
            for actor, author, rkey, time_us, written_us in zip(
                events.actor.tolist(), authors, rkeys, events.time_us.tolist(), written, strict=True
            )
        ]
