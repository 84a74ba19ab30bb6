"""Writing the staged lists of a run into serving.sqlite, a part at a time.

Owns: what of the staged file makes a part, which lists changed, and which rows they take. Leaves to others: the
transaction and the generation that make a part visible (``generations``), who is reading (``prune``).

A list takes the row of a list of the same viewer that nobody reads any more, where there is one. In WAL mode SQLite
writes the pages of a deleted row as well as those of a new one.
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
from pipeline.store.linked_files import files_below

PART_LISTS = 20_000  # about 45 MB of items: what one transaction adds to the WAL
CHUNK_LISTS = 2_000

Chunk = tuple[NDArray[np.int64], list[bytes]]  # viewers, their lists' bytes


class Destination(NamedTuple):
    """Where lists go: a feed, a generation of it, and the variant whose lists the generation has.

    ``oldest_kept`` is the oldest generation that readers may hold. ``fresher`` are the generations that other runs made
    of a later snapshot.
    """

    feed_id: int
    generation: int
    variant: str
    oldest_kept: int
    fresher: frozenset[int]


def staged_parts(path: Path, post_ids: NDArray[np.int64]) -> Iterator[list[Chunk]]:
    """Yield the staged lists, of a file or a folder of parts, PART_LISTS or somewhat more at a time.

    Without lists there is one empty part.
    """
    part: list[Chunk] = []
    first = True
    for chunk in (chunk for file in files_below(path) for chunk in _chunks(file, post_ids)):
        part.append(chunk)
        if sum(len(viewers) for viewers, _ in part) >= PART_LISTS:
            yield part
            part, first = [], False
    if part or first:
        yield part


def write_lists(serving: sqlite3.Connection, destination: Destination, chunk: Chunk) -> list[bytes]:
    """Write the lists that changed, within the open transaction; return them.

    ``temp.readers`` names the viewers whose superseded lists are kept.
    """
    viewers, packed = chunk
    feed_id, generation = destination.feed_id, destination.generation
    row: dict[str, Any] = {"feed_id": feed_id, "generation": generation}
    named = row | {"oldest_kept": destination.oldest_kept, "viewers": json.dumps(viewers.tolist())}
    spare: dict[int, int] = dict(serving.execute(sql.load("serving/spare_rows"), named))
    current: dict[int, bytes] = {}
    fresher = set()  # viewers whose lists another run made from a later snapshot
    for viewer, items, made, variant in serving.execute(sql.load("serving/current_lists"), named):
        if variant == destination.variant:  # otherwise of a variant that the viewer is no longer in
            current[viewer] = items
            if made in destination.fresher:
                fresher.add(viewer)
    changed = [
        (viewer, items)
        for viewer, items in zip(viewers.tolist(), packed, strict=True)
        if viewer not in fresher and (viewer not in current or not same_posts(items, current[viewer]))
    ]
    over = [
        row | {"viewer_id": viewer, "spare": spare[viewer], "items": items}
        for viewer, items in changed
        if viewer in spare
    ]
    serving.executemany(sql.load("serving/replace_list"), over)
    new = [(feed_id, viewer, generation, items) for viewer, items in changed if viewer not in spare]
    insert(serving, "lists", "viewer_id", new)
    return [items for _, items in changed]


def insert(serving: sqlite3.Connection, table: str, key: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows of (feed_id, what ``key`` names, generation, items) into ``lists`` or ``fallbacks``."""
    statement = f"INSERT INTO {table} (feed_id, {key}, generation, items) VALUES (?, ?, ?, ?)"
    serving.executemany(statement, rows)


def _chunks(path: Path, post_ids: NDArray[np.int64]) -> Iterator[Chunk]:
    names = ["viewer_id", "post_no", "score", "co_likers", "source"]
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, names)
            viewer, post, score, co_likers, source = (column.to_numpy() for column in table.columns)
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
