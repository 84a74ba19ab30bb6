"""The whole feed on a simulated network, on this machine alone: ``make demo``.

Owns: choosing addresses, starting simulator and feed together, and printing where to look. Leaves to others: the
checks of ``--once`` (``end_to_end_checks``). The parts run as in production: ``foryou simulate`` takes the place of
Bluesky's servers, and ``foryou up`` is the feed.
"""

import logging
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx

from pipeline.demo.end_to_end_checks import SKELETON, Demo, check
from pipeline.demo.people import VISITORS, Character, cast, visit
from pipeline.demo.worth import measure
from pipeline.errors import PipelineError
from pipeline.run.supervisor import Supervisor, child_environment
from pipeline.settings import load_settings
from pipeline.simulate.world.names import labeler_did
from sql import places
from sql.sqlite import connect

log = logging.getLogger("foryou.demo")

DATA_DIR = Path("data/demo")
USERS, DAYS, SEED = 2_000, 7, 1
CLUSTERING = "strong"  # so that two people's feeds are as different as their tastes
SERVE_PORT, SIMULATE_PORT, PAGES_PORT = 8080, 6008, 8090
READY_SECONDS = 180.0


def run(*, once: bool) -> None:
    """Run the demo until interrupted, or check it and stop.

    Raises PipelineError when a part does not start or a check fails.
    """
    began = time.monotonic()
    interrupted = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: interrupted.set())
    shutil.rmtree(DATA_DIR, ignore_errors=True)
    DATA_DIR.mkdir(parents=True)
    serve_port, simulate_port, pages_port = map(_free_port, (SERVE_PORT, SIMULATE_PORT, PAGES_PORT))
    demo = Demo(
        DATA_DIR,
        f"http://127.0.0.1:{serve_port}",
        f"http://127.0.0.1:{pages_port}",
        f"http://127.0.0.1:{simulate_port}",
        f"did:web:localhost%3A{serve_port}",
    )
    settings = load_settings(
        {
            "data_dir": str(DATA_DIR),
            "stream_url": f"ws://127.0.0.1:{simulate_port}/subscribe",
            "stream_start_hours": str(24 * 365),
            "hostname": f"localhost:{serve_port}",
            "listen": f"127.0.0.1:{serve_port}",
            "pages_listen": f"127.0.0.1:{pages_port}",
            "plc_url": demo.network,
            "labelers": labeler_did(SEED),
            "appview_url": demo.network,
            "image_hosts": demo.network,
            "app_url": demo.network,
            "candidates_minutes": "0.2",
            "everybody_minutes": "0.2",
            "compact_minutes": "5",
        },
        {},
        DATA_DIR,
    )
    supervisor = Supervisor(child_environment(settings), places.logs(DATA_DIR))
    listen = f"127.0.0.1:{simulate_port}"
    scale = ("--users", str(USERS), "--days", str(DAYS), "--seed", str(SEED), "--clustering", CLUSTERING)
    supervisor.add("simulate", "--listen", listen, *scale)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with ThreadPoolExecutor(1, "supervisor") as thread:
        running = thread.submit(supervisor.run)
        try:
            print(f"Simulating {USERS:,} people for {DAYS} days; the parts log to {places.logs(DATA_DIR)}")
            _wait_for_lists(demo, supervisor, running, interrupted)
            if interrupted.is_set():
                return
            print(f"Lists for everybody after {time.monotonic() - began:.0f} s.\n")
            people = cast(demo)
            viewer = people[0].did
            _print_addresses(demo, people)
            print(f"  {measure(demo).text()}")
            visitors = [str(person["did"]) for person in demo.simulator("viewers", n=VISITORS)]
            print(f"  {VISITORS} people opened the feed and answered {visit(demo, visitors):,} posts.\n")
            if once:
                for line in check(demo, viewer):
                    print("  ok  " + line)
                return
            print("Ctrl-C stops everything.")
            while not interrupted.wait(0.2):
                _raise_failure(running)
        finally:
            stopping = time.monotonic()
            supervisor.request_stop()
            wait([running])
            print(f"Everything stopped within {time.monotonic() - stopping:.1f} s.")


