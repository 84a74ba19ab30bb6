"""What batch jobs leave for analysts and ``foryou explain``: their inputs and the lists, as Parquet.

Owns: copying the frozen inputs while they are in memory, and handing over the finished lists. Leaves to others:
where the files are (``store.explore``), reading them (``sql/explore/views.sql``, ``explore.explain``), copies
of what is no input of a run (``explore.export``).

Inputs are staged at the start of a run, since their rows are freed, and named at its end together with its
lists: whoever reads them sees what the newest generation was made of. A failed run changes nothing. Of what lies
before a candidates run's window the neighbours job leaves its own.
"""

import os
import re
import shutil
from dataclasses import asdict
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.batch.graphs import SCHEMA, Graph
from pipeline.ranking import Ranking
from pipeline.store.explore import (
    HISTORY_LIKES,
    LIST_ARRIVED,
    LIST_CROWDS,
    LIST_NEIGHBOURS,
    LIST_POSTS,
    LISTS,
    NEIGHBOURS_INTERACTIONS,
    OPEN_LIKES,
    OPEN_UNLIKES,
    RANKING,
    SNAPSHOT,
    make_snapshot,
)
from pipeline.store.model import HOUR_US

# A view over open days and the lake, and the tombstones of both: the lake's part needs no copy.
FROM_THE_LAKE = ("like_records", "unlikes")

_TABLE = re.compile(r"^CREATE OR REPLACE TABLE (\w+)", re.MULTILINE)


@cache
def input_tables() -> tuple[str, ...]:
    """Return the relations a run starts from besides likes, as ``sql/batch/inputs.sql`` declares them."""
    return tuple(name for name in _TABLE.findall(sql.load("batch/inputs")) if name not in FROM_THE_LAKE)


def stage_inputs(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Path]:
    """Write the inputs of a candidates run as Parquet files in a folder; return them by relation."""
    queries = {f"inputs/{name}": f"SELECT * FROM {name}" for name in input_tables()}
    queries["inputs/posts"] = sql.load("export/posts")
    queries[OPEN_UNLIKES] = "SELECT * FROM unlikes"
    queries[OPEN_LIKES] = sql.load("export/landed_likes")
    return _stage(connection, folder, queries, until_us=2**62)


def stage_history(
    connection: duckdb.DuckDBPyConnection, folder: Path, snapshot_us: int, ranking: Ranking
) -> dict[str, Path]:
    """Write what a neighbours run reads and a candidates run does not, as Parquet files; return them by relation.

    The newer likes of it come with every candidates run. Half of what that reads is how long the next neighbours
    run may be away before likes are missing between the two.
    """
    queries = {
        NEIGHBOURS_INTERACTIONS: "SELECT * FROM interactions",
        HISTORY_LIKES: sql.load("export/landed_likes"),
    }
    until_us = int(snapshot_us - ranking.post_max_age_hours / 2 * HOUR_US)
    return _stage(connection, folder, queries, until_us)


def hand_over(
    connection: duckdb.DuckDBPyConnection,
    graph: Graph,
    inputs: dict[str, Path],
    lists: Path,
    generation: int,
    snapshot_us: int,
    ranking: Ranking,
) -> int:
    """Make a snapshot with a published run's files; return the rows of its lists."""
    folder = lists.parent
    files = dict(inputs)
    files[LISTS] = lists
    files[LIST_POSTS] = _write(
        connection,
        f"SELECT post_no, author_id, rkey, created_us, likers, {generation} AS generation "
        "FROM candidate_posts ORDER BY post_no",
        folder / "list_posts.parquet",
    )
    files[LIST_CROWDS] = _write(
        connection,
        "SELECT c.language, p.author_id, p.rkey, c.share FROM crowds AS c "
        "JOIN candidate_posts AS p ON p.post_no = c.post_no ORDER BY c.language, p.post_no",
        folder / "list_crowds.parquet",
    )
    parameters = {name: float(value) for name, value in asdict(ranking).items()}
    files[RANKING] = folder / "ranking.parquet"
    table = {"name": list(parameters), "value": list(parameters.values())}
    pq.write_table(pa.table(table), files[RANKING])
    files[SNAPSHOT] = folder / "snapshot.parquet"
    stamp = {
        "generation": pa.array([generation], pa.int32()),
        "snapshot_us": pa.array([snapshot_us], pa.int64()),
    }
    pq.write_table(pa.table(stamp), files[SNAPSHOT])
    files[LIST_NEIGHBOURS] = folder / "list_neighbours.parquet"
    _link(graph.path, files[LIST_NEIGHBOURS])
    files[LIST_ARRIVED] = folder / "list_arrived.parquet"
    _link(graph.arrived, files[LIST_ARRIVED])
    rows = int(pq.read_metadata(lists).num_rows)
    make_snapshot(graph.data_dir, files)
    return rows


def _stage(
    connection: duckdb.DuckDBPyConnection, folder: Path, queries: dict[str, str], until_us: int
) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    connection.execute("SET VARIABLE until_us = ?", [until_us])
    return {name: _write(connection, query, folder / f"{number}.parquet")
            for number, (name, query) in enumerate(queries.items())}  # fmt: skip


def _write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> Path:
    quoted = str(path).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
    return path


def _link(source: Path, target: Path) -> None:
    """Let a file keep what it is, whatever replaces it; a copy where the lake is on a disk of its own."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        pq.write_table(SCHEMA.empty_table(), target)  # no neighbours job has finished, nobody arrived
    except OSError:
        shutil.copyfile(source, target)
