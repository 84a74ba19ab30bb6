"""How the full pass cuts its work: ranges of authors, and how far back each viewer's likes are read.

Owns: ``author_ranges`` and ``horizons``. Leaves to others: reading the likes (``like_graph``).
"""

from collections.abc import Iterable, Sequence
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


def author_ranges(files: Iterable[Path], rows: int) -> list[Range]:
    """Return ranges that together cover every author_id, each with about ``rows`` rows of these lake files.

    The files are sorted by author, so the first author of each row group and its size tell enough.
    """
    groups = []
    for file in files:
        metadata = pq.read_metadata(file)
        column = metadata.schema.to_arrow_schema().names.index("author_id")
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            statistics = group.column(column).statistics
            if group.num_rows and statistics is not None:
                groups.append((statistics.min, group.num_rows))
    groups.sort()
    edges, size = [0], 0
    for author, group_rows in groups:
        if size >= rows and author > edges[-1]:
            edges.append(author)
            size = 0
        size += group_rows
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
