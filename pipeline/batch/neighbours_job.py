"""The job "neighbours": whose taste each viewer shares, into lake/neighbours.parquet and its like.

Owns: the order of the job, which viewers a run for those who changed recomputes, and the file's atomic
replacement. Leaves to others: which co-likers (``sql/batch``, ``like_graph``), the files
(``neighbour_files``), what analysts get of the run's inputs (``analyst_copies``).

A run for changed viewers recomputes who liked, or answered "show less" or "show more", since their neighbours
were worked out, and keeps the others' as they are: what changed there is that co-likers liked more, which a
full pass brings. One is due after ``FULL_SECONDS``, or sooner where it takes no more than a hundredth of the
time; and always when parameters changed, when days of the past were added to the lake, or when the stream's
time went back.

Invariant: readers see the whole former file or the whole new one.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import sql
from pipeline.batch.analyst_copies import stage_history
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import (
    SCHEMA,
    About,
    Graph,
    about,
    arrived_rows,
    attach,
    described,
    remove_arrived,
)
from pipeline.batch.inputs.snapshot import Snapshot, has_tables, open_snapshot, temporary_dir
from pipeline.batch.kernel import Top
from pipeline.batch.lists.product import Ids, columns
from pipeline.batch.neighbours.author_ranges import author_ranges, horizons
from pipeline.batch.neighbours.like_graph import LikeGraph, build
from pipeline.batch.neighbours.product_of_graph import neighbour_blocks
from pipeline.lake import day_files
from pipeline.progress import Progress, Step
from pipeline.ranking import Ranking
from pipeline.store.analyst_snapshot import make_snapshot
from pipeline.store.lake_layout import closed_days
from sql.sqlite import connect

FULL_SECONDS = 86_400.0
FULL_SHARE = 0.01
RECORD_BYTES = 256  # of memory for DuckDB, for each like record that is read at once: it takes about half
CLOCKS_US = 60_000_000  # the web app writes an answer some moments after it was given

log = logging.getLogger("foryou.batch")


def neighbours(
    graph: Graph,
    threads: int,
    *,
    changed_only: bool = False,
    clock: Callable[[], float] = time.time,
    progress: Progress | None = None,
) -> Iterator[Step]:
    """Work out every viewer's neighbours, or with ``changed_only`` those of whom it is due, and replace the file."""
    data_dir, ranking = graph.data_dir, graph.ranking
    began_at, began = clock(), time.perf_counter()
    day_files.clear_temporary(data_dir)
    with open_snapshot(data_dir, ranking, threads, window_hours=ranking.seed_window_days * 24.0) as snapshot:
        connection = snapshot.connection
        former = about(graph) if changed_only else None
        if former is not None and is_full_due(former, snapshot.snapshot_us, closed_days(data_dir), began_at):
            former = None
        yield "snapshot", snapshot.records
        history: dict[str, Path] = {}
        if graph.path == day_files.neighbours_path(data_dir):  # analysts get those of the first feed
            history = stage_history(
                connection, temporary_dir(data_dir) / "history", snapshot.snapshot_us, ranking
            )
            yield "export history", len(history)
        taken = arrived_rows(graph)
        for name in sql_steps.BEFORE_GRAPH:
            rows = sql_steps.run_file(connection, name)
            if name == "viewers" and former is not None:
                rows = restrict_to_changed(connection, graph, former)
                log.info("neighbours: %d of the viewers changed", rows)
            yield name, rows
        if progress is not None:
            progress.start("graph", snapshot.records)
        likes = read_graph(snapshot, ranking, data_dir, progress)
        if former is None:
            write_degrees(likes, graph)
        yield "graph", likes.likers
        known = About(graph.key, snapshot.snapshot_us, began_at, began_at, 0.0, sorted(closed_days(data_dir)))
        rows = 0
        if progress is not None:
            progress.start("product", sql_steps.count(connection, "viewers"))

        def write(path: Path) -> None:
            nonlocal rows
            rows = write_product(snapshot, likes, ranking, threads, path, known, began, progress)

        temporary = day_files.write_temporary(data_dir, graph.path.name, write)
        yield "product", rows
        if former is not None:
            known = replace(known, full_at=former.full_at, full_seconds=former.full_seconds)
            fresh = day_files.temporary_dir(data_dir) / "fresh.parquet"
            temporary.rename(fresh)

            def write_merged(path: Path) -> None:
                nonlocal rows
                rows = merge(connection, fresh, path, known, ranking.block_viewers)

            temporary = day_files.write_temporary(data_dir, graph.path.name, write_merged)
            fresh.unlink()
            yield "merge", rows
        day_files.commit(temporary, graph.path)
        remove_arrived(graph, taken)
        yield "commit", rows
        if history:
            make_snapshot(data_dir, history)
            yield "export", len(history)


def is_full_due(former: About, snapshot_us: int, days: set[int], now: float) -> bool:
    """Tell whether all viewers are to be worked out again; see the module's text."""
    past = {day for day in days - set(former.days) if former.days and day < max(former.days)}
    pause = min(FULL_SECONDS, former.full_seconds / FULL_SHARE)
    return bool(past) or snapshot_us < former.snapshot_us or now - former.full_at >= pause


