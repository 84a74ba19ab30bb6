"""What batch jobs leave for analysts and ``foryou explain``: their inputs and the lists, as Parquet.

Owns: copying the frozen inputs while they are in memory, and handing over the finished lists. Leaves to
others: where the files are (``store.analyst_snapshot``), reading them (``sql/explore/views.sql``,
``explore.explain_command``), copies of what is no input of a run (``explore.table_copies``).

Inputs are staged at the start of a run, since their rows are freed, and named at its end together with its
lists: whoever reads them sees what the newest generation was made of. A failed run changes nothing. Of what
lies before a candidates run's window the neighbours job leaves its own.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.batch.inputs.neighbour_files import SCHEMA, Graph
from pipeline.feeds import Variant
from pipeline.ranking import Ranking
from pipeline.store.analyst_snapshot import (
    HISTORY_LIKES,
    LIST_CROWDS,
    LIST_NEIGHBOURS,
    LIST_NEWER_NEIGHBOURS,
    LIST_POSTS,
    LISTS,
    NEIGHBOURS_INTERACTIONS,
    OPEN_LIKES,
    OPEN_UNLIKES,
    RANKING,
    SNAPSHOT,
    VARIANTS,
    make_snapshot,
)
from pipeline.store.duck import copy_to, parquet
from pipeline.store.model import HOUR_US

# A view over open days and the lake, and the tombstones of both: the lake's part needs no copy. Nor do the degrees,
# which only stand in for likes that are not at hand.
NOT_COPIED = ("like_records", "unlikes", "degrees")

_TABLE = re.compile(r"^CREATE OR REPLACE TABLE (\w+)", re.MULTILINE)


@cache
def input_tables() -> tuple[str, ...]:
    """Return the relations a run starts from besides likes, as ``sql/batch/inputs.sql`` declares them."""
    return tuple(name for name in _TABLE.findall(sql.load("batch/inputs")) if name not in NOT_COPIED)


def stage_inputs(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Path]:
    """Write the inputs of a candidates run as Parquet files in a folder; return them by relation."""
    queries = {f"inputs/{name}": f"SELECT * FROM {name}" for name in input_tables()}
    queries[OPEN_UNLIKES] = "SELECT * FROM unlikes"
    queries[OPEN_LIKES] = sql.load("copies/landed_likes")
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
        HISTORY_LIKES: sql.load("copies/landed_likes"),
    }
    until_us = int(snapshot_us - ranking.post_max_age_hours / 2 * HOUR_US)
    return _stage(connection, folder, queries, until_us)


@dataclass(frozen=True, slots=True)
class Made:
    """The published lists of one variant, a generation of their own, as files: LISTS, LIST_POSTS and LIST_CROWDS."""

    variant: Variant
    generation: int
    files: dict[str, Path]


def stage_made(connection: duckdb.DuckDBPyConnection, lists: Path, variant: Variant, generation: int) -> Made:
    """Write what a variant's lists were made of, while it is in memory, beside them."""
    posts = copy_to(
        connection,
        f"SELECT post_no, author_id, rkey, created_us, likers, {generation} AS generation "
        "FROM candidate_posts ORDER BY post_no",
        lists.with_name("list_posts.parquet"),
    )
    crowds = copy_to(
        connection,
        f"SELECT c.language, p.author_id, p.rkey, c.share, {generation} AS generation FROM crowds AS c "
        "JOIN candidate_posts AS p ON p.post_no = c.post_no ORDER BY c.language, p.post_no",
        lists.with_name("list_crowds.parquet"),
    )
    return Made(variant, generation, {LISTS: lists, LIST_POSTS: posts, LIST_CROWDS: crowds})


def hand_over(
    connection: duckdb.DuckDBPyConnection,
    graph: Graph,
    inputs: dict[str, Path],
    made: Sequence[Made],
    snapshot_us: int,
) -> int:
    """Make a snapshot of a published run's files, with the last variant's generation; return its rows of lists."""
    last = made[-1]
    folder = last.files[LISTS].parent
    files = dict(inputs) | last.files
    for name in last.files if len(made) > 1 else ():
        parts = parquet(*(each.files[name] for each in made))
        files[name] = copy_to(connection, f"FROM {parts}", folder / f"all-{name}.parquet")
    parameters = {name: float(value) for name, value in asdict(last.variant.ranking).items()}
    files[RANKING] = folder / "ranking.parquet"
    table = {"name": list(parameters), "value": list(parameters.values())}
    pq.write_table(pa.table(table), files[RANKING])
    files[VARIANTS] = folder / "variants.parquet"
    pq.write_table(pa.Table.from_pylist([_variant_row(each) for each in made]), files[VARIANTS])
    files[SNAPSHOT] = folder / "snapshot.parquet"
    stamp = {
        "generation": pa.array([last.generation], pa.int32()),
        "snapshot_us": pa.array([snapshot_us], pa.int64()),
    }
    pq.write_table(pa.table(stamp), files[SNAPSHOT])
    files[LIST_NEIGHBOURS] = folder / "list_neighbours.parquet"
    _link(graph.path, files[LIST_NEIGHBOURS])
    files[LIST_NEWER_NEIGHBOURS] = folder / "list_newer_neighbours.parquet"
    _link(graph.arrived, files[LIST_NEWER_NEIGHBOURS])
    rows = int(pq.read_metadata(files[LISTS]).num_rows)
    make_snapshot(graph.data_dir, files)
    return rows


def _stage(
    connection: duckdb.DuckDBPyConnection, folder: Path, queries: dict[str, str], until_us: int
) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    connection.execute("SET VARIABLE until_us = ?", [until_us])
    return {name: copy_to(connection, query, folder / f"{number}.parquet")
            for number, (name, query) in enumerate(queries.items())}  # fmt: skip


def _variant_row(made: Made) -> dict[str, Any]:
    variant = made.variant
    shares = {"from_share": variant.from_share, "until_share": variant.until_share}
    values = {name: float(value) for name, value in asdict(variant.ranking).items()}
    return (
        {"generation": made.generation, "experiment": variant.experiment, "name": variant.name}
        | shares
        | values
    )


def _link(source: Path, target: Path) -> None:
    """Let a file keep what it is, whatever replaces it; a copy where the lake is on a disk of its own."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        pq.write_table(SCHEMA.empty_table(), target)  # no neighbours job has finished, nobody arrived
    except OSError:
        shutil.copyfile(source, target)
