"""What does a backup of a full store cost while the stream goes on, and is it whole?

    python tests/bench/bench_backup.py [--users 28000] [--days 14] [--events 1000] [--seconds 60] [--kills 10]

A simulated network's history is stored and compacted. Then the network goes on at so many events a second, while ingest
and the web app run and viewers ask for pages. Ingest and the web app are measured for ``--seconds`` by themselves, and
for as long with one backup after the other. Then backups are killed (SIGKILL) at random moments, and the last whole one
is restored elsewhere. Differences are counted like by like: between a backup taken under load and the simulator's
truth, and between the stopped installation and the restored one. Prints a table, then one line of JSON.
"""

import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from bench_tools import parser_of
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1]))
import commands
from fault_tools import differences
from streams import free_port, wait_until
from test_backup import SKELETON, Feed, viewers

from pipeline.demo.stored_likes import like_records
from pipeline.operate.backup.manifest import whole_backups
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import WorldParameters
from sql.sqlite import connect

END_US = 1_793_491_200_000_000
EVENTS_A_DAY = 7.0  # of a person of the simulator


class Pages(threading.Thread):
    """Viewers who ask for their feed, each in turn, ten times a second; ``taken`` are the seconds of the answers."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(daemon=True)
        self.feed, self.taken, self.failures = feed, list[float](), 0

    def run(self) -> None:
        uri = f"at://{self.feed.service_did}/app.bsky.feed.generator/for-you"
        with httpx.Client(base_url=self.feed.address, timeout=10) as client:
            for account in self.feed.network.world.people.dids:
                token = self.feed.network.token(account, self.feed.service_did, SKELETON)
                began = time.perf_counter()
                answer = client.get(
                    f"/xrpc/{SKELETON}",
                    params={"feed": uri, "limit": 30},
                    headers={"Authorization": f"Bearer {token}"},
                )
                self.failures += answer.status_code != 200
                self.taken.append(time.perf_counter() - began)
                if self.feed.done.wait(0.1):
                    return


def say(text: str) -> None:
    """Tell somebody who waits how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def figures(address: str) -> dict[str, float]:
    """What ingest tells Prometheus, summed over labels but for buckets."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(f"http://{address}/metrics").text):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def stretch(address: str, pages: Pages, seconds: float, work: Any) -> dict[str, float]:
    """Measure ingest and web app for so long, doing some work again and again meanwhile."""
    before, began, first = figures(address), time.perf_counter(), len(pages.taken)
    lags = []
    while time.perf_counter() - began < seconds:
        work()
        lags.append(figures(address)["foryou_queue_chunks"])
    took, after = time.perf_counter() - began, figures(address)
    change = {name: after[name] - before.get(name, 0.0) for name in after}
    taken = sorted(pages.taken[first:])
    return {
        "events_per_second": round(change["foryou_events_total"] / took, 1),
        "commit_ms": round(
            1000 * change["foryou_commit_seconds_sum"] / change["foryou_commit_seconds_count"], 1
        ),
        "commits": change["foryou_commit_seconds_count"],
        "queue_chunks_max": max(lags),
        "page_p50_ms": round(1000 * taken[len(taken) // 2], 1),
        "page_p99_ms": round(1000 * taken[int(len(taken) * 0.99)], 1),
    }


def main() -> None:
    """Measure, print."""
    parser = parser_of(__doc__, users=28_000, days=14, events=1_000.0, seconds=60.0, kills=10)
    options = parser.parse_args()
    speed = options.events / (options.users * EVENTS_A_DAY / 86_400)
    parameters = WorldParameters(users=options.users, days=options.days, seed=11, end_us=END_US)
    web, metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    hostname = web.replace("127.0.0.1", "localhost")
    with tempfile.TemporaryDirectory() as folder, SimulatedNetwork(parameters, speed=speed) as network:
        data_dir, backups = Path(folder, "data"), Path(folder, "backups")
        env = commands.environment(
            data_dir, stream_url=network.stream_url, stream_start_hours="1000000", hostname=hostname, listen=web,
            plc_url=network.plc_url, metrics_listen=metrics,
        )  # fmt: skip
        did = f"did:web:{hostname.replace(':', '%3A')}"
        feed = Feed(data_dir, network, env, f"http://{web}", did)
        pages = Pages(feed)
        seconds, copied = [], []

        def back_up() -> None:
            began = time.perf_counter()
            result = commands.run_program("backup", str(backups), "--keep", "2", env=env, seconds=600)
            assert result.returncode == 0, result.stderr
            seconds.append(time.perf_counter() - began)
            newest = whole_backups(backups)[-1]
            copied.append(sum(path.stat().st_size for path in newest.glob("*.sqlite")))
            time.sleep(1)

        with commands.running("ingest", env=env, log=Path(folder, "log")), commands.running("serve", env=env):
            say("the network is made; ingest reads its history")
            wait_until(lambda: caught_up(data_dir), 600)
            say("stored; compact")
            assert commands.run_program("batch", "--job", "compact", env=env, seconds=600).returncode == 0
            pages.start()
            wait_until(lambda: len(pages.taken) > 10, 60)
            say("by itself")
            alone = stretch(metrics, pages, options.seconds, lambda: time.sleep(1))
            say("with backups")
            beside = stretch(metrics, pages, options.seconds, back_up)
            say("comparing a backup with the simulator's record")
            held, missing, extra = differences(whole_backups(backups)[-1], network.world)
            say("killing backups")
            choose = random.Random(11)
            for _ in range(options.kills):
                with commands.running("backup", str(backups), env=env) as process:
                    time.sleep(choose.uniform(0.2, 1.2) * statistics.median(seconds))
                    process.kill()
            feed.done.set()
            pages.join()
        say("restoring")
        back_up()
        elsewhere = Path(folder, "elsewhere")
        began = time.perf_counter()
        restored = commands.run_program(
            "restore", str(backups), env=env | {"FORYOU_DATA_DIR": str(elsewhere)}, seconds=600
        )
        assert restored.returncode == 0, restored.stderr
        restore_seconds = time.perf_counter() - began
        with closing(connect(data_dir / "landing.sqlite", read_only=True)) as store:
            open_likes = store.execute("SELECT count(*) FROM likes").fetchone()[0]
        ours, theirs = set(like_records(data_dir)[0]), set(like_records(elsewhere)[0])
        answer: dict[str, Any] = {
            "bench": "backup",
            "cores": os.cpu_count(),
            "likes": len(ours),
            "likes_in_landing": open_likes,
            "lake_bytes": sum(path.stat().st_size for path in (data_dir / "lake").rglob("*.parquet")),
            "stores_bytes": copied[-1],
            "backups": len(seconds),
            "backup_seconds": round(statistics.median(seconds), 2),
            "restore_seconds": round(restore_seconds, 2),
            "under_load": {"held": held, "missing": missing, "extra": extra},
            "restored": {
                "likes_different": len(ours ^ theirs),
                "viewers": len(viewers(data_dir)),
                "viewers_different": len(viewers(data_dir) ^ viewers(elsewhere)),
            },
            "partial_left": len(list(backups.glob("*.partial"))),
            "pages_failed": pages.failures,
            "alone": alone,
            "beside": beside,
        }
    print(f"{'':<20} {'by itself':>12} {'with backups':>12}")
    for name in alone:
        print(f"{name:<20} {alone[name]:>12,.1f} {beside[name]:>12,.1f}")
    for name, value in answer.items():
        if name not in ("alone", "beside", "bench"):
            print(f"{name}: {value}")
    print(json.dumps(answer))


def caught_up(data_dir: Path) -> bool:
    """Whether the history has been stored and the stream is live."""
    if not (data_dir / "landing.sqlite").exists():
        return False
    with closing(connect(data_dir / "landing.sqlite", read_only=True)) as store:
        try:
            row = store.execute("SELECT max(event_us) FROM stream_cursors").fetchone()
        except Exception:
            return False
    return row[0] is not None and row[0] > END_US


if __name__ == "__main__":
    main()
