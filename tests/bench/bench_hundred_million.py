"""Does ingest slow down, grow or fall behind over 100 million likes of 14 days, while closed days are compacted?

    nice -n 10 python tests/bench/bench_hundred_million.py [--likes 100000000] [--days 14] [--actors 4000000]
                                                             [--minutes M]

``foryou ingest`` reads like_feed.py over a loopback websocket; the feed is another process, ten times as fast as its
reader. ``foryou batch --job compact`` runs whenever a day has closed. When the stream ends, two things are timed:
landing deletes what it still has of closed days, and the lake deletes half of its window.

Every --sample likes it notes wall and CPU seconds of ingest, resident memory and bytes. "Start" is the first tenth of
the likes, "end" the last. When the machine does other work, compare likes per CPU-second. Bytes per like in landing are
those of the whole file at its largest, with actors, cursors and free pages, divided by its likes. Prints a line per
sample, a table, and one line of JSON. Everything is in a temporary folder that is removed.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sql import places

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import commands
import duckdb
from bench_tools import cpu_seconds, memory_mb, number, parser_of
from like_feed import LikeFeed
from streams import free_port, wait_until

from pipeline.lake.held import held_lake
from pipeline.lake.reader import read_like_records
from pipeline.store.arrow import reading
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import first_open_day

END_US = 1_793_491_200_000_000  # 2026-11-01T00:00:00Z
COUNTED = "SELECT value FROM counters WHERE kind = 'event' AND name = ?"


@dataclass(frozen=True)
class Sample:
    """Where a run stands: likes so far, seconds and CPU-seconds since it began, memory, files."""

    likes: int
    seconds: float
    cpu: float
    resident_mb: float
    landing_mb: float
    held: int  # likes in landing
    lake_days: int


def sample(data_dir: Path, process: int, began: float) -> Sample:
    likes = number(data_dir, "landing", COUNTED, "like")
    held = number(data_dir, "landing", "SELECT sum(likes) FROM like_days")
    size = sum(path.stat().st_size for path in data_dir.glob("landing.sqlite*")) / 2**20
    return Sample(
        likes,
        time.monotonic() - began,
        cpu_seconds(process),
        memory_mb(process, "VmRSS"),
        size,
        held,
        len(places.closed_days(data_dir)),
    )


class Compactor(threading.Thread):
    """Runs a compaction whenever a day has closed that is not in the lake."""

    def __init__(self, env: dict[str, str], data_dir: Path) -> None:
        super().__init__()
        self._env, self._data_dir = env, data_dir
        self.done = threading.Event()
        self.seconds: list[float] = []

    def run(self) -> None:
        while not self.done.wait(1.0):
            watermark = number(self._data_dir, "landing", "SELECT seen_us FROM watermark")
            first = number(self._data_dir, "landing", "SELECT min(day) FROM like_days WHERE day > 0")
            lake = places.closed_days(self._data_dir)
            if first and any(day not in lake for day in range(first, first_open_day(watermark))):
                self.seconds.append(compact(self._env))


def compact(env: dict[str, str]) -> float:
    began = time.monotonic()
    result = commands.run_program("batch", "--job", "compact", env=env, seconds=3600)
    assert result.returncode == 0, result.stderr
    return time.monotonic() - began


def follow(
    data_dir: Path, process: "subprocess.Popen[bytes]", likes: int, every: int, minutes: float
) -> list[Sample]:
    """Return samples from the first commit until every like is stored, or so many minutes have passed."""
    wait_until(lambda: sample(data_dir, process.pid, 0).likes > 0, 120)
    began = time.monotonic()
    samples = [sample(data_dir, process.pid, began)]
    while samples[-1].likes < likes and samples[-1].seconds < minutes * 60:
        assert process.poll() is None, "ingest ended"
        time.sleep(0.5)
        now = sample(data_dir, process.pid, began)
        if now.likes >= min(likes, samples[-1].likes + every):
            done, before = now.likes - samples[-1].likes, samples[-1]
            print(
                f"{now.likes / 1e6:7.1f} M  {done / (now.seconds - before.seconds):8,.0f} likes/s  "
                f"{done / (now.cpu - before.cpu):8,.0f} a CPU-second  {now.resident_mb:6,.0f} MB  "
                f"landing {now.landing_mb:7,.0f} MB of {now.held / 1e6:5.1f} M  lake {now.lake_days} days",
                flush=True,
            )
            samples.append(now)
    return samples


def rates(samples: list[Sample], first: float, last: float) -> tuple[float, float]:
    """Return likes a second and a CPU-second between two shares of the whole."""
    whole = samples[-1].likes
    low = max((s for s in samples if s.likes <= first * whole), key=lambda s: s.likes, default=samples[0])
    high = min((s for s in samples if s.likes >= last * whole), key=lambda s: s.likes)
    done = high.likes - low.likes
    return done / (high.seconds - low.seconds), done / (high.cpu - low.cpu)


def purge(data_dir: Path) -> float:
    """Let landing delete what it need not hold any longer; return the seconds."""
    landing = Landing(data_dir)
    retention = Retention(landing, data_dir, 90)
    began = time.monotonic()
    while retention.step():
        pass
    seconds = time.monotonic() - began
    landing.close()
    return seconds


def lake_contents(data_dir: Path) -> tuple[int, int, int]:
    """Return the bytes of the lake, the likes in it, and how many of those are undone."""
    size = sum(path.stat().st_size for path in (data_dir / "lake").rglob("*.parquet"))
    with (
        duckdb.connect() as connection,
        reading(data_dir / "landing.sqlite") as reader,
        held_lake(data_dir) as held,
    ):
        read_like_records(connection, reader, held, first_day=0)
        row = connection.execute(
            "SELECT count(*), count(*) FILTER (EXISTS (SELECT 1 FROM changes AS c WHERE c.liker_id = l.liker_id "
            "AND c.rkey = l.rkey AND c.rev >= l.rkey)) FROM lake_likes(getvariable('lake_files')) AS l"
        ).fetchone()
    assert row is not None
    return size, int(row[0]), int(row[1])


def measure(data_dir: Path, feed: LikeFeed, every: int, minutes: float) -> dict[str, Any]:
    port = free_port()
    arguments = [feed.likes, int(feed.days), feed.actors, feed.end_us, feed.seed]
    feeder = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "like_feed.py"), str(port), *map(str, arguments)],
        stdout=subprocess.PIPE,
    )
    env = commands.environment(
        data_dir, stream_url=f"ws://127.0.0.1:{port}/subscribe", stream_start_hours="1000000"
    )
    compactor = Compactor(env, data_dir)
    try:
        assert feeder.stdout is not None
        feeder.stdout.readline()
        with commands.running("ingest", env=env, log=data_dir / "log") as process:
            compactor.start()
            samples = follow(data_dir, process, feed.likes, every, minutes)
            peak = memory_mb(process.pid, "VmHWM")
            compactor.done.set()
            compactor.join()
            assert commands.stop(process, 60) == 0
    finally:
        compactor.done.set()
        feeder.kill()
        feeder.wait()
    started, ended = rates(samples, 0.0, 0.1), rates(samples, 0.9, 1.0)
    compactor.seconds.append(compact(env))  # the days that closed last
    fullest = max(samples, key=lambda s: s.held)
    landing_seconds = purge(data_dir)
    held, actors = (
        number(data_dir, "landing", f"SELECT count(*) FROM {table}") for table in ("likes", "actors")
    )
    likes, unlikes = (number(data_dir, "landing", COUNTED, kind) for kind in ("like", "unlike"))
    size, stored, undone = lake_contents(data_dir)
    days = len(places.closed_days(data_dir))
    env["FORYOU_CONFIG"] = str(data_dir / "retention.toml")
    Path(env["FORYOU_CONFIG"]).write_text(f"[ranking]\nseed_window_days = {max(1, int(feed.days) // 2)}\n")
    retention_seconds = compact(env)
    return {
        "likes": samples[-1].likes,
        "days": days,
        "actors": actors,
        "missing_or_too_many": held + stored - undone - (likes - unlikes),
        "start_likes_per_second": round(started[0]),
        "end_likes_per_second": round(ended[0]),
        "start_likes_per_cpu_second": round(started[1]),
        "end_likes_per_cpu_second": round(ended[1]),
        "seconds": round(samples[-1].seconds),
        "peak_rss_mb": round(peak),
        "landing_bytes_per_like": round(fullest.landing_mb * 2**20 / fullest.held, 1),
        "landing_largest_mb": round(max(s.landing_mb for s in samples)),
        "lake_bytes_per_like": round(size / stored, 2),
        "compact_seconds_median": round(sorted(compactor.seconds)[len(compactor.seconds) // 2], 1),
        "landing_retention_seconds": round(landing_seconds, 1),
        "lake_retention_seconds": round(retention_seconds, 1),
        "lake_days_after_retention": len(places.closed_days(data_dir)),
    }


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, likes=100_000_000, days=14, actors=4_000_000, seed=1)
    parser.add_argument("--sample", type=int, default=0, help="likes between two samples (default 1 %%)")
    parser.add_argument("--minutes", type=float, default=1e6, help="end the stream after so long")
    options = parser.parse_args()
    feed = LikeFeed(options.likes, options.days, options.actors, END_US, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        every = options.sample or max(1, options.likes // 100)
        figures = measure(Path(folder), feed, every, options.minutes)
    for name, value in figures.items():
        print(f"{name:30} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
