"""The job "candidates": every viewer's list from what the neighbours liked lately, checked and published.

Owns: the order of the job, and the staged lists (tmp/lists.parquet) on which the checks run. Leaves to
others: ranking (``sql/batch``, ``products``), rules (``arrange``), checks (``checks``), making it visible
(``publish``), what analysts get of it (``export``).

Invariant: nothing is written to serving.sqlite before every check has passed over the finished lists.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch import definition, lake
from pipeline.batch.arrange import Lists, Popular, arrange, popular_lists
from pipeline.batch.checks import check
from pipeline.batch.export import hand_over, stage_inputs
from pipeline.batch.products import candidate_blocks, columns, entries
from pipeline.batch.publish import publish
from pipeline.batch.snapshot import Snapshot, open_snapshot, temporary_dir
from pipeline.batch.tastes import write_tastes
from pipeline.ranking import Ranking
from pipeline.store.generations import newest

Step = tuple[str, int]

SCHEMA = pa.schema(
    [
        ("viewer_id", pa.int32()),
        ("position", pa.int32()),
        ("post_no", pa.int32()),
        ("score", pa.float32()),
        ("co_likers", pa.int32()),
        ("source", pa.uint8()),
        ("generation", pa.int32()),  # that of explore/list_posts.parquet, whose numbers post_no means
    ]
)


def candidates(
    data_dir: Path,
    ranking: Ranking,
    threads: int,
    feed_rkey: str,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
) -> Iterator[Step]:
    """Rank, arrange, check and publish one generation."""
    with open_snapshot(data_dir, ranking, threads, window_hours=ranking.post_max_age_hours) as snapshot:
        connection = snapshot.connection
        yield "snapshot", definition.count(connection, "like_records")
        inputs = stage_inputs(connection, temporary_dir(data_dir) / "inputs")
        yield "export inputs", len(inputs)
        attach_neighbours(connection, data_dir)
        for name in definition.BEFORE_CANDIDATES:
            yield name, definition.run_file(connection, name)
            if name == "likes":
                snapshot.drop_records()
        path = temporary_dir(data_dir) / "lists.parquet"
        generation = newest(serving) + 1
        yield "product", stage_lists(snapshot, ranking, threads, path, generation)
        yield "checks", check(connection)
        yield from publish(serving, connection, path, feed_rkey, snapshot.snapshot_us, ranking, clock)
        yield "tastes", write_tastes(serving, connection)
        rows = hand_over(connection, data_dir, inputs, path, generation, snapshot.snapshot_us, ranking)
        yield "export lists", rows


def attach_neighbours(connection: duckdb.DuckDBPyConnection, data_dir: Path) -> None:
    """Make the relation ``neighbours``, empty while no neighbours job has finished."""
    path = lake.neighbours_path(data_dir)
    if path.exists():
        source = "read_parquet('" + str(path).replace("'", "''") + "')"
        connection.execute(f"CREATE OR REPLACE VIEW neighbours AS SELECT * FROM {source}")
    else:
        connection.execute(
            "CREATE OR REPLACE TABLE neighbours "
            "(viewer_id INTEGER, neighbour_id INTEGER, weight FLOAT, rank INTEGER)"
        )


def stage_lists(snapshot: Snapshot, ranking: Ranking, threads: int, path: Path, generation: int) -> int:
    """Write the finished lists as Parquet, a row group a block; make ``lists`` and ``fallbacks`` of them."""
    connection = snapshot.connection
    popular = read_popular(connection)
    authors = np.asarray(
        columns(connection, "SELECT author_no FROM candidate_posts ORDER BY post_no")[0], np.int32
    )
    total = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
        for block in candidate_blocks(connection, ranking, threads):
            languages = columns(
                connection,
                "SELECT language FROM list_viewers WHERE viewer_id BETWEEN ? AND ? ORDER BY viewer_id",
                int(block.viewers[0]),
                int(block.viewers[-1]),
            )[0]
            names, inverse = np.unique(languages.astype(str), return_inverse=True)
            rows = np.array([popular.row(str(name)) for name in names], np.int64)[inverse]
            seen = entries(
                connection,
                "SELECT viewer_id, post_no FROM feedback WHERE event = 'interactionSeen'",
                block.viewers,
            )
            lists = arrange(block.top, popular, rows, block.excluded, seen, authors, ranking, threads)
            table = _table(block.viewers, lists, generation)
            if len(table):
                writer.write_table(table, row_group_size=len(table))
            total += len(table)
    quoted = str(path).replace("'", "''")
    connection.execute(f"CREATE OR REPLACE VIEW lists AS SELECT * FROM read_parquet('{quoted}')")
    _make_fallbacks(connection, popular, popular_lists(popular, authors, ranking))
    return total


def read_popular(connection: duckdb.DuckDBPyConnection) -> Popular:
    """Return the relation ``popular`` as arrays; row 0 is all languages, also when there is nothing."""
    language, posts, scores = columns(
        connection, "SELECT language, post_no, score FROM popular ORDER BY language, position"
    )
    names = sorted({"", *language.astype(str).tolist()})
    counts = np.bincount(np.searchsorted(names, language.astype(str)), minlength=len(names))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Popular(names, starts, np.asarray(posts, np.int32), np.asarray(scores, np.float32))


def _table(viewers: np.ndarray[tuple[int], np.dtype[np.int64]], lists: Lists, generation: int) -> pa.Table:
    sizes = np.diff(lists.starts)
    position = np.arange(len(lists.posts)) - np.repeat(lists.starts[:-1], sizes) + 1
    return pa.table(
        [
            np.repeat(viewers, sizes).astype(np.int32),
            position.astype(np.int32),
            lists.posts,
            lists.scores,
            lists.co_likers,
            lists.sources,
            np.full(len(lists.posts), generation, np.int32),
        ],
        schema=SCHEMA,
    )


def _make_fallbacks(connection: duckdb.DuckDBPyConnection, popular: Popular, lists: Lists) -> None:
    staged = _table(np.arange(len(popular.languages)), lists, 0)
    names = pa.table({"language_no": range(len(popular.languages)), "language": popular.languages})
    connection.register("staged_fallbacks", staged)
    connection.register("language_names", names)
    connection.execute(
        "CREATE OR REPLACE TABLE fallbacks AS SELECT n.language, s.position, s.post_no, s.score "
        "FROM staged_fallbacks AS s JOIN language_names AS n ON n.language_no = s.viewer_id "
        "ORDER BY n.language, s.position"
    )
    connection.unregister("staged_fallbacks")
    connection.unregister("language_names")
