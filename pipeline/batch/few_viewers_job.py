"""The jobs for viewers who wait: their neighbours and their lists within seconds, whatever the store's size.

Owns: which likes such a run reads: the viewers' own, those of their seeds, their neighbours' of the last
hours, and those of the posts these liked. Leaves to others: who waits (``store.who_is_due``), reading
(``few_viewers``), ranking (``sql/batch``), publishing (``candidates_job``), remembering the neighbours
(``neighbour_files``).

Two things are not worked out but taken from the last run that read everything: how many likes each co-liker
has in all, and what is popular, which fills short lists. So from one snapshot such a run gives exactly the
rows that a run for everybody gives; and it goes on beside a neighbours job, for which nobody has to wait.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb

import sql
from pipeline.batch.candidates_job import Done, Publication, popular_path, stage_and_publish
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.few_viewers import open_narrow
from pipeline.batch.inputs.neighbour_files import SCHEMA, Graph, add_arrived, attach
from pipeline.batch.lists.make_lists import Staging
from pipeline.feeds import Variant
from pipeline.progress import Step
from pipeline.store.duck import count, parquet
from pipeline.store.newest_generation import newest
from sql import places


def waiting_neighbours(graph: Graph, dids: Sequence[str], threads: int) -> Iterator[Step]:
    """Work out some viewers' neighbours, and put them before what the file says."""
    ranking, data_dir = graph.ranking, graph.data_dir
    folder, window = places.working(data_dir, "waiting"), ranking.seed_window_days * 24.0
    with open_narrow(data_dir, folder, ranking, threads, dids, window_hours=window) as narrow:
        connection = narrow.connection
        yield "who waits", count(connection, "wanted_viewers")
        yield (
            "own likes",
            narrow.likes_of_likers("own_records", "SELECT viewer_id AS actor_id FROM wanted_viewers"),
        )
        sql_steps.run_file(connection, "answers")
        narrow.know_posts(
            "SELECT author_id, post_rkey FROM own_records UNION SELECT author_id, post_rkey FROM answers"
        )
        narrow.know_actors("SELECT author_id AS actor_id FROM own_records")
        connection.execute("CREATE OR REPLACE VIEW like_records AS FROM own_records")
        connection.execute("CREATE OR REPLACE TABLE viewers AS FROM wanted_viewers")
        for name in (*sql_steps.LIKES, "answer_weights", "seeds"):
            sql_steps.run_file(connection, name)
        seeds = "SELECT author_id, post_rkey FROM seeds"
        yield "likes of seeds", narrow.likes_of_posts("seed_records", seeds)
        narrow.know_actors(_actors_of("seed_records"))
        connection.execute(
            "CREATE OR REPLACE VIEW like_records AS FROM own_records UNION ALL FROM seed_records"
        )
        if graph.degrees.exists():
            connection.execute("DROP TABLE degrees")
            connection.execute(f"CREATE VIEW degrees AS FROM {parquet(graph.degrees)}")
        for name in sql_steps.SEEDS:
            if name != "viewers":
                yield name, sql_steps.run_file(connection, name)
        for name in ("co_likers", *sql_steps.NEIGHBOURS):
            sql_steps.run_file(connection, name)
        query = "SELECT *, getvariable('snapshot_us') AS snapshot_us FROM neighbours ORDER BY viewer_id, rank"
        rows = connection.sql(query).to_arrow_table().select(SCHEMA.names).cast(SCHEMA)
        yield "product", len(rows)
        if len(rows):
            add_arrived(graph, rows)
        yield "commit", len(rows)


def waiting_candidates(
    graph: Graph,
    to: Publication,
    variant: Variant,
    threads: int,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
) -> Iterator[Step]:
    """Make and publish the lists of the viewers that ``to.recent`` names, all of one variant."""
    ranking, data_dir, dids = variant.ranking, graph.data_dir, to.recent or ()
    folder, window, before = places.working(data_dir, "waiting"), ranking.post_max_age_hours, newest(serving)
    with open_narrow(data_dir, folder, ranking, threads, dids, window_hours=window) as narrow:
        connection = narrow.connection
        attach(connection, graph, "neighbours", "wanted_viewers")
        yield "who waits", count(connection, "wanted_viewers")
        people = "SELECT viewer_id AS actor_id FROM wanted_viewers UNION SELECT neighbour_id FROM neighbours"
        yield "likes of neighbours", narrow.likes_of_likers("people_records", people)
        _read(
            connection, "stored_popular", popular_path(data_dir, to.feed, variant),
            "language VARCHAR, position INTEGER, author_id INTEGER, rkey BIGINT, score FLOAT, share DOUBLE",
        )  # fmt: skip
        connection.execute(sql.load("few_viewers/wanted_posts"))
        connection.execute("CREATE OR REPLACE TABLE candidate_keys AS FROM wanted_posts")
        yield "likes of candidates", narrow.likes_of_posts("candidate_records", "FROM candidate_keys")
        narrow.know_posts("FROM candidate_keys")
        narrow.know_actors(_actors_of("candidate_records"))
        connection.execute("CREATE OR REPLACE VIEW like_records AS FROM candidate_records")
        for name in sql_steps.BEFORE_CANDIDATES:
            if name in {"crowd_likers", "popular", "crowd_shares"}:  # of everybody's likes
                if name != "crowd_likers":
                    connection.execute(sql.load(f"few_viewers/{name}"))
            else:
                yield name, sql_steps.run_file(connection, name)
        staging = Staging(data_dir, folder, threads, before)
        yield from stage_and_publish(narrow.snapshot(), to, variant, staging, serving, clock, Done())


def _actors_of(records: str) -> str:
    return f"SELECT liker_id AS actor_id FROM {records} UNION SELECT author_id FROM {records}"


def _read(connection: duckdb.DuckDBPyConnection, relation: str, path: Path, columns: str) -> None:
    """Make a relation of a Parquet file, or an empty one before the run that writes the file."""
    if path.exists():
        connection.execute(f"CREATE VIEW {relation} AS FROM {parquet(path)}")
    else:
        connection.execute(f"CREATE TABLE {relation} ({columns})")
