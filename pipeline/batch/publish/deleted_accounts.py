"""Deleted accounts in serving.sqlite: their lists are deleted, and the web app learns whose activity to delete.

Owns: which lists and whose activity, and the table ``deleted_viewers``. Leaves to others: their likes
(``lake.rewrite``), their activity (``serving.viewers.activity_retention``, since the web app is the one writer of
activity.sqlite), and lists of other viewers that name their posts, which the next run makes without them.

Invariant: an account that comes back after a deletion keeps everything that came after it.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sql
from pipeline.progress import Step
from pipeline.store.arrow import reading
from pipeline.store.model import DAY_US, AccountStatus
from sql import places
from sql.sqlite import has_tables, transaction


def remove_deleted_accounts(data_dir: Path, serving: sqlite3.Connection) -> Iterator[Step]:
    """Delete the lists of deleted accounts, and record the viewers among them, in one transaction."""
    with reading(places.landing(data_dir)) as reader:
        watermark_us = reader.number("SELECT seen_us FROM watermark")
        accounts = reader.table(
            "SELECT actor_id, did, status, deleted_us FROM actors "
            f"WHERE deleted_us > {watermark_us - places.ACTIVITY_DAYS * DAY_US}"
        ).to_pylist()
    if not accounts:
        return
    lists = [(row["actor_id"],) for row in accounts if row["status"] == AccountStatus.DELETED]
    viewers = _viewers(data_dir)
    notes = [
        {"viewer_did": row["did"], "deleted_us": row["deleted_us"]}
        for row in accounts
        if row["did"] in viewers
    ]
    with transaction(serving):
        serving.execute("CREATE TEMP TABLE deleted (viewer_id INTEGER PRIMARY KEY)")
        serving.executemany("INSERT INTO temp.deleted VALUES (?)", lists)
        removed = serving.execute(sql.load("serving/delete_lists")).rowcount
        serving.execute("DELETE FROM viewers WHERE viewer_id IN (SELECT viewer_id FROM temp.deleted)")
        serving.execute("DROP TABLE temp.deleted")
        serving.executemany(sql.load("serving/add_deleted_viewer"), notes)
        before_us = watermark_us - places.ACTIVITY_DAYS * DAY_US
        serving.execute("DELETE FROM deleted_viewers WHERE deleted_us <= ?", (before_us,))
    yield "lists of deleted accounts", removed


def _viewers(data_dir: Path) -> set[str]:
    """Return everybody who opened a feed, as far as activity.sqlite has it."""
    path = places.activity(data_dir)
    if not has_tables(path, "visits"):
        return set()
    with reading(path) as reader:
        return set(reader.table("SELECT DISTINCT viewer_did FROM visits").column(0).to_pylist())
