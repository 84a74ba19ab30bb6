"""What do a thousand hostile DIDs take from fifty honest viewers?

    python tests/bench/bench_strangers.py [--seconds 600] [--rate 120] [--honest 50] [--newcomers 5]

The real server and the real timetable with its jobs, on one store that a real batch filled with lists. Only the
server's name lookups and the ports of did:web hosts are replaced, so that invented names lead to hostile hosts on
loopback. Half of the DIDs are in the directory, half are names of five domains: hosts that answer, drip, send without
end, lie, are silent, or have a name server that never answers. They flood interactions and pages, invent posts and
DIDs, replay tokens, forge those of honest viewers, and send requests of two lengths (``strangers_load.py``). Each
visit makes the timetable fetch a repository: those of the directory's DIDs are at hosts that are slow, silent, busy,
huge or without end, or list a thousand likes each, of invented authors or of posts that are there
(``repository_hosts.py``).

Beside them, honest viewers with lists ask for a page a second, and answer every fourth with "show less". Newcomers, who
come one after another in the first three quarters of the time, do the same until the end, and wait for their first
list, up to eight minutes longer. Then every "show less" that was answered 200 is looked for in activity.sqlite. Prints
a table and, last, one line of JSON.
"""

import http.client
import json
import multiprocessing
import os
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import commands
from bench_tools import ROOT, memory_mb, number, parser_of
from repositories import record_of
from repository_hosts import LIKING_KINDS, SLOW_KINDS, RepositoryHosts
from serving_worlds import (
    FEED,
    INTERACTIONS,
    PUBLISHER_DID,
    SKELETON,
    Account,
    bearer,
    directory,
    plc_did,
)
from strangers_load import FIRST, HOSTILE, SEND, Attackers, run_hosts
from worlds import World

from sql import places
from sql.sqlite import connect, migrate

TASTES = 5
PROGRAM = """
import json, signal, sys, threading
from pathlib import Path
import serving.app
from serving.config import ServingConfig
from serving.identity.dids import HttpTarget, web_target
from serving.process import web_server
from serving.process.worker import allow_open_files
ports = json.loads(sys.argv[4])
allow_open_files()

def target(did):
    host = web_target(did).host
    return HttpTarget("http", host, ports[host.partition("-")[0]], "/.well-known/did.json")

def lookup(host, _port):
    if host.startswith("dead-"):
        threading.Event().wait(20)
        return []
    return ["127.0.0.1"]

made = serving.app.default_resolver
def resolver(*rest, **named):
    made_one = made(*rest, **named)
    web = made_one._sources["web"]
    web.target, web.fetcher.lookup, web.fetcher.allowed = target, lookup, lambda _address: True
    return made_one
serving.app.default_resolver = resolver

server = web_server.WebServer(ServingConfig(
    Path(sys.argv[1]), "feed.example.com", "did:web:feed.example.com", sys.argv[3], ("for-you",),
    ("127.0.0.1", 0), sys.argv[2], "off", 8))
signal.signal(signal.SIGTERM, lambda *_: server.stop())
print(server.address[1], flush=True)
server.run()
"""


@dataclass(frozen=True)
class Store:
    """What the store has: posts, and likes of those who are not in it yet, by DID as their hosts list them."""

    posts: list[str]
    likes: dict[str, list[Any]]


@dataclass
class Watch:
    """Looks at the store and the processes while all sides are at work."""

    data_dir: Path
    timetable: int
    newcomers: "Viewers"
    listed: dict[str, float] = field(
        default_factory=dict
    )  # seconds from a newcomer's first request to their list
    peak_mb: float = 0.0  # of the timetable and its jobs together

    def look(self) -> None:
        """Take note of what is new."""
        members = descendants(self.timetable)
        self.peak_mb = max(self.peak_mb, sum(memory_or_none(member) for member in members))
        own = "SELECT 1 FROM viewers JOIN lists USING (viewer_id) WHERE did = ?"
        for did, began in list(self.newcomers.began.items()):
            if did not in self.listed and number(self.data_dir, "serving", own, did):
                self.listed[did] = round(time.monotonic() - began, 1)


