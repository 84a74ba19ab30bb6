"""The job "neighbours": whose taste each viewer shares, into lake/neighbours.parquet.

Owns: the file's columns and its atomic replacement. Leaves to others: which co-likers (``sql/batch``,
``products``), what analysts get of the run's inputs (``export``).

The file: viewer_id int32, neighbour_id int32, weight float32, rank int32 from 1; sorted by viewer and rank.
Invariant: readers see the whole former file or the whole new one.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch import definition, lake
from pipeline.batch.export import stage_history
from pipeline.batch.products import neighbour_blocks
from pipeline.batch.snapshot import Snapshot, open_snapshot, temporary_dir
from pipeline.ranking import Ranking
from pipeline.store.explore import make_snapshot

Step = tuple[str, int]

SCHEMA = pa.schema(
    [
        ("viewer_id", pa.int32()),
        ("neighbour_id", pa.int32()),
        ("weight", pa.float32()),
        ("rank", pa.int32()),
    ]
)


def neighbours(data_dir: Path, ranking: Ranking, threads: int) -> Iterator[Step]:
    """Work out every viewer's neighbours and replace the file."""
    lake.clear_temporary(data_dir)
    with open_snapshot(data_dir, ranking, threads, window_hours=ranking.seed_window_days * 24.0) as snapshot:
        yield "snapshot", definition.count(snapshot.connection, "like_records")
        history = stage_history(
            snapshot.connection, temporary_dir(data_dir) / "history", snapshot.snapshot_us, ranking
        )
        yield "export history", len(history)
        for name in definition.BEFORE_NEIGHBOURS:
            yield name, definition.run_file(snapshot.connection, name)
            if name == "likes":
                snapshot.drop_records()
        rows = 0

        def write(path: Path) -> None:
            nonlocal rows
            rows = write_product(snapshot, ranking, threads, path)

        temporary = lake.write_temporary(data_dir, "neighbours.parquet", write)
        yield "product", rows
        lake.commit(temporary, lake.neighbours_path(data_dir))
        yield "commit", rows
        make_snapshot(data_dir, history)
        yield "export", len(history)


def write_product(snapshot: Snapshot, ranking: Ranking, threads: int, path: Path) -> int:
    """Write the best co-likers of every viewer, a row group a block, and return the rows."""
    total = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for viewers, actor_ids, top in neighbour_blocks(snapshot.connection, ranking, threads):
            taken = np.arange(top.columns.shape[1]) < top.filled[:, None]
            rank = np.broadcast_to(np.arange(1, taken.shape[1] + 1, dtype=np.int32), taken.shape)
            table = pa.table(
                [
                    np.repeat(viewers, top.filled).astype(np.int32),
                    actor_ids[top.columns[taken]].astype(np.int32),
                    top.scores[taken],
                    rank[taken],
                ],
                schema=SCHEMA,
            )
            if len(table):
                writer.write_table(table)
            total += len(table)
        # For foryou explain, which works the weights out again as of this time.
        writer.add_key_value_metadata({"snapshot_us": str(snapshot.snapshot_us)})
    return total
