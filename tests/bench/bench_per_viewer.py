"""What does a viewer cost with the open re-implementation's parameters, and how does that grow?

    python tests/bench/bench_per_viewer.py [--actors 100000] [--likes 13600000] [--days 14] [--dir DIR]
        [--rows base,viewers,likes,neighbours,threads]

The parameters are 400 seeds, 1,000 co-likers and likes of the last 24 hours. Every actor with a like is a viewer, on a
store of synthetic_lake.py. Neighbours and candidates run as processes, as ``foryou batch`` does, so start-up,
relations, checks and publishing count. Then one thing at a time changes: half the viewers, half and twice the likes
(and actors), 300 and 3,000 co-likers, one thread on one core. Prints a row per run with CPU milliseconds per viewer,
wall seconds and peak memory; last, one line of JSON.
"""

import json
import os
import sqlite3
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from bench_tools import active_days, parser_of, run_job
from synthetic_lake import make_store


@dataclass(frozen=True)
class Case:
    """A run: the store's size, viewers (0: all), co-likers kept, threads."""

    group: str
    actors: int
    likes: int
    viewers: int = 0
    neighbours: int = 1000
    threads: int = 2


def cases(actors: int, likes: int) -> list[Case]:
    """Return the base and what differs from it in one thing."""
    base = Case("base", actors, likes)
    return [
        base,
        replace(base, group="viewers", viewers=actors // 2),
        replace(base, group="viewers", viewers=actors // 4),
        replace(base, group="likes", likes=likes // 2),
        replace(base, group="likes", likes=likes * 2),
        replace(base, group="likes", likes=likes * 2, actors=actors * 2),
        replace(base, group="neighbours", neighbours=300),
        replace(base, group="neighbours", neighbours=3000),
        replace(base, group="threads", threads=1),
    ]


def run(case: Case, data_dir: Path, days: int) -> dict[str, float]:
    """Run both jobs on a store, which is made if it is not there; return the figures."""
    data_dir.mkdir(parents=True, exist_ok=True)
    if not (data_dir / "landing.sqlite").exists():
        make_store(data_dir, actors=case.actors, likes=case.likes, days=days)
    for name in ("serving.sqlite", "serving.sqlite-wal", "serving.sqlite-shm"):
        (data_dir / name).unlink(missing_ok=True)
    active = active_days(data_dir, case.viewers) if case.viewers else float(days)
    (data_dir / "foryou.toml").write_text(
        f"batch_threads = {case.threads}\n[ranking]\nviewer_active_days = {active}\nmax_seeds = 400\n"
        f"max_neighbours = {case.neighbours}\ncandidate_window_hours = 24\n"
    )
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(cores)[-case.threads :])  # the children inherit it
        jobs = [run_job(data_dir, job) for job in ("neighbours", "candidates")]
    finally:
        os.sched_setaffinity(0, cores)
    with sqlite3.connect(data_dir / "serving.sqlite") as serving:
        lists = serving.execute("SELECT count(*) FROM lists").fetchone()[0]
    wall, cpu = sum(job[0] for job in jobs), sum(job[1] for job in jobs)
    return {
        "lists": lists,
        "cpu_ms_a_viewer": round(cpu / lists * 1e3, 3),
        "neighbours_cpu": round(jobs[0][1], 1),
        "candidates_cpu": round(jobs[1][1], 1),
        "wall": round(wall, 1),
        "peak_mb": round(max(job[2] for job in jobs)),
    }


def main() -> None:
    """Measure, print."""
    parser = parser_of(
        __doc__, actors=100_000, likes=13_600_000, days=14, rows="base,viewers,likes,neighbours,threads"
    )
    parser.add_argument("--dir", type=Path, help="keep the stores here and use them again")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.dir or Path(temporary)).resolve()
        for case in cases(options.actors, options.likes):
            if case.group not in options.rows.split(","):
                continue
            figures = run(case, folder / f"{case.actors}-{case.likes}", options.days)
            rows.append(vars(case) | figures)
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    print(json.dumps({"bench": "per_viewer", "rows": rows}))


if __name__ == "__main__":
    main()
