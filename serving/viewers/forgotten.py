"""Forgetting a viewer: deleting what activity.sqlite has of them, and telling every worker.

Owns: which rows go, and the marks by which workers learn of it. Leaves to others: the bytes that stay in the file
(``sql.erasing``), what a worker holds in memory (``viewer_memory``, ``activity_writer``), and the other stores, which
``foryou viewer forget`` empties.

A mark is a hash of the DID and is kept for an hour: a worker's events of the viewer from before are then written or
dropped. Where several machines serve it is eight days, longer than any journal has an event. What the viewer does
afterwards is new and is kept.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import sql
from serving.viewers.activity_queue import Queued, ShownPage, Visit
from sql import erasing, sqlite

KEPT_US = 3_600_000_000
# Each table of viewers, and its time.
TABLES = {
    "interactions": "received_us",
    "taken_back": "received_us",
    "visits": "last_us",
    "impression_pages": "served_us",
    "viewer_settings": "changed_us",
    "forget_requests": "requested_us",
}


def mark_of(viewer: str) -> bytes:
    """Return what stands for a viewer in the table ``forgotten``."""
    return hashlib.blake2b(
        viewer.encode("utf-8", "surrogatepass"), digest_size=16, person=b"forgotten"
    ).digest()


def forget_activity(path: Path, viewer: str, at_us: int, *, busy_seconds: float = 60.0) -> dict[str, int]:
    """Delete what a viewer did up to a time, as far as it is written down; return the rows by table."""
    if not path.exists():
        return {}
    sqlite.open_migrated(path, "activity", busy_seconds=busy_seconds).close()
    with erasing.deleting(path, busy_seconds=busy_seconds) as connection:
        rows = {
            table: connection.execute(
                f"DELETE FROM {table} WHERE viewer_did = ? AND {time_us} <= ?", (viewer, at_us)
            ).rowcount
            for table, time_us in TABLES.items()
        }
        connection.execute(sql.load("activity/forget_taker"), {"viewer_did": viewer})
        connection.execute(sql.load("activity/mark_forgotten"), {"mark": mark_of(viewer), "at_us": at_us})
    return rows


def request_forgetting(path: Path, viewer: str, at_us: int) -> None:
    """Note that the next batch deletes what other stores have of a viewer; there is a store."""
    with closing(sqlite.connect(path, busy_seconds=2.0)) as connection:
        named = {"viewer_did": viewer, "requested_us": at_us}
        connection.execute(sql.load("activity/request_forgetting"), named)


def forgotten_since(connection: sqlite3.Connection, since_us: int) -> dict[bytes, int]:
    """Return the marks of viewers who were forgotten after a time, and when."""
    return dict(connection.execute("SELECT mark, at_us FROM forgotten WHERE at_us > ?", (since_us,)))


def prune_forgotten(connection: sqlite3.Connection, before_us: int) -> None:
    """Remove marks of before a time, which every worker knows by now."""
    connection.execute("DELETE FROM forgotten WHERE at_us < ?", (before_us,))


def remembered(batch: Sequence[Queued], marks: dict[bytes, int]) -> list[Queued]:
    """Return those events that came after their viewer was forgotten, or whose viewer was not."""
    if not marks:
        return list(batch)
    return [each for each in batch if _time_of(each) > marks.get(mark_of(each.event.viewer_did), -1)]


def _time_of(queued: Queued) -> int:
    event = queued.event
    if isinstance(event, Visit):
        return event.at_us
    return event.served_us if isinstance(event, ShownPage) else event.received_us
