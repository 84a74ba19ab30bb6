"""The frozen input of a run for a few viewers: the likes that can matter to them, and no others.

Owns: picking like records by liker and by post, what is known of the posts and actors in them, and the
relations of ``sql/batch/inputs.sql`` as far as these go. Leaves to others: which likers and posts
(``few_viewers_job``), and what is made of them.

The same SQL runs over it as over a whole snapshot. Invariant: rows of landing.sqlite come from one read
transaction. The lake is read beside a compaction that may go on: a day's file is complete whenever it is
there, and a day that was without one when the transaction began is read from landing, also if it has a file
by then. A file that is replaced or removed meanwhile ends the run; the next one sees the lake as it is then.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.identifiers import tid_at
from pipeline.ranking import Ranking
from pipeline.store.duck import append, count, open_duckdb, registered
from pipeline.store.model import DAY_US, HOUR_US, day_of
from sql import places
from sql.sqlite import connect, has_tables

RECORDS = pa.schema(
    [("liker_id", pa.int32()), ("rkey", pa.int64()), ("author_id", pa.int32()), ("post_rkey", pa.int64()),
     ("seen_us", pa.int64())]
)  # fmt: skip
UNLIKES = pa.schema([RECORDS.field(name) for name in ("liker_id", "rkey", "seen_us")])
POSTS = pa.schema(
    [("author_id", pa.int32()), ("rkey", pa.int64()), ("created_us", pa.int64()), ("seen_us", pa.int64()),
     ("deleted", pa.bool_()), ("flags", pa.int32()), ("langs", pa.string())]
)  # fmt: skip
ACTORS = pa.schema(
    [("actor_id", pa.int32()), ("did", pa.string()), ("status", pa.int32()), ("deleted_us", pa.int64())]
)


class Narrow:
    """A DuckDB with the inputs of a few viewers, filled step by step; ``open_narrow`` makes one."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        landing: sqlite3.Connection,
        data_dir: Path,
        window_hours: float,
    ) -> None:
        self.connection, self._landing = connection, landing
        self.snapshot_us = int(landing.execute("SELECT seen_us FROM watermark").fetchone()[0])
        first_day = day_of(int(self.snapshot_us - window_hours * HOUR_US))
        self._from = {
            "first_day": first_day,
            "first_us": first_day * DAY_US,
            "first_rkey": tid_at(first_day * DAY_US),
        }
        closed = places.closed_days(data_dir)
        landing.execute("CREATE TEMP TABLE wanted_likers (actor_id INTEGER PRIMARY KEY)")
        landing.execute(
            "CREATE TEMP TABLE wanted_posts (post_rkey INTEGER, author_id INTEGER, PRIMARY KEY (post_rkey, author_id)) "
            "WITHOUT ROWID"
        )
        landing.execute("CREATE TEMP TABLE closed_days (day INTEGER PRIMARY KEY)")
        landing.executemany("INSERT INTO temp.closed_days VALUES (?)", [(day,) for day in closed])
        self._files = [str(places.likes(data_dir, day)) for day in sorted(closed) if day >= first_day]
        self._unlikes = [str(path) for path in places.unlikes_files(data_dir, first_day)]
        connection.execute(sql.load("batch/inputs"))
        connection.execute("DROP TABLE like_records")
        connection.execute(sql.load("lake/macros"))
        connection.execute("SET VARIABLE lake_files = ?", [self._files])
        connection.execute("SET VARIABLE unlike_files = ?", [self._unlikes])
        connection.execute("CREATE TABLE landed_unlikes AS FROM unlikes")
        if self._files:
            undone = landing.execute("SELECT liker_id, rkey, seen_us FROM unlikes WHERE found_open_like <> 1")
            self._insert("landed_unlikes", UNLIKES, undone)

    def likes_of_likers(self, relation: str, likers: str) -> int:
        """Make a relation of the live like records of the actors that a query names; return its rows."""
        self._want_likers(likers)
        return self._pick(relation, "likers")

    def likes_of_posts(self, relation: str, posts: str) -> int:
        """Make a relation of the live like records of the posts that a query (author_id, post_rkey) names."""
        self._want_posts(posts)
        return self._pick(relation, "posts")

    def know_posts(self, posts: str) -> None:
        """Add what is known of the posts that a query (author_id, post_rkey) names to ``posts``."""
        self._want_posts(posts)
        self.connection.execute("DELETE FROM posts")
        self._insert("posts", POSTS, self._landing.execute(sql.load("few_viewers/posts")))

    def know_actors(self, actors: str) -> None:
        """Add the actors that a query names to ``actors``."""
        self._want_likers(f"FROM ({actors}) ANTI JOIN actors AS k USING (actor_id)")
        self._insert("actors", ACTORS, self._landing.execute(sql.load("few_viewers/actors")))

    def know_named(self, dids: Sequence[str]) -> None:
        """Add the actors with these DIDs to ``actors``."""
        found = self._landing.execute(
            sql.load("few_viewers/actors_by_did"), {"dids": json.dumps(sorted(set(dids)))}
        )
        self._insert("actors", ACTORS, found)

    def snapshot(self) -> Snapshot:
        """Return itself in the form in which a whole snapshot is given on."""
        return Snapshot(self.connection, self.snapshot_us, [], 0)

    def _pick(self, relation: str, kind: str) -> int:
        execute = self.connection.execute
        found = self._landing.execute(sql.load(f"few_viewers/likes_of_{kind}"), self._from)
        execute(f"CREATE OR REPLACE TABLE {relation} (liker_id INTEGER, rkey BIGINT, author_id INTEGER, "
                "post_rkey BIGINT, seen_us BIGINT)")  # fmt: skip
        self._insert(relation, RECORDS, found)
        if self._files:
            execute(sql.load(f"few_viewers/lake_likes_of_{kind}"))
            execute("CREATE OR REPLACE TABLE unlikes AS FROM landed_unlikes")
            if self._unlikes:
                execute(sql.load("few_viewers/add_lake_unlikes"))
            execute(f"INSERT INTO {relation} {sql.load('few_viewers/like_records')}")
            execute("DROP TABLE lake_records")
        return count(self.connection, relation)

    def _want_likers(self, query: str) -> None:
        self.connection.execute(
            f"CREATE OR REPLACE TABLE wanted_likers AS SELECT DISTINCT actor_id FROM ({query})"
        )
        rows = self.connection.execute("SELECT actor_id FROM wanted_likers").fetchall()
        self._landing.execute("DELETE FROM temp.wanted_likers")
        self._landing.executemany("INSERT INTO temp.wanted_likers VALUES (?)", rows)

    def _want_posts(self, query: str) -> None:
        self.connection.execute(
            f"CREATE OR REPLACE TABLE wanted_posts AS SELECT DISTINCT author_id, post_rkey FROM ({query})"
        )
        rows = self.connection.execute("SELECT post_rkey, author_id FROM wanted_posts").fetchall()
        self._landing.execute("DELETE FROM temp.wanted_posts")
        self._landing.executemany("INSERT INTO temp.wanted_posts VALUES (?, ?)", rows)

    def _insert(self, relation: str, schema: pa.Schema, found: sqlite3.Cursor) -> None:
        while rows := found.fetchmany(100_000):
            values: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
            columns = [_array(column, item.type) for column, item in zip(values, schema, strict=True)]
            append(self.connection, relation, pa.table(columns, schema=schema))


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """Return a column of a type; SQLite has numbers for truth."""
    return pa.array(values, pa.int64()).cast(kind) if pa.types.is_boolean(kind) else pa.array(values, kind)


