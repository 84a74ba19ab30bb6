"""Making checked lists visible in serving.sqlite, as generations.

Owns: writing fallback lists, viewers and posts, and each generation's row. Leaves to others: the checks
(before), the lists (``write_lists``), removing what no reader needs (``prune``).

Invariant: a generation's lists and its row in ``generations`` are one transaction, so readers, who take the
newest list with generation <= the newest row, see all of it or nothing. A run for many viewers publishes a
generation for each part of them: other runs publish in between, the list of a viewer who is not reading is
written over at once, and a run that dies leaves lists of this run to some viewers and those of the last one
to the rest.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import sql
from pipeline.batch.publish.list_packing import length, pack
from pipeline.batch.publish.prune import prune
from pipeline.batch.publish.readers import name_readers, oldest_kept
from pipeline.batch.publish.write_lists import Target, insert, staged_parts, write_lists
from pipeline.errors import StoreError
from pipeline.progress import Step
from pipeline.ranking import Ranking
from pipeline.store.duck import columns, count, registered
from pipeline.store.newest_generation import newest
from sql.sqlite import transaction

CHUNK_ROWS = 20_000
# A post that lists name is kept so many generations longer, so that its row is not written again for each: lists of a
# few viewers name most of the posts there are. How many like it is written by runs for everybody.
KEPT_AHEAD = 128


@dataclass(frozen=True, slots=True)
class Lineage:
    """Whose lists a generation has: a feed's, or of one variant of its experiment, '' outside one.

    ``fallbacks``: whether the feed's fallback lists are made anew. ``renewed`` and ``feed_rkeys`` as ``prune`` takes
    them.
    """

    feed_rkey: str
    variant: str
    fallbacks: bool
    renewed: Sequence[int]
    feed_rkeys: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Source:
    """What a generation is made of: a data directory, the file of lists in it, each whole in a row group, and when.

    ``before`` is the newest generation at the time when the run began: who has had a list since, from a later snapshot,
    keeps it.
    """

    data_dir: Path
    lists: Path
    snapshot_us: int
    before: int | None = None


def publish(
    serving: sqlite3.Connection,
    staged: duckdb.DuckDBPyConnection,
    source: Source,
    lineage: Lineage,
    ranking: Ranking,
    clock: Callable[[], float],
) -> Generator[Step, None, int]:
    """Write the staged lists and make them visible, remove what they supersede; return the newest generation of them.

    ``staged`` holds fallbacks, listed_posts, listed_viewers, candidate_posts, list_viewers and actors. Yields after
    each transaction.
    """
    yield "orphans", remove_orphans(serving)
    before = newest(serving)
    first = before + 1
    feed_id = _feed(serving, lineage.feed_rkey)
    yield "feed", 1
    kept = {
        "generation": first,
        "kept_ahead": KEPT_AHEAD,
        "everybody": int(lineage.feed_rkeys is not None),
    }
    for rows in _upsert(serving, staged, "publish_viewer", _VIEWERS, {}):
        yield "viewers", rows
    for rows in _upsert(serving, staged, "publish_post", _POSTS, kept):
        yield "posts", rows
    post_ids = _post_ids(serving, staged, first)
    since = before if source.before is None else source.before
    generation = before
    fallbacks = _packed_fallbacks(staged, post_ids) if lineage.fallbacks else []
    for part in staged_parts(source.lists, post_ids):
        now_us = int(clock() * 1e6)
        name_readers(serving, source.data_dir, ranking, now_us)
        with transaction(serving):
            generation = newest(serving) + 1
            oldest, fresher = (
                oldest_kept(serving, ranking, now_us),
                _fresher(serving, since, source.snapshot_us),
            )
            target = Target(feed_id, generation, lineage.variant, oldest, fresher)
            written = [items for chunk in part for items in write_lists(serving, target, chunk)]
            insert(
                serving,
                "fallbacks",
                "language",
                [(feed_id, name, generation, items) for name, items in fallbacks],
            )
            serving.execute(sql.load("serving/keep_posts"), kept | {"first": first, "generation": generation})
            serving.execute(
                "INSERT INTO generations (generation, snapshot_us, published_us, lists, items) "
                "VALUES (?, ?, ?, ?, ?)",
                (generation, source.snapshot_us, now_us, len(written), sum(map(length, written))),
            )
            if lineage.variant:
                serving.execute("INSERT INTO variants VALUES (?, ?)", (generation, lineage.variant))
        yield "lists", len(written)
        fallbacks = []
    now_us = int(clock() * 1e6)
    name_readers(serving, source.data_dir, ranking, now_us)
    yield from prune(serving, feed_id, lineage.renewed, ranking, now_us, lineage.feed_rkeys)
    return generation


def remove_orphans(serving: sqlite3.Connection) -> int:
    """Remove what a run of a program up to 2026-11, that died in its midst, wrote before its generation's row."""
    with transaction(serving):
        last = newest(serving)  # within the transaction: another run may publish at any other time
        removed = serving.execute("DELETE FROM lists WHERE generation > ?", (last,)).rowcount
        serving.execute("DELETE FROM fallbacks WHERE generation > ?", (last,))
        serving.execute("DELETE FROM variants WHERE generation > ?", (last,))
    return removed


