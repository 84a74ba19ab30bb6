"""How long until a like made now is in the viewer's list, under a live stream and with serving at work?

    python tests/bench/bench_soak.py [--minutes 25] [--dir DIR] [--small] [--events 500] [--requests 200]
        [--recent 50000] [--new 2] [--probe-seconds 4] [--actors 4000000] [--likes 100000000] [--viewers 1000000]
        [--set candidates_minutes=3 ...]

The store has a million viewers and ends now (synthetic_lake.py; --dir keeps it, and uses one that is there). First
``foryou batch`` makes everybody's neighbours and lists. Then ``foryou up`` runs on it: ingest follows a live stream of
the store's own people (soak_feed.py), the timetable runs, and signed requests come in (soak_load.py). Most requests
are from --recent viewers, all seen in the half hour before; --new a minute are from people without a list. Every few
seconds the bench makes a like with a known effect (soak_probes.py says what "in the viewer's list" means) and measures
the time until the visible list shows it. After --minutes it makes no more likes. For at most --tail-minutes everything
continues until the open likes are shown. A like that never is counts with the time it waited.

Prints a line a minute, a table, and one line of JSON. --small is for trying: a few thousand people, three minutes. The
store must end less than six hours ago, because its people are active now. Needs 2 cores, 24 GB and 12 GB of disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import commands
import httpx
from bench_serving import keep_keys
from bench_tools import ROOT, active_days, bring_in, listed, number, run_job, unlisted
from serving_worlds import FEED, PUBLISHER_DID, SKELETON, Account, Directory, directory
from soak_feed import Stream, events, stored
from soak_load import Load
from soak_probes import KINDS, Probes, quantile
from soak_watch import Watch, batch_runs
from streams import free_port, wait_until
from synthetic_lake import did_of, make_store

PROBED_VIEWERS = 400
OLD_SECONDS = 6 * 3600
SMALL = {"actors": 6_000, "likes": 300_000, "viewers": 2_000, "recent": 400, "events": 100.0, "requests": 20.0,
         "minutes": 2.0, "probe_seconds": 1.5, "new": 6.0}  # fmt: skip
SMALL_SETTINGS = {"candidates_minutes": "0.25", "neighbours_minutes": "0.5", "everybody_minutes": "1"}


def prepare(data_dir: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make the store and everybody's lists as far as they are missing; return what the runs took."""
    if not (data_dir / "landing.sqlite").exists():
        now_us = time.time_ns() // 1000
        make_store(data_dir, actors=options.actors, likes=options.likes, days=14, now_us=now_us)
    age = time.time() - number(data_dir, "landing", "SELECT seen_us FROM watermark") / 1e6
    if age > OLD_SECONDS:
        raise SystemExit(f"the store in {data_dir} ends {age / 3600:.1f} hours ago: make a new one")
    config = data_dir / "foryou.toml"
    if not config.exists():
        # The probes' new accounts must count from their first like on, not three days later.
        days = active_days(data_dir, options.viewers)
        config.write_text(f"[ranking]\nviewer_active_days = {days}\nnewcomer_hours = 0\n")
    took = {}
    for job, made in (("neighbours", data_dir / "lake" / "neighbours.parquet"),
                      ("candidates", data_dir / "serving.sqlite")):  # fmt: skip
        if not made.exists() or (job == "candidates" and not listed(data_dir, 1)):
            seconds, cpu, peak = run_job(data_dir, job)
            took[job] = {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(peak)}
    return took


def pages_of(port: int, accounts: dict[str, Account]) -> Callable[[str], list[str]]:
    """Return a function that opens the feed as a viewer's app does and returns the posts of the page."""
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def page(did: str) -> list[str]:
        token = accounts[did].token(now=time.time())
        answer = client.get(
            SKELETON, params={"feed": FEED, "limit": 30}, headers={"Authorization": f"Bearer {token}"}
        )
        return [item["post"] for item in answer.json().get("feed", [])] if answer.status_code == 200 else []

    return page


