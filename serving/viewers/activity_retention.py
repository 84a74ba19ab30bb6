"""How long activity.sqlite keeps what viewers did.

Owns: the bounds, and removing what is beyond them, a little at a time, within the writer's transactions. Leaves to
others: writing (``activity_writer``), and putting days of impressions into the lake, which the batch does.

Invariants: interactions and visits are kept for 90 days, and of one viewer the newest 10,000 interactions. A day of
impressions is removed once the lake has it as Parquet. Without the batch, a bound on pages holds. The activity of
viewers whose accounts were deleted is removed: the batch publishes who they are.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import sql
from serving.read_pool import ReadPool, StoreUnreadableError
from sql import places

PRUNE_SECONDS = 600.0
PRUNE_ROWS = 20_000
DAY_US = 86_400 * 1_000_000
KEPT_PER_VIEWER = 10_000
CHECK_VIEWER_EVERY = 1_000  # written events of one viewer between two looks at how many are kept
COUNTED_VIEWERS_MAX = 50_000
PURGED_AT_ONCE = 500
# Each table of what a viewer did, and its time.
ACTIVITY_TIMES = (("visits", "last_us"), ("interactions", "received_us"), ("impression_pages", "served_us"))
PAGES_KEPT = 4_000_000  # about 7 GB; 70,000 viewers make half of it a day


class ActivityRetention:
    """Removes what is too old or too much; only the writer's thread uses it."""

    def __init__(self, data_dir: Path, now: Callable[[], float]) -> None:
        self._data_dir = data_dir
        self._serving = ReadPool(places.serving(data_dir), "serving", busy_seconds=2.0)
        self._purged: dict[str, int] = {}  # up to when each viewer's activity was removed, by this process
        self._now = now
        self._next_prune = 0.0
        self._written_of: Counter[str] = Counter()

    def prune(self, connection: sqlite3.Connection, viewers: Sequence[str]) -> None:
        """Remove what is due, in the transaction that is open; ``viewers`` are those of interactions just written."""
        self._written_of.update(viewers)
        for viewer in set(viewers):
            if self._written_of[viewer] >= CHECK_VIEWER_EVERY:
                del self._written_of[viewer]
                connection.execute(
                    sql.load("activity/prune_viewer_interactions"),
                    {"viewer_did": viewer, "kept": KEPT_PER_VIEWER},
                )
        if len(self._written_of) > COUNTED_VIEWERS_MAX:
            self._written_of.clear()
        now = self._now()
        if now < self._next_prune:
            return
        before_us = int(now * 1_000_000) - places.ACTIVITY_DAYS * DAY_US
        old = {"before_us": before_us, "rows": PRUNE_ROWS}
        most = connection.execute(sql.load("activity/prune_interactions"), old).rowcount
        connection.execute("DELETE FROM visits WHERE last_us < :before_us", {"before_us": before_us})
        for viewer, deleted_us in self._deleted_viewers():
            deletion = {"viewer_did": viewer, "deleted_us": deleted_us}
            for table, time_us in ACTIVITY_TIMES:
                query = f"DELETE FROM {table} WHERE viewer_did = :viewer_did AND {time_us} <= :deleted_us"
                connection.execute(query, deletion)
            self._purged[viewer] = deleted_us
        for day in places.impression_days(self._data_dir):
            span = {"from_us": day * DAY_US, "to_us": (day + 1) * DAY_US, "rows": PRUNE_ROWS}
            most = max(most, connection.execute(sql.load("activity/prune_pages"), span).rowcount)
        beyond = {"kept": PAGES_KEPT, "rows": PRUNE_ROWS}
        most = max(most, connection.execute(sql.load("activity/prune_pages_beyond"), beyond).rowcount)
        self._next_prune = now + (0 if most >= PRUNE_ROWS else PRUNE_SECONDS)

    def _deleted_viewers(self) -> list[tuple[str, int]]:
        """Return viewers whose accounts were deleted and whose activity is still here, and when that was."""
        try:
            with self._serving.snapshot() as connection:
                query = "SELECT viewer_did, deleted_us FROM deleted_viewers"
                rows = dict(connection.execute(query).fetchall()) if connection else {}
        except StoreUnreadableError:
            return []  # the next look will do
        self._purged = {viewer: us for viewer, us in self._purged.items() if viewer in rows}
        due = [(viewer, us) for viewer, us in rows.items() if us > self._purged.get(viewer, 0)]
        return due[:PURGED_AT_ONCE]
