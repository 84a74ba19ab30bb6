"""From an empty store to every active viewer's list served: how fast is each step, at what cost?

The commands a user runs, as processes, against a simulated network that starts with its history:

    make bench [ARGS="--users 10000 --days 14 --seed 1"]

1. ``foryou ingest`` replays the whole history over a loopback websocket (simulator and ingest share the
   machine); likes/s from the first connection to the last event stored.
2. ``foryou batch --job compact|neighbours|candidates``: seconds and peak memory of every step, as the runs
   table holds them; viewers/s of the two products and of the whole job.
3. ``foryou serve`` under a load of signed getFeedSkeleton requests, a token each, from another process.

Prints a table and, last, one line of JSON. Everything is in a temporary folder that is removed at the end.
"""

import json
import multiprocessing
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import commands
from bench_serving import load
from bench_tools import cpu_seconds, family, memory_mb, number, parser_of
from streams import free_port, wait_until

from pipeline.operate.status.gather import gather
from pipeline.settings import load_settings
from pipeline.simulate.server.accounts import account_of, mint_token
from pipeline.simulate.timeline import World, WorldParameters

SKELETON = "app.bsky.feed.getFeedSkeleton"
END = "2026-11-01T00:00:00Z"
END_US = 1_793_491_200_000_000


def ingest(env: dict[str, str], data_dir: Path, last_us: int) -> dict[str, Any]:
    """Replay the history; return likes/s, and what a like costs on disk and in CPU."""
    with commands.running("ingest", env=env, log=data_dir / "log") as process:
        wait_until(lambda: "connected to" in (data_dir / "log").read_text(), 30)
        began = time.perf_counter()
        wait_until(lambda: number(data_dir, "landing", "SELECT seen_us FROM watermark") >= last_us, 3600)
        seconds = time.perf_counter() - began
        cpu, resident = cpu_seconds(process.pid), sum(map(memory_mb, family(process.pid)))
        commands.stop(process)
    likes = number(data_dir, "landing", "SELECT count(*) FROM likes")
    events = number(data_dir, "landing", "SELECT sum(value) FROM counters WHERE kind IN ('event', 'drop')")
    size = (data_dir / "landing.sqlite").stat().st_size
    return {
        "likes": likes,
        "ingest_seconds": round(seconds, 1),
        "ingest_likes_per_second": round(likes / seconds),
        "ingest_messages_per_second": round(events / seconds),
        "ingest_cpu_us_per_message": round(cpu / events * 1e6, 1),
        "ingest_resident_mb": round(resident),
        "landing_bytes_per_like": round(size / likes, 1),
    }


def batch(env: dict[str, str], data_dir: Path) -> dict[str, Any]:
    """Run the three jobs; return seconds by job and step."""
    figures: dict[str, Any] = {}
    for job in ("compact", "neighbours", "candidates"):
        began = time.perf_counter()
        result = commands.run_program("batch", "--job", job, env=env, seconds=3600)
        assert result.returncode == 0, result.stderr
        figures[f"{job}_seconds"] = round(time.perf_counter() - began, 2)
    connection = sqlite3.connect(data_dir / "serving.sqlite")
    steps = connection.execute(
        "SELECT job, step, seconds, rows, peak_mb FROM runs ORDER BY started_us"
    ).fetchall()
    lists, items = connection.execute("SELECT lists, items FROM generations").fetchone()
    connection.close()
    lake = sum(path.stat().st_size for path in (data_dir / "lake" / "likes").rglob("*.parquet"))
    lake_rows = sum(rows for job, step, _, rows, _ in steps if job == "compact" and step.startswith("write"))
    print(f"{'job':<11} {'step':<22} {'seconds':>8} {'rows':>11} {'peak MB':>8}")
    for job, step, seconds, rows, peak in steps:
        if seconds >= 0.05:
            print(f"{job:<11} {step:<22} {seconds:8.2f} {rows:11,} {peak:8.0f}")
    whole = figures["neighbours_seconds"] + figures["candidates_seconds"]
    return figures | {
        "lists": lists,
        "items": items,
        "viewers_per_second": round(lists / whole),
        "products_viewers_per_second": round(
            lists / sum(seconds for _, step, seconds, _, _ in steps if "product" in step)
        ),
        "batch_peak_mb": round(max(peak for *_, peak in steps)),
        "lake_bytes_per_like": round(lake / lake_rows, 2) if lake_rows else None,  # no day closed
        "serving_bytes_per_list": round((data_dir / "serving.sqlite").stat().st_size / lists),
    }


