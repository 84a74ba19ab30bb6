"""The soak's store: made or taken as it is, with everybody's lists, and viewers who came lately.

Owns: what is there before ``foryou up`` starts. Leaves to others: the likes themselves (``synthetic_lake``), running.
"""

import argparse
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

from bench_million import active_days, run_job
from soak_watch import number
from synthetic_lake import AFTER_ALL_DIDS, did_of, make_store

from sql.sqlite import connect, migrate

OLD_SECONDS = 6 * 3600


def prepare(data_dir: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make the store and everybody's lists, as far as they are not there; return what the runs took."""
    if not (data_dir / "landing.sqlite").exists():
        now_us = time.time_ns() // 1000
        make_store(data_dir, actors=options.actors, likes=options.likes, days=14, now_us=now_us)
    age = time.time() - number(data_dir, "landing", "SELECT seen_us FROM watermark") / 1e6
    if age > OLD_SECONDS:
        raise SystemExit(f"the store in {data_dir} ends {age / 3600:.1f} hours ago: make a new one")
    config = data_dir / "foryou.toml"
    if not config.exists():
        # The probes' new accounts must count from their first like on, not three days later.
        days = active_days(data_dir, options.viewers)
        config.write_text(f"[ranking]\nviewer_active_days = {days}\nnewcomer_hours = 0\n")
    took = {}
    for job, made in (("neighbours", data_dir / "lake" / "neighbours.parquet"),
                      ("candidates", data_dir / "serving.sqlite")):  # fmt: skip
        if not made.exists() or (job == "candidates" and not listed(data_dir, 1)):
            seconds, cpu, peak = run_job(data_dir, job)
            took[job] = {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(peak)}
    return took


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