def restrict_to_changed(connection: duckdb.DuckDBPyConnection, graph: Graph, former: About) -> int:
    """Leave in ``viewers`` those who changed; make ``kept_viewers`` of the others. Return how many changed."""
    attach(connection, graph, "former_neighbours")
    since_us = int(former.made_at * 1e6) - CLOCKS_US
    told = {
        "answered_viewers": _dids(
            graph.data_dir / "activity.sqlite", "interactions", "activity/answered_since", since_us
        ),
        "fetched_viewers": _dids(
            graph.data_dir / "landing.sqlite", "fetched_viewers", "landing/fetched_since", since_us
        ),
    }
    for name, dids in told.items():
        connection.register("arriving", pa.table({"viewer_did": pa.array(dids, pa.string())}))
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM arriving")
        connection.unregister("arriving")
    sql_steps.run_file(connection, "changed_viewers")
    connection.execute(
        "CREATE OR REPLACE TABLE kept_viewers AS FROM viewers ANTI JOIN changed_viewers USING (viewer_id)"
    )
    connection.execute("CREATE OR REPLACE TABLE viewers AS FROM changed_viewers")
    return sql_steps.count(connection, "viewers")


def _dids(path: Path, table: str, query: str, since_us: int) -> list[str]:
    if not path.exists() or not has_tables(path, table):
        return []
    store = connect(path, read_only=True)
    try:
        return [row[0] for row in store.execute(sql.load(query), {"since_us": since_us})]
    except sqlite3.OperationalError:
        return []
    finally:
        store.close()


def read_graph(
    snapshot: Snapshot, ranking: Ranking, data_dir: Path, progress: Progress | None = None
) -> LikeGraph:
    """Return the likes of the window by post and by viewer, as files in the run's folder."""
    connection = snapshot.connection
    viewers = np.asarray(columns(connection, "SELECT viewer_id FROM viewers ORDER BY 1")[0], np.int64)
    likers, records = columns(connection, "SELECT liker_id, count(*) FROM landed_likes GROUP BY liker_id")
    landed = np.zeros(1 + max([int(viewers.max(initial=0)), int(likers.max(initial=0))]), np.int64)
    landed[likers] = records
    since = horizons(snapshot.lake_files, viewers, landed, 2 * ranking.max_seeds)
    ranges = author_ranges(snapshot.lake_files, int(ranking.memory_limit_gb * 2**30 / RECORD_BYTES))
    told = None if progress is None else progress.add
    return build(connection, ranking, temporary_dir(data_dir) / "likes", ranges, since, told)


def write_degrees(likes: LikeGraph, graph: Graph) -> None:
    """Keep how many likes every liker has, and since when, for runs that read the likes of a few posts alone."""
    likers = np.flatnonzero(likes.degrees)
    rows = pa.table(
        {
            "liker_id": likers.astype(np.int32),
            "likes": likes.degrees[likers],
            "first_us": likes.firsts[likers],
        }
    )

    def write(path: Path) -> None:
        pq.write_table(rows, path, compression="zstd")

    day_files.commit(day_files.write_temporary(graph.data_dir, graph.degrees.name, write), graph.degrees)


def write_product(
    snapshot: Snapshot,
    likes: LikeGraph,
    ranking: Ranking,
    threads: int,
    path: Path,
    known: About,
    began: float,
    progress: Progress | None = None,
) -> int:
    """Write the best co-likers of every viewer, a row group a block, and return the rows."""
    total = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for viewers, top, left_out in neighbour_blocks(snapshot.connection, likes, ranking, threads):
            table = rows_of(viewers, None, top, left_out, snapshot.snapshot_us)
            if len(table):
                writer.write_table(table)
            total += len(table)
            if progress is not None:
                progress.add(len(viewers))
        spent = time.perf_counter() - began
        writer.add_key_value_metadata(described(replace(known, full_seconds=spent)))
    return total


def rows_of(
    viewers: Ids, actor_ids: Ids | None, top: Top, left_out: NDArray[np.float32], snapshot_us: int
) -> pa.Table:
    """Return a block's rows, as ``graphs.SCHEMA`` has them; ``actor_ids`` is by column where these are others."""
    taken = np.arange(top.columns.shape[1]) < top.filled[:, None]
    rank = np.broadcast_to(np.arange(1, taken.shape[1] + 1, dtype=np.int32), taken.shape)
    count = int(top.filled.sum())
    found = top.columns[taken]
    return pa.table(
        [
            np.repeat(viewers, top.filled).astype(np.int32),
            found if actor_ids is None else actor_ids[found].astype(np.int32),
            top.scores[taken],
            rank[taken],
            np.full(count, snapshot_us, np.int64),
            np.repeat(left_out, top.filled),
        ],
        schema=SCHEMA,
    )


def merge(
    connection: duckdb.DuckDBPyConnection, fresh: Path, path: Path, known: About, block_viewers: int
) -> int:
    """Write the kept rows and the fresh ones, by viewer, a row group some viewers; return the rows."""
    quoted = str(fresh).replace("'", "''")
    connection.execute(f"CREATE OR REPLACE VIEW fresh_neighbours AS FROM read_parquet('{quoted}')")
    viewers = columns(
        connection, "SELECT viewer_id FROM (FROM kept_viewers UNION ALL FROM viewers) ORDER BY 1"
    )[0]
    statement = sql.load("batch/merged_neighbours")
    total = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for first in range(0, len(viewers), block_viewers):
            block = viewers[first : first + block_viewers]
            span = {"first": int(block[0]), "last": int(block[-1])}
            table = connection.sql(statement, params=span).to_arrow_table().cast(SCHEMA)
            if len(table):
                writer.write_table(table)
            total += len(table)
        writer.add_key_value_metadata(described(known))
    return total
