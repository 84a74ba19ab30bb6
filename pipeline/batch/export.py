"""What a candidates run leaves for analysts and ``foryou explain``: its inputs and its lists, as Parquet.

Owns: copying the frozen inputs while they are in memory, and handing over the finished lists. Leaves to others:
where the files are (``store.explore``), reading them (``sql/explore/views.sql``, ``explore.explain``), copies
of what is no input of a run (``explore.export``).

Inputs are staged at the start of a run, since their rows are freed, and named at its end together with its
lists: whoever reads them sees what the newest generation was made of. A failed run changes nothing.
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
from pipeline.batch.lake import neighbours_path
from pipeline.ranking import Ranking
from pipeline.store.explore import (
    LIST_CROWDS,
    LIST_NEIGHBOURS,
    LIST_POSTS,
    LISTS,
    OPEN_LIKES,
    RANKING,
    SNAPSHOT,
    make_snapshot,
)

LIKE_RECORDS = "like_records"  # a view over open days and the lake; its part in the lake needs no copy

EMPTY_NEIGHBOURS = pa.schema(
    [
        ("viewer_id", pa.int32()),
        ("neighbour_id", pa.int32()),
        ("weight", pa.float32()),
        ("rank", pa.int32()),
    ]
).empty_table()

_TABLE = re.compile(r"^CREATE OR REPLACE TABLE (\w+)", re.MULTILINE)


@cache
def input_tables() -> tuple[str, ...]:
    """Return the relations a run starts from besides likes, as ``sql/batch/inputs.sql`` declares them."""
    return tuple(name for name in _TABLE.findall(sql.load("batch/inputs")) if name != LIKE_RECORDS)


def stage_inputs(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Path]:
    """Write the inputs of a run as Parquet files in a folder; return them by relation."""
    folder.mkdir(parents=True, exist_ok=True)
    staged = {f"inputs/{name}": f"SELECT * FROM {name}" for name in input_tables()}
    staged["inputs/posts"] = sql.load("export/posts")
    staged[OPEN_LIKES] = sql.load("export/open_likes")
    return {name: _write(connection, query, folder / f"{number}.parquet")
            for number, (name, query) in enumerate(staged.items())}  # fmt: skip


def hand_over(
    connection: duckdb.DuckDBPyConnection,
    data_dir: Path,
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
    _link(neighbours_path(data_dir), files[LIST_NEIGHBOURS])
    rows = int(pq.read_metadata(lists).num_rows)
    make_snapshot(data_dir, files)
    return rows


def _write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> Path:
    quoted = str(path).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
    return path


def _link(source: Path, target: Path) -> None:
    """Let a file keep what it is, whatever replaces it; a copy where the lake is on a disk of its own."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        pq.write_table(EMPTY_NEIGHBOURS, target)  # no neighbours job has finished
    except OSError:
        shutil.copyfile(source, target)
