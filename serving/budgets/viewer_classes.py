"""Whether a viewer is known or a stranger.

Owns: the rule. Leaves to others: writing down the newest actor of each day (``activity_retention``), and what the class
is good for (``limits``).

Known is who has a list and an actor number that was given ``KNOWN_AFTER_DAYS`` ago or before. Ingest and backfill
give numbers in order, to whom the stream or the archive tells of, and to whom visits. So whatever a repository claims
of its age, its owner is a stranger for the first days. In an installation's own first days, a list is enough.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from serving.budgets.limits import KNOWN_AFTER_DAYS
from serving.read_pool import ReadPool, StoreUnreadableError
from sql import places

DAY_SECONDS = 86_400
READ_SECONDS = 60.0


class ViewerClasses:
    """Tells who is known; may be used from any thread."""

    def __init__(self, data_dir: Path, *, now: Callable[[], float] = time.time) -> None:
        self._serving = ReadPool(places.serving(data_dir), "serving", busy_seconds=0.5)
        self._activity = ReadPool(places.activity(data_dir), "activity", busy_seconds=0.2)
        self._now = now
        self._lock = threading.Lock()
        self._read_at = -READ_SECONDS
        self._newest: int | None = None  # the newest actor that is known; None: there is no such day yet

    def is_known(self, viewer: str) -> bool:
        """Tell whether a viewer is known; False when the stores can't be read."""
        try:
            with self._serving.snapshot() as connection:
                if connection is None:
                    return False
                rows = connection.execute("SELECT viewer_id FROM viewers WHERE did = ?", (viewer,)).fetchall()
        except StoreUnreadableError:
            return False
        newest = self._newest_known()
        return bool(rows) and (newest is None or rows[0][0] <= newest)

    def _newest_known(self) -> int | None:
        now = self._now()
        with self._lock:
            if not 0 <= now - self._read_at < READ_SECONDS:
                self._read_at = now
                self._newest = self._read(int(now // DAY_SECONDS) - KNOWN_AFTER_DAYS)
            return self._newest

    def _read(self, day: int) -> int | None:
        try:
            with self._activity.snapshot() as connection:
                if connection is None:
                    return None
                query = "SELECT viewer_id FROM newest_viewers WHERE day <= ? ORDER BY day DESC LIMIT 1"
                rows = connection.execute(query, (day,)).fetchall()
        except (StoreUnreadableError, sqlite3.Error):
            return self._newest
        return int(rows[0][0]) if rows else None
