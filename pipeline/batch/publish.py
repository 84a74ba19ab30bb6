"""Making checked lists visible in serving.sqlite, as one generation.

Owns: writing lists, fallback lists, viewers and posts, and the generation's row. Leaves to others: the checks
(before), removing what no reader needs (``prune``).

Invariant: readers take the newest list with generation <= the newest row of ``generations``; that row is
inserted last, in one transaction, so they see all of a generation or nothing of it. Rows of a generation
without a row in ``generations`` belong to a dead run, and the next run removes them first.
"""

import json
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import sql
from pipeline.batch.arrange import EXPLORE
from pipeline.batch.definition import count
from pipeline.batch.packing import length, pack, same_posts
from pipeline.batch.products import columns
from pipeline.batch.prune import oldest_kept, prune
from pipeline.errors import StoreError
from pipeline.ranking import Ranking
from pipeline.store.generations import newest

Step = tuple[str, int]

CHUNK_LISTS = 2_000  # about 4 MB of items: what one transaction adds to the WAL
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


@contextmanager
def transaction(serving: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done within, or nothing of it."""
    serving.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        serving.execute("ROLLBACK")
        raise
    serving.execute("COMMIT")


def publish(
    serving: sqlite3.Connection,
    staged: duckdb.DuckDBPyConnection,
    lists_path: Path,
    lineage: Lineage,
    snapshot_us: int,
    ranking: Ranking,
    clock: Callable[[], float],
    before: int | None = None,
) -> Generator[Step, None, int]:
    """Write the staged lists, make them visible, remove what they supersede; return the generation.

    Two runs that publish take turns: the caller holds the lock "publish". ``before`` is the newest generation at
    the time when the run began: who has had a list since, from a later snapshot, keeps it.

    ``staged`` holds fallbacks, listed_posts, listed_viewers, candidate_posts, list_viewers and actors;
    ``lists_path`` the lists, each whole in a row group. Yields after each transaction.
    """
    last = newest(serving)
    generation = last + 1
    yield "orphans", remove_orphans(serving, last)
    feed_id = _feed(serving, lineage.feed_rkey)
    yield "feed", 1
    kept = {
        "generation": generation,
        "kept_ahead": KEPT_AHEAD,
        "everybody": int(lineage.feed_rkeys is not None),
    }
    for rows in _upsert(serving, staged, "publish_viewer", _VIEWERS, {}):
        yield "viewers", rows
    for rows in _upsert(serving, staged, "publish_post", _POSTS, kept):
        yield "posts", rows
    post_ids = _post_ids(serving, staged, generation)
    lists = items = 0
    oldest = oldest_kept(serving, ranking, int(clock() * 1e6))
    fresher = _fresher(serving, last if before is None else before, snapshot_us)
    target = _Target(feed_id, generation, lineage.variant, oldest, fresher)
    for viewers, packed in staged_chunks(lists_path, post_ids):
        written = _write_lists(serving, target, viewers, packed)
        lists, items = lists + len(written), items + sum(map(length, written))
        yield "lists", len(written)
    if lineage.fallbacks:
        yield "fallbacks", _write_fallbacks(serving, staged, feed_id, generation, post_ids)
    now_us = int(clock() * 1e6)
    with transaction(serving):
        serving.execute(
            "INSERT INTO generations (generation, snapshot_us, published_us, lists, items) "
            "VALUES (?, ?, ?, ?, ?)",
            (generation, snapshot_us, now_us, lists, items),
        )
        if lineage.variant:
            serving.execute("INSERT INTO variants VALUES (?, ?)", (generation, lineage.variant))
    yield "generation", 1
    yield from prune(serving, feed_id, lineage.renewed, ranking, now_us, lineage.feed_rkeys)
    return generation


def remove_orphans(serving: sqlite3.Connection, newest: int) -> int:
    """Remove what a run that died before its generation row wrote; return the lists removed."""
    with transaction(serving):
        removed = serving.execute("DELETE FROM lists WHERE generation > ?", (newest,)).rowcount
        serving.execute("DELETE FROM fallbacks WHERE generation > ?", (newest,))
        serving.execute("DELETE FROM variants WHERE generation > ?", (newest,))
    return removed


def staged_chunks(path: Path, post_ids: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
    """Yield (viewers, their lists' bytes) of the staged file, a bounded number at a time."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            viewer, post, score, co_likers, source = (
                table.column(name).to_numpy()
                for name in ("viewer_id", "post_no", "score", "co_likers", "source")
            )
            starts = np.concatenate(([0], np.flatnonzero(np.diff(viewer)) + 1, [len(viewer)]))
            for first in range(0, len(starts) - 1, CHUNK_LISTS):
                edges = starts[first : first + CHUNK_LISTS + 1]
                part = slice(edges[0], edges[-1])
                packed = pack(
                    edges - edges[0],
                    post_ids[post[part]],
                    score[part],
                    co_likers[part],
                    source[part] == EXPLORE,
                )
                yield viewer[edges[:-1]].astype(np.int64), packed


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
    staged.register("stored_posts", pa.table(list(table.T.copy()), names=["post_id", "author_id", "rkey"]))
    numbers, post_ids = columns(
        staged,
        "SELECT p.post_no, s.post_id FROM candidate_posts AS p "
        "JOIN stored_posts AS s ON s.author_id = p.author_id AND s.rkey = p.rkey ORDER BY s.post_id",
    )
    staged.unregister("stored_posts")
    return numbers, post_ids


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


class _Target(NamedTuple):
    """Where lists go: feed, generation and its variant, the oldest that readers may hold meanwhile, fresher ones."""

    feed_id: int
    generation: int
    variant: str
    oldest_kept: int
    fresher: frozenset[int]


def _fresher(serving: sqlite3.Connection, before: int, snapshot_us: int) -> frozenset[int]:
    """Return the generations that other runs made of a later snapshot while this one was at work."""
    query = "SELECT generation FROM generations WHERE generation > ? AND snapshot_us > ?"
    return frozenset(row[0] for row in serving.execute(query, (before, snapshot_us)))


def _write_lists(
    serving: sqlite3.Connection, target: _Target, viewers: NDArray[np.int64], packed: list[bytes]
) -> list[bytes]:
    """Write the lists that changed, in place of rows that no reader needs where there are any; return them."""
    feed_id, generation = target.feed_id, target.generation
    target_row: dict[str, Any] = {"feed_id": feed_id, "generation": generation}
    named = target_row | {"oldest_kept": target.oldest_kept, "viewers": json.dumps(viewers.tolist())}
    with transaction(serving):
        spare: dict[int, int] = dict(serving.execute(sql.load("serving/publish_spare"), named))
        current: dict[int, bytes] = {}
        kept = set()
        for viewer, items, made, variant in serving.execute(sql.load("serving/publish_current"), named):
            if variant != target.variant:
                continue  # of an arm the viewer is no longer in
            current[viewer] = items
            if made in target.fresher:
                kept.add(viewer)
        changed = [
            (viewer, items)
            for viewer, items in zip(viewers.tolist(), packed, strict=True)
            if viewer not in kept and (viewer not in current or not same_posts(items, current[viewer]))
        ]
        serving.executemany(
            sql.load("serving/publish_over"),
            [
                target_row | {"viewer_id": viewer, "spare": spare[viewer], "items": items}
                for viewer, items in changed
                if viewer in spare
            ],
        )
        _insert(
            serving,
            "lists",
            "viewer_id",
            [(feed_id, viewer, generation, items) for viewer, items in changed if viewer not in spare],
        )
    return [items for _, items in changed]


def _write_fallbacks(
    serving: sqlite3.Connection,
    staged: duckdb.DuckDBPyConnection,
    feed_id: int,
    generation: int,
    post_ids: NDArray[np.int64],
) -> int:
    language, posts, scores = columns(
        staged, "SELECT language, post_no, score FROM fallbacks ORDER BY language, position"
    )
    names, starts = np.unique(language.astype(str), return_index=True)
    edges = np.append(starts, len(posts)).astype(np.int64)
    packed = pack(edges, post_ids[posts.astype(np.int64)], scores, np.zeros(len(posts), np.int32))
    with transaction(serving):
        rows = [(feed_id, str(name), generation, items) for name, items in zip(names, packed, strict=True)]
        _insert(serving, "fallbacks", "language", rows)
    return len(rows)


def _insert(serving: sqlite3.Connection, table: str, key: str, rows: Iterable[tuple[Any, ...]]) -> None:
    statement = f"INSERT INTO {table} (feed_id, {key}, generation, items) VALUES (?, ?, ?, ?)"
    serving.executemany(statement, rows)