def _feed(serving: sqlite3.Connection, feed_rkey: str) -> int:
    with transaction(serving):
        serving.execute("INSERT INTO feeds (rkey) VALUES (?) ON CONFLICT (rkey) DO NOTHING", (feed_rkey,))
    row = serving.execute("SELECT feed_id FROM feeds WHERE rkey = ?", (feed_rkey,)).fetchone()
    return int(row[0])


_VIEWERS = (
    "SELECT v.viewer_id, a.did FROM listed_viewers AS v JOIN actors AS a ON a.actor_id = v.viewer_id "
    "ORDER BY v.viewer_id"
)
_POSTS = (
    "SELECT p.author_id, p.rkey, post_uri(a.did, p.rkey) AS uri, p.created_us, p.likers "
    "FROM candidate_posts AS p JOIN actors AS a ON a.actor_id = p.author_id "
    "SEMI JOIN listed_posts AS s ON s.post_no = p.post_no ORDER BY p.post_no"
)


def _upsert(
    serving: sqlite3.Connection,
    staged: duckdb.DuckDBPyConnection,
    name: str,
    query: str,
    constants: dict[str, Any],
) -> Iterator[int]:
    statement = sql.load(f"serving/{name}")
    found = staged.execute(query)
    heads = [column[0] for column in found.description or []]
    while rows := found.fetchmany(CHUNK_ROWS):
        with transaction(serving):
            serving.executemany(statement, [dict(zip(heads, row, strict=True)) | constants for row in rows])
        yield len(rows)


def numbered_posts(
    serving: sqlite3.Connection, staged: duckdb.DuckDBPyConnection, since_generation: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (post_no, post_id) of stored ``candidate_posts``, all those that lists since a generation name."""
    found = serving.execute(
        "SELECT post_id, author_id, rkey FROM posts WHERE last_generation >= ?", (since_generation,)
    ).fetchall()
    table = np.array(found, np.int64).reshape(-1, 3)
    posts = pa.table(list(table.T.copy()), names=["post_id", "author_id", "rkey"])
    with registered(staged, stored_posts=posts):
        numbers, post_ids = columns(
            staged,
            "SELECT p.post_no, s.post_id FROM candidate_posts AS p "
            "JOIN stored_posts AS s ON s.author_id = p.author_id AND s.rkey = p.rkey ORDER BY s.post_id",
        )
    return numbers, post_ids


def write_sketches(
    serving: sqlite3.Connection, staged: duckdb.DuckDBPyConnection, sketches: NDArray[np.int64]
) -> int:
    """Write the taste sketches of the posts that lists name, remove those of other posts; return how many.

    ``sketches`` is by post_no of ``candidate_posts``: ``lists.taste_sketches`` makes them.
    """
    numbers, post_ids = numbered_posts(serving, staged, 0)
    rows = list(zip(post_ids.tolist(), sketches[numbers].tolist(), strict=True))
    for first in range(0, len(rows), CHUNK_ROWS):
        with transaction(serving):
            serving.executemany(
                "INSERT OR REPLACE INTO taste_sketches (post_id, sketch) VALUES (?, ?)",
                rows[first : first + CHUNK_ROWS],
            )
    with transaction(serving):
        serving.execute("DELETE FROM taste_sketches WHERE post_id NOT IN (SELECT post_id FROM posts)")
    return len(rows)


def _post_ids(
    serving: sqlite3.Connection, staged: duckdb.DuckDBPyConnection, generation: int
) -> NDArray[np.int64]:
    """Return the post_id of each post_no; 0 where no list names the post."""
    numbers, post_ids = numbered_posts(serving, staged, generation)
    ids = np.zeros(count(staged, "candidate_posts"), np.int64)
    ids[numbers] = post_ids
    if len(ids) and ids.max() > 0xFFFFFFFF:
        raise StoreError("serving.sqlite has run out of 32-bit post numbers: delete it, it is rebuilt")
    return ids


def _fresher(serving: sqlite3.Connection, before: int, snapshot_us: int) -> frozenset[int]:
    """Return the generations that other runs made of a later snapshot while this one was at work."""
    query = "SELECT generation FROM generations WHERE generation > ? AND snapshot_us > ?"
    return frozenset(row[0] for row in serving.execute(query, (before, snapshot_us)))


def _packed_fallbacks(
    staged: duckdb.DuckDBPyConnection, post_ids: NDArray[np.int64]
) -> list[tuple[str, bytes]]:
    language, posts, scores = columns(
        staged, "SELECT language, post_no, score FROM fallbacks ORDER BY language, position"
    )
    names, starts = np.unique(language.astype(str), return_index=True)
    edges = np.append(starts, len(posts)).astype(np.int64)
    packed = pack(edges, post_ids[posts.astype(np.int64)], scores, np.zeros(len(posts), np.int32))
    return [(str(name), items) for name, items in zip(names, packed, strict=True)]
