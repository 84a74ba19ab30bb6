"""Likes of a made world that come on the stream after it was written."""

from pathlib import Path

from worlds import World

from pipeline.identifiers import tid_at
from pipeline.store.events import EventBatch, Like
from pipeline.store.landing import Landing


def stream_likes(data_dir: Path, made: World, who: str, posts: list[str], at_us: int) -> None:
    """Let the stream report likes of posts by a DID, all at one time."""
    landing = Landing(data_dir)
    batch = EventBatch(newest_us=at_us, low_us=at_us)
    names = {number: name for name, number in made.actors.items()}
    for number, post in enumerate(posts):
        author, post_rkey = made.posts[post]
        key = tid_at(at_us, number)
        batch.likes.append(Like(who, key, made.did(names[author]), post_rkey, at_us, key))
    landing.append(batch, "one.example", "firehose")
    landing.close()
