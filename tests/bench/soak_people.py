"""Viewers of a benchmark's store: some who have lists, some who have none, and making them come.

Owns: drawing them, and their visits. Leaves to others: the store (``soak_store``, ``bench_million``).
"""

import random
import sqlite3
import time
from pathlib import Path

from soak_watch import number
from synthetic_lake import AFTER_ALL_DIDS, did_of

from sql.sqlite import connect, migrate


def listed(data_dir: Path, count: int) -> list[int]:
    """Return viewers with a list, drawn by chance, always the same."""
    serving = sqlite3.connect(f"file:{data_dir / 'serving.sqlite'}?mode=ro", uri=True)
    try:
        found = [row[0] for row in serving.execute("SELECT viewer_id FROM viewers ORDER BY viewer_id")]
    except sqlite3.OperationalError:
        return []
    finally:
        serving.close()
    return random.Random(3).sample(found, min(count, len(found)))


def unlisted(data_dir: Path, count: int) -> list[int]:
    """Return people of the store who have no list."""
    known = set(listed(data_dir, 1 << 40))
    actors = number(data_dir, "landing", "SELECT max(actor_id) FROM actors WHERE did < ?", AFTER_ALL_DIDS)
    chance, found = random.Random(4), set[int]()
    for _ in range(100 * count):
        found |= {chance.randint(1, actors)} - known
        if len(found) >= count:
            break
    return sorted(found)


def bring_in(data_dir: Path, viewers: list[int]) -> None:
    """Make viewers ones who came in the last half hour, and whose likes have been looked for before."""
    now_us = time.time_ns() // 1000
    with connect(data_dir / "activity.sqlite") as activity:
        migrate(activity, "activity")
        activity.executemany(
            "INSERT OR REPLACE INTO visits VALUES (?, 'for-you', 'en', 3, ?, ?)",
            ((did_of(viewer), now_us, now_us - random.randrange(1_700_000_000)) for viewer in viewers),
        )
    activity.close()
    with connect(data_dir / "landing.sqlite") as landing:
        landing.executemany(
            "INSERT OR REPLACE INTO fetched_viewers VALUES (?, ?, 0, 'enough')",
            ((did_of(viewer), now_us) for viewer in viewers),
        )
    landing.close()