def soak(data_dir: Path, options: argparse.Namespace, plc: Directory, stack: ExitStack) -> dict[str, Any]:
    """Run everything for the time; return the figures."""
    viewers = listed(data_dir, options.recent)
    newcomers = unlisted(data_dir, int(options.new * (options.minutes + options.tail_minutes)) + 1)
    known, new = ([Account(did_of(viewer)) for viewer in some] for some in (viewers, newcomers))
    keep_keys(data_dir / "keys.sqlite", known)
    plc.publish(*known, *new)  # all: a change of identity on the stream makes the app ask again
    bring_in(data_dir, viewers)
    stream, port = Stream(data_dir, options.events), free_port()
    stack.callback(stream.end)
    environment = commands.environment(
        data_dir,
        **(SMALL_SETTINGS if options.small else {}),
        **dict(text.split("=", 1) for text in options.set),
        stream_url=f"ws://127.0.0.1:{stream.port}/subscribe",
        hostname="feed.example.com",
        publisher_did=PUBLISHER_DID,
        listen=f"127.0.0.1:{port}",
        plc_url=plc.url,
    ) | {
        "FORYOU_CONFIG": str(data_dir / "foryou.toml"),
        "PYTHONPATH": str(ROOT),
    }
    began_us, before = time.time_ns() // 1000, stored(data_dir, time.time_ns() // 1000)
    log = data_dir / "soak.log"
    log.unlink(missing_ok=True)
    up = stack.enter_context(commands.running("up", env=environment, log=log))
    stack.callback(end, up)
    wait_until(lambda: "listens" in log.read_text(), 120)
    wait_until(lambda: number(data_dir, "landing", "SELECT seen_us FROM watermark") > began_us, 120)
    watch = Watch(up.pid, data_dir)
    load = Load(port, known, new, options.requests, options.new / 60)
    page = pages_of(port, {account.did: account for account in known[:PROBED_VIEWERS]})
    probes = Probes(data_dir, "for-you", viewers[:PROBED_VIEWERS], stream.send, page)
    stack.callback(load.stop)
    watch.start()
    load.start()
    started, said, turn = time.monotonic(), 0, 0
    while (passed := time.monotonic() - started) < (options.minutes + options.tail_minutes) * 60:
        if passed >= options.minutes * 60 and not probes.open:
            break
        if passed < options.minutes * 60:
            probes.make(KINDS[turn % len(KINDS)])
            turn += 1
        if up.poll() is not None:
            raise SystemExit(f"foryou up has ended: see {log}")
        if passed // 60 >= said + 1:
            said = int(passed // 60)
            show(said, data_dir, load, probes, watch, stream)
        time.sleep(max(0.0, options.probe_seconds - (time.monotonic() - started - passed)))
    load.stop()
    probes.stop()
    seconds = time.monotonic() - started
    stream.end()
    sent = sum(stream.reported["sent"].values())
    counted: dict[str, int] = {}

    def all_is_stored() -> bool:
        counted.update(stored(data_dir, began_us))
        return sum(events(counted, before).values()) >= sent

    try:
        wait_until(all_is_stored, 20)
    except AssertionError as error:  # some are missing; the figures say how many
        print(f"not all is stored: {error}", file=sys.stderr)
    watch.stop()
    end(up)
    latencies, lags = sorted(load.latencies), sorted(watch.lags)
    errors = {name: count for name, count in load.statuses.items() if name != "200"}
    return {
        "seconds": round(seconds),
        "shown": probes.figures(time.time_ns() // 1000),
        "requests": {"answered": sum(load.statuses.values()), "errors": errors,
                     "a_second": round(len(latencies) / seconds, 1),
                     **{f"{name}_ms": round((quantile(latencies, share) or 0) * 1e3, 1) for name, share in
                        (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}},
        "ingest": {"sent": sent, "stored_or_dropped": sum(events(counted, before).values()),
                   "dropped": {name: count for name, count in events(counted, before).items()
                               if name.startswith("drop") and count},
                   "likes_sent": stream.reported["sent"].get("like", 0),
                   "unlikes_sent": stream.reported["sent"].get("like_deleted", 0),
                   "likes_in_store": counted["likes in the store"],
                   "lag_p50_s": quantile(lags, 0.5), "lag_p99_s": quantile(lags, 0.99),
                   "lag_max_s": quantile(lags, 1.0),
                   "stream_behind_s": round(stream.reported["behind"], 2),
                   "connections": stream.reported["connections"]},
        "processes": watch.roles(),
        "peak_together_mb": round(watch.peak_together_mb),
        "load_cpu_s": round(load.cpu, 1),
        "runs": batch_runs(data_dir, began_us),
        "recent_viewers": len(viewers),
        "log_problems": sum(" WARNING " in line or " ERROR " in line or "Traceback" in line
                            for line in log.read_text().splitlines()),
    }  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop ``foryou up`` as a service manager does."""
    if process.poll() is None:
        commands.stop(process, 30)


def show(minute: int, data_dir: Path, load: Load, probes: Probes, watch: Watch, stream: Stream) -> None:
    """Print how it is going."""
    load.take()
    recent = sorted(load.recent)
    shown = "  ".join(
        f"{kind} {row['shown']}/{row['likes']} p50 {row['p50_s']} max {row['max_s']}"
        for kind, row in probes.figures(time.time_ns() // 1000).items()
    )
    generation = number(data_dir, "serving", "SELECT max(generation) FROM generations")
    bad = sum(count for name, count in load.statuses.items() if name != "200")
    slow = (quantile(recent, 0.99) or 0) * 1e3
    print(
        f"{minute:>3} min: {shown} | {len(recent) / 60:.0f} requests/s p99 {slow:.0f} ms, "
        f"{bad} bad | sent {sum(stream.reported['sent'].values()):,}, "
        f"lag {watch.lags[-1] if watch.lags else 0:.1f} s | generation {generation}",
        flush=True,
    )


def table(figures: dict[str, Any]) -> None:
    """Print the figures for people."""
    print(f"\n{'a like is shown, seconds':<26} {'likes':>6} {'shown':>6} {'open':>5} {'refuted':>7} "
          f"{'p50':>8} {'p95':>8} {'max':>8}")  # fmt: skip
    for kind, row in figures["shown"].items():
        times = "".join(f" {row[name]!s:>8}" for name in ("p50_s", "p95_s", "max_s"))
        print(f"{kind:<26} {row['likes']:>6} {row['shown']:>6} {row['open']:>5} {row['refuted']:>7}{times}")
    print(f"\n{'process':<30} {'number':>6} {'peak MB':>9} {'CPU s':>8} {'of a core':>9} {'MB written':>10}")
    for role, row in sorted(figures["processes"].items()):
        print(f"{role:<30} {row['processes']:>6} {row['peak_mb']:>9,.0f} {row['cpu']:>8,.0f} "
              f"{row['core_share']:>9.3f} {row['written_mb']:>10,.0f}")  # fmt: skip
    print(f"\n{'job':<22} {'runs':>5} {'p50 s':>8} {'max s':>8} {'failed':>6}  longest steps")
    for row in figures["runs"]:
        steps = ", ".join(f"{name} {seconds}" for name, seconds in row["longest_steps"].items())
        print(f"{row['job'] + ' ' + row['tier']:<22} {row['runs']:>5} {row['p50_s']:>8} {row['max_s']:>8} "
              f"{row['failed']:>6}  {steps}")  # fmt: skip
    for name in ("requests", "ingest"):
        print(f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in figures[name].items()))


def options_of() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument(
        "--tail-minutes", type=float, default=10.0, help="at most, for likes that are not shown yet"
    )
    parser.add_argument("--dir", type=Path, help="keep the data here and use it again")
    parser.add_argument("--small", action="store_true", help="a few thousand people, for trying")
    for name, default in (("events", 500.0), ("requests", 200.0), ("new", 2.0), ("probe-seconds", 4.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    for name, number_of in (
        ("actors", 4_000_000),
        ("likes", 100_000_000),
        ("viewers", 1_000_000),
        ("recent", 50_000),
    ):
        parser.add_argument(f"--{name}", type=int, default=number_of)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the installation"
    )
    options = parser.parse_args()
    if options.small:
        given = {
            word.lstrip("-").split("=")[0].replace("-", "_") for word in sys.argv[1:] if word.startswith("--")
        }
        for name, value in SMALL.items():
            if name not in given:
                setattr(options, name, value)
    return options


def main() -> None:
    """Measure, print."""
    options = options_of()
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory())
        data_dir = (options.dir or Path(temporary)).resolve()
        data_dir.mkdir(parents=True, exist_ok=True)
        answer: dict[str, Any] = {"bench": "soak", "cores": os.cpu_count(), "viewers": options.viewers,
                                  "likes": options.likes, "events": options.events, "set": options.set}  # fmt: skip
        answer["full_runs"] = prepare(data_dir, options)
        plc = stack.enter_context(directory(keeps=True))
        figures = soak(data_dir, options, plc, stack)
        table(figures)
        print(json.dumps(answer | figures))


if __name__ == "__main__":
    main()
