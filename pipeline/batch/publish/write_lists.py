"""Writing the staged lists of a run into serving.sqlite, a part at a time.

Owns: what of the staged file makes a part, which lists changed, and which rows they take. Leaves to others: the
transaction and the generation that make a part visible (``generations``), who is reading (``readers``).
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import sql
from pipeline.batch.list_sources import TRIAL
from pipeline.batch.publish.list_packing import pack, same_posts

PART_LISTS = 20_000  # about 45 MB of items: what one transaction adds to the WAL
CHUNK_LISTS = 2_000

Chunk = tuple[NDArray[np.int64], list[bytes]]  # viewers, their lists' bytes


class Target(NamedTuple):
    """Where lists go: feed, generation and its variant, the oldest that readers may hold meanwhile, fresher ones."""

    feed_id: int
    generation: int
    variant: str
    oldest_kept: int
    fresher: frozenset[int]


def staged_parts(path: Path, post_ids: NDArray[np.int64]) -> Iterator[list[Chunk]]:
    """Yield the lists of the staged file, PART_LISTS or somewhat more at a time; one empty part when it has none."""
    part: list[Chunk] = []
    first = True
    for chunk in _chunks(path, post_ids):
        part.append(chunk)
        if sum(len(viewers) for viewers, _ in part) >= PART_LISTS:
            yield part
            part, first = [], False
    if part or first:
        yield part


def write_lists(serving: sqlite3.Connection, target: Target, chunk: Chunk) -> list[bytes]:
    """Write the lists that changed within the transaction that is open, in rows that can be had; return them.

    ``temp.readers`` names the viewers whose superseded lists are kept.
    """
    viewers, packed = chunk
    feed_id, generation = target.feed_id, target.generation
    row: dict[str, Any] = {"feed_id": feed_id, "generation": generation}
    named = row | {"oldest_kept": target.oldest_kept, "viewers": json.dumps(viewers.tolist())}
    spare: dict[int, int] = dict(serving.execute(sql.load("serving/spare_rows"), named))
    current: dict[int, bytes] = {}
    kept = set()
    for viewer, items, made, variant in serving.execute(sql.load("serving/current_lists"), named):
        if variant != target.variant:
            continue  # of a variant the viewer is no longer in
        current[viewer] = items
        if made in target.fresher:
            kept.add(viewer)
    changed = [
        (viewer, items)
        for viewer, items in zip(viewers.tolist(), packed, strict=True)
        if viewer not in kept and (viewer not in current or not same_posts(items, current[viewer]))
    ]
    serving.executemany(
        sql.load("serving/replace_list"),
        [
            row | {"viewer_id": viewer, "spare": spare[viewer], "items": items}
            for viewer, items in changed
            if viewer in spare
        ],
    )
    insert(
        serving,
        "lists",
        "viewer_id",
        [(feed_id, viewer, generation, items) for viewer, items in changed if viewer not in spare],
    )
    return [items for _, items in changed]


def insert(serving: sqlite3.Connection, table: str, key: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows of (feed_id, what ``key`` names, generation, items) into ``lists`` or ``fallbacks``."""
    statement = f"INSERT INTO {table} (feed_id, {key}, generation, items) VALUES (?, ?, ?, ?)"
    serving.executemany(statement, rows)


def _chunks(path: Path, post_ids: NDArray[np.int64]) -> Iterator[Chunk]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from _chunks_of(file, group, post_ids)


def _chunks_of(file: pq.ParquetFile, group: int, post_ids: NDArray[np.int64]) -> Iterator[Chunk]:
    table = file.read_row_group(group)
    viewer, post, score, co_likers, source = (
        table.column(name).to_numpy() for name in ("viewer_id", "post_no", "score", "co_likers", "source")
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
            source[part] == TRIAL,
        )
        yield viewer[edges[:-1]].astype(np.int64), packed
