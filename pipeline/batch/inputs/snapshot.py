"""The frozen input of a run: one consistent look at the stores, as relations of an in-memory DuckDB.

Owns: ``open_snapshot`` and the relations of ``sql/batch/inputs.sql``; which accounts a run for some viewers needs to
know. Leaves to others: what is made of them.

Invariant: rows of landing.sqlite come from one read transaction, and the lake's files are held from then on, so
compaction may go on beside the run (``lake.reader`` has the rule).
"""

from collections.abc import Iterable, Iterator, Sequence
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
from pipeline.store.arrow import Reader, reading
from pipeline.store.duck import append, columns, count, open_duckdb, put, registered
from pipeline.store.model import HOUR_US, day_of
from pipeline.store.operator_rules import ruled
from sql import places
from sql.sqlite import has_tables

EVERYBODY = "SELECT actor_id, did, status, deleted_us FROM actors"


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


def add_actors_by_did(connection: duckdb.DuckDBPyConnection, landing: Reader, dids: Iterable[str]) -> None:
    """Add to ``actors``, which has the hidden accounts, what is known of these DIDs."""
    landing.put("wanted_dids", _dids(sorted(set(dids))))
    append(connection, "actors", landing.stream(sql.load("few_viewers/actors_by_did")))


def answered_authors(connection: duckdb.DuckDBPyConnection, dids: Sequence[str]) -> list[str]:
    """Return the DIDs of authors whose posts these viewers answered, of ``interactions``."""
    with registered(connection, wanted_dids=_dids(dids)):
        found = columns(
            connection,
            "SELECT DISTINCT string_split(i.post_uri, '/')[3] FROM interactions AS i "
            "SEMI JOIN wanted_dids AS w ON w.did = i.viewer_did WHERE i.post_uri LIKE 'at://%/%'",
        )
    return [str(did) for did in found[0]]


def _add_last_actor(connection: duckdb.DuckDBPyConnection, landing: Reader) -> None:
    """Add the account with the greatest number to ``actors``: it tells how long an array by actor is."""
    put(connection, "last_actor", landing.stream(f"{EVERYBODY} ORDER BY actor_id DESC LIMIT 1"))
    connection.execute(
        "INSERT INTO actors FROM last_actor ANTI JOIN actors USING (actor_id); DROP TABLE last_actor"
    )


def add_listed_authors(connection: duckdb.DuckDBPyConnection, data_dir: Path) -> None:
    """Add the authors of ``listed_posts`` to ``actors``, where a run for some viewers has not read them yet.

    All hidden accounts are there, so these were active when the snapshot was taken.
    """
    unknown = connection.sql(
        "SELECT DISTINCT p.author_id AS actor_id FROM candidate_posts AS p SEMI JOIN listed_posts AS s "
        "ON s.post_no = p.post_no ANTI JOIN actors AS a ON a.actor_id = p.author_id ORDER BY 1"
    ).to_arrow_table()
    if len(unknown):
        with reading(places.landing(data_dir)) as landing:
            landing.put("wanted_actors", unknown)
            append(connection, "actors", landing.stream(sql.load("few_viewers/actors")))


def name_viewers(connection: duckdb.DuckDBPyConnection, dids: Sequence[str]) -> None:
    """Make the relation ``wanted_viewers`` of those of the DIDs whose accounts are known and active."""
    with registered(connection, wanted_dids=_dids(dids)):
        connection.execute(
            "CREATE TABLE wanted_viewers AS SELECT a.actor_id AS viewer_id FROM actors AS a "
            "SEMI JOIN wanted_dids AS w ON w.did = a.did WHERE a.status = 0"
        )


def _dids(dids: Sequence[str]) -> pa.Table:
    return pa.table({"did": pa.array(dids, pa.string())})


def read_rules(connection: duckdb.DuckDBPyConnection, data_dir: Path) -> None:
    """Copy what the operator's rules say of accounts and posts."""
    accounts, posts = ruled(data_dir)
    for relation, names, rows in (
        ("ruled_accounts", ("author_id", "blocked"), accounts),
        ("ruled_posts", ("author_id", "rkey", "blocked"), posts),
    ):
        if rows:
            arrays = [pa.array(column) for column in zip(*rows, strict=True)]
            append(connection, relation, pa.table(arrays, names=names))


@contextmanager
def open_snapshot(
    data_dir: Path,
    ranking: Ranking,
    threads: int,
    *,
    window_hours: float,
    folder: Path | None = None,
    dids: Sequence[str] | None = None,
    with_posts: bool = True,
) -> Iterator[Snapshot]:
    """Copy the likes of a window, and all else a run reads, from one read transaction of landing.sqlite.

    With ``dids``, ``actors`` has only these viewers, the authors whom they answered, and hidden accounts;
    ``wanted_viewers`` names the viewers, and ``add_listed_authors`` adds the authors of what is listed. Without
    ``with_posts``, ``posts`` has only the deleted ones: neighbours need no others. DuckDB spills to ``folder``, by
    default the working folder of runs for everybody.
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
                "WHERE rev <= deleted_rev"
            ) + (f" OR created_us > {created_us}" if with_posts else "")
            append(connection, "posts", reader.stream(posts))
            if with_posts:
                append(connection, "withheld", reader.stream(sql.load("landing/withheld")))
            _read_activity(connection, data_dir, int(snapshot_us - window_hours * HOUR_US), created_us)
            if dids is None:
                append(connection, "actors", reader.stream(EVERYBODY))
            else:
                append(connection, "actors", reader.stream(sql.load("few_viewers/hidden_actors")))
                add_actors_by_did(connection, reader, [*dids, *answered_authors(connection, dids)])
                _add_last_actor(connection, reader)
                name_viewers(connection, dids)
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
