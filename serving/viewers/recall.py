"""What activity.sqlite says of a viewer, for a worker that does not know them yet.

Owns: reading it, within bounds. Leaves to others: what it means for a list (``viewer_memory``) and writing
(``activity_writer``). A store that is absent, locked or damaged gives nothing: that is logged once a minute, and no
request fails.
"""

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import sql
from serving.throttle import Throttle
from sql import sqlite

log = logging.getLogger(__name__)

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
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._complaints = Throttle(60.0)

    def events(self, viewer: str, feed: str) -> list[PostEvent]:
        """Return what a viewer did, and was shown of a feed, in the last days."""
        since_us = int((self._now() - SINCE_SECONDS) * 1_000_000)
        named = {"viewer_did": viewer, "since_us": since_us}
        with self._lock:
            try:
                connection = self._open()
                if connection is None:
                    return []
                interactions = connection.execute(
                    sql.load("activity/recall_interactions"), {**named, "rows": INTERACTIONS_MAX}
                ).fetchall()
                pages = connection.execute(
                    sql.load("activity/recall_pages"), {**named, "feed_rkey": feed, "rows": PAGES_MAX}
                ).fetchall()
            except (sqlite3.Error, OSError) as error:
                self._close()
                if self._complaints.allows("recall"):
                    log.warning("%s can't be read: %s", self._path, error)
                return []
        events = [PostEvent(kind, uri, at_us) for uri, kind, at_us in interactions]
        for posts, served_us in pages:
            for post in json.loads(posts):
                author, _, rkey = post.partition("/")
                events.append(PostEvent("shown", f"at://{author}/app.bsky.feed.post/{rkey}", served_us))
        return events

    def _open(self) -> sqlite3.Connection | None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            self._close()
            return None
        identity = (status.st_dev, status.st_ino)
        if self._connection is None or identity != self._identity:
            self._close()
            connection = sqlite.connect(self._path, read_only=True, busy_seconds=0.2)
            try:
                found = sqlite.tables(connection)
            except BaseException:
                connection.close()
                raise
            if "impression_pages" not in found:  # made a moment ago, and its writer is still at the schema
                connection.close()
                return None
            self._connection, self._identity = connection, identity
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._identity = None
