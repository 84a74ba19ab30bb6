"""How large are a million lists of 300 posts, and how many bytes are written for them?

    python tests/bench/bench_lists.py [--viewers 100000] [--posts 300000] [--hours 2] [--everybody 60] [--minutes 5]
        [--recent 0.05] [--page-size 4096 ...] [--dir DIR]

The batch's own code publishes into a store per page size. Everybody's lists are published every --everybody minutes,
all of them changed. In between come those of a random share of viewers who have just asked for a page, so that their
old lists are kept. A forty-eighth of the posts is replaced every hour, and posts gather likes. Each publication is a
process. What it wrote is what Linux counts in /proc/self/io: wchar, handed to the system (log and file), and
write_bytes, pages made dirty. Then lists are read one by one, with the file in the system's cache and without. Prints a
line per publication and one of JSON.
"""

import json
import multiprocessing
import resource
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_tools import drop_cache, parser_of

from pipeline.batch.lists.list_block import SCHEMA
from pipeline.batch.publish import generations
from pipeline.ranking import Ranking
from pipeline.store.newest_generation import newest
from serving.lists.list_store import ListStore
from sql.sqlite import connect, migrate, transaction

ITEMS = 300
START_US = 1_790_000_000_000_000
BLOCK = 10_000


def did_of(number: int) -> str:
    """Return a DID as long as a real one."""
    return f"did:plc:{number:024d}"


def stage(path: Path, viewers: np.ndarray, posts: int, seed: int) -> None:
    """Write the lists of one run as the batch stages them; some posts are in many lists."""
    chance = np.random.default_rng(seed)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
        for first in range(0, len(viewers), BLOCK):
            block = viewers[first : first + BLOCK]
            size = len(block) * ITEMS
            post = (posts * chance.random(size) ** 2).astype(np.int32)
            score = np.sort(chance.lognormal(0, 2, (len(block), ITEMS)).astype(np.float32))[:, ::-1].reshape(
                -1
            )
            co_likers = chance.geometric(0.2, size) - (chance.random(size) < 0.1) * 1
            table = pa.table(
                [
                    np.repeat(block, ITEMS).astype(np.int32),
                    np.tile(np.arange(1, ITEMS + 1, dtype=np.int32), len(block)),
                    post,
                    np.ascontiguousarray(score),
                    co_likers.astype(np.int32),
                    np.where(co_likers > 0, 1, 2).astype(np.uint8),
                    np.zeros(size, np.int32),
                ],
                schema=SCHEMA,
            )
            writer.write_table(table, row_group_size=size)


