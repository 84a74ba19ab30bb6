"""The frozen input of a run: one consistent look at the stores, as relations of an in-memory DuckDB.

Owns: ``open_snapshot`` and the relations of ``sql/batch/inputs.sql``. Leaves to others: what is made of them.

Invariant: rows of landing.sqlite come from one read transaction. A like is read from the lake when its day has a
file there, and otherwise from landing, so from exactly one of them. In landing a like that an unlike undoes is
deleted; in the lake tombstones undo it here.

A run for viewers seen lately may go on beside a compaction. It lists the lake's days once, after the transaction
began. A day that gets its file later is read from landing. A day that got its file in between is read from the
file, which is complete and final. A file that is replaced or removed during the run may end the run. The next run
sees the lake as it is then.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.identifiers import tid_at
from pipeline.ranking import Ranking
from pipeline.store.arrow import Reader, reading
from pipeline.store.duck import append, count, open_duckdb, registered
from pipeline.store.model import DAY_US, HOUR_US, day_of
from sql import places
from sql.sqlite import has_tables


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A DuckDB with the inputs of a run, and the stream time up to which likes are in it.

    ``lake_files`` are the lake's likes of the window. ``records`` counts the window's like records, those that unlikes
    undo included.
    """

    connection: duckdb.DuckDBPyConnection
    snapshot_us: int
    lake_files: list[Path]
    records: int

    def drop_records(self) -> None:
        """Free the raw like records once ``likes`` is made of them."""
        self.connection.execute("DROP VIEW like_records")
        self.connection.execute("DROP TABLE landed_likes")
        self.connection.execute("DELETE FROM unlikes")


def has_likes(data_dir: Path) -> bool:
    """Tell whether any like has been stored."""
    landing = places.landing(data_dir)
    if not has_tables(landing, "likes"):
        return False
    with reading(landing) as reader:
        stored = reader.number("SELECT count(*) FROM (SELECT 1 FROM likes LIMIT 1)")
    return stored > 0 or bool(places.closed_days(data_dir))


def name_viewers(connection: duckdb.DuckDBPyConnection, dids: Sequence[str]) -> None:
    """Make the relation ``wanted_viewers`` of those of the DIDs whose accounts are known and active."""
    with registered(connection, wanted_dids=pa.table({"did": pa.array(dids, pa.string())})):
        connection.execute(
            "CREATE TABLE wanted_viewers AS SELECT a.actor_id AS viewer_id FROM actors AS a "
            "SEMI JOIN wanted_dids AS w ON w.did = a.did WHERE a.status = 0"
        )


@contextmanager
def open_snapshot(
    data_dir: Path, ranking: Ranking, threads: int, *, window_hours: float, folder: Path | None = None
) -> Iterator[Snapshot]:
    """Copy the likes of a window, and all else a run reads, from one read transaction of landing.sqlite.

    DuckDB spills to ``folder``, by default the working folder of runs for everybody.
    """
    memory_mb = int(ranking.memory_limit_gb * 1024)
    connection = open_duckdb(folder or places.working(data_dir), threads, memory_mb)
    try:
        with reading(places.landing(data_dir)) as reader:
            snapshot_us = reader.number("SELECT seen_us FROM watermark")
            connection.execute(sql.load("batch/inputs"))
            first_day = day_of(int(snapshot_us - window_hours * HOUR_US))
            files = _read_likes(connection, reader, data_dir, first_day)
            created_us = int(snapshot_us - ranking.post_max_age_hours * HOUR_US)
            posts = (
                "SELECT author_id, rkey, created_us, seen_us, rev <= deleted_rev, flags, langs FROM posts "
                f"WHERE created_us > {created_us} OR rev <= deleted_rev"
            )
            append(connection, "posts", reader.stream(posts))
            actors = "SELECT actor_id, did, status, deleted_us FROM actors"
            append(connection, "actors", reader.stream(actors))
        _read_activity(connection, data_dir, int(snapshot_us - window_hours * HOUR_US), created_us)
        sql_steps.prepare(connection, ranking, snapshot_us)
        sql_steps.set_variables(connection, {"window_hours": window_hours})
        records = count(connection, "landed_likes")
        records += sum(int(pq.read_metadata(file).num_rows) for file in files)
        yield Snapshot(connection, snapshot_us, files, records)
    finally:
        connection.close()


def _read_likes(
    connection: duckdb.DuckDBPyConnection, reader: Reader, data_dir: Path, first_day: int
) -> list[Path]:
    """Make ``like_records`` from a day on, of landing and the lake; return the lake's files in it."""
    present = sorted(places.closed_days(data_dir))
    connection.execute("ALTER TABLE like_records RENAME TO landed_likes")
    in_lake = ",".join(str(day) for day in present)
    since = f"rkey >= {tid_at(first_day * DAY_US)} AND seen_us >= {first_day * DAY_US}"
    for rows in (
        f"likes WHERE day >= {first_day} AND day NOT IN ({in_lake})",
        f"history_likes WHERE {since}",
    ):
        query = f"SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM {rows}"
        append(connection, "landed_likes", reader.stream(query))
    if present:
        query = "SELECT liker_id, rkey, seen_us FROM unlikes WHERE found_open_like <> 1"
        append(connection, "unlikes", reader.stream(query))
    paths = [places.likes(data_dir, day) for day in present if day >= first_day]
    if not paths:
        connection.execute("CREATE VIEW like_records AS SELECT * FROM landed_likes")
        return []
    connection.execute(sql.load("lake/macros"))
    # A tombstone undoes likes that were seen before it, so older ones than the window undo nothing in it.
    files = [str(file) for file in places.unlikes_files(data_dir, first_day)]
    if files:
        query = "INSERT INTO unlikes SELECT liker_id, rkey, seen_us FROM lake_unlikes($files)"
        connection.execute(query, {"files": files})
    connection.execute("SET VARIABLE lake_files = ?", [[str(path) for path in paths]])
    connection.execute(sql.load("lake/like_records"))
    return paths


def _read_activity(
    connection: duckdb.DuckDBPyConnection, data_dir: Path, since_us: int, created_us: int
) -> None:
    """Copy visits, what viewers answered since a time, and what they saw of posts that may be candidates."""
    path = places.activity(data_dir)
    if not has_tables(path, "visits", "interactions"):
        return
    with reading(path) as reader:
        append(connection, "visits", reader.stream("SELECT viewer_did, languages, last_us FROM visits"))
        interactions = (
            f"SELECT viewer_did, post_uri, event FROM interactions WHERE received_us > {since_us} "
            f"AND (received_us > {created_us} OR event IN ('requestLess', 'requestMore'))"
        )
        append(connection, "interactions", reader.stream(interactions))
