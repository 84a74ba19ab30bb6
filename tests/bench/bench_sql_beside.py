"""Do analysts slow the feed? Ingest, batch and web app at work, without and with a loop over all queries.

    python tests/bench/bench_sql_beside.py [--users 5000] [--days 7] [--events 1000] [--requests 100]
        [--turns 2] [--quiet 60] [--busy 150]

Ingest follows a simulated network at so many events a second, candidates are made again and again, and the web app
answers so many signed requests a second. In turn, nothing else runs for ``--quiet`` seconds, and ``foryou sql`` runs
every query as a process for ``--busy`` seconds. Compared over all turns: events stored per second, seconds of a
candidates job, and the time of an answer. Then everything stops and every query runs alone, which shows how much the
feed slows analysts. Prints a table, then one line of JSON.
"""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import commands
from bench_tools import number, parser_of
from streams import free_port, wait_until

from pipeline.explore import queries

SKELETON = "app.bsky.feed.getFeedSkeleton"


class Requests(threading.Thread):
    """Signed requests at a steady rate; ``taken`` collects (moment, seconds, status)."""

    def __init__(self, address: str, feed: str, tokens: list[str], rate: float) -> None:
        super().__init__(daemon=True)
        self.url = f"{address}/xrpc/{SKELETON}?feed={quote(feed, safe='')}&limit=30"
        self.tokens, self.rate = tokens, rate
        self.taken: list[tuple[float, float, int]] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        due, turn = time.perf_counter(), 0
        with httpx.Client(timeout=10) as client:
            while not self.stopping.is_set():
                time.sleep(max(0.0, due - time.perf_counter()))
                token = self.tokens[turn % len(self.tokens)]
                answer = client.get(self.url, headers={"Authorization": f"Bearer {token}"})
                self.taken.append((time.time(), time.perf_counter() - due, answer.status_code))
                due, turn = due + 1 / self.rate, turn + 1


@dataclass(frozen=True)
class Spell:
    """What was measured in a time: events stored, seconds of each candidates run and answer, answers not 200."""

    seconds: float
    events: int
    runs: list[float]
    times: list[float]
    bad: int


def spell(data_dir: Path, asking: Requests, seconds: float, work: Callable[[], None]) -> Spell:
    """Let a time pass, doing some work again and again; return what was measured meanwhile."""
    counted = "SELECT sum(value) FROM counters WHERE kind IN ('event', 'drop')"
    began, events = time.time(), number(data_dir, "landing", counted)
    while time.time() - began < seconds:
        work()
    ended = time.time()
    times = sorted(took for at, took, _ in asking.taken if began <= at <= ended)
    bad = sum(status != 200 for at, _, status in asking.taken if began <= at <= ended)
    span = f"started_us BETWEEN {int(began * 1e6)} AND {int(ended * 1e6)}"
    jobs = f"SELECT run_id, sum(seconds) FROM runs WHERE job = 'candidates' AND {span} GROUP BY run_id"
    with sqlite3.connect(f"file:{data_dir}/serving.sqlite?mode=ro", uri=True) as serving:
        runs = [row[1] for row in serving.execute(jobs)]
    return Spell(ended - began, number(data_dir, "landing", counted) - events, runs, times, bad)


def figures(spells: list[Spell]) -> dict[str, float]:
    """Return what some spells say together."""
    seconds = sum(spell.seconds for spell in spells)
    runs = [run for spell in spells for run in spell.runs]
    times = sorted(took for spell in spells for took in spell.times)
    return {
        "seconds": round(seconds, 1),
        "events_per_second": round(sum(spell.events for spell in spells) / seconds, 1),
        "candidates_seconds": round(statistics.median(runs), 3) if runs else 0.0,
        "candidates_runs": len(runs),
        "requests": len(times),
        "p50_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
        "not_200": sum(spell.bad for spell in spells),
    }


