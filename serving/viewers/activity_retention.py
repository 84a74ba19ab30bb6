"""How long activity.sqlite keeps what viewers did, and how much of it.

Owns: removing what is beyond the bounds, a little at a time, within the writer's transactions, and noting the newest
viewer of each day. Leaves to others: writing (``activity_writer``), the bounds (``budgets.limits``), and putting days
of impressions into the lake, which the batch does.

Invariants: interactions and visits are kept for 90 days, and of one viewer the newest interactions. A day of
impressions is removed once the lake has it as Parquet. Where a class has too many rows, its biggest takers lose
their oldest. The activity of viewers whose accounts were deleted is removed: the batch publishes who they are.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import sql
from serving.budgets import limits
from serving.read_pool import ReadPool, StoreUnreadableError
from serving.viewers.forgotten import KEPT_US, prune_forgotten
from sql import places

PRUNE_SECONDS = 600.0
PRUNE_ROWS = 20_000
DAY_US = 86_400 * 1_000_000
CHECK_STRANGERS_EVERY = (
    20_000  # events of strangers that this process writes between two looks at their class
)
SLACK = 1.1  # a viewer's interactions are looked at when a tenth more than are kept
PURGED_AT_ONCE = 500
TAKEN_BACK_DAYS = 7  # a run follows within a day
# Each table of what a viewer did, and its time.
ACTIVITY_TIMES = (
    ("visits", "last_us"),
    ("taken_back", "received_us"),
    ("interactions", "received_us"),
    ("impression_pages", "served_us"),
)


class ActivityRetention:
    """Removes what is too old or too much; only the writer's thread uses it."""

    def __init__(self, data_dir: Path, now: Callable[[], float], *, marks_us: int = KEPT_US) -> None:
        """Look for deleted viewers and days of the lake in ``data_dir``; keep marks of the forgotten so long."""
        self._data_dir = data_dir
        self._marks_us = marks_us
        self._serving = ReadPool(places.serving(data_dir), "serving", busy_seconds=2.0)
        self._purged: dict[str, int] = {}  # up to when each viewer's activity was removed, by this process
        self._now = now
        self._next_prune = 0.0
        self._unchecked = 0

    def prune(self, connection: sqlite3.Connection, viewers: Iterable[str], strangers: int) -> None:
        """Remove what is due, in the transaction that is open.

        ``viewers`` are those of events just written, ``strangers`` is how many of the events were strangers'.
        """
        self._prune_viewers(connection, viewers)
        self._unchecked += strangers
        now = self._now()
        is_due = now >= self._next_prune
        if is_due or self._unchecked >= CHECK_STRANGERS_EVERY:
            removed = self._prune_class(connection, known=False)
            self._unchecked = CHECK_STRANGERS_EVERY if removed >= PRUNE_ROWS else 0  # there is more to remove
        if not is_due:
            return
        most = self._prune_class(connection, known=True)
        before_us = int(now * 1_000_000) - places.ACTIVITY_DAYS * DAY_US
        old = {"before_us": before_us, "rows": PRUNE_ROWS}
        most = max(most, connection.execute(sql.load("activity/prune_interactions"), old).rowcount)
        connection.execute("DELETE FROM visits WHERE last_us < :before_us", {"before_us": before_us})
        lately_us = int(now * 1_000_000) - TAKEN_BACK_DAYS * DAY_US
        connection.execute("DELETE FROM taken_back WHERE received_us < ?", (lately_us,))
        for viewer, deleted_us in self._deleted_viewers():
            deletion = {"viewer_did": viewer, "deleted_us": deleted_us}
            for table, time_us in ACTIVITY_TIMES:
                query = f"DELETE FROM {table} WHERE viewer_did = :viewer_did AND {time_us} <= :deleted_us"
                connection.execute(query, deletion)
            self._purged[viewer] = deleted_us
        for day in places.impression_days(self._data_dir):
            span = {"from_us": day * DAY_US, "to_us": (day + 1) * DAY_US, "rows": PRUNE_ROWS}
            most = max(most, connection.execute(sql.load("activity/prune_pages"), span).rowcount)
        connection.execute(sql.load("activity/prune_takers"))
        prune_forgotten(connection, int(now * 1_000_000) - self._marks_us)
        self._note_newest_viewer(connection, int(now * 1_000_000) // DAY_US)
        self._next_prune = now + (0 if most >= PRUNE_ROWS else PRUNE_SECONDS)

    @staticmethod
    def _prune_viewers(connection: sqlite3.Connection, viewers: Iterable[str]) -> None:
        kept = limits.INTERACTIONS_KEPT
        allowed = {name: int(bounds.viewer * SLACK) for name, bounds in kept._asdict().items()}
        dids = json.dumps([*viewers])
        beyond = connection.execute(sql.load("activity/viewers_beyond"), {"dids": dids, **allowed}).fetchall()
        for viewer, known in beyond:
            connection.execute(
                sql.load("activity/prune_viewer_interactions"),
                {"viewer_did": viewer, "kept": kept.of(known).viewer},
            )

    @staticmethod
    def _prune_class(connection: sqlite3.Connection, *, known: bool) -> int:
        """Remove rows of a class's biggest takers if it has too many; return how many, or a little more."""
        removed = 0
        for table, kept in (
            ("interactions", limits.INTERACTIONS_KEPT.of(known).total),
            ("impressions", limits.IMPRESSIONS_KEPT.of(known)),
            ("visits", limits.VISITS_KEPT.of(known)),
        ):
            rows = connection.execute(sql.load(f"activity/taken_{table}"), {"is_known": known}).fetchall()
            for taker, count in surplus(dict(rows), kept).items():
                if removed >= PRUNE_ROWS:
                    return removed
                rows_back = min(count, PRUNE_ROWS)
                given = {"taker": taker, "is_known": known, "rows": rows_back}
                connection.execute(sql.load(f"activity/give_back_{table}"), given)
                removed += rows_back
        return removed

    def _note_newest_viewer(self, connection: sqlite3.Connection, day: int) -> None:
        """Note who is the newest viewer at the first look of a day; numbers that fall are of another landing.sqlite."""
        try:
            with self._serving.snapshot() as serving:
                newest = serving and serving.execute("SELECT max(viewer_id) FROM viewers").fetchone()[0]
        except StoreUnreadableError:
            return
        if newest is None:
            return
        connection.execute(
            "DELETE FROM newest_viewers WHERE day < ? OR viewer_id > ?", (day - places.ACTIVITY_DAYS, newest)
        )
        connection.execute("INSERT OR IGNORE INTO newest_viewers VALUES (?, ?)", (day, newest))

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


def surplus(taken: Mapping[str, int], allowed: int) -> dict[str, int]:
    """Return how much each taker gives back, the biggest first, so that all together keep what is allowed.

    Nobody who keeps less than another gives anything. A twentieth more is given back, so that it is not soon due again.
    """
    total = sum(taken.values())
    if total <= allowed:
        return {}
    excess = total - allowed + allowed // 20
    ordered = sorted(taken.items(), key=lambda item: -item[1])
    level, above = 0, 0
    for place, (_, count) in enumerate(ordered, 1):
        above += count
        below = ordered[place][1] if place < len(ordered) else 0
        if above - below * place >= excess:
            level = (above - excess) // place
            break
    return {taker: count - level for taker, count in ordered if count > level}