def descendants(process: int) -> list[int]:
    """Return a process and all that it started, as far as they live."""
    found, place = [process], 0
    while place < len(found):
        with suppress(OSError):  # each thread has a list of what it started
            for children in Path(f"/proc/{found[place]}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        place += 1
    return found


def memory_or_none(process: int) -> float:
    """Return the resident memory of a process, 0 when it has ended."""
    with suppress(OSError):
        return memory_mb(process)
    return 0.0


@dataclass
class Viewers:
    """Honest viewers who ask for pages and answer some posts."""

    accounts: list[Account]
    address: tuple[str, int]
    seconds: list[float] = field(default_factory=list)  # of pages
    statuses: list[int] = field(default_factory=list)  # of pages
    answered: list[tuple[str, str]] = field(default_factory=list)  # "show less" that got a 200
    refused: int = 0
    began: dict[str, float] = field(default_factory=dict)  # when each asked for the first time

    def run(self, until: float, threads: int, apart: float = 0.0) -> list[threading.Thread]:
        """Start them: each viewer asks once a second, and each thread's begin some seconds after the one's before."""
        made = [
            threading.Thread(target=self._work, args=(self.accounts[place::threads], until, place * apart))
            for place in range(threads)
        ]
        for thread in made:
            thread.start()
        return made

    def _work(self, accounts: list[Account], until: float, after: float) -> None:
        time.sleep(after)
        turn = 0
        while (began := time.monotonic()) < until:
            for place, account in enumerate(accounts):
                posts = self._page(account)
                if posts and (turn + place) % 4 == 0:
                    self._less(account, posts[turn % len(posts)])
            turn += 1
            time.sleep(max(0.0, began + 1 - time.monotonic()))

    def _page(self, account: Account) -> list[str]:
        self.began.setdefault(account.did, time.monotonic())
        headers = bearer(account.token(now=time.time()))
        status, body, seconds = self._ask("GET", f"{SKELETON}?feed={FEED}&limit=30", None, headers)
        self.seconds.append(seconds)
        self.statuses.append(status)
        return [item["post"] for item in json.loads(body)["feed"]] if status == 200 else []

    def _less(self, account: Account, post: str) -> None:
        body = json.dumps(
            {"interactions": [{"item": post, "event": "app.bsky.feed.defs#requestLess"}], "feed": FEED}
        ).encode()
        status, _, _ = self._ask("POST", INTERACTIONS, body, bearer(account.token(SEND, now=time.time())))
        if status == 200:
            self.answered.append((account.did, post))
        else:
            self.refused += 1

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, float]:
        began = time.perf_counter()
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), time.perf_counter() - began
        except OSError:
            return 0, b"", time.perf_counter() - began
        finally:
            connection.close()


