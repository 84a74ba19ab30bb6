"""The frozen input of a run for a few viewers: the likes that can matter to them, and no others.

Owns: picking like records by liker and by post, what is known of the posts in them, and the relations of
``sql/batch/inputs.sql`` as far as these go. Leaves to others: which likers and posts, and what is made of them
(``few_viewers_job``); which records there are (``lake.reader``). The same SQL runs over it as over a whole snapshot.

The parts of a run, neighbours and then each variant's lists, share what takes longest: the likes of the days that have
no file yet. They are in DuckDB's schema ``main``; each part makes its own relations in the schema ``part``.

Invariant: rows of landing.sqlite come from one read transaction, and the lake's files are held from then on, so
compaction may go on beside the run (``lake.reader`` has the rule).
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import duckdb

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.snapshot import (
    Snapshot,
    add_actors_by_did,
    answered_authors,
    name_viewers,
    read_rules,
)
from pipeline.lake.held import held_lake
from pipeline.lake.reader import keys_from, name_lake_files, read_like_records
from pipeline.ranking import Ranking
from pipeline.store.arrow import Reader, reading
from pipeline.store.duck import append, count, open_duckdb, put
from pipeline.store.model import HOUR_US, day_of
from sql import places
from sql.sqlite import connect, has_tables, tables

# By what the records of wanted likers and posts are found.
KEYS = {
    "likers": "w.actor_id = l.liker_id",
    "posts": "w.author_id = l.author_id AND w.post_rkey = l.post_rkey",
}


class FewViewersInputs:
    """A DuckDB with the inputs of a few viewers, filled step by step; the first part opens the stores."""

    connection: duckdb.DuckDBPyConnection
    snapshot_us: int
    _landing: Reader

    def __init__(self, data_dir: Path, ranking: Ranking, threads: int, window_hours: float) -> None:
        """Take the longest window of any part."""
        self.folder = places.working(data_dir, "waiting")
        self._data_dir, self._window_hours = data_dir, window_hours
        self._threads, self._memory_mb = threads, int(ranking.memory_limit_gb * 1024)
        self._stack, self._is_open = ExitStack(), False

    def close(self) -> None:
        """Close the stores."""
        self._stack.close()

    def begin_part(self, ranking: Ranking, dids: Sequence[str], window_hours: float) -> None:
        """Make the inputs of these viewers in place of the former; ``wanted_viewers`` are those known and active."""
        if not self._is_open:
            self._open()
        execute, first_day = self.connection.execute, self._first_day(window_hours)
        execute("DROP SCHEMA IF EXISTS part CASCADE; CREATE SCHEMA part; SET search_path = 'part,main'")
        execute(sql.load("batch/inputs"))
        for relation in ("like_records", "claimed_likes", "changes", "statements"):
            execute(f"DROP TABLE {relation}")
        for relation in ("landed_likes", "claimed_likes"):
            execute(f"CREATE VIEW {relation} AS FROM main.{relation} WHERE {keys_from(first_day)}")
        self._lake_files = name_lake_files(self.connection, self._held, first_day)
        execute("INSERT INTO actors FROM hidden_actors")
        since = {
            "since_us": int(self.snapshot_us - window_hours * HOUR_US),
            "created_us": int(self.snapshot_us - ranking.post_max_age_hours * HOUR_US),
        }
        _read_activity(self.connection, places.activity(self._data_dir), dids, since)
        add_actors_by_did(self.connection, self._landing, [*dids, *answered_authors(self.connection, dids)])
        name_viewers(self.connection, dids)
        read_rules(self.connection, self._data_dir)
        sql_steps.prepare(self.connection, ranking, self.snapshot_us)
        sql_steps.set_variables(self.connection, {"window_hours": window_hours})

    def likes_of_likers(self, relation: str, likers: str) -> int:
        """Make a relation of the like records of the actors that a query names, without what an unlike undoes.

        Return its rows.
        """
        return self._pick(relation, "likers", likers)

    def likes_of_posts(self, relation: str, posts: str) -> int:
        """Do the same for the posts that a query (author_id, post_rkey) names."""
        return self._pick(relation, "posts", posts)

    def set_posts(self, posts: str) -> None:
        """Make ``posts`` and ``withheld`` of what is known of the posts that a query (author_id, post_rkey) names."""
        self._look_up("wanted_posts", f"SELECT DISTINCT post_rkey, author_id FROM ({posts}) ORDER BY ALL")
        for relation in ("posts", "withheld"):
            self.connection.execute(f"DELETE FROM {relation}")
            append(self.connection, relation, self._landing.stream(sql.load(f"few_viewers/{relation}")))

    def snapshot(self) -> Snapshot:
        """Return these inputs in the form of a whole snapshot."""
        return Snapshot(self.connection, self.snapshot_us, [], 0)

    def _open(self) -> None:
        """Read what all parts share."""
        self.connection = open_duckdb(self.folder, self._threads, self._memory_mb)
        self._stack.callback(self.connection.close)
        self._landing = self._stack.enter_context(reading(places.landing(self._data_dir)))
        # The transaction begins with a read.
        self.snapshot_us = self._landing.number("SELECT seen_us FROM watermark")
        self._held = self._stack.enter_context(held_lake(self._data_dir))
        first_day = self._first_day(self._window_hours)
        read_like_records(self.connection, self._landing, self._held, first_day)
        put(self.connection, "hidden_actors", self._landing.stream(sql.load("few_viewers/hidden_actors")))
        self._is_open = True

    def _first_day(self, window_hours: float) -> int:
        return day_of(int(self.snapshot_us - window_hours * HOUR_US))

    def _pick(self, relation: str, kind: str, wanted: str) -> int:
        execute = self.connection.execute
        execute(f"CREATE OR REPLACE TABLE wanted_{kind} AS SELECT DISTINCT * FROM ({wanted})")
        execute(
            f"CREATE OR REPLACE TABLE {relation} AS SELECT l.* EXCLUDE (claimed) FROM landed_likes AS l "
            f"SEMI JOIN wanted_{kind} AS w ON {KEYS[kind]}"
        )
        if self._lake_files:
            execute(sql.load(f"few_viewers/lake_likes_of_{kind}"))
            execute(f"INSERT INTO {relation} {sql.load('few_viewers/like_records')}")
            execute("DROP TABLE lake_records")
        return count(self.connection, relation)

    def _look_up(self, table: str, query: str) -> None:
        """Give landing.sqlite the rows of a query as a temporary table."""
        self._landing.put(table, self.connection.sql(query).to_arrow_table())


def _read_activity(
    connection: duckdb.DuckDBPyConnection, path: Path, dids: Sequence[str], since: Mapping[str, int]
) -> None:
    """Fill ``visits``, ``interactions`` and ``own_settings`` with these viewers'."""
    if not has_tables(path, "visits", "interactions"):
        return
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
