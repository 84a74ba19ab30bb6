"""Deleted accounts leave serving.sqlite: their lists go, and the web app is told to purge what they did.

Owns: whose lists and whose activity go, and the table ``deleted_viewers``. Leaves to others: their likes
(``rewrite``), what they did (activity.sqlite has one writer, the web app:
``serving.viewers.activity_retention``), lists of other viewers that name their posts, which the next run
makes without them.

Invariant: somebody who comes back after a deletion keeps what came after it.
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


def purge_departed(data_dir: Path, serving: sqlite3.Connection) -> Iterator[Step]:
    """Remove the lists of deleted accounts, and note the viewers among them, in one transaction."""
    with reading(places.landing(data_dir)) as reader:
        watermark_us = reader.number("SELECT seen_us FROM watermark")
        gone = reader.table(
            "SELECT actor_id, did, status, deleted_us FROM actors "
            f"WHERE deleted_us > {watermark_us - places.ACTIVITY_DAYS * DAY_US}"
        ).to_pylist()
    if not gone:
        return
    lists = [(row["actor_id"],) for row in gone if row["status"] == AccountStatus.DELETED]
    viewers = _viewers(data_dir)
    notes = [
        {"viewer_did": row["did"], "deleted_us": row["deleted_us"]} for row in gone if row["did"] in viewers
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
    """Return who ever asked for a feed, as far as activity.sqlite remembers."""
    path = places.activity(data_dir)
    if not has_tables(path, "visits"):
        return set()
    with reading(path) as reader:
        return set(reader.table("SELECT DISTINCT viewer_did FROM visits").column(0).to_pylist())
