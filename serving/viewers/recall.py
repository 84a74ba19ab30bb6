"""What activity.sqlite says of a viewer, for a worker that does not know them yet.

Owns: reading it, within bounds. Leaves to others: what it means for a list (``viewer_memory``) and writing
(``activity_writer``). A store that is absent, locked or damaged gives nothing: no request fails.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import sql
from serving.read_pool import ReadPool, StoreUnreadableError

INTERACTIONS_MAX = 400
PAGES_MAX = 12
SINCE_SECONDS = 96 * 3600.0  # older posts are in no list


class PostEvent(NamedTuple):
    """What a viewer did with a post (the lexicon's name), or "shown"; the time in microseconds since 1970."""

    kind: str
    post_uri: str
    at_us: int


class Recall:
    """Reads activity.sqlite; may be called from any thread, and opens the file when it is first needed."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._pool = ReadPool(path, "activity", busy_seconds=0.2)
        self._now = now

    def events(self, viewer: str, feed: str) -> list[PostEvent]:
        """Return what a viewer did, and was shown of a feed, in the last days."""
        since_us = int((self._now() - SINCE_SECONDS) * 1_000_000)
        named = {"viewer_did": viewer, "since_us": since_us}
        try:
            with self._pool.snapshot() as connection:
                if connection is None:
                    return []
                interactions = connection.execute(
                    sql.load("activity/interactions_of"), {**named, "rows": INTERACTIONS_MAX}
                ).fetchall()
                pages = connection.execute(
                    sql.load("activity/pages_of"), {**named, "feed_rkey": feed, "rows": PAGES_MAX}
                ).fetchall()
        except StoreUnreadableError:
            return []
        events = [PostEvent(kind, uri, at_us) for uri, kind, at_us in interactions]
        for posts, served_us in pages:
            for post in json.loads(posts):
                author, _, rkey = post.partition("/")
                events.append(PostEvent("shown", f"at://{author}/app.bsky.feed.post/{rkey}", served_us))
        return events