def staged_tables(lists: Path, posts: int, minute: int) -> duckdb.DuckDBPyConnection:
    """Return the relations that ``publish`` reads."""
    staged = duckdb.connect(config={"threads": 1, "memory_limit": "1GB"})
    staged.execute("SET enable_progress_bar = false")
    staged.execute("CREATE MACRO post_uri(did, rkey) AS 'at://' || did || '/app.bsky.feed.post/' || rkey")
    first = posts * minute // (48 * 60)
    staged.execute(
        "CREATE TABLE candidate_posts AS SELECT i::INTEGER AS post_no, (i + $1) // 3 AS author_id, "
        f"3000000000000 + i + $1 AS rkey, {START_US} + i AS created_us, $2 // (1 + (i + $1) * 7919 % 240) AS likers "
        "FROM range($3) AS t(i)",
        [first, minute, posts],
    )
    quoted = str(lists)
    staged.execute(
        f"CREATE TABLE listed_posts AS SELECT DISTINCT post_no FROM read_parquet('{quoted}') WHERE post_no < {posts}"
    )
    staged.execute(f"CREATE TABLE listed_viewers AS SELECT DISTINCT viewer_id FROM read_parquet('{quoted}')")
    staged.execute(
        "CREATE TABLE actors AS SELECT i AS actor_id, 'did:plc:' || lpad(i::VARCHAR, 24, '0') AS did "
        "FROM range((SELECT max(greatest(viewer_id, $1)) + 1 FROM listed_viewers)) AS t(i)",
        [(first + posts) // 3],
    )
    staged.execute(
        "CREATE TABLE fallbacks AS "
        "SELECT l AS language, p + 1 AS position, p AS post_no, (1 / (1 + p))::FLOAT AS score "
        "FROM (VALUES (''), ('en'), ('pt'), ('ja'), ('de')) AS t(l), range(300) AS u(p) "
        "SEMI JOIN listed_posts AS s ON s.post_no = p ORDER BY language, position"
    )
    return staged


def visit(data_dir: Path, viewers: np.ndarray, at_us: int) -> None:
    """Let some viewers ask for a page."""
    activity = connect(data_dir / "activity.sqlite")
    migrate(activity, "activity")
    with transaction(activity):
        activity.executemany(
            "INSERT OR REPLACE INTO visits VALUES (?, 'for-you', 'en', 1, ?, ?)",
            [(did_of(number), at_us, at_us) for number in viewers.tolist()],
        )
    activity.close()


def io() -> dict[str, int]:
    """Return what this process has written so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}


def one_run(
    path: Path, lists: Path, posts: int, minute: int, everybody: bool, page: int, result: Any
) -> None:
    """Publish once; put what it took into ``result``."""
    staged = staged_tables(lists, posts, minute)
    serving = sqlite3.connect(path)
    serving.execute(f"PRAGMA page_size = {page}")
    serving.execute("PRAGMA journal_mode = WAL")  # writes the first page, so the size is set
    serving.close()
    serving = connect(path)
    migrate(serving, "serving")
    before, began, cpu = io(), time.perf_counter(), time.process_time()
    steps: dict[str, list[float]] = {}
    at, wrote = began, before["wchar"]
    at_us = START_US + minute * 60_000_000
    keys = ["for-you"] if everybody else None
    renewed = [row[0] for row in staged.execute("SELECT viewer_id FROM listed_viewers ORDER BY 1").fetchall()]
    before_run = newest(serving)
    origin = generations.GenerationOrigin(
        path.parent, lists, at_us, "for-you", "", before_run, everybody, renewed, keys
    )
    for step, rows in generations.publish(serving, staged, origin, Ranking(), lambda: at_us / 1e6):
        now, written = time.perf_counter(), io()["wchar"]
        total = steps.setdefault(step, [0, 0.0, 0.0])
        total[0], total[1], total[2] = (
            total[0] + rows,
            total[1] + now - at,
            total[2] + (written - wrote) / 1e6,
        )
        at, wrote = now, written
    free = serving.execute("PRAGMA freelist_count").fetchone()[0]
    pages = serving.execute("PRAGMA page_count").fetchone()[0]
    rows = serving.execute("SELECT count(*) FROM lists").fetchone()[0]
    serving.close()
    after = io()
    result.put(
        {
            "minute": minute,
            "everybody": everybody,
            "lists": int(steps["lists"][0]),
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "wchar_mb": round((after["wchar"] - before["wchar"]) / 1e6, 1),
            "write_bytes_mb": round((after["write_bytes"] - before["write_bytes"]) / 1e6, 1),
            "file_mb": round(pages * page / 1e6, 1),
            "free_mb": round(free * page / 1e6, 1),
            "rows": rows,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "steps_mb": {name: round(total[2], 1) for name, total in steps.items() if total[2] >= 0.5},
        }
    )


def in_process(*arguments: Any) -> dict[str, Any]:
    """Run ``one_run`` as a process of its own."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    child = context.Process(target=one_run, args=(*arguments, results))
    child.start()
    taken = results.get(timeout=3_000)
    child.join()
    return taken  # type: ignore[no-any-return]


def reads(path: Path, viewers: int, *, drop: bool) -> dict[str, float]:
    """Read lists of random viewers as the web app does; return microseconds."""
    chance = np.random.default_rng(9)
    wanted = [did_of(number) for number in chance.integers(1, viewers, 2_000).tolist()]
    store = ListStore(path)
    if drop:
        drop_cache(path)
    times, cpu = [], time.process_time()
    for did in wanted:
        began = time.perf_counter()
        with store.read() as snapshot:
            assert snapshot is not None
            assert snapshot.list_of("for-you", did, 1 << 40) is not None
        times.append((time.perf_counter() - began) * 1e6)
    cpu = (time.process_time() - cpu) / len(wanted) * 1e6
    times.sort()
    return {
        "p50_us": round(times[len(times) // 2], 1),
        "p99_us": round(times[len(times) * 99 // 100], 1),
        "cpu_us": round(cpu, 1),
    }


def main() -> None:
    """Measure, print."""
    parser = parser_of(__doc__, viewers=100_000, posts=300_000, hours=2)
    parser.add_argument("--everybody", type=int, default=60, help="minutes between two runs for everybody")
    parser.add_argument("--recent", type=float, default=0.05, help="share of viewers in a run for some")
    parser.add_argument("--minutes", type=int, default=5, help="between two runs")
    parser.add_argument("--page-size", type=int, nargs="+", default=[4096])
    parser.add_argument("--dir", type=Path, help="folder for the stores, removed at the end of each")
    options = parser.parse_args()
    everybody = np.arange(1, options.viewers + 1)
    answer = []
    for page in options.page_size:
        with tempfile.TemporaryDirectory(dir=options.dir) as folder:
            path, lists = Path(folder) / "serving.sqlite", Path(folder) / "lists.parquet"
            runs = []
            for minute in range(0, options.hours * 60 + 1, options.minutes):
                whole = minute % options.everybody == 0
                chance = np.random.default_rng(minute)
                some = np.sort(chance.choice(everybody, max(1, int(options.recent * len(everybody))), False))
                stage(lists, everybody if whole else some, options.posts, minute + 1)
                visit(path.parent, some, START_US + minute * 60_000_000)
                runs.append(in_process(path, lists, options.posts, minute, whole, page))
                print(page, json.dumps(runs[-1]), flush=True)
            warm = reads(path, options.viewers, drop=False) and reads(path, options.viewers, drop=False)
            cold = reads(path, options.viewers, drop=True)
            print(page, "reads: in memory", warm, "not", cold, flush=True)
            answer.append({"page": page, "runs": runs, "warm": warm, "cold": cold})
    settings = {
        name: getattr(options, name)
        for name in ("viewers", "posts", "hours", "everybody", "recent", "minutes")
    }
    print(json.dumps({"question": "bytes of lists", **settings, "answer": answer}))


if __name__ == "__main__":
    main()