def _raise_failure(running: "Future[None]") -> None:
    if running.done() and (error := running.exception()) is not None:
        raise PipelineError(f"{error} (in {places.logs(DATA_DIR)})") from error


def _print_addresses(demo: Demo, people: Sequence[Character]) -> None:
    viewer, other = people[0].did, people[-1].did
    print(f"  What this feed is:                {demo.pages}/")
    print(f"  Pick anybody and see their feed:  {demo.pages}/viewers")
    print(f"  Why it shows these posts:         {demo.pages}/why?viewer={quote(viewer, safe=':')}")
    both = f"a={quote(viewer, safe=':')}&b={quote(other, safe=':')}"
    print(f"  Two feeds side by side:           {demo.pages}/compare?{both}")
    print(f"  The operator's figures:           {demo.pages}/dashboard\n")
    print("  People to begin with:")
    for person in people:
        called = f"{person.name}, who likes {person.likes}"
        print(f"    {called:<44} {demo.pages}/viewer/{quote(person.did, safe=':')}")
    print("\n  The same feed, as the app requests it:\n")
    print(f"curl -s -H 'Authorization: Bearer {demo.token(viewer)}' \\")
    print(f"  '{demo.address}/xrpc/{SKELETON}?feed={quote(demo.feed_uri, safe='')}&limit=5'\n")


def _wait_for_lists(
    demo: Demo, supervisor: Supervisor, running: "Future[None]", interrupted: threading.Event
) -> None:
    """Wait until the history is stored and its lists are served, or until the interruption."""
    drawing = sys.stdout.isatty()

    def wait_until(what: str, ready: Callable[[], bool], share: Callable[[], float] = lambda: 0.0) -> None:
        print(f"  {what} ...", end="", flush=True)
        began = time.monotonic()
        while not _tried(ready):
            if drawing and (done := _share(share)):
                print(f"\r  {what} ... {done:4.0%}\b\b\b\b\b", end="", flush=True)
            _raise_failure(running)
            if interrupted.wait(0.2):
                return
            if time.monotonic() - began > READY_SECONDS:
                raise PipelineError(
                    f"{what} took more than {READY_SECONDS:.0f} s; see {places.logs(demo.data_dir)}"
                )
        print(f" {time.monotonic() - began:.1f} s")

    head: list[int] = []

    def network_answers() -> bool:
        head.append(int(demo.simulator("status")["head_us"]))
        return True

    wait_until("the network starts", network_answers)
    supervisor.add("up")
    stored = "SELECT seen_us FROM watermark"
    wait_until(
        "ingest stores its history",
        lambda: _number(demo, "landing", stored) >= head[0],
        lambda: 1 - (head[0] - _number(demo, "landing", stored)) / (DAYS * 86_400e6),
    )
    query = "SELECT coalesce(max(snapshot_us), 0) FROM generations WHERE lists > 0"
    wait_until("the batch makes everybody's list", lambda: _number(demo, "serving", query) >= head[0])
    wait_until("the web app answers", lambda: httpx.get(f"{demo.address}/health").status_code == 200)


def _tried(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except (httpx.TransportError, sqlite3.OperationalError):
        return False  # the part, or its tables, are not there yet


def _share(share: Callable[[], float]) -> float:
    """Return how much of a step is done, from 0 to 1; 0 while that is not known."""
    try:
        return min(max(share(), 0.0), 1.0)
    except (httpx.TransportError, sqlite3.OperationalError):
        return 0.0


def _number(demo: Demo, store: str, query: str) -> int:
    with closing(connect(places.store(demo.data_dir, store), read_only=True)) as connection:
        row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0


def _free_port(preferred: int) -> int:
    """Return a port of 127.0.0.1 that is free now: the preferred one, or any."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise PipelineError("no port is free on 127.0.0.1")
