"""Reading serving.sqlite.

Owns: the queries about lists, posts and viewers. Leaves to others: which posts were removed or withheld since
(``removed_posts``),
connections and snapshots (``read_pool``), which list to read (``paging``), and writing, which is the batch's alone.
"""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sql
from serving.lists.list_bytes import SOURCE_POPULAR, ListItem, stored_length
from serving.lists.removed_posts import ANONYMOUS, EVERYBODY, POPULAR, RemovedPosts
from serving.read_pool import ReadPool
from sql.sqlite import lacks_table

_DIGITS = {digit: value for value, digit in enumerate("234567abcdefghijklmnopqrstuvwxyz")}
_TID = re.compile(
    r"[2-7ab][2-7a-z]{12}", re.ASCII
)  # from c on the number has 64 bits: not a TID, and not stored


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

    def __init__(self, connection: sqlite3.Connection, removals: RemovedPosts | None = None) -> None:
        self._connection = connection
        self._removals = removals

    def current(self) -> Generation | None:
        """Return the newest generation, None while nothing is published."""
        rows = self._rows("serving/current_generation")
        return Generation(*rows[0]) if rows else None

    def everybody_renewed_us(self) -> int:
        """Return when the lists of all viewers were last renewed; there is a generation."""
        return int(self._rows("serving/everybody_renewed")[0][0])

    def list_of(self, feed: str, viewer: str, generation: int) -> StoredList | None:
        """Return a viewer's list as of a generation."""
        rows = self._rows("serving/list_of", feed=feed, viewer=viewer, generation=generation)
        return StoredList(*rows[0]) if rows else None

    def fallback_of(self, feed: str, language: str, generation: int) -> StoredList | None:
        """Return what is popular in a language ("" for all) as of a generation."""
        rows = self._rows("serving/fallback_of", feed=feed, language=language, generation=generation)
        return StoredList(*rows[0]) if rows else None

    def uris_of(self, items: Sequence[ListItem], *, anybody: bool) -> dict[int, str]:
        """Return the at-uris of the posts that may still be shown; ``anybody``: the list is no viewer's own."""
        rows = self._shown("serving/uris_of", items, anybody)
        return {post_id: uri for post_id, _, _, uri in rows}

    def posts_of(self, items: Sequence[ListItem], *, anybody: bool) -> dict[int, StoredPost]:
        """Return what is known about the posts that may still be shown, likewise."""
        rows = self._shown("serving/posts_of", items, anybody)
        return {post_id: StoredPost(*known) for post_id, _, _, *known in rows}

    def contents_of(self, items: Sequence[ListItem]) -> dict[int, tuple[frozenset[str], int]]:
        """Return the languages and the media (sql/serving/0003_post_contents.sql) of posts, where they are known."""
        rows = self._rows("serving/contents_of", posts=json.dumps([item.post_id for item in items]))
        return {post_id: (frozenset(filter(None, langs.split(","))), media) for post_id, langs, media in rows}

    def variant_of(self, generation: int) -> str:
        """Return the variant of the experiment that made a generation's lists, '' outside an experiment."""
        rows = self._rows("serving/variant_of", generation=generation)
        return str(rows[0][0]) if rows else ""

    def published_us(self, generation: int) -> int:
        """Return when a list's generation was published, or the first later one that is kept."""
        query = "SELECT min(published_us) FROM generations WHERE generation >= ?"
        return int(self._connection.execute(query, (generation,)).fetchone()[0] or 0)

    def waited_us(self, viewer: str) -> int:
        """Return when the last run for a viewer who waited began, 0 for none."""
        query = "SELECT began_us FROM waiting_runs WHERE viewer_did = ?"
        row = self._connection.execute(query, (viewer,)).fetchone()
        return int(row[0]) if row else 0

    def communities(self, feed: str, languages: Sequence[str]) -> dict[str, list[list[str]]]:
        """Return a feed's communities of some languages ("" for all): at-uris of posts that anybody may see."""
        try:
            rows = self._rows("serving/communities_of", feed=feed, languages=json.dumps([*languages]))
        except sqlite3.OperationalError as error:
            if not lacks_table(error):
                raise
            return {}  # before the first run of this version
        keys = [row[2:4] for row in rows]
        withheld = {} if self._removals is None else self._removals.withheld_among(keys)
        found: dict[str, dict[int, list[str]]] = {}
        for language, community, author_id, rkey, uri in rows:
            if withheld.get((author_id, rkey), 0) < ANONYMOUS:
                found.setdefault(language, {}).setdefault(community, []).append(uri)
        return {language: list(some.values()) for language, some in found.items()}

    def known_posts(self, uris: Sequence[str]) -> set[str]:
        """Return those at-uris whose posts are in lists or in communities."""
        found = set(self.posts_named(uris))
        if found.issuperset(uris):
            return found
        every = self._connection.execute("SELECT DISTINCT uri FROM communities").fetchall()
        return found | (set(uris) & {uri for (uri,) in every})

    def posts_named(self, uris: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (post id, author id) of those at-uris whose posts are stored."""
        keys = {tid_number(uri.rpartition("/")[2]) for uri in uris} - {None}
        rows = self._rows("serving/posts_by_rkey", rkeys=json.dumps([*keys]))
        wanted = set(uris)
        return {uri: (post_id, author_id) for post_id, author_id, uri in rows if uri in wanted}

    def taste_sketches_of(self, post_ids: Sequence[int]) -> dict[int, int]:
        """Return the sketches of who likes those posts, where there are any."""
        return dict(self._rows("serving/taste_sketches_of", posts=json.dumps(post_ids)))

    def posts_by(self, author_ids: Sequence[int], post_ids: Sequence[int]) -> set[int]:
        """Return those posts that are by some authors."""
        named = {"authors": json.dumps(author_ids), "posts": json.dumps(post_ids)}
        rows = self._rows("serving/posts_by_author", **named)
        return {post_id for (post_id,) in rows}

    def viewers_like(self, feed: str, search: str, after: str, rows: int) -> list[tuple[str, int]]:
        """Return viewers who have a list, with its number of items, in the order of their DIDs."""
        found = self._rows("serving/viewers_matching", feed=feed, search=search, after=after, rows=rows)
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
        """Return some viewers of the store."""
        return [did for (did,) in self._connection.execute("SELECT did FROM viewers LIMIT ?", (rows,))]

    def count_viewers(self) -> int:
        """Return how many viewers have a list; reads all of them."""
        return int(self._connection.execute("SELECT count(*) FROM viewers").fetchone()[0])

    def _shown(self, query: str, items: Sequence[ListItem], anybody: bool) -> list[Any]:
        """Return the rows (post id, author id, record key, …) of a query for posts that were not withheld since."""
        rows = self._rows(query, posts=json.dumps([item.post_id for item in items]))
        withheld = {} if self._removals is None else self._removals.withheld_among([row[1:3] for row in rows])
        if not withheld:
            return rows
        popular = {item.post_id for item in items if item.source == SOURCE_POPULAR}

        def least(post_id: int) -> int:
            return ANONYMOUS if anybody else POPULAR if post_id in popular else EVERYBODY

        return [row for row in rows if withheld.get(row[1:3], 0) < least(row[0])]

    def _rows(self, query: str, **parameters: str | int) -> list[Any]:
        return self._connection.execute(sql.load(query), parameters).fetchall()


class ListStore:
    """serving.sqlite, read from any thread."""

    def __init__(self, path: Path, removals: Path | None = None) -> None:
        """Read the lists at ``path``; posts that ``removals`` names are as if they were not stored."""
        self._pool = ReadPool(path, "serving", busy_seconds=2.0)
        self._removals = None if removals is None else RemovedPosts(removals)
        self._lock = threading.Lock()
        self._counted: tuple[int, int] = (-1, 0)

    @contextmanager
    def read(self) -> Iterator[ListSnapshot | None]:
        """Give a snapshot, None when there is no store yet; raise StoreUnreadableError."""
        with self._pool.snapshot() as connection:
            yield None if connection is None else ListSnapshot(connection, self._removals)

    def viewers(self, snapshot: ListSnapshot, generation: int) -> int:
        """Return how many viewers have a list; counted once for each generation."""
        with self._lock:
            if self._counted[0] != generation:
                self._counted = (generation, snapshot.count_viewers())
            return self._counted[1]


def tid_number(text: str) -> int | None:
    """Return the number of a record key that is a TID; None for any other text."""
    if _TID.fullmatch(text) is None:
        return None
    number = 0
    for digit in text:
        number = number * 32 + _DIGITS[digit]
    return number