def serve(
    env: dict[str, str], data_dir: Path, world: World, port: int, requests: int, connections: int
) -> dict[str, Any]:
    """Load the web app with signed requests of viewers that have a list."""
    service_did = f"did:web:localhost%3A{port}"
    feed = quote(f"at://{service_did}/app.bsky.feed.generator/for-you", safe="")
    connection = sqlite3.connect(data_dir / "serving.sqlite")
    dids = [row[0] for row in connection.execute("SELECT did FROM viewers ORDER BY viewer_id")]
    connection.close()
    choose = random.Random(1)
    choose.shuffle(dids)
    accounts = [account for account in (account_of(world.people, did) for did in dids[:500]) if account]

    def request(account: Any) -> bytes:
        return (
            f"GET /xrpc/{SKELETON}?feed={feed}&limit=30 HTTP/1.1\r\nHost: localhost:{port}\r\n"
            f"Authorization: Bearer {mint_token(account, service_did, SKELETON, 3600)}\r\n\r\n"
        ).encode()

    warm = [request(account) for account in accounts]
    measured = [request(choose.choice(accounts)) for _ in range(requests)]
    results: Any = multiprocessing.Queue()
    with commands.running("serve", env=env, log=data_dir / "serve") as process:
        wait_until(lambda: "listens" in (data_dir / "serve").read_text())
        for batch_of, at_once in ((warm, 4), (measured, connections)):
            before = cpu_seconds(process.pid)
            child = multiprocessing.Process(target=load, args=(port, batch_of, at_once, 0.0, results))
            child.start()
            latencies, wrong, seconds, *_ = results.get()
            child.join()
            assert wrong == 0, f"{wrong} answers were no page"
        used = cpu_seconds(process.pid) - before
        resident = sum(map(memory_mb, family(process.pid)))
        commands.stop(process)
    latencies.sort()
    return {
        "serve_requests_per_second": round(len(latencies) / seconds),
        "serve_p50_ms": round(latencies[len(latencies) // 2] * 1e3, 2),
        "serve_p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 2),
        "serve_cpu_ms_per_request": round(used / len(latencies) * 1e3, 3),
        "serve_resident_mb": round(resident),
    }


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, users=10_000, days=14, seed=1, requests=10_000, connections=16)
    options = parser.parse_args()
    world = World(WorldParameters(users=options.users, days=options.days, seed=options.seed, end_us=END_US))
    simulate_port, serve_port = free_port(), free_port()
    scale = ("--users", str(options.users), "--days", str(options.days), "--seed", str(options.seed))
    network = ("simulate", "--listen", f"127.0.0.1:{simulate_port}", "--end", END, "--speed", "0", *scale)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        env = commands.environment(
            data_dir,
            stream_url=f"ws://127.0.0.1:{simulate_port}/subscribe",
            stream_start_hours="1000000",
            plc_url=f"http://127.0.0.1:{simulate_port}",
            hostname=f"localhost:{serve_port}",
            listen=f"127.0.0.1:{serve_port}",
        )
        with commands.running(*network, env=env, log=data_dir / "simulate"):
            began = time.perf_counter()
            wait_until(lambda: "listening" in (data_dir / "simulate").read_text(), 600)
            print(f"a network of {options.users:,} people and {options.days} days, made in "
                  f"{time.perf_counter() - began:.1f} s")  # fmt: skip
            figures: dict[str, Any] = {"users": options.users, "days": options.days, "seed": options.seed}
            last_us = END_US - 120_000_000
            figures |= ingest(env, data_dir, last_us)
            figures |= batch(env, data_dir)
            figures |= serve(env, data_dir, world, serve_port, options.requests, options.connections)
            stores = gather(load_settings({"data_dir": str(data_dir)}, {}, data_dir))
            figures["stores_bytes"] = {
                "landing": stores["landing"]["bytes"],
                "lake": stores["lake"]["bytes"],
                "serving": stores["serving_bytes"],
            }
    print()
    for name, value in figures.items():
        print(f"{name:30} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
