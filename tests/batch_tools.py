"""What the batch's tests share: a World in DuckDB, the two paths, and the oracle's answers beside them."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import oracle
import pyarrow as pa
from worlds import World

import sql
from pipeline.batch.candidates_job import whole_hours
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import NeighbourFiles, attach_neighbours
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.lists.product import list_viewers, make_fresh, rank_block, read_block
from pipeline.batch.neighbours.author_ranges import Range
from pipeline.batch.neighbours.like_graph import LikeGraph
from pipeline.batch.neighbours.product_of_graph import GraphHere
from pipeline.lake import reader
from pipeline.ranking import Ranking
from pipeline.settings import Settings, load_settings
from sql import places

INPUTS = (
    "like_records",
    "claimed_likes",
    "changes",
    "statements",
    "degrees",
    "posts",
    "actors",
    "visits",
    "interactions",
    "own_settings",
    "ruled_accounts",
    "ruled_posts",
    "forecast_trees",
    "withheld",
)


def settings_for(data_dir: Path, ranking: dict[str, Any] | None = None) -> Settings:
    """Return settings for a data directory, with a [ranking] table."""
    settings = load_settings({"data_dir": str(data_dir)}, {}, data_dir)
    settings.ranking.update(ranking or {})  # type: ignore[attr-defined]
    return settings


def duck(world: World, ranking: Ranking) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB that holds a world's inputs."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(sql.load("batch/inputs"))
    for name, rows in world.rows().items():
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    sql_steps.prepare(connection, ranking, world.now_us)
    return connection


def stored_neighbours(data_dir: Path) -> pa.Table:
    """Return each viewer's neighbours as the next candidates run sees them, by viewer and rank."""
    with closing(duckdb.connect()) as connection, TemporaryDirectory(dir=data_dir) as folder:
        files = NeighbourFiles(data_dir, places.neighbours(data_dir), "", Ranking(), ())
        attach_neighbours(connection, files, "found", Path(folder))
        return connection.sql("FROM found ORDER BY viewer_id, rank").to_arrow_table()


def read_left_out(connection: duckdb.DuckDBPyConnection) -> dict[int, float]:
    """Return what the relation ``neighbours`` says of each viewer's other co-likers."""
    found = connection.execute("SELECT DISTINCT viewer_id, left_out FROM neighbours").fetchall()
    assert len({viewer for viewer, _ in found}) == len(found)
    return dict(found)


def read_neighbours(connection: duckdb.DuckDBPyConnection) -> dict[int, list[tuple[int, float]]]:
    """Return the relation ``neighbours`` as the oracle writes it."""
    result: dict[int, list[tuple[int, float]]] = {}
    query = "SELECT viewer_id, neighbour_id, weight FROM neighbours ORDER BY viewer_id, rank"
    for viewer, neighbour, weight in connection.execute(query).fetchall():
        result.setdefault(viewer, []).append((neighbour, weight))
    return result


def read_ranked(connection: duckdb.DuckDBPyConnection) -> dict[int, list[tuple[tuple[int, int], float, int]]]:
    """Return the relation ``ranked`` as the oracle writes it."""
    result: dict[int, list[tuple[tuple[int, int], float, int]]] = {}
    query = (
        "SELECT viewer_id, author_id, rkey, score, co_likers FROM ranked JOIN candidate_posts USING (post_no) "
        "ORDER BY viewer_id, position"
    )
    for viewer, author, rkey, score, co_likers in connection.execute(query).fetchall():
        result.setdefault(viewer, []).append(((author, rkey), score, co_likers))
    return result


def neighbours_by_sql(connection: duckdb.DuckDBPyConnection, ranking: Ranking) -> None:
    """Make ``neighbours`` of the inputs, by SQL alone."""
    sql_steps.set_variables(connection, {"window_hours": ranking.seed_window_days * 24.0})
    for name in sql_steps.SEEDS + sql_steps.NEIGHBOURS:
        sql_steps.run_file(connection, name)


def candidates_by_sql(connection: duckdb.DuckDBPyConnection, ranking: Ranking) -> None:
    """Make ``ranked`` and ``popular`` of the inputs and ``neighbours``, by SQL alone."""
    sql_steps.set_variables(connection, {"window_hours": ranking.post_max_age_hours})
    for name in sql_steps.BEFORE_CANDIDATES + sql_steps.CANDIDATES:
        sql_steps.run_file(connection, name)


