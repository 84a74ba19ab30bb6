"""The frozen input of a run for a few viewers: the likes that can matter to them, and no others.

Owns: picking like records by liker and by post, what is known of the posts and actors in them, and the relations of
``sql/batch/inputs.sql`` as far as these go. Leaves to others: which likers and posts, and what is made of them
(``few_viewers_job``). The same SQL runs over it as over a whole snapshot.

Invariant: rows of landing.sqlite come from one read transaction. A compaction may go on beside the run. A day's
file in the lake is complete whenever it is there. A day without one when the transaction began is read from
landing, even if it gets its file during the run. A file that is replaced or removed ends the run, and the next run
sees the lake as it is then.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.snapshot import Snapshot, name_viewers
from pipeline.identifiers import tid_at
from pipeline.ranking import Ranking
from pipeline.store.duck import append, count, open_duckdb
from pipeline.store.model import DAY_US, HOUR_US, day_of
from sql import places
from sql.sqlite import connect, has_tables

ROWS = 100_000  # at a time from SQLite


class FewViewersInputs:
    """A DuckDB with the inputs of a few viewers, filled step by step; ``open_few_viewers`` makes one."""

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
        first_us = first_day * DAY_US
        self._since = {"first_day": first_day, "first_us": first_us, "first_rkey": tid_at(first_us)}
        closed = sorted(places.closed_days(data_dir))
        landing.execute("CREATE TEMP TABLE wanted_likers (actor_id INTEGER PRIMARY KEY)")
        landing.execute(
            "CREATE TEMP TABLE wanted_posts (post_rkey INTEGER, author_id INTEGER, PRIMARY KEY (post_rkey, author_id)) "
            "WITHOUT ROWID"
        )
        landing.execute("CREATE TEMP TABLE closed_days (day INTEGER PRIMARY KEY)")
        landing.executemany("INSERT INTO temp.closed_days VALUES (?)", [(day,) for day in closed])
        self._files = [str(places.likes(data_dir, day)) for day in closed if day >= first_day]
        self._unlikes = [str(path) for path in places.unlikes_files(data_dir, first_day)]
        connection.execute(sql.load("batch/inputs"))
        connection.execute("ALTER TABLE like_records RENAME TO no_records")
        connection.execute(sql.load("lake/macros"))
        connection.execute("SET VARIABLE lake_files = ?", [self._files])
        connection.execute("SET VARIABLE unlike_files = ?", [self._unlikes])
        connection.execute("CREATE TABLE landed_unlikes AS FROM unlikes")
        if self._files:
            query = "SELECT liker_id, rkey, seen_us FROM unlikes WHERE found_open_like <> 1"
            self._append("landed_unlikes", landing.execute(query))

    def likes_of_likers(self, relation: str, likers: str) -> int:
        """Make a relation of the like records of the actors that a query names, without what an unlike undoes.

        Return its rows.
        """
        self._want("likers", "actor_id", likers)
        return self._pick(relation, "likers")

    def likes_of_posts(self, relation: str, posts: str) -> int:
        """Do the same for the posts that a query (author_id, post_rkey) names."""
        self._want("posts", "post_rkey, author_id", posts)
        return self._pick(relation, "posts")

    def set_posts(self, posts: str) -> None:
        """Make ``posts`` of what is known of the posts that a query (author_id, post_rkey) names."""
        self._want("posts", "post_rkey, author_id", posts)
        self.connection.execute("DELETE FROM posts")
        self._append("posts", self._landing.execute(sql.load("few_viewers/posts")))

    def add_actors(self, actors: str) -> None:
        """Add the actors that a query names to ``actors``."""
        self._want("likers", "actor_id", f"FROM ({actors}) ANTI JOIN actors AS k USING (actor_id)")
        self._append("actors", self._landing.execute(sql.load("few_viewers/actors")))

    def add_actors_by_did(self, dids: Sequence[str]) -> None:
        """Add the actors with these DIDs to ``actors``."""
        named = {"dids": json.dumps(sorted(set(dids)))}
        self._append("actors", self._landing.execute(sql.load("few_viewers/actors_by_did"), named))

    def snapshot(self) -> Snapshot:
        """Return these inputs in the form of a whole snapshot."""
        return Snapshot(self.connection, self.snapshot_us, [], 0)

    def _pick(self, relation: str, kind: str) -> int:
        execute = self.connection.execute
        execute(f"CREATE OR REPLACE TABLE {relation} AS FROM no_records")
        found = self._landing.execute(sql.load(f"few_viewers/likes_of_{kind}"), self._since)
        self._append(relation, found)
        if self._files:
            execute(sql.load(f"few_viewers/lake_likes_of_{kind}"))
            execute("CREATE OR REPLACE TABLE unlikes AS FROM landed_unlikes")
            if self._unlikes:
                execute(sql.load("few_viewers/add_lake_unlikes"))
            execute(f"INSERT INTO {relation} {sql.load('few_viewers/like_records')}")
            execute("DROP TABLE lake_records")
        return count(self.connection, relation)

    def _want(self, kind: str, key: str, query: str) -> None:
        """Name the likers or posts of a query in both databases, as ``wanted_likers`` or ``wanted_posts``."""
        table = f"wanted_{kind}"
        self.connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT DISTINCT {key} FROM ({query})")
        rows = self.connection.execute(f"FROM {table}").fetchall()
        self._landing.execute(f"DELETE FROM temp.{table}")
        marks = ", ".join("?" * len(key.split(", ")))
        self._landing.executemany(f"INSERT INTO temp.{table} VALUES ({marks})", rows)

    def _append(self, relation: str, found: sqlite3.Cursor) -> None:
        names = [column[0] for column in found.description]
        while rows := found.fetchmany(ROWS):
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            append(self.connection, relation, pa.table(columns, names=names))


@contextmanager
def open_few_viewers(
    data_dir: Path, folder: Path, ranking: Ranking, threads: int, dids: Sequence[str], *, window_hours: float
) -> Iterator[FewViewersInputs]:
    """Open the stores for a few viewers; ``wanted_viewers`` are those of them who are known and active."""
    connection = open_duckdb(folder, threads, int(ranking.memory_limit_gb * 1024))
    landing = connect(places.landing(data_dir), read_only=True)
    try:
        landing.execute("BEGIN")
        inputs = FewViewersInputs(connection, landing, data_dir, window_hours)
        since_us = int(inputs.snapshot_us - ranking.post_max_age_hours * HOUR_US)
        authors = _read_activity(connection, places.activity(data_dir), dids, since_us)
        inputs.add_actors_by_did([*dids, *authors])
        name_viewers(connection, dids)
        sql_steps.prepare(connection, ranking, inputs.snapshot_us)
        sql_steps.set_variables(connection, {"window_hours": window_hours})
        yield inputs
    finally:
        landing.close()
        connection.close()


def _read_activity(
    connection: duckdb.DuckDBPyConnection, path: Path, dids: Sequence[str], since_us: int
) -> list[str]:
    """Fill ``visits`` and ``interactions`` with these viewers'; return the DIDs of authors they answered."""
    if not has_tables(path, "visits", "interactions"):
        return []
    activity = connect(path, read_only=True)
    try:
        whose = {"dids": json.dumps(list(dids)), "since_us": since_us}
        visits = activity.execute(sql.load("activity/visits_of"), whose).fetchall()
        answers = activity.execute(sql.load("activity/answers_of"), whose).fetchall()
    finally:
        activity.close()
    if visits:
        connection.executemany("INSERT INTO visits VALUES (?, ?, ?)", visits)
    if answers:
        connection.executemany("INSERT INTO interactions VALUES (?, ?, ?)", answers)
    return [uri.split("/")[2] for _, uri, _ in answers if uri.startswith("at://") and uri.count("/") > 2]
