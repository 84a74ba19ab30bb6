"""What the benchmarks share: reading stores, figures of processes, batch jobs as processes, viewers of a store.

Owns: helpers of several benchmarks. Leaves to others: making stores (``synthetic_lake``) and measuring.
"""

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
from synthetic_lake import AFTER_ALL_DIDS, did_of

from pipeline.store.model import DAY_US
from sql import places
from sql.sqlite import connect, migrate

ROOT = Path(__file__).resolve().parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")


def parser_of(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Return a parser with the benchmark's text as its help, and a flag per keyword of its default's type."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser


def number(data_dir: Path, store: str, query: str, *values: Any) -> int:
    """Return the one number that a query of a store gives, 0 where there is none or no store yet."""
    try:
        with closing(
            sqlite3.connect(f"file:{data_dir / store}.sqlite?mode=ro", uri=True, timeout=10)
        ) as connection:
            row = connection.execute(query, values).fetchone()
    except sqlite3.OperationalError:
        return 0
    return int((row and row[0]) or 0)


def family(process: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *map(int, children)]


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process and its children have used."""
    ticks = 0
    for member in family(process):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def session_cpu_seconds(session: int) -> float:
    """Return the processor time of all processes of a session, and of those that they have waited for."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == session:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
        except (ProcessLookupError, FileNotFoundError):  # it has ended just now
            continue
    return ticks / _TICKS


def memory_mb(process: int, field: str = "VmRSS") -> float:
    """Return the resident memory of one process; with VmHWM, its peak."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def drop_cache(path: Path) -> None:
    """Remove a file from the system's cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run_job(data_dir: Path, job: str, tier: str = "all") -> tuple[float, float, float]:
    """Run one batch job for the viewers of a tier; return wall seconds, CPU seconds and peak memory in MB."""
    before, began = os.times(), time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "batch", "--job", job, "--viewers", tier],
        env=os.environ
        | {
            "FORYOU_DATA_DIR": str(data_dir),
            "FORYOU_CONFIG": str(data_dir / "foryou.toml"),
            "PYTHONPATH": str(ROOT),
        },
        cwd=data_dir,
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{job} failed")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu, usage.ru_maxrss / 1024


def lists_anew(data_dir: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Make everybody's lists in a new serving.sqlite; return how many and what that took, and the seconds by step."""
    for end in ("", "-wal", "-shm"):
        Path(f"{places.serving(data_dir)}{end}").unlink(missing_ok=True)
    seconds, cpu, peak = run_job(data_dir, "candidates")
    with closing(sqlite3.connect(places.serving(data_dir))) as serving:
        steps = dict(serving.execute("SELECT step, seconds FROM runs WHERE job = 'candidates'").fetchall())
        made = serving.execute("SELECT count(*) FROM lists").fetchone()[0]
    return {"made": made, "seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(peak)}, steps


def active_days(data_dir: Path, viewers: int) -> float:
    """Return the viewer_active_days with which about so many actors are viewers."""
    files = [str(places.likes(data_dir, day)) for day in sorted(places.closed_days(data_dir))[-8:]]
    with closing(sqlite3.connect(data_dir / "landing.sqlite")) as landing:
        now_us = landing.execute("SELECT seen_us FROM watermark").fetchone()[0]
        last = dict(landing.execute("SELECT liker_id, max(seen_us) FROM likes GROUP BY liker_id").fetchall())
    query = "SELECT liker_id, max((post_rkey >> 10) + since_post_us) FROM read_parquet(?) GROUP BY liker_id"
    for liker, seen_us in duckdb.execute(query, [files]).fetchall():
        last[liker] = max(seen_us, last.get(liker, 0))
    times = sorted(last.values(), reverse=True)
    return (now_us - times[min(viewers, len(times)) - 1] + 1) / DAY_US


def listed(data_dir: Path, count: int) -> list[int]:
    """Return viewers with a list, drawn at random, always the same."""
    try:
        with closing(connect(data_dir / "serving.sqlite", read_only=True)) as serving:
            found = [row[0] for row in serving.execute("SELECT viewer_id FROM viewers ORDER BY viewer_id")]
    except sqlite3.OperationalError:
        return []
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
    """Let viewers have come in the last half hour, and have had their likes fetched."""
    now_us = time.time_ns() // 1000
    with closing(connect(data_dir / "activity.sqlite")) as activity, activity:
        migrate(activity, "activity")
        activity.execute("BEGIN")
        activity.executemany(
            "INSERT OR REPLACE INTO visits VALUES (?, 'for-you', 'en', 3, ?, ?)",
            ((did_of(viewer), now_us, now_us - random.randrange(1_700_000_000)) for viewer in viewers),
        )
    with closing(connect(data_dir / "landing.sqlite")) as landing, landing:
        landing.execute("BEGIN")
        landing.executemany(
            "INSERT OR REPLACE INTO fetched_viewers (did, fetched_us, likes, outcome) VALUES (?, ?, 0, 'enough')",
            ((did_of(viewer), now_us) for viewer in viewers),
        )
