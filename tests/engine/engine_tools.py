"""A store to run the engine on, runs of it as processes, and which of their workers does what."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch.inputs.neighbour_files import layers_of
from pipeline.store.model import HOUR_US
from sql import places
from sql.sqlite import connect, migrate

ROOT = Path(__file__).resolve().parents[2]
NOW_US = 1_780_000_000_000_000 // HOUR_US * HOUR_US
ACTORS, POSTS, LIKES = 600, 4_000, 30_000
RANGE_RECORDS, BLOCK = 1_500, 40
# Ranges have so many records when DuckDB has the least memory, shared by two.
RECORD_BYTES = int(0.1 * 2**30 / 2 / RANGE_RECORDS)
WAIT_SECONDS = 600.0


def make_store(data_dir: Path) -> None:
    """Write a store of some hundred people, with parameters under which every cap matters."""
    chance = np.random.default_rng(5)
    data_dir.mkdir(parents=True)
    (data_dir / "foryou.toml").write_text(
        f"[ranking]\nblock_viewers = {BLOCK}\nmemory_limit_gb = 0.1\nmax_seed_likers = 3\nmax_neighbours = 9\n"
        "max_seeds = 12\nviewer_active_days = 3650\n"
    )
    author = chance.integers(1, ACTORS + 1, POSTS)
    created = NOW_US - chance.integers(0, 40 * HOUR_US, POSTS)
    rkeys = created << 10
    post = (POSTS * chance.random(LIKES) ** 3).astype(np.int64)
    liker = 1 + (ACTORS * chance.random(LIKES) ** 1.5).astype(np.int64)
    seen = created[post] + chance.integers(0, HOUR_US, LIKES)
    kept = (seen < NOW_US) & (liker != author[post])
    landing = connect(places.landing(data_dir))
    migrate(landing, "landing")
    landing.execute("BEGIN")
    landing.executemany(
        "INSERT INTO actors (actor_id, did) VALUES (?, ?)",
        ((i, f"did:plc:{i:024d}") for i in range(1, ACTORS + 1)),
    )
    landing.executemany(
        "INSERT OR IGNORE INTO posts (author_id, rkey, created_us, seen_us, rev, flags, langs) "
        "VALUES (?, ?, ?, ?, 1, 0, 'en')",
        zip(author.tolist(), rkeys.tolist(), created.tolist(), created.tolist(), strict=True),
    )
    rows = (
        column[kept].tolist() for column in (liker, seen << 10, seen << 10, author[post], rkeys[post], seen)
    )
    landing.executemany(
        "INSERT OR IGNORE INTO like_words (liker_id, rkey, rev, author_id, post_rkey, seen_us, marks, commit_no) "
        "VALUES (?, ?, ?, ?, ?, ?, 0, 1)",
        zip(*rows, strict=True),
    )
    landing.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", (NOW_US,))
    landing.execute("COMMIT")
    landing.close()


def start(data_dir: Path, job: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a job; its output goes to a file in the data directory."""
    driver = Path(__file__).with_name("driver.py")
    # A driver whose head was killed gives up soon.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    with (data_dir / "output").open("a") as output:
        return subprocess.Popen(
            [sys.executable, str(driver), str(RECORD_BYTES), "batch", "--job", job, "--data-dir", ".", *arguments],
            cwd=data_dir, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def finish(process: "subprocess.Popen[str]", data_dir: Path, status: int | None = 0) -> str:
    """Wait for a job's end; return what it said."""
    code = process.wait(WAIT_SECONDS)
    text = (data_dir / "output").read_text()
    assert status is None or code == status, text
    return text


def neighbour_rows(data_dir: Path) -> pa.Table:
    """Return the rows that a full pass made, in order, and see that no part is named twice."""
    [paths] = layers_of(places.neighbours(data_dir))
    assert len(set(paths)) == len(paths)
    return pa.concat_tables([pq.read_table(path) for path in paths]).replace_schema_metadata(None)


def list_rows(data_dir: Path) -> list[Any]:
    """Return all lists and fallback lists that are visible, and how many generations; none before there is a store."""
    if not places.serving(data_dir).exists():
        return []
    serving = connect(places.serving(data_dir), read_only=True)
    try:
        queries = (
            "SELECT viewer_id, items FROM lists ORDER BY viewer_id, generation",
            "SELECT language, items FROM fallbacks ORDER BY language",
            "SELECT count(*), sum(lists), sum(items) FROM generations",
        )
        return [serving.execute(query).fetchall() for query in queries]
    finally:
        serving.close()


def children(root: int) -> list[int]:
    """Return the processes below a process."""
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        with suppress(OSError):
            waiting += map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
        found.append(process)
    return found[1:]


def name_of(process: int) -> bytes:
    """Return the name that a process has, nothing when it ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        return b""


def workers_at(root: int, stage: str) -> list[int]:
    """Return the workers of Ray below a process that do a task of a stage now."""
    return [process for process in children(root) if name_of(process).startswith(f"ray::{stage}".encode())]


def wait_for(what: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait until something is so, as long as a process runs."""
    until = time.monotonic() + WAIT_SECONDS
    while not what():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < until
        time.sleep(0.001)
