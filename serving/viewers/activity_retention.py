"""How long activity.sqlite keeps what viewers did.

Owns: the bounds, and removing what is beyond them, a little at a time, within the writer's transactions. Leaves to
others: writing (``activity_writer``), and putting days of impressions into the lake, which the batch does.

Invariants: interactions and visits are kept for 90 days, and of one viewer the newest 10,000 interactions. A day of
impressions is removed once the lake has it as Parquet; whatever the batch does, no more than a number of pages is
kept. The activity of viewers whose accounts were deleted is removed: the batch publishes who they are.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import sql
from sql import places, sqlite

PRUNE_SECONDS = 600.0
PRUNE_ROWS = 20_000
DAY_US = 86_400 * 1_000_000
KEPT_PER_VIEWER = 10_000
CHECK_VIEWER_EVERY = 1_000  # written events of one viewer between two looks at how many are kept
COUNTED_VIEWERS_MAX = 50_000
PURGED_AT_ONCE = 500
PAGES_KEPT = 4_000_000  # about 7 GB; 70,000 viewers make half of it a day


class ActivityRetention:
    """Removes what is too old or too much; only the writer's thread uses it."""

    def __init__(self, data_dir: Path, now: Callable[[], float]) -> None:
        self._data_dir = data_dir
        self._purged: dict[str, int] = {}  # viewer: up to when, in this process
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
                    sql.load("activity/prune_viewer"), {"viewer_did": viewer, "kept": KEPT_PER_VIEWER}
                )
        if len(self._written_of) > COUNTED_VIEWERS_MAX:
            self._written_of.clear()
        now = self._now()
        if now < self._next_prune:
            return
        before_us = int(now * 1_000_000) - places.ACTIVITY_DAYS * DAY_US
        old = {"before_us": before_us, "rows": PRUNE_ROWS}
        most = connection.execute(sql.load("activity/prune_interactions"), old).rowcount
        connection.execute(sql.load("activity/prune_visits"), {"before_us": before_us})
        for viewer, deleted_us in self._departed():
            gone = {"viewer_did": viewer, "deleted_us": deleted_us}
            for what in ("visits", "interactions", "pages"):
                connection.execute(sql.load(f"activity/purge_{what}"), gone)
            self._purged[viewer] = deleted_us
        for day in places.impression_days(self._data_dir):
            span = {"from_us": day * DAY_US, "to_us": (day + 1) * DAY_US, "rows": PRUNE_ROWS}
            most = max(most, connection.execute(sql.load("activity/prune_pages"), span).rowcount)
        beyond = {"kept": PAGES_KEPT, "rows": PRUNE_ROWS}
        most = max(most, connection.execute(sql.load("activity/prune_pages_beyond"), beyond).rowcount)
        self._next_prune = now + (0 if most >= PRUNE_ROWS else PRUNE_SECONDS)

    def _departed(self) -> list[tuple[str, int]]:
        """Return viewers whose accounts were deleted and whose activity is still here, and when that was."""
        try:
            published = sqlite.connect(places.serving(self._data_dir), read_only=True)
        except sqlite3.Error:
            return []  # nothing was published yet
        try:
            rows = dict(published.execute(sql.load("serving/deleted_viewers")).fetchall())
        except sqlite3.Error:  # the batch has not made the table yet, or is busy: the next look will do
            return []
        finally:
            published.close()
        self._purged = {viewer: us for viewer, us in self._purged.items() if viewer in rows}
        due = [(viewer, us) for viewer, us in rows.items() if us > self._purged.get(viewer, 0)]
        return due[:PURGED_AT_ONCE]
