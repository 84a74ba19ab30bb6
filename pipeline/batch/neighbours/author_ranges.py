"""How the full pass cuts its work: ranges of authors, and how far back each viewer's likes are looked at.

Owns: ``author_ranges`` and ``horizons``. Leaves to others: reading the likes (``like_graph``).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.batch.neighbours.like_graph import Range
from pipeline.store.lake_layout import day_of_file
from pipeline.store.model import DAY_US

LAST_ACTOR = 2**31 - 1


def author_ranges(files: Iterable[Path], rows: int) -> list[Range]:
    """Return ranges of author_id, together all, with about so many rows of these files of the lake each.

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
    edges, held = [0], 0
    for author, size in groups:
        if held >= rows and author > edges[-1]:
            edges.append(author)
            held = 0
        held += size
    return list(zip(edges, [edge - 1 for edge in edges[1:]] + [LAST_ACTOR], strict=True))


def horizons(
    files: Sequence[Path], viewers: NDArray[np.int64], landed: NDArray[np.int64], records: int
) -> NDArray[np.int64]:
    """Return for each viewer the start of the day, in microseconds, since which they made so many like records.

    0 where they made fewer. ``landed`` counts by actor_id those newer than every file.
    """
    counts = landed.astype(np.int64)
    since = np.zeros(len(viewers), np.int64)
    for file in sorted(files, key=day_of_file, reverse=True):
        waiting = (since == 0) & (counts[viewers] >= records)
        since[waiting] = (day_of_file(file) + 1) * DAY_US
        likers = pq.read_table(file, columns=["liker_id"]).column(0).to_numpy()
        found = np.bincount(likers, minlength=len(counts))
        counts += found[: len(counts)]
    return since
