"""removals.sqlite: what was taken back or withheld since lists were made of it, so that pages do without it at once.

Owns: writing it, and its bounds. Leaves to others: what the operator's rules hide (``operator_rules``), the truth
about posts and accounts (``landing``), reading (``serving.lists.removed_posts``,
``serving.identity.changed_identities``), and lists without them, which the next run makes.

It is written within the transaction of landing.sqlite that stores the same events, and commits first. When the process
dies between the two, the stream tells the events again, and nothing changes. The file may be deleted: then what was
taken back leaves pages with the next run.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import sql
from pipeline.identifiers import tid_at
from pipeline.store.model import DAY_US, POST_DAYS, WithheldBy
from sql import places
from sql.sqlite import open_migrated, transaction

# A removed post or hidden author takes 17 bytes (bench_removals.py), a withheld one 25, an identity some 110: together
# 200 MB at most.
# What is beyond leaves pages with the next run.
POSTS_MAX, AUTHORS_MAX, IDENTITIES_MAX = 4_000_000, 1_000_000, 100_000
WITHHELD_MAX = 2_000_000  # posts, and as many authors
IDENTITY_US = 2 * DAY_US  # a key is believed for a day
EVERY_POST = (1 << 63) - 1
_TABLES = {
    "removed_posts": (POSTS_MAX, "removals/drop_oldest_posts"),
    "hidden_authors": (AUTHORS_MAX, "removals/drop_oldest_authors"),
    "changed_identities": (IDENTITIES_MAX, "removals/drop_oldest_identities"),
    "withheld_posts": (WITHHELD_MAX, "removals/drop_oldest_withheld_posts"),
    "withheld_authors": (WITHHELD_MAX, "removals/drop_oldest_withheld_authors"),
}


class Removals:
    """The store of removals beside a landing store, opened for writing by whoever writes that one."""

    def __init__(self, data_dir: Path) -> None:
        self._connection = open_migrated(places.removals(data_dir), "removals")
        self._added = POSTS_MAX  # rows since they were counted; they are counted at the first pruning

    def start_anew(self) -> None:
        """Forget everything: it is of another landing.sqlite, with other numbers for actors."""
        with transaction(self._connection):
            for table in (*_TABLES, "ruled_accounts", "ruled_posts", "rules_in_force"):
                self._connection.execute(f"DELETE FROM {table}")

    def note(self, landing: sqlite3.Connection, actors: Sequence[int], identities: Sequence[str]) -> None:
        """Take over what landing.sqlite now says of its staged posts and of some actors, and who changed their keys."""
        now_us = time.time_ns() // 1000
        posts = landing.execute(sql.load("landing/changed_posts")).fetchall()
        if not posts and not actors and not identities:
            return
        # A key of the future would be the last to be dropped.
        latest = tid_at(now_us + DAY_US)
        deleted = [(rkey, author) for rkey, author, is_deleted in posts if is_deleted and rkey < latest]
        remade = [(rkey, author) for rkey, author, is_deleted in posts if not is_deleted]
        hidden, active = _statuses(landing, actors, now_us)
        with transaction(self._connection):
            many = self._connection.executemany
            many("INSERT OR IGNORE INTO removed_posts VALUES (?, ?)", deleted)
            many("DELETE FROM removed_posts WHERE rkey = ? AND author_id = ?", remade)
            many(sql.load("removals/hide_author"), hidden)
            many("DELETE FROM hidden_authors WHERE author_id = ?", active)
            changed = [{"did": did, "changed_us": now_us} for did in identities]
            many(sql.load("removals/note_identity"), changed)
        self._added += len(deleted) + len(hidden) + len(identities)

    def withhold(
        self, cause: WithheldBy, posts: Iterable[tuple[int, int, int]], authors: Iterable[tuple[int, int]]
    ) -> None:
        """Take over from whom posts (rkey, author, level) and all posts of authors (author, level) are withheld.

        This is for one cause: what others say of the same posts remains. WithheldFrom 0 ends it.
        """
        now_us, many = time.time_ns() // 1000, self._connection.executemany
        of_posts = [
            {"rkey": rkey, "author_id": author, "cause": int(cause), "level": int(level)}
            for rkey, author, level in posts
        ]
        of_authors = [
            {"author_id": author, "cause": int(cause), "level": int(level), "changed_us": now_us}
            for author, level in authors
        ]
        if not of_posts and not of_authors:
            return
        with transaction(self._connection):
            many(sql.load("removals/withhold_post"), [row for row in of_posts if row["level"]])
            many(sql.load("removals/withhold_author"), [row for row in of_authors if row["level"]])
            ended = "DELETE FROM {} WHERE cause = :cause AND author_id = :author_id"
            many(
                f"{ended.format('withheld_posts')} AND rkey = :rkey",
                [row for row in of_posts if not row["level"]],
            )
            many(ended.format("withheld_authors"), [row for row in of_authors if not row["level"]])
        self._added += len(of_posts) + len(of_authors)

    def end(self, cause: WithheldBy) -> None:
        """Let nothing be withheld for a cause."""
        with transaction(self._connection):
            for table in ("withheld_posts", "withheld_authors"):
                self._connection.execute(f"DELETE FROM {table} WHERE cause = ?", (int(cause),))

    def prune(self, low_us: int) -> int:
        """Remove what no list can name any more, and what is beyond the bounds; return how many rows."""
        now_us, execute = time.time_ns() // 1000, self._connection.execute
        with transaction(self._connection):
            before = tid_at(max(low_us - POST_DAYS * DAY_US, 0))
            removed = 0
            for table in ("removed_posts", "withheld_posts"):
                removed += execute(f"DELETE FROM {table} WHERE rkey < ?", (before,)).rowcount
            for table, kept_us in (
                ("hidden_authors", POST_DAYS * DAY_US),
                ("withheld_authors", POST_DAYS * DAY_US),
                ("changed_identities", IDENTITY_US),
            ):
                query = f"DELETE FROM {table} WHERE changed_us < ?"
                removed += execute(query, (now_us - kept_us,)).rowcount
            if self._added > IDENTITIES_MAX // 10:  # counting takes a moment
                self._added = 0
                for table, (most, statement) in _TABLES.items():
                    rows = execute(f"SELECT count(*) FROM {table}").fetchone()[0] - most
                    if rows > 0:
                        removed += execute(sql.load(statement), {"rows": rows}).rowcount
        return removed

    def close(self) -> None:
        """Close the store."""
        self._connection.close()


def show_again(data_dir: Path, author: int) -> None:
    """Show the posts of an account again that were deleted with it: its repository was imported again."""
    with closing(open_migrated(places.removals(data_dir), "removals")) as connection, transaction(connection):
        query = "DELETE FROM hidden_authors WHERE author_id = ? AND until_rkey < ?"
        connection.execute(query, (author, EVERY_POST))


def _statuses(
    landing: sqlite3.Connection, actors: Sequence[int], now_us: int
) -> tuple[list[dict[str, int]], list[tuple[int]]]:
    """Return which of some actors' posts are hidden, and which actors have none that are."""
    hidden: list[dict[str, int]] = []
    active: list[tuple[int]] = []
    query = (
        "SELECT actor_id, status, deleted_us FROM actors WHERE actor_id IN (SELECT value FROM json_each(?))"
    )
    for actor, status, deleted_us in landing.execute(query, (json.dumps(sorted(set(actors))),)):
        if status or deleted_us:
            until = EVERY_POST if status else tid_at(deleted_us)
            hidden.append({"author_id": actor, "until_rkey": until, "changed_us": now_us})
        else:
            active.append((actor,))
    return hidden, active
