"""Reading serving.sqlite.

Owns: read-only connections, one consistent snapshot for each request, and what happens when the file does not exist
yet, is replaced, or can't be read. Leaves to others: which list to read (``paging``), and writing, which is the
batch's alone.

A store that is absent or empty is not an error: the feed is empty, and the first request after the store appears
finds it. A store that exists and can't be read is an error: StoreUnreadableError.
"""

import json
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sql
from serving.lists.list_bytes import stored_length
from serving.throttle import Throttle
from sql import sqlite

log = logging.getLogger(__name__)
_complaints = Throttle(60.0)
_DIGITS = {digit: value for value, digit in enumerate("234567abcdefghijklmnopqrstuvwxyz")}
_TID = re.compile(
    r"[2-7ab][2-7a-z]{12}", re.ASCII
)  # from c on the number has 64 bits: not a TID, and not stored


class StoreUnreadableError(Exception):
    """serving.sqlite exists, but can't be read."""


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
class StoredPost:
    """What is known about a post; ``created_us`` (microseconds) is its author's claim."""

    uri: str
    created_us: int
    likers: int


class ListSnapshot:
    """One consistent view of the lists, for the length of one request."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def current(self) -> Generation | None:
        """Return the newest generation, None while nothing is published."""
        rows = self._rows("serving/current_generation")
        return Generation(*rows[0]) if rows else None

    def list_of(self, feed: str, viewer: str, generation: int) -> StoredList | None:
        """Return a viewer's list as of a generation."""
        rows = self._rows("serving/list_of", feed=feed, viewer=viewer, generation=generation)
        return StoredList(*rows[0]) if rows else None

    def fallback_of(self, feed: str, language: str, generation: int) -> StoredList | None:
        """Return what is popular in a language ("" for all) as of a generation."""
        rows = self._rows("serving/fallback_of", feed=feed, language=language, generation=generation)
        return StoredList(*rows[0]) if rows else None

    def uris_of(self, post_ids: Sequence[int]) -> dict[int, str]:
        """Return the at-uris of those posts that are still stored."""
        return dict(self._rows("serving/uris_of", posts=json.dumps(post_ids)))

    def posts_of(self, post_ids: Sequence[int]) -> dict[int, StoredPost]:
        """Return what is known about those posts that are still stored."""
        rows = self._rows("serving/posts_of", posts=json.dumps(post_ids))
        return {post_id: StoredPost(*known) for post_id, *known in rows}

    def variant_of(self, generation: int) -> str:
        """Return the variant of the experiment that made a generation's lists, '' outside an experiment."""
        rows = self._rows("serving/variant_of", generation=generation)
        return str(rows[0][0]) if rows else ""

    def posts_named(self, uris: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (post id, author id) of those at-uris whose posts are stored."""
        keys = {tid_number(uri.rpartition("/")[2]) for uri in uris} - {None}
        rows = self._rows("serving/posts_by_rkey", rkeys=json.dumps([*keys]))
        wanted = set(uris)
        return {uri: (post_id, author_id) for post_id, author_id, uri in rows if uri in wanted}

    def taste_sketches_of(self, post_ids: Sequence[int]) -> dict[int, int]:
        """Return the sketches of who likes those posts, where there are any."""
        return dict(self._rows("serving/taste_sketches_of", posts=json.dumps(post_ids)))

    def posts_by(self, author_ids: Sequence[int]) -> set[int]:
        """Return the stored posts of some authors."""
        rows = self._rows("serving/posts_by_author", authors=json.dumps(author_ids))
        return {post_id for (post_id,) in rows}

    def viewers_like(self, feed: str, search: str, after: str, rows: int) -> list[tuple[str, int]]:
        """Return viewers who have a list, with its number of items, in the order of their DIDs."""
        found = self._rows("serving/viewers_like", feed=feed, search=search, after=after, rows=rows)
        return [(did, stored_length(head, size)) for did, head, size in found]

    def read_posts_ahead(self, seconds: float) -> None:
        """Read all posts from the disk, in the order in which they lie there, for some seconds at most."""
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

    def _rows(self, query: str, **parameters: str | int) -> list[Any]:
        return self._connection.execute(sql.load(query), parameters).fetchall()


class ListStore:
    """serving.sqlite, read from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # The one used last is taken first. There are many threads, but few read at once, and the connections that are
        # used keep their pages in memory.
        self._idle: list[_Open] = []
        self._lock = threading.Lock()
        self._counted: tuple[int, int] = (-1, 0)

    @contextmanager
    def read(self) -> Iterator[ListSnapshot | None]:
        """Give a snapshot, None when there is no store yet; raise StoreUnreadableError.

        A sqlite3.Error inside the block becomes a StoreUnreadableError, too.
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
            yield ListSnapshot(opened.connection)
            opened.connection.execute("COMMIT")
        except sqlite3.Error as error:
            opened.connection.close()
            raise self._unreadable(error) from error
        except BaseException:
            opened.connection.execute("ROLLBACK")
            self._idle.append(opened)
            raise
        self._idle.append(opened)

    def viewers(self, snapshot: ListSnapshot, generation: int) -> int:
        """Return how many viewers have a list; counted once for each generation."""
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
            opened.connection.close()  # of a file that was replaced
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
    """A connection, and the device and inode of its file."""

    connection: sqlite3.Connection
    identity: tuple[int, int]


def tid_number(text: str) -> int | None:
    """Return the number of a record key that is a TID; None for any other text."""
    if _TID.fullmatch(text) is None:
        return None
    number = 0
    for digit in text:
        number = number * 32 + _DIGITS[digit]
    return number