def main() -> None:
    """Measure, print."""
    parser = parser_of(
        __doc__, users=5_000, days=7, events=1_000.0, requests=100.0, turns=2, quiet=60.0, busy=150.0
    )
    options = parser.parse_args()
    # People of the simulator make some 7 events a day each, so its clock must run this much faster.
    speed = options.events / (options.users * 7.0 / 86_400)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        wire, web = free_port(), free_port()
        env = commands.environment(
            data_dir,
            stream_url=f"ws://127.0.0.1:{wire}/subscribe",
            stream_start_hours=str(24 * 365),
            hostname=f"localhost:{web}",
            listen=f"127.0.0.1:{web}",
            plc_url=f"http://127.0.0.1:{wire}",
            candidates_minutes="0.2",
            compact_minutes="1",
        )
        world = ("--users", str(options.users), "--days", str(options.days), "--speed", f"{speed:.0f}")
        with (
            commands.running("simulate", "--listen", f"127.0.0.1:{wire}", *world, env=env),
            commands.running("up", env=env, log=Path(folder) / "log"),
        ):
            network = httpx.Client(base_url=f"http://127.0.0.1:{wire}", timeout=60)
            lists = "SELECT count(*) FROM lists"
            wait_until(lambda: number(data_dir, "serving", lists) > options.users // 4, 600)
            wait_until(lambda: (data_dir / "explore" / "current.parquet").exists(), 60)
            service = f"did:web:localhost%3A{web}"
            viewers = [row["did"] for row in network.get("/simulator/viewers", params={"n": 50}).json()]
            query = {"aud": service, "lxm": SKELETON, "seconds": 3600}
            tokens = [
                network.get("/simulator/token", params=query | {"did": viewer}).json()["token"]
                for viewer in viewers
            ]
            feed = f"at://{service}/app.bsky.feed.generator/for-you"
            asking = Requests(f"http://127.0.0.1:{web}", feed, tokens, options.requests)
            asking.start()
            names = list(queries.names())
            failed: list[str] = []
            took: dict[str, list[float]] = {name: [] for name in names}
            count = 0

            def ask() -> None:
                nonlocal count
                name = names[count % len(names)]
                count += 1
                given = {"viewer": viewers[0], "post": POST, "other": POST}
                parameters = queries.find(name).parameters.values()
                flags = [t for p in parameters if p.default is None for t in (f"--{p.name}", given[p.name])]
                began = time.perf_counter()
                ran = subprocess.run(
                    commands.command("sql", name, *flags), env=env, capture_output=True, check=False
                )
                took[name].append(time.perf_counter() - began)
                if ran.returncode:
                    failed.append(f"{name}: {ran.stderr.decode()}")

            spells: tuple[list[Spell], list[Spell]] = [], []
            for _ in range(options.turns):
                spells[0].append(spell(data_dir, asking, options.quiet, lambda: time.sleep(0.5)))
                spells[1].append(spell(data_dir, asking, options.busy, ask))
            asking.stopping.set()
            asking.join()
        beside = {name: statistics.median(times) for name, times in took.items() if times}
        total = count
        for name in names:
            took[name].clear()
        for _ in names:
            ask()
        ratios = sorted(beside[name] / took[name][0] for name in beside)
    quiet, busy = figures(spells[0]), figures(spells[1])
    print(f"{'':<20} {'quiet':>10} {'busy':>10} {'ratio':>7}")
    for name in quiet:
        ratio = f"{busy[name] / quiet[name]:7.2f}" if quiet[name] else ""
        print(f"{name:<20} {quiet[name]:>10,.2f} {busy[name]:>10,.2f} {ratio}")
    for turn, pair in enumerate(zip(*spells, strict=True), 1):
        print(f"turn {turn}: {figures([pair[0]])} {figures([pair[1]])}")
    print(f"{total} queries run, {len(failed)} failed; a query takes {statistics.median(ratios):.1f} times as "
          f"long as alone (median, {ratios[0]:.1f} to {ratios[-1]:.1f})")  # fmt: skip
    for line in failed[:5]:
        print(line)
    answer = {"bench": "sql_beside", "cores": os.cpu_count(), "quiet": quiet, "busy": busy,
              "queries": total, "failed": len(failed), "query_ratio": round(statistics.median(ratios), 2)}  # fmt: skip
    print(json.dumps(answer))


POST = "at://did:plc:44f74nkizsy5p4pthxcojioo/app.bsky.feed.post/3mvzs66rxed22"  # any: none may be found

if __name__ == "__main__":
    main()
