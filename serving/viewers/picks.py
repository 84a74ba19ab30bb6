"""Posts that a viewer picked to begin with: rows of activity.sqlite beside their answers.

Owns: saving and reading picks, and how many one viewer has at most. Leaves to others: what may be picked
(``pages.start``), what a pick weighs (the batch), taking one back (``known_to_us``), and how long it is kept
(``activity_retention``), which is as long as an answer.

Saving waits for the disk, and says so when that fails.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import sql
from serving.budgets.takers import taker_of
from sql import sqlite

PICKS_MAX = 100  # of a viewer; the oldest go first
BUSY_SECONDS = 2.0
EVENT = "pick"


class Pick(NamedTuple):
    """A post and when it was picked, in microseconds since 1970."""

    post_uri: str
    at_us: int


def save_picks(path: Path, viewer: str, uris: Sequence[str], feed: str, at_us: int, *, known: bool) -> None:
    """Save picks; sqlite3.Error, OSError or sqlite.SchemaError when they can't be saved."""
    common = {
        "viewer_did": viewer, "event": EVENT, "feed_rkey": feed, "feed_context": "", "req_id": "", "received_us": at_us,
    }  # fmt: skip
    with (
        closing(sqlite.open_migrated(path, "activity", busy_seconds=BUSY_SECONDS)) as connection,
        sqlite.transaction(connection),
    ):
        taker = {"viewer_did": viewer, "taker": taker_of(viewer), "is_known": known}
        connection.execute(sql.load("activity/record_taker"), taker)
        connection.executemany(
            sql.load("activity/record_interaction"), [{**common, "post_uri": uri} for uri in uris[:PICKS_MAX]]
        )
        kept = {"viewer_did": viewer, "kept": PICKS_MAX}
        connection.execute(sql.load("activity/prune_picks"), kept)


def picks_of(path: Path, viewer: str) -> list[Pick]:
    """Return a viewer's picks, the last first; sqlite3.Error when the store can't be read."""
    if not sqlite.has_tables(path, "interactions"):
        return []
    with closing(sqlite.connect(path, read_only=True, busy_seconds=BUSY_SECONDS)) as connection:
        return [
            Pick(*row) for row in connection.execute(sql.load("activity/picks_of"), {"viewer_did": viewer})
        ]
