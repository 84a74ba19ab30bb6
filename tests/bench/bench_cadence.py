"""How long does a run for some viewers take, beside one for everybody?

    python tests/bench/bench_cadence.py [--users 10000] [--likes 2000000] [--days 14] [--seed 1] [--dir DIR]

On the store of bench_batch.py: everybody; then viewers who wait (1, then 20, whose lists are taken away
before), those seen lately (1 % of all), and neighbours of those who liked something in the last hour. A table
for people, then one line of JSON.
"""

import argparse
import json
import platform
import resource
import sqlite3
import tempfile
import time
from pathlib import Path

from bench_batch import NOW_US, make_landing

from pipeline.batch import jobs
from pipeline.settings import Settings, load_settings
from sql.sqlite import connect, migrate


def visit(data_dir: Path, dids: list[str], now_us: int) -> None:
    """Let viewers open the feed now, and nobody else."""
    activity = connect(data_dir / "activity.sqlite")
    migrate(activity, "activity")
    activity.execute("DELETE FROM visits")
    activity.executemany(
        "INSERT INTO visits VALUES (?, 'for-you', 'en', 1, ?, ?)", [(did, now_us, now_us) for did in dids]
    )
    activity.close()


def forget(data_dir: Path, dids: list[str]) -> None:
    """Take away viewers' lists, as if they had never come."""
    serving = connect(data_dir / "serving.sqlite")
    for did in dids:
        serving.execute(
            "DELETE FROM lists WHERE viewer_id = (SELECT viewer_id FROM viewers WHERE did = ?)", (did,)
        )
    serving.execute("DELETE FROM waiting_runs")
    serving.close()


def timed(settings: Settings, job: str, viewers: str) -> float:
    """Run a job; return its seconds."""
    began = time.perf_counter()
    jobs.run(settings, job, viewers=viewers)
    return round(time.perf_counter() - began, 2)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--likes", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="keep the data here and use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = options.dir or Path(temporary)
        data_dir.mkdir(parents=True, exist_ok=True)
        if not (data_dir / "landing.sqlite").exists():
            make_landing(data_dir, options.users, options.likes, options.days, options.seed)
        settings = load_settings({"data_dir": str(data_dir)}, {}, data_dir)
        seconds = {
            "compact": timed(settings, "compact", "all"),
            "neighbours": timed(settings, "neighbours", "all"),
        }
        seconds["candidates"] = timed(settings, "candidates", "all")
        serving = sqlite3.connect(data_dir / "serving.sqlite")
        listed = [row[0] for row in serving.execute("SELECT did FROM viewers ORDER BY random()")]
        serving.close()
        for count in (1, 20):
            forget(data_dir, listed[:count])
            visit(data_dir, listed[:count], time.time_ns() // 1000)
            seconds[f"waiting_{count}"] = timed(settings, "all", "waiting")
        visit(data_dir, listed[: len(listed) // 100], time.time_ns() // 1000)
        seconds["recent_1_percent"] = timed(settings, "candidates", "recent")
        landing = sqlite3.connect(data_dir / "landing.sqlite")
        with landing:
            landing.execute("UPDATE watermark SET seen_us = ?", (NOW_US + 3_600_000_000,))
            later = "SELECT day, rkey + 1, liker_id, author_id, post_rkey, ? + 1000000, rev FROM likes "
            landing.execute(
                f"INSERT OR IGNORE INTO likes {later} WHERE seen_us > ? - 3600000000", (NOW_US, NOW_US)
            )
        landing.close()
        seconds["neighbours_changed"] = timed(settings, "neighbours", "changed")
        for name, spent in seconds.items():
            print(f"{name:<20} {spent:>8.2f} s")
        answer = {
            "bench": "cadence", "machine": platform.machine(), "users": options.users, "likes": options.likes,
            "viewers": len(listed), "seconds": seconds,
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }  # fmt: skip
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