@contextmanager
def open_narrow(
    data_dir: Path, folder: Path, ranking: Ranking, threads: int, dids: Sequence[str], *, window_hours: float
) -> Iterator[Narrow]:
    """Open the stores for a few viewers; ``wanted_viewers`` are those of them who are known and active."""
    connection = open_duckdb(folder, threads, int(ranking.memory_limit_gb * 1024))
    landing = connect(places.landing(data_dir), read_only=True)
    try:
        landing.execute("BEGIN")
        narrow = Narrow(connection, landing, data_dir, window_hours)
        since_us = int(narrow.snapshot_us - ranking.post_max_age_hours * HOUR_US)
        named = [*dids, *_read_activity(connection, places.activity(data_dir), dids, since_us)]
        narrow.know_named(named)
        with registered(connection, wanted_dids=pa.table({"did": pa.array(dids, pa.string())})):
            connection.execute(
                "CREATE TABLE wanted_viewers AS SELECT a.actor_id AS viewer_id FROM actors AS a "
                "SEMI JOIN wanted_dids AS w ON w.did = a.did WHERE a.status = 0"
            )
        sql_steps.prepare(connection, ranking, narrow.snapshot_us)
        sql_steps.set_variables(connection, {"window_hours": window_hours})
        yield narrow
    finally:
        landing.close()
        connection.close()


def _read_activity(
    connection: duckdb.DuckDBPyConnection, path: Path, dids: Sequence[str], since_us: int
) -> list[str]:
    """Fill ``visits`` and ``interactions`` with these viewers'; return the DIDs of authors whom they answered."""
    if not has_tables(path, "visits", "interactions"):
        return []
    activity = connect(path, read_only=True)
    try:
        asked = {"dids": json.dumps(list(dids)), "since_us": since_us}
        visits = activity.execute(sql.load("activity/visits_of"), asked).fetchall()
        answers = activity.execute(sql.load("activity/answers_of"), asked).fetchall()
    finally:
        activity.close()
    if visits:
        connection.executemany("INSERT INTO visits VALUES (?, ?, ?)", visits)
    if answers:
        connection.executemany("INSERT INTO interactions VALUES (?, ?, ?)", answers)
    return [uri.split("/")[2] for _, uri, _ in answers if uri.startswith("at://") and uri.count("/") > 2]
