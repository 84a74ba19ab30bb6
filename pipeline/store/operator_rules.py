"""The accounts and posts that the operator blocks or allows, as removals.sqlite has them for pages and the batch.

Owns: writing them, in one short transaction beside ingest's. Leaves to others: what the rules are
(``blocking.in_force``), reading them for a page (``serving.lists.removed_posts``) and for a run (``batch.inputs``).

Rules name accounts by their DIDs. Lists name authors by landing.sqlite's numbers, which an account gets when the stream
first tells of it: so numbers are looked up each time.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import sql
from sql import places
from sql.sqlite import connect, has_tables, open_migrated, rows_of, transaction

PostName = tuple[str, int]  # author's DID, record key


class RuledNames(NamedTuple):
    """Whether the accounts and posts that rules name are blocked (True) or allowed."""

    accounts: Mapping[str, bool]
    posts: Mapping[PostName, bool]


class OperatorRules:
    """The rules in removals.sqlite, open for writing within a ``with closing(…)`` block."""

    def __init__(self, data_dir: Path) -> None:
        self._landing = places.landing(data_dir)
        self._connection = open_migrated(places.removals(data_dir), "removals")

    @property
    def files(self) -> str:
        """The text that ``replace`` was last given, '' when there is none."""
        row = self._connection.execute("SELECT files FROM rules_in_force").fetchone()
        return row[0] if row else ""

    def replace(self, files: str, names: RuledNames) -> None:
        """Make these the rules; ``files`` says what they were made of. Rows that stay are not written again."""
        numbers = self._numbers({*names.accounts, *(did for did, _ in names.posts)})
        accounts = {(did, numbers.get(did), int(blocked)) for did, blocked in names.accounts.items()}
        posts = {(did, rkey, numbers.get(did), int(blocked)) for (did, rkey), blocked in names.posts.items()}
        execute, many = self._connection.execute, self._connection.executemany
        with transaction(self._connection):
            before = set(execute("SELECT did, author_id, blocked FROM ruled_accounts"))
            many("DELETE FROM ruled_accounts WHERE did = ?", [row[:1] for row in before - accounts])
            many("INSERT INTO ruled_accounts VALUES (?, ?, ?)", accounts - before)
            former = set(execute("SELECT did, rkey, author_id, blocked FROM ruled_posts"))
            many("DELETE FROM ruled_posts WHERE did = ? AND rkey = ?", [row[:2] for row in former - posts])
            many("INSERT INTO ruled_posts VALUES (?, ?, ?, ?)", posts - former)
            execute("INSERT OR REPLACE INTO rules_in_force VALUES (1, ?)", (files,))

    def number_authors(self) -> None:
        """Note the numbers of accounts that landing.sqlite has come to know."""
        unknown = self._connection.execute(sql.load("removals/unnumbered_authors")).fetchall()
        found = [(number, did) for did, number in self._numbers({did for (did,) in unknown}).items()]
        if found:
            with transaction(self._connection):
                self._connection.executemany("UPDATE ruled_accounts SET author_id = ? WHERE did = ?", found)
                self._connection.executemany("UPDATE ruled_posts SET author_id = ? WHERE did = ?", found)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def _numbers(self, dids: set[str]) -> dict[str, int]:
        if not dids:
            return {}
        return dict(rows_of(self._landing, sql.load("landing/actor_ids"), {"dids": json.dumps(sorted(dids))}))


def ruled(data_dir: Path) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """Return (author id, blocked) of ruled accounts and (author id, record key, blocked) of ruled posts."""
    path = places.removals(data_dir)
    if not has_tables(path, "ruled_accounts", "ruled_posts"):
        return [], []
    with closing(connect(path, read_only=True)) as store:
        accounts = "SELECT author_id, blocked FROM ruled_accounts WHERE author_id IS NOT NULL"
        posts = "SELECT author_id, rkey, blocked FROM ruled_posts WHERE author_id IS NOT NULL"
        return store.execute(accounts).fetchall(), store.execute(posts).fetchall()