def make_store(data_dir: Path, honest: list[Account], newcomers: list[Account]) -> Store:
    """Write the likes of a town of five tastes, in which the honest viewers live, and make everybody's lists."""
    world, chance = World(time.time_ns() // 1000), random.Random(1)
    for taste in range(TASTES):
        for place in range(40):
            world.post(f"old-{taste}-{place}", by=name_of(100_000 + taste * 40 + place), hours_ago=47)
        for place in range(120):
            world.post(f"new-{taste}-{place}", by=name_of(110_000 + taste * 120 + place), hours_ago=10)
    for person in range(300):
        taste = person % TASTES
        for place in chance.sample(range(40), 15):
            world.like(name_of(120_000 + person), f"old-{taste}-{place}", hours_ago=chance.uniform(20, 40))
        for place in chance.sample(range(120), 25):
            world.like(name_of(120_000 + person), f"new-{taste}-{place}", hours_ago=chance.uniform(0.2, 9))
    for place, account in enumerate(honest):
        for old in chance.sample(range(40), 24):
            name = account.did.removeprefix("did:plc:")
            world.like(name, f"old-{place % TASTES}-{old}", hours_ago=chance.uniform(20, 40))
    world.write(data_dir)
    done = commands.run_program("batch", "--job", "all", env=commands.environment(data_dir), seconds=600)
    if done.returncode:
        raise SystemExit(done.stderr)
    with closing(connect(places.activity(data_dir))) as activity:  # who came in the last days is a stranger
        migrate(activity, "activity")
        day = int(time.time() // 86_400) - 3
        activity.execute("INSERT INTO newest_viewers VALUES (?, ?)", (day, len(world.actors)))
    likes: dict[str, list[Any]] = {account.did: [] for account in newcomers}
    for place, account in enumerate(newcomers):
        for old in range(20):
            record = record_of(account.did, 3_600_000_000 + old * 60_000_000, old)
            record["value"]["subject"]["uri"] = world.uri(f"old-{place % TASTES}-{old}")
            likes[account.did].append(record)
    return Store([world.uri(post) for post in world.posts], likes)


def name_of(place: int) -> str:
    """Return the part of a DID by which the world knows an actor."""
    return plc_did(place).removeprefix("did:plc:")


def attack(pipe: Connection, rate: float, seconds: float, honest: list[str], store: Store) -> None:
    """Be the hostile side: send documents and ports, get the server's port, attack, send what was answered."""
    plc_key, web_key = Account(plc_did(FIRST)), Account("did:web:key.example")
    ports = run_hosts(web_key)
    kinds = SLOW_KINDS + LIKING_KINDS
    dids = [plc_did(FIRST + place) for place in range(1, HOSTILE, 2)]  # the others are names of domains
    hosts = RepositoryHosts(
        {did: kinds[place % len(kinds)] for place, did in enumerate(dids)}, store.likes, store.posts
    )
    documents = {
        did: {**plc_key.document(), "id": did, "service": [hosts.service(did)]}
        for did in [*dids, *store.likes]
    }
    text = json.dumps(documents).replace(f"{plc_key.did}#atproto", "#atproto")
    pipe.send((json.loads(text), ports))
    attackers = Attackers(("127.0.0.1", pipe.recv()), plc_key, web_key, honest, store.posts, rate)
    attackers.run(seconds)
    pipe.recv()  # its hosts go on while newcomers wait, and until nobody asks any more
    pipe.send((dict(attackers.answers), dict(hosts.requests)))
    pipe.recv()


def kept(path: Path, answered: list[tuple[str, str]]) -> int:
    """Return how many of the answers are in the store."""
    with sqlite3.connect(path) as store:
        query = "SELECT viewer_did, post_uri FROM interactions WHERE event = 'requestLess'"
        rows = set(store.execute(query))
    return sum(answer in rows for answer in answered)


def measure(seconds: float, rate: float, honest: int, newcomers: int) -> dict[str, Any]:
    """Run all sides and return the figures."""
    known = [Account(plc_did(place)) for place in range(1, honest + 1)]
    fresh = [Account(plc_did(place)) for place in range(5_001, 5_001 + newcomers)]
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    with tempfile.TemporaryDirectory(prefix="foryou-strangers-") as folder, directory(keeps=True) as plc:
        data_dir = Path(folder, "data")
        store = make_store(data_dir, known, fresh)
        before = disk_mb(data_dir)
        honest_dids = [account.did for account in known]
        hostile = spawn.Process(target=attack, args=(there, rate, seconds, honest_dids, store), daemon=True)
        hostile.start()
        documents, ports = here.recv()
        for did, document in documents.items():
            plc.answers[f"/{did}"] = (200, json.dumps(document).encode())
        for account in fresh:
            document = {**account.document(), "service": documents[account.did]["service"]}
            plc.answers[f"/{account.did}"] = (200, json.dumps(document).encode())
        plc.publish(*known)
        server = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(data_dir), plc.url, PUBLISHER_DID, json.dumps(ports)],
            stdout=subprocess.PIPE, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        log, env = Path(folder, "log"), commands.environment(data_dir, plc_url=plc.url)
        try:
            with commands.running("schedule", env=env, log=log) as timetable:
                assert server.stdout is not None
                address = ("127.0.0.1", int(server.stdout.readline()))
                memory = memory_mb(server.pid)
                while "looking for viewers" not in log.read_text():
                    time.sleep(0.2)
                until = time.monotonic() + seconds
                here.send(address[1])
                viewers, others = Viewers(known, address), Viewers(fresh, address)
                watch = Watch(data_dir, timetable.pid, others)
                apart = 0.75 * seconds / newcomers
                threads = [*viewers.run(until, 10), *others.run(until, newcomers, apart)]
                waits_until = until + 480
                while time.monotonic() < until or (
                    len(watch.listed) < newcomers and time.monotonic() < waits_until
                ):
                    watch.look()
                    time.sleep(0.5)
                for thread in threads:
                    thread.join()
                here.send("looked")
                answers, repository_requests = here.recv()
                peak, memory_after = memory_mb(server.pid, "VmHWM"), memory_mb(server.pid)
                commands.stop(timetable)
        finally:
            server.terminate()
            server.wait(10)
        here.send("end")
        hostile.join(10)
        fetches = "SELECT outcome, count(*) FROM fetched_viewers GROUP BY outcome"
        with closing(connect(places.landing(data_dir), read_only=True)) as landing:
            fetched = dict(landing.execute(fetches).fetchall())
        cuts = statistics.quantiles(viewers.seconds, n=100)
        after = disk_mb(data_dir)
        return {
            "seconds": seconds,
            "hostile_requests": sum(answers.values()),
            "hostile_answers": dict(sorted(answers.items())),
            "pages": len(viewers.statuses),
            "pages_not_200": sum(status != 200 for status in viewers.statuses),
            "p50_ms": round(cuts[49] * 1e3, 1),
            "p99_ms": round(cuts[98] * 1e3, 1),
            "less_answered_200": len(viewers.answered),
            "less_refused": viewers.refused,
            "less_kept": kept(data_dir / "activity.sqlite", viewers.answered),
            "newcomer_pages_not_200": sum(status != 200 for status in others.statuses),
            "newcomer_less_answered_200": len(others.answered),
            "newcomer_less_refused": others.refused,
            "newcomer_less_kept": kept(data_dir / "activity.sqlite", others.answered),
            "newcomers": newcomers,
            "first_list_seconds": sorted(watch.listed.values()),
            "repository_requests": repository_requests,
            "fetched": fetched,
            "longest_did": number(data_dir, "landing", "SELECT max(length(did)) FROM actors"),
            "directory_requests": len(plc.requests),
            "runs": dict(Counter(re.findall(r"foryou.batch: (\w+ \w*):", log.read_text()))),
            "memory_mb": [round(memory), round(memory_after), round(peak)],
            "timetable_peak_mb": round(watch.peak_mb),
            "disk_mb": after,
            "disk_mb_before": before,
        }


def disk_mb(data_dir: Path) -> dict[str, float]:
    """Return what the stores and the lake take."""
    sizes: Counter[str] = Counter()
    for path in data_dir.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                sizes[path.relative_to(data_dir).parts[0].partition(".sqlite")[0]] += path.stat().st_size
    found = {name: round(size / 1e6, 1) for name, size in sorted(sizes.items()) if size > 50_000}
    return {**found, "all": round(sizes.total() / 1e6, 1)}


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=120.0, help="hostile turns a second")
    parser.add_argument("--honest", type=int, default=50)
    parser.add_argument("--newcomers", type=int, default=5)
    options = parser.parse_args()
    figures = measure(options.seconds, options.rate, options.honest, options.newcomers)
    for name, value in figures.items():
        print(f"{name:<28}{value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
