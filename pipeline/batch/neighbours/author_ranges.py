"""How the full pass cuts its work: ranges of authors, and how far back each viewer's likes are read.

Owns: ``author_ranges`` and ``horizons``. Leaves to others: reading the likes (``walk_range``).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.store.duck import columns
from pipeline.store.model import DAY_US
from sql import places

Range = tuple[int, int]  # the first and the last author_id of a part

LAST_ACTOR = 2**31 - 1


def author_ranges(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], rows: int) -> list[Range]:
    """Return ranges that together cover every author_id, each of at most ``rows`` like records or of one author.

    ``files`` are the lake's; newer records are in the relation ``landed_likes``. Where all fit into one range, only the
    files' ends are read, else their column of authors, which takes 8 ms for a million records.
    """
    authors, landed = columns(connection, "SELECT author_id, count(*) FROM landed_likes GROUP BY author_id")
    if int(landed.sum()) + sum(int(pq.read_metadata(file).num_rows) for file in files) <= rows:
        return [(0, LAST_ACTOR)]
    counts = np.zeros(1 + int(authors.max(initial=0)), np.int64)
    counts[authors] = landed
    for file in files:
        for found, numbers in _authors_of(file):
            if found[-1] >= len(counts):
                counts = np.concatenate([counts, np.zeros(found[-1] + 1 - len(counts), np.int64)])
            counts[found] += numbers
    return _cut(counts, rows)


def _authors_of(file: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the authors of each row group of a file that is sorted by author, and how many rows each has."""
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            column = (
                parquet.read_row_group(group, columns=["author_id"], use_threads=False).column(0).to_numpy()
            )
            ends = np.flatnonzero(np.diff(column, append=-1))
            if len(ends):
                yield column[ends].astype(np.int64), np.diff(ends, prepend=-1)


def _cut(counts: NDArray[np.int64], rows: int) -> list[Range]:
    """Return ranges of authors that have at most ``rows`` of these rows by author each, or are one author."""
    sums = np.cumsum(counts, out=counts)
    edges, taken = [0], 0
    while sums[-1] - taken > rows:
        fits = int(np.searchsorted(sums, taken + rows, side="right"))  # the first author who is too much
        edge = max(fits, int(np.searchsorted(sums, taken, side="right")) + 1)
        if edge == len(sums):
            break
        edges.append(edge)
        taken = int(sums[edge - 1])
    return list(zip(edges, [edge - 1 for edge in edges[1:]] + [LAST_ACTOR], strict=True))


def horizons(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], viewers: NDArray[np.int64], records: int
) -> NDArray[np.int64]:
    """Return for each viewer the start of the day, in microseconds, since which they made ``records`` like records.

    0 for a viewer who made fewer. ``files`` are the lake's; newer records are in the relation ``landed_likes``.
    """
    likers, landed = columns(connection, "SELECT liker_id, count(*) FROM landed_likes GROUP BY liker_id")
    counts = np.zeros(1 + max(int(viewers.max(initial=0)), int(likers.max(initial=0))), np.int64)
    counts[likers] = landed
    since = np.zeros(len(viewers), np.int64)
    for file in sorted(files, key=places.day_of_file, reverse=True):
        reached = (since == 0) & (counts[viewers] >= records)
        since[reached] = (places.day_of_file(file) + 1) * DAY_US
        likers = pq.read_table(file, columns=["liker_id"]).column(0).to_numpy()
        counts += np.bincount(likers, minlength=len(counts))[: len(counts)]
    return since
