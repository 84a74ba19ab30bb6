"""Whose lists and neighbours a run makes: everybody's, or those of some.

Owns: the tiers' names, which job each goes with, and who was seen lately. Leaves to others: when each is due
(``schedule``), who waits (``waiting``), who changed (``neighbours``).
"""

from pathlib import Path

import sql
from pipeline.batch.snapshot import has_tables
from sql.sqlite import connect

# Tier: the jobs there are for it.
TIERS = {
    "all": ("compact", "neighbours", "candidates", "all"),
    "changed": ("neighbours",),
    "recent": ("candidates",),
    "waiting": ("all",),
}
TIER_HELP = (
    "neighbours go with all or changed, candidates with all or recent, all jobs together with all or waiting"
)

RECENT_SECONDS = 1800.0


def recent_viewers(data_dir: Path, now_us: int) -> list[str]:
    """Return the DIDs of those who asked for a feed in the last half hour."""
    activity = data_dir / "activity.sqlite"
    if not activity.exists() or not has_tables(activity, "visits"):
        return []
    store = connect(activity, read_only=True)
    try:
        since = {"since_us": now_us - int(RECENT_SECONDS * 1e6)}
        return [row[0] for row in store.execute(sql.load("activity/recent_viewers"), since)]
    finally:
        store.close()
