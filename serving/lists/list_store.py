"""Reading serving.sqlite.

Owns: read-only connections, one consistent snapshot for each request, and what happens when the file is not
there yet, is replaced, or can't be read. Leaves to others: which list is asked for (``paging``), and writing,
which is the batch's alone.

A store that is absent or still empty is no error: the feed is empty, and the store is picked up by the first
request after it appears. One that is there and can't be read is: StoreUnreadableError.
"""

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import sql
from serving.lists.list_bytes import stored_length
from serving.lists.tids import tid_number
from serving.throttle import Throttle
from sql import sqlite

log = logging.getLogger(__name__)
_complaints = Throttle(60.0)


class StoreUnreadableError(Exception):
    """serving.sqlite is there, but can't be read."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A published generation; times in microseconds since 1970."""

    number: int
    published_us: int
    snapshot_us: int
    items: int


@dataclass(frozen=True, slots=True)
class StoredList:
    """A list as it is stored, and the generation that wrote it."""

    generation: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class Post:
    """What is known about a post; ``created_us`` (microseconds) is its author's claim."""

    uri: str
    created_us: int
    likers: int


class Snapshot:
    """One consistent view of the store, for the length of one request."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def current(self) -> Generation | None:
        """Return the newest generation, None while nothing is published."""
        row = self._connection.execute(sql.load("serving/current_generation")).fetchone()
        return None if row is None else Generation(*row)

    def list_of(self, feed: str, viewer: str, generation: int) -> StoredList | None:
        """Return a viewer's list as of a generation."""
        return self._list("serving/list_of", {"feed": feed, "viewer": viewer, "generation": generation})

    def fallback_of(self, feed: str, language: str, generation: int) -> StoredList | None:
        """Return what is popular in a language ("" for all) as of a generation."""
        return self._list(
            "serving/fallback_of", {"feed": feed, "language": language, "generation": generation}
        )

    def uris_of(self, post_ids: Sequence[int]) -> dict[int, str]:
        """Return the at-uris of those posts that are still stored."""
        rows = self._connection.execute(sql.load("serving/uris_of"), {"posts": json.dumps(post_ids)})
        return dict(rows.fetchall())

    def posts_of(self, post_ids: Sequence[int]) -> dict[int, Post]:
        """Return what is known about those posts that are still stored."""
        rows = self._connection.execute(sql.load("serving/posts_of"), {"posts": json.dumps(post_ids)})
        return {post_id: Post(uri, created_us, likers) for post_id, uri, created_us, likers in rows}

    def variant_of(self, generation: int) -> str:
        """Return the variant of the experiment that made a generation's lists, '' outside an experiment."""
        row = self._connection.execute(sql.load("serving/variant_of"), {"generation": generation}).fetchone()
        return "" if row is None else str(row[0])

    def posts_named(self, uris: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (post id, author id) of those at-uris whose posts are stored."""
        keys = {tid_number(uri.rpartition("/")[2]) for uri in uris}
        rows = self._connection.execute(
            sql.load("serving/posts_by_rkey"), {"rkeys": json.dumps([key for key in keys if key is not None])}
        )
        wanted = set(uris)
        return {uri: (post_id, author_id) for post_id, author_id, uri in rows if uri in wanted}

    def taste_sketches_of(self, post_ids: Sequence[int]) -> dict[int, int]:
        """Return the sketches of who likes those posts, where there are any."""
        rows = self._connection.execute(
            sql.load("serving/taste_sketches_of"), {"posts": json.dumps(post_ids)}
        )
        return dict(rows.fetchall())

    def posts_by(self, author_ids: Sequence[int]) -> set[int]:
        """Return the stored posts of some authors."""
        rows = self._connection.execute(
            sql.load("serving/posts_by_author"), {"authors": json.dumps(author_ids)}
        )
        return {post_id for (post_id,) in rows}

    def viewers_like(self, feed: str, search: str, after: str, rows: int) -> list[tuple[str, int]]:
        """Return viewers who have a list, with its number of items, in the order of their DIDs."""
        parameters = {"feed": feed, "search": search, "after": after, "rows": rows}
        found = self._connection.execute(sql.load("serving/viewers_like"), parameters)
        return [(did, stored_length(head, size)) for did, head, size in found]

    def read_posts_ahead(self, seconds: float) -> None:
        """Read all posts from the disk, in the order in which they lie there, for so long at most."""
        until = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        try:
            self._connection.execute("SELECT sum(length(uri)) FROM posts NOT INDEXED").fetchone()
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
        finally:
            self._connection.set_progress_handler(None, 0)

    def some_viewers(self, rows: int) -> list[str]:
        """Return viewers of the store, whoever is found first."""
        return [did for (did,) in self._connection.execute("SELECT did FROM viewers LIMIT ?", (rows,))]

    def count_viewers(self) -> int:
        """Return how many viewers have a list; reads all of them."""
        return int(self._connection.execute("SELECT count(*) FROM viewers").fetchone()[0])

    def _list(self, query: str, parameters: dict[str, str | int]) -> StoredList | None:
        row = self._connection.execute(sql.load(query), parameters).fetchone()
        return None if row is None else StoredList(row[0], row[1])


class Store:
    """serving.sqlite, read from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # The one used last is taken first: there are many threads, but few read at once, and the connections that
        # are in use keep their pages in memory.
        self._idle: list[_Open] = []
        self._lock = threading.Lock()
        self._counted: tuple[int, int] = (-1, 0)

    @contextmanager
    def read(self) -> Iterator[Snapshot | None]:
        """Give a snapshot, None when there is no store yet; raise StoreUnreadableError.

        A sqlite3.Error inside the block is a store that can't be read, too.
        """
        opened = None
        try:
            opened = self._take()
            if opened is not None:
                opened.connection.execute("BEGIN")
        except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
            if opened is not None:
                opened.connection.close()
            raise self._unreadable(error) from error
        if opened is None:
            yield None
            return
        try:
            yield Snapshot(opened.connection)
            opened.connection.execute("COMMIT")
        except sqlite3.Error as error:
            opened.connection.close()
            raise self._unreadable(error) from error
        except BaseException:
            opened.connection.execute("ROLLBACK")
            self._idle.append(opened)
            raise
        self._idle.append(opened)

    def viewers(self, snapshot: Snapshot, generation: int) -> int:
        """Return how many viewers have a list, counted once a generation."""
        with self._lock:
            if self._counted[0] != generation:
                self._counted = (generation, snapshot.count_viewers())
            return self._counted[1]

    def _take(self) -> "_Open | None":
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            self._close()
            return None
        identity = (status.st_dev, status.st_ino)
        while True:
            try:
                opened = self._idle.pop()
            except IndexError:
                break
            if opened.identity == identity:
                return opened
            opened.connection.close()  # of a file that another has replaced
        connection = sqlite.connect(self._path, read_only=True, busy_seconds=2.0)
        try:
            version = sqlite.current_version(connection)
        except BaseException:
            connection.close()
            raise
        newest = max(sqlite.migrations_of("serving"))
        if version == 0 or version > newest:
            connection.close()
            if version:
                raise sqlite.SchemaError(f"serving.sqlite has schema {version}, this program knows {newest}")
            return None
        return _Open(connection, identity)

    def _close(self) -> None:
        while self._idle:
            self._idle.pop().connection.close()

    def _unreadable(self, error: Exception) -> StoreUnreadableError:
        if _complaints.allows("store"):
            log.error("%s can't be read: %s", self._path, error)
        return StoreUnreadableError(str(error))


class _Open(NamedTuple):
    """A connection, and which file it is of."""

    connection: sqlite3.Connection
    identity: tuple[int, int]
