"""How long do neighbours and candidates take for a million viewers, and what do they need?

    python tests/bench/bench_million.py [--actors 4000000] [--likes 100000000] [--days 14] [--viewers 1000000]
        [--dir DIR] [--jobs neighbours,candidates,recent] [--recent 50000]

Makes a store (synthetic_lake.py) unless DIR has one, sets viewer_active_days so that about so many viewers
come of it, and runs each job as ``foryou batch`` does, as a process of its own; "recent" is candidates for
--recent viewers who have lists and asked for a page just now. Prints the steps, then one line of JSON.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from soak_people import bring_in, listed
from synthetic_lake import make_store

from pipeline.store.lake_layout import closed_days, day_file
from pipeline.store.model import DAY_US


def active_days(data_dir: Path, viewers: int) -> float:
    """Return viewer_active_days with which about so many actors are viewers."""
    newest = sorted(closed_days(data_dir))[-8:]
    files = [str(day_file(data_dir, day)) for day in newest]
    with sqlite3.connect(data_dir / "landing.sqlite") as landing:
        now_us = landing.execute("SELECT seen_us FROM watermark").fetchone()[0]
        landed = landing.execute("SELECT liker_id, max(seen_us) FROM likes GROUP BY liker_id").fetchall()
    last = dict(landed)
    rows = duckdb.execute(
        "SELECT liker_id, max((post_rkey >> 10) + since_post_us) FROM read_parquet(?) GROUP BY liker_id",
        [files],
    ).fetchall()
    for liker, seen_us in rows:
        last[liker] = max(seen_us, last.get(liker, 0))
    times = sorted(last.values(), reverse=True)
    return (now_us - times[min(viewers, len(times)) - 1] + 1) / DAY_US


def run_job(data_dir: Path, job: str, tier: str = "all") -> tuple[float, float, float]:
    """Run one job for viewers of one tier; return wall seconds, CPU seconds and peak memory in MB."""
    before = os.times()
    began = time.perf_counter()
    environment = os.environ | {
        "FORYOU_DATA_DIR": str(data_dir),
        "FORYOU_CONFIG": str(data_dir / "foryou.toml"),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "batch", "--job", job, "--viewers", tier],
        env=environment,
        cwd=data_dir,
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{job} failed")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu, usage.ru_maxrss / 1024


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actors", type=int, default=4_000_000)
    parser.add_argument("--likes", type=int, default=100_000_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--viewers", type=int, default=1_000_000)
    parser.add_argument("--jobs", default="neighbours,candidates,recent")
    parser.add_argument("--recent", type=int, default=50_000)
    parser.add_argument(
        "--ranking", default="", help="further parameters, as in max_neighbours=100,max_seeds=100"
    )
    parser.add_argument("--dir", type=Path, help="keep the data here and use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = (options.dir or Path(temporary)).resolve()
        data_dir.mkdir(parents=True, exist_ok=True)
        if not (data_dir / "landing.sqlite").exists():
            make_store(data_dir, actors=options.actors, likes=options.likes, days=options.days)
        parameters = [f"viewer_active_days = {active_days(data_dir, options.viewers)}"]
        parameters += [part.replace("=", " = ") for part in options.ranking.split(",") if part]
        (data_dir / "foryou.toml").write_text("\n".join(["[ranking]", *parameters, ""]))
        answer: dict[str, object] = {"bench": "million", "likes": options.likes, "viewers": options.viewers}
        for job in options.jobs.split(","):
            if job == "recent":
                bring_in(data_dir, listed(data_dir, options.recent))
            seconds, cpu, peak = run_job(data_dir, *(("candidates", job) if job == "recent" else (job,)))
            answer[job] = {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(peak)}
        serving = sqlite3.connect(data_dir / "serving.sqlite")
        for job, tier, step, rows, seconds, peak in serving.execute(
            "SELECT job, tier, step, rows, seconds, peak_mb FROM runs ORDER BY started_us"
        ):
            if seconds > 0.05:
                print(f"{job:<11} {tier:<7} {step:<18} {rows:>13,} rows {seconds:>8.2f} s {peak:>8.0f} MB")
        serving.execute("DELETE FROM runs")
        serving.commit()
        lake = sum(day_file(data_dir, day).stat().st_size for day in closed_days(data_dir))
        answer["lake_mb"] = lake // 1_000_000
        answer["serving_mb"] = (data_dir / "serving.sqlite").stat().st_size // 1_000_000
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
