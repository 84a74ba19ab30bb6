"""Words about likes into landing.sqlite, by the one rule: what whoever reports any does in their own transaction.

Owns: the number of a commit that reports words, which word about a record is kept (``sql/landing/settle_words.sql``),
how many likes were reported of each day, and statements. Leaves to others: where words come from, and the transaction.

A store opened for it has the temporary tables of ``sql/landing/staging_tables.sql``.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable

import sql
from pipeline.store.model import day_of_key

# A row of staged_words: liker, rkey, author, post_rkey, seen_us, rev, marks. Without an author the record is deleted.
WordRow = tuple[int, int, int | None, int | None, int, int, int]

ALL_KEYS = -(1 << 63)  # the smallest key: a statement from here on is about all records of an actor

STAGE_WORD = "INSERT INTO staged_words VALUES (?, ?, ?, ?, ?, ?, ?)"


def next_commit(connection: sqlite3.Connection) -> int:
    """Return the number of this commit; a file of the lake names the last one whose words are in it."""
    query = "UPDATE last_commit SET commit_no = commit_no + 1 RETURNING commit_no"
    return int(connection.execute(query).fetchone()[0])


def settle(connection: sqlite3.Connection, words: Iterable[WordRow], commit_no: int) -> None:
    """Keep the last word about each record, of these and of what is stored."""
    connection.executemany(STAGE_WORD, words)
    connection.execute(sql.load("landing/settle_words"), {"commit_no": commit_no, "all": 1})
    connection.execute("DELETE FROM staged_words")


def count_likes(connection: sqlite3.Connection, rkeys: Iterable[int], known: int) -> None:
    """Count likes for the day of their key, for people: those that were known count for the day with the most."""
    for day, likes in Counter(map(day_of_key, rkeys)).most_common():
        connection.execute(sql.load("landing/count_day"), {"day": day, "change": likes - known})
        known = 0


def state_void(connection: sqlite3.Connection, actor: int, rev: int, from_rkey: int = ALL_KEYS) -> None:
    """Make an actor's words before a rev void, from a key on; runs in the caller's transaction."""
    parameters = {"actor": actor, "from_rkey": from_rkey, "rev": rev}
    connection.execute(sql.load("landing/forget_statements"), parameters)
    connection.execute(sql.load("landing/add_statement"), parameters)