def by_kernel(
    world: World, ranking: Ranking, folder: Path, ranges: Sequence[Range], threads: int = 2
) -> tuple[Any, Any, Any]:
    """Return (neighbours, ranked, left out) of the sparse path, which reads a range of authors at a time."""
    connection = duck(world, ranking)
    sql_steps.set_variables(connection, {"window_hours": ranking.seed_window_days * 24.0})
    for name in sql_steps.BEFORE_GRAPH:
        sql_steps.run_file(connection, name)
    rows: list[tuple[int, int, float, int, float]] = []
    graph = GraphHere(snapshot_of(connection, world), ranking, folder, ranges, None, threads)
    for number in range(len(ranges)):
        graph.walk(number)
    graph.add_up()
    for number in range(graph.blocks):
        rows += rows_of(graph.product(number))
    put_neighbours(connection, rows)
    near, rest = read_neighbours(connection), read_left_out(connection)
    hours = {"window_hours": ranking.post_max_age_hours, "whole_hours": whole_hours([ranking])}
    sql_steps.set_variables(connection, hours)
    for name in sql_steps.BEFORE_CANDIDATES:
        sql_steps.run_file(connection, name)
    posts = connection.execute("SELECT author_id, rkey FROM candidate_posts ORDER BY post_no").fetchall()
    ranked: dict[int, Any] = {}
    fresh, viewers = make_fresh(connection), list_viewers(connection)
    for first in range(0, len(viewers), ranking.block_viewers):
        block = read_block(connection, viewers[first : first + ranking.block_viewers])
        top = rank_block(fresh, block, ranking, threads)
        for row, viewer in enumerate(block.viewers.tolist()):
            items = [
                (
                    posts[top.columns[row, i]],
                    float(top.scores[row, i]),
                    int(top.counts[row, i]),
                )
                for i in range(top.filled[row])
            ]
            if items:
                ranked[viewer] = items
    connection.close()
    return near, ranked, rest


def snapshot_of(connection: duckdb.DuckDBPyConnection, world: World) -> Snapshot:
    """Return a world in DuckDB as a run's frozen input."""
    return Snapshot(connection, world.now_us, [], 0)


def stored_as_landed(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a world's likes be those of open days, as a run reads them from landing.sqlite."""
    connection.execute("CREATE TABLE landed_likes AS SELECT *, false AS claimed FROM like_records")
    words = ", ".join(f"NULL::BIGINT AS {name}" for name in reader.WORD_SCHEMA.names)
    connection.execute(f"CREATE TABLE late_words AS SELECT {words} LIMIT 0")
    connection.execute(
        "CREATE TABLE file_changes AS FROM late_words; DROP TABLE changes; DROP TABLE like_records"
    )
    connection.execute(sql.load("lake/macros"))
    connection.execute(sql.load("lake/changed_likes"))
    connection.execute("CREATE VIEW like_records AS SELECT * EXCLUDE (claimed) FROM landed_likes")


def rows_of(table: pa.Table) -> list[tuple[int, int, float, int, float]]:
    """Return rows of neighbours as ``put_neighbours`` takes them."""
    names = ("viewer_id", "neighbour_id", "weight", "rank", "left_out")
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def put_neighbours(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[int, int, float, int, float]]
) -> None:
    """Make the relation ``neighbours`` of these rows."""
    table = pa.table(
        {
            "viewer_id": pa.array([row[0] for row in rows], pa.int32()),
            "neighbour_id": pa.array([row[1] for row in rows], pa.int32()),
            "weight": pa.array(np.array([row[2] for row in rows], np.float32)),
            "rank": pa.array([row[3] for row in rows], pa.int32()),
            "left_out": pa.array(np.array([row[4] for row in rows], np.float32)),
        }
    )
    connection.register("given", table)
    connection.execute("CREATE OR REPLACE TABLE neighbours AS SELECT * FROM given")
    connection.unregister("given")


def by_oracle(world: World, ranking: Ranking) -> tuple[Any, Any, Any]:
    """Return (neighbours, ranked, left out) of the plain-Python ranker."""
    rows: dict[str, Any] = dict(world.rows())
    rows["uris"] = [{world.posts[name]: world.uri(name) for name in world.posts}]
    near, left_out = oracle.neighbours(rows, world.now_us, ranking)
    return near, oracle.ranked(rows, world.now_us, ranking, near, left_out), left_out


def graph_of(
    connection: duckdb.DuckDBPyConnection, ranking: Ranking, folder: Path, ranges: Sequence[Range]
) -> LikeGraph:
    """Return the graph that a full pass makes of ``valid_likes``, reading these ranges of authors."""
    whole = GraphHere(Snapshot(connection, 0, [], 0), ranking, folder, ranges, None, 1)
    for number in range(whole.ranges):
        whole.walk(number)
    whole.add_up()
    return whole.graph
