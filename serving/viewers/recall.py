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
SINCE_SECONDS = 14 * 86_400.0  # older posts are in no list: post_max_age_hours of the ranking


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
        try:
            with self._pool.snapshot() as connection:
                if connection is None:
                    return []
                named = {"viewer_did": viewer, "since_us": self._since_us(), "rows": INTERACTIONS_MAX}
                interactions = connection.execute(sql.load("activity/interactions_of"), named).fetchall()
        except StoreUnreadableError:
            return []
        events = [PostEvent(kind, uri, at_us) for uri, kind, at_us in interactions]
        return events + self.pages(viewer, feed)

    def pages(self, viewer: str, feed: str) -> list[PostEvent]:
        """Return what a viewer was shown of a feed on the last pages."""
        try:
            with self._pool.snapshot() as connection:
                if connection is None:
                    return []
                named = {"viewer_did": viewer, "feed_rkey": feed, "since_us": self._since_us()}
                rows = connection.execute(sql.load("activity/pages_of"), named | {"rows": PAGES_MAX})
                pages = rows.fetchall()
        except StoreUnreadableError:
            return []
        return [
            PostEvent("shown", "at://{}/app.bsky.feed.post/{}".format(*post.split("/", 1)), served_us)
            for posts, served_us in pages
            for post in json.loads(posts)
        ]

    def _since_us(self) -> int:
        return int((self._now() - SINCE_SECONDS) * 1_000_000)
