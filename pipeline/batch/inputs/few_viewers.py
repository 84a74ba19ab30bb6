"""The frozen input of a run for a few viewers: the likes that can matter to them, and no others.

Owns: picking like records by liker and by post, what is known of the posts and actors in them, and the relations of
``sql/batch/inputs.sql`` as far as these go. Leaves to others: which likers and posts, and what is made of them
(``few_viewers_job``). The same SQL runs over it as over a whole snapshot.

Invariant: rows of landing.sqlite come from one read transaction, and the lake's files are held from then on, so
compaction may go on beside the run (``lake.reader`` has the rule).
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.snapshot import Snapshot, name_viewers, read_rules
from pipeline.lake.held import DayFiles, held_lake
from pipeline.lake.reader import (
    CLAIMED,
    STATEMENT_SCHEMA,
    STATEMENTS,
    WORD_SCHEMA,
    late_words,
    make_changes,
)
from pipeline.ranking import Ranking
from pipeline.store.duck import append, count, open_duckdb, registered
from pipeline.store.model import HOUR_US, NAMED_DAY, day_of, keys_of_day
from sql import places
from sql.sqlite import connect, has_tables, tables

ROWS = 100_000  # at a time from SQLite


class FewViewersInputs:
    """A DuckDB with the inputs of a few viewers, filled step by step; ``open_few_viewers`` makes one."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        landing: sqlite3.Connection,
        held: Mapping[int, DayFiles],
        window_hours: float,
    ) -> None:
        self.connection, self._landing = connection, landing
        self.snapshot_us = int(landing.execute("SELECT seen_us FROM watermark").fetchone()[0])
        first_day = day_of(int(self.snapshot_us - window_hours * HOUR_US))
        self._since = {
            "first_rkey": keys_of_day(max(first_day, 0))[0],
            "named_rkey": keys_of_day(NAMED_DAY)[1],
        }
        landing.execute("CREATE TEMP TABLE wanted_likers (actor_id INTEGER PRIMARY KEY)")
        landing.execute(
            "CREATE TEMP TABLE wanted_posts (post_rkey INTEGER, author_id INTEGER, PRIMARY KEY (post_rkey, author_id)) "
            "WITHOUT ROWID"
        )
        landing.execute("CREATE TEMP TABLE closed_days (from_rkey INTEGER PRIMARY KEY, until_rkey INTEGER)")
        landing.executemany("INSERT INTO temp.closed_days VALUES (?, ?)", [keys_of_day(day) for day in held])
        connection.execute(sql.load("batch/inputs"))
        connection.execute("ALTER TABLE like_records RENAME TO no_records")
        connection.execute(sql.load("lake/macros"))
        late = self._table(late_words(held, first_day), WORD_SCHEMA)
        make_changes(connection, held, first_day, late, self._table(STATEMENTS, STATEMENT_SCHEMA))
        files = [
            str(files.likes) for day, files in held.items() if day >= first_day and files.likes is not None
        ]
        self._has_files = bool(files)
        connection.execute("SET VARIABLE lake_files = ?", [files])

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
        """Make ``posts`` and ``withheld`` of what is known of the posts that a query (author_id, post_rkey) names."""
        self._want("posts", "post_rkey, author_id", posts)
        self.connection.execute("DELETE FROM posts")
        self._append("posts", self._landing.execute(sql.load("few_viewers/posts")))
        self.connection.execute("DELETE FROM withheld")
        self._append("withheld", self._landing.execute(sql.load("few_viewers/withheld")))

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
        words = self._table(sql.load(f"few_viewers/likes_of_{kind}"), WORD_SCHEMA, self._since)
        with registered(self.connection, open_words=words):
            execute(f"CREATE OR REPLACE TABLE {relation} AS {sql.load('lake/open_likes')}")
        keys = "w.actor_id = l.liker_id"
        if kind == "posts":
            keys = "w.author_id = l.author_id AND w.post_rkey = l.post_rkey"
        execute(
            f"INSERT INTO {relation} SELECT l.* FROM changed_likes AS l SEMI JOIN wanted_{kind} AS w ON {keys}"
        )
        found = f"FROM ({CLAIMED.format(relation)}) ANTI JOIN claimed_likes USING (liker_id, rkey)"
        execute(f"INSERT INTO claimed_likes {found}")
        execute(f"ALTER TABLE {relation} DROP COLUMN claimed")
        if self._has_files:
            execute(sql.load(f"few_viewers/lake_likes_of_{kind}"))
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

    def _table(self, query: str, schema: pa.Schema, parameters: Mapping[str, int] | None = None) -> pa.Table:
        found = self._landing.execute(query, parameters or {})
        batches = []
        while rows := found.fetchmany(ROWS):
            columns = [
                pa.array(column, field.type)
                for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            batches.append(pa.record_batch(columns, schema=schema))
        return pa.Table.from_batches(batches, schema)

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
    stack = ExitStack()
    try:
        landing.execute("BEGIN")
        landing.execute("SELECT seen_us FROM watermark").fetchone()  # the transaction begins with a read
        held = stack.enter_context(held_lake(data_dir))
        inputs = FewViewersInputs(connection, landing, held, window_hours)
        since = {
            "since_us": int(inputs.snapshot_us - window_hours * HOUR_US),
            "created_us": int(inputs.snapshot_us - ranking.post_max_age_hours * HOUR_US),
        }
        authors = _read_activity(connection, places.activity(data_dir), dids, since)
        inputs.add_actors_by_did([*dids, *authors])
        name_viewers(connection, dids)
        read_rules(connection, data_dir)
        sql_steps.prepare(connection, ranking, inputs.snapshot_us)
        sql_steps.set_variables(connection, {"window_hours": window_hours})
        yield inputs
    finally:
        landing.close()
        connection.close()
        stack.close()


def _read_activity(
    connection: duckdb.DuckDBPyConnection, path: Path, dids: Sequence[str], since: Mapping[str, int]
) -> list[str]:
    """Fill ``visits`` and ``interactions`` with these viewers'; return the DIDs of authors they answered."""
    if not has_tables(path, "visits", "interactions"):
        return []
    activity = connect(path, read_only=True)
    try:
        whose = {"dids": json.dumps(list(dids))}
        visits = activity.execute(sql.load("activity/visits_of"), whose).fetchall()
        answers = activity.execute(sql.load("activity/answers_of"), {**whose, **since}).fetchall()
        own = []
        if "viewer_settings" in tables(activity):  # not before the web app of this version has begun
            own = activity.execute(sql.load("activity/settings_of"), whose).fetchall()
    finally:
        activity.close()
    if own:
        connection.executemany("INSERT INTO own_settings VALUES (?, ?, ?)", own)
    if visits:
        connection.executemany("INSERT INTO visits VALUES (?, ?, ?)", visits)
    if answers:
        connection.executemany("INSERT INTO interactions VALUES (?, ?, ?)", answers)
    return [uri.split("/")[2] for _, uri, _ in answers if uri.startswith("at://") and uri.count("/") > 2]
