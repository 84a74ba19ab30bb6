"""The frozen input of a run: one consistent look at the stores, as relations of an in-memory DuckDB.

Owns: ``open_snapshot`` and the relations of ``sql/batch/inputs.sql``. Leaves to others: what is made of them.

Invariant: rows of landing.sqlite come from one read transaction, and the lake's files are held from then on, so
compaction may go on beside the run (``lake.reader`` has the rule).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.lake.held import held_lake
from pipeline.lake.reader import read_like_records
from pipeline.ranking import Ranking
from pipeline.store.arrow import reading
from pipeline.store.duck import append, count, open_duckdb, registered
from pipeline.store.model import HOUR_US, day_of
from pipeline.store.operator_rules import ruled
from sql import places
from sql.sqlite import has_tables


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A DuckDB with the inputs of a run, and the stream time up to which likes are in it.

    ``lake_files`` are the lake's likes of the window. ``records`` counts the window's like records, those that unlikes
    undo included. ``commit_no`` is the last commit of landing.sqlite that is in it.
    """

    connection: duckdb.DuckDBPyConnection
    snapshot_us: int
    lake_files: list[Path]
    records: int
    commit_no: int = 0

    def drop_records(self) -> None:
        """Free the raw like records once ``likes`` is made of them."""
        for relation in ("VIEW like_records", "TABLE landed_likes", "VIEW changes", "VIEW changed_likes"):
            self.connection.execute(f"DROP {relation}")
        self.connection.execute("DROP TABLE late_words; DROP TABLE file_changes")


def name_viewers(connection: duckdb.DuckDBPyConnection, dids: Sequence[str]) -> None:
    """Make the relation ``wanted_viewers`` of those of the DIDs whose accounts are known and active."""
    with registered(connection, wanted_dids=pa.table({"did": pa.array(dids, pa.string())})):
        connection.execute(
            "CREATE TABLE wanted_viewers AS SELECT a.actor_id AS viewer_id FROM actors AS a "
            "SEMI JOIN wanted_dids AS w ON w.did = a.did WHERE a.status = 0"
        )


def read_rules(connection: duckdb.DuckDBPyConnection, data_dir: Path) -> None:
    """Copy what the operator's rules say of accounts and posts."""
    accounts, posts = ruled(data_dir)
    for relation, names, rows in (
        ("ruled_accounts", ("author_id", "blocked"), accounts),
        ("ruled_posts", ("author_id", "rkey", "blocked"), posts),
    ):
        if rows:
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            append(connection, relation, pa.table(columns, names=names))


@contextmanager
def open_snapshot(
    data_dir: Path, ranking: Ranking, threads: int, *, window_hours: float, folder: Path | None = None
) -> Iterator[Snapshot]:
    """Copy the likes of a window, and all else a run reads, from one read transaction of landing.sqlite.

    DuckDB spills to ``folder``, by default the working folder of runs for everybody.
    """
    memory_mb = int(ranking.memory_limit_gb * 1024)
    connection = open_duckdb(folder or places.working(data_dir), threads, memory_mb)
    stack = ExitStack()
    try:
        with reading(places.landing(data_dir)) as reader:
            snapshot_us = reader.number("SELECT seen_us FROM watermark")
            commit_no = reader.number("SELECT commit_no FROM last_commit")
            connection.execute(sql.load("batch/inputs"))
            first_day = day_of(int(snapshot_us - window_hours * HOUR_US))
            held = stack.enter_context(held_lake(data_dir))
            connection.execute("DROP TABLE like_records")
            files = read_like_records(connection, reader, held, first_day)
            created_us = int(snapshot_us - ranking.post_max_age_hours * HOUR_US)
            posts = (
                "SELECT author_id, rkey, created_us, seen_us, rev <= deleted_rev, flags, langs FROM posts "
                f"WHERE created_us > {created_us} OR rev <= deleted_rev"
            )
            append(connection, "posts", reader.stream(posts))
            actors = "SELECT actor_id, did, status, deleted_us FROM actors"
            append(connection, "actors", reader.stream(actors))
            append(connection, "withheld", reader.stream(sql.load("landing/withheld")))
        _read_activity(connection, data_dir, int(snapshot_us - window_hours * HOUR_US), created_us)
        read_rules(connection, data_dir)
        sql_steps.prepare(connection, ranking, snapshot_us)
        sql_steps.set_variables(connection, {"window_hours": window_hours})
        records = count(connection, "landed_likes")
        records += sum(int(pq.read_metadata(file).num_rows) for file in files)
        yield Snapshot(connection, snapshot_us, files, records, commit_no)
    finally:
        connection.close()
        stack.close()


def _read_activity(
    connection: duckdb.DuckDBPyConnection, data_dir: Path, since_us: int, created_us: int
) -> None:
    """Copy visits, what viewers answered since a time, and what they saw of posts that may be candidates."""
    path = places.activity(data_dir)
    if not has_tables(path, "visits", "interactions"):
        return
    has_settings = has_tables(path, "viewer_settings")  # not before the web app of this version has begun
    with reading(path) as reader:
        append(connection, "visits", reader.stream("SELECT viewer_did, languages, last_us FROM visits"))
        interactions = (
            f"SELECT viewer_did, post_uri, event FROM interactions WHERE received_us > {since_us} "
            f"AND (received_us > {created_us} OR event IN ('requestLess', 'requestMore', 'pick'))"
        )
        append(connection, "interactions", reader.stream(interactions))
        if has_settings:
            append(connection, "own_settings", reader.stream(sql.load("activity/all_settings")))
