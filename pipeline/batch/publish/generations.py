"""Making checked lists visible in serving.sqlite, as generations.

Owns: writing fallback lists, viewers, posts and taste sketches, and each generation's row. Leaves to others: the
checks, which come before; the lists (``write_lists``); removing what no reader needs (``prune``).

Invariant: a generation's lists and its row in ``generations`` are one transaction. Readers take the newest list with
generation <= the newest row, so they see all of a generation or nothing of it.

A run for many viewers publishes a generation for each part of them. Other runs publish in between, and the list of
a viewer who is not reading is overwritten at once. If a run dies, some viewers have lists of this run and the rest
those of the last one.
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
from pipeline.batch.publish.prune import name_readers, oldest_kept, prune
from pipeline.batch.publish.write_lists import Destination, insert, staged_parts, write_lists
from pipeline.errors import StoreError
from pipeline.progress import Step
from pipeline.ranking import Ranking
from pipeline.store.duck import columns, count, registered
from pipeline.store.newest_generation import newest
from sql.sqlite import transaction

CHUNK_ROWS = 20_000
# A post that lists name is kept for so many more generations. So its row is not written again for each: even a small
# run names most posts. Only runs for everybody update how many like it.
KEPT_AHEAD = 128
STORED_POST = ("post_id", "author_id", "rkey", "likers", "has_media")


@dataclass(frozen=True, slots=True)
class GenerationOrigin:
    """What a generation is made of, and whose lists it has.

    ``lists`` is the staged file, with each list whole in one row group, and ``snapshot_us`` the stream time up to which
    likes are in it. ``variant`` is the label of an experiment's variant, '' outside one. ``before`` is the newest
    generation when the run began: a viewer who has had a list since, from a later snapshot, keeps it. With
    ``with_fallbacks`` the feed's fallback lists are written too. ``prune`` says what ``renewed`` and ``all_rkeys`` are.
    ``first_pages`` has, in the order of the columns of ``generations``, how different the lists are where the run is
    for everybody (``sql/batch/first_pages.sql``).
    """

    data_dir: Path
    lists: Path
    snapshot_us: int
    feed_rkey: str
    variant: str
    before: int
    with_fallbacks: bool
    renewed: Sequence[int]
    all_rkeys: Sequence[str] | None
    first_pages: tuple[float | None, ...] | None = None


def publish(
    serving: sqlite3.Connection,
    staged: duckdb.DuckDBPyConnection,
    origin: GenerationOrigin,
    ranking: Ranking,
    clock: Callable[[], float],
) -> Generator[Step, None, int]:
    """Write the staged lists and make them visible, remove what they supersede; return their newest generation.

    ``staged`` has the relations fallbacks, listed_posts, listed_viewers, candidate_posts and actors. Yields after each
    transaction.
    """
    first = newest(serving) + 1
    feed_id = _feed(serving, origin.feed_rkey)
    yield "feed", 1
    keep_posts = {
        "first": first,
        "generation": first,
        "kept_ahead": KEPT_AHEAD,
        "everybody": int(origin.all_rkeys is not None),
    }
    for rows in _upsert(serving, staged, "publish_viewer", _VIEWERS, {}):
        yield "viewers", rows
    with registered(staged, stored_posts=_stored_posts(serving, first)):
        query = _POSTS.format(condition=_AS_BEFORE if keep_posts["everybody"] else "")
        for rows in _upsert(serving, staged, "publish_post", query, keep_posts):
            yield "posts", rows
    post_ids = _post_ids(serving, staged, first)
    fallbacks = _packed_fallbacks(staged, post_ids) if origin.with_fallbacks else []
    generation = 0
    for part in staged_parts(origin.lists, post_ids):
        now_us = int(clock() * 1e6)
        name_readers(serving, origin.data_dir, ranking, now_us)
        with transaction(serving):
            generation = newest(serving) + 1
            destination = Destination(
                feed_id,
                generation,
                origin.variant,
                oldest_kept(serving, ranking, now_us),
                _fresher(serving, origin.before, origin.snapshot_us),
            )
            written = [items for chunk in part for items in write_lists(serving, destination, chunk)]
            rows_of = [(feed_id, language, generation, items) for language, items in fallbacks]
            insert(serving, "fallbacks", "language", rows_of)
            serving.execute(sql.load("serving/keep_posts"), keep_posts | {"generation": generation})
            serving.execute(
                "INSERT INTO generations (generation, snapshot_us, published_us, lists, items, feed, everybody, "
                "in_common, few_likers, under_hour, top_authors) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    generation,
                    origin.snapshot_us,
                    now_us,
                    len(written),
                    sum(map(length, written)),
                    origin.feed_rkey,
                    int(origin.first_pages is not None),
                    *(origin.first_pages or (None,) * 4),
                ),
            )
            if origin.variant:
                serving.execute("INSERT INTO variants VALUES (?, ?)", (generation, origin.variant))
        yield "lists", len(written)
        fallbacks = []
    now_us = int(clock() * 1e6)
    name_readers(serving, origin.data_dir, ranking, now_us)
    yield from prune(serving, feed_id, origin.renewed, ranking, now_us, origin.all_rkeys)
    return generation


def _feed(serving: sqlite3.Connection, feed_rkey: str) -> int:
    with transaction(serving):
        serving.execute("INSERT INTO feeds (rkey) VALUES (?) ON CONFLICT (rkey) DO NOTHING", (feed_rkey,))
    row = serving.execute("SELECT feed_id FROM feeds WHERE rkey = ?", (feed_rkey,)).fetchone()
    return int(row[0])


_VIEWERS = (
    "SELECT v.viewer_id, a.did FROM listed_viewers AS v JOIN actors AS a ON a.actor_id = v.viewer_id "
    "ORDER BY v.viewer_id"
)
# Not those that are stored as they are to be: a run for some viewers names hundreds of thousands, nearly all stored.
_POSTS = (
    "SELECT p.author_id, p.rkey, post_uri(a.did, p.rkey) AS uri, p.created_us, p.likers, p.langs, p.media "
    "FROM candidate_posts AS p JOIN actors AS a ON a.actor_id = p.author_id "
    "SEMI JOIN listed_posts AS s ON s.post_no = p.post_no "
    "ANTI JOIN stored_posts AS k ON k.author_id = p.author_id AND k.rkey = p.rkey "
    "{condition} ORDER BY p.post_no"
)
_AS_BEFORE = "AND k.likers = p.likers AND k.has_media = 1"


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
    """Return (post_no, post_id) of the ``candidate_posts`` that lists since a generation name."""
    with registered(staged, stored_posts=_stored_posts(serving, since_generation)):
        numbers, post_ids = columns(
            staged,
            "SELECT p.post_no, s.post_id FROM candidate_posts AS p "
            "JOIN stored_posts AS s ON s.author_id = p.author_id AND s.rkey = p.rkey ORDER BY s.post_id",
        )
    return numbers, post_ids


def _stored_posts(serving: sqlite3.Connection, since_generation: int) -> pa.Table:
    """Return (post_id, author_id, rkey, likers, has_media) of the posts that are kept until a generation, or longer."""
    found = serving.execute(
        "SELECT post_id, author_id, rkey, likers, media IS NOT NULL FROM posts WHERE last_generation >= ?",
        (since_generation,),
    ).fetchall()
    table = np.array(found, np.int64).reshape(-1, len(STORED_POST))
    return pa.table(list(table.T.copy()), names=STORED_POST)


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
        raise StoreError(
            "serving.sqlite has run out of 32-bit post numbers: delete it; the next run rebuilds it"
        )
    return ids


def _fresher(serving: sqlite3.Connection, before: int, snapshot_us: int) -> frozenset[int]:
    """Return the generations that other runs made of a later snapshot during this one."""
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
