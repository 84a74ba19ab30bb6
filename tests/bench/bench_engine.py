"""What do the jobs cost on Ray, compared with one process, while the store grows and blocks and ranges stay?

    python tests/bench/bench_engine.py [--likes 750000] [--actors 16000] [--days 14] [--times 1,4,16] [--dir DIR]
        [--block 10000] [--range-mb 200] [--engines local,ray] [--local-threads 1]

For each size: neighbours and candidates in one process with one thread, then as tasks of two processes of Ray on this
machine; or one of the two alone. CPU is that of all processes of a run, Ray's own included, and the start of the
cluster; the peak is the largest of any worker that did a task, with the pages of files that it has mapped and without
(sampled ten times a second). Compares neighbours bit by bit and lists byte by byte. Prints a table, then one line of
JSON.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
from bench_tools import ROOT, parser_of
from synthetic_lake import make_store

from pipeline.batch.inputs.neighbour_files import layers_of
from sql import places

TICKS = os.sysconf("SC_CLK_TCK")
JOBS = ("neighbours", "candidates")
MEMORY = {"VmHWM": "peak_mb", "RssAnon": "own_peak_mb"}


def run(data_dir: Path, job: str, *arguments: str, within: Sequence[str] = ()) -> dict[str, float]:
    """Run a job; return its wall and CPU seconds and the peak memory of its workers in MB, or its own.

    ``within`` is what the command begins with.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [*within, sys.executable, "-m", "pipeline.cli", "batch", "--job", job, "--data-dir", str(data_dir), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=data_dir, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    cpu: dict[int, float] = {}
    peaks: dict[str, dict[bool, float]] = {name: {False: 0.0, True: 0.0} for name in MEMORY}
    while process.poll() is None:
        for member in members(process.pid):
            try:
                fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
                cpu[member] = (int(fields[11]) + int(fields[12])) / TICKS
                status = Path(f"/proc/{member}/status").read_text()
                is_worker = Path(f"/proc/{member}/cmdline").read_bytes().startswith(b"ray::")
            except OSError:
                continue
            for line in status.splitlines():
                name, _, value = line.partition(":")
                if name in MEMORY and (is_worker or member == process.pid):
                    peaks[name][is_worker] = max(peaks[name][is_worker], int(value.split()[0]) / 1024)
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{job} failed")
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu": round(sum(cpu.values()), 1),
        **{MEMORY[name]: round(peak[True] or peak[False]) for name, peak in peaks.items()},
    }


def members(process: int) -> list[int]:
    """Return a process and all below it."""
    found, waiting = [], [process]
    while waiting:
        found.append(waiting.pop())
        try:
            text = Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text()
        except OSError:
            continue
        waiting += map(int, text.split())
    return found


def results(data_dir: Path) -> str:
    """Return a hash of the neighbours and of the lists."""
    hashed = hashlib.sha256()
    [paths] = layers_of(places.neighbours(data_dir))
    tables = [pq.read_table(path) for path in paths]
    for name in tables[0].column_names:
        for table in tables:
            hashed.update(table.column(name).to_numpy().tobytes())
    with closing(sqlite3.connect(places.serving(data_dir))) as serving:
        for viewer, items in serving.execute("SELECT viewer_id, items FROM lists ORDER BY 1"):
            hashed.update(b"%d" % viewer + items)
    return hashed.hexdigest()[:16]


def step_rows(data_dir: Path, step: str) -> int:
    """Return how many rows the record of runs has of a step."""
    with closing(sqlite3.connect(places.serving(data_dir))) as serving:
        [rows] = serving.execute("SELECT sum(rows) FROM runs WHERE step = ?", (step,)).fetchone()
    return int(rows or 0)


def with_limits(data_dir: Path, block_viewers: int, range_mb: int) -> None:
    """Let runs of a store have blocks of so many viewers, and ranges that need so much memory."""
    (data_dir / "foryou.toml").write_text(
        f"[ranking]\nblock_viewers = {block_viewers}\nmemory_limit_gb = {range_mb / 1000}\n"
    )


def main() -> None:
    """Measure, print."""
    parser = parser_of(
        __doc__, likes=750_000, actors=16_000, days=14, times="1,4,16", block=10_000, range_mb=200,
        engines="local,ray", local_threads=1,
    )  # fmt: skip
    parser.add_argument("--dir", type=Path, help="keep the stores here and use them again")
    options = parser.parse_args()
    answer: dict[str, object] = {"bench": "engine", "likes": options.likes}
    with tempfile.TemporaryDirectory() as temporary:
        for times in map(int, options.times.split(",")):
            store = (options.dir or Path(temporary)) / f"x{times}"
            if not store.exists():
                store.mkdir(parents=True)
                make_store(
                    store, actors=options.actors * times, likes=options.likes * times, days=options.days
                )
            with_limits(store, options.block, options.range_mb)
            hashes, sent = {}, 0
            for engine in options.engines.split(","):
                data_dir = Path(temporary) / "run"
                shutil.copytree(store, data_dir)
                threads = ("--batch-threads", str(options.local_threads) if engine == "local" else "2")
                for job in JOBS:
                    found = run(data_dir, job, "--engine", engine, *threads)
                    answer[f"x{times} {engine} {job}"] = found
                    print(f"{times:>3}x {engine:<6} {job:<11} {found}", flush=True)
                hashes[engine] = results(data_dir)
                print(f"{times:>3}x {engine:<6} {hashes[engine]}", flush=True)
                sent = max(sent, step_rows(data_dir, "exchange"))  # one process sends nothing
                shutil.rmtree(data_dir)
            equal = len(set(hashes.values())) == 1 if len(hashes) > 1 else "not compared"
            answer[f"x{times}"] = {"equal": equal, "likers_sent": sent, **hashes}
            print(f"{times:>3}x equal: {equal}; likers sent to blocks: {sent:,}", flush=True)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
