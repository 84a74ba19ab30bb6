"""What do a thousand hostile DIDs take from fifty honest viewers?

    python tests/bench/bench_strangers.py [--seconds 150] [--rate 120] [--honest 50] [--newcomers 5]
                                          [--checkout FOLDER]

The real server, in a process of its own; only name lookups and the ports of did:web hosts are replaced, so that
invented names lead to hostile hosts on loopback. Half of the DIDs are in the directory, half are names of five
domains: hosts that answer, drip, send without end, lie, are silent, or have a name server that never answers. They
flood interactions and pages, invent posts and DIDs, replay tokens, forge those of honest viewers, and send requests
of two lengths (``strangers_load.py``).

Beside them, honest viewers with lists ask for a page a second, and answer every fourth with "show less". Newcomers
without lists do the same. --checkout takes the server from another checkout of the project. At the end every "show
less" that was answered 200 is looked for in activity.sqlite. Prints a table and, last, one line of JSON.
"""

import http.client
import json
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from bench_tools import ROOT, memory_mb, parser_of
from list_bytes import blob
from serving_worlds import (
    FEED,
    INTERACTIONS,
    PUBLISHER_DID,
    SKELETON,
    Account,
    ServingStore,
    bearer,
    directory,
    plc_did,
)
from strangers_load import FIRST, HOSTILE, POSTS, SEND, Attackers, run_hosts

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


@dataclass
class Viewers:
    """Honest viewers who ask for pages and answer some posts."""

    accounts: list[Account]
    address: tuple[str, int]
    seconds: list[float] = field(default_factory=list)  # of pages
    statuses: list[int] = field(default_factory=list)  # of pages
    answered: list[tuple[str, str]] = field(default_factory=list)  # "show less" that got a 200
    refused: int = 0

    def run(self, until: float, threads: int) -> list[threading.Thread]:
        """Start them: each viewer asks once a second."""
        made = [
            threading.Thread(target=self._work, args=(self.accounts[number::threads], until))
            for number in range(threads)
        ]
        for thread in made:
            thread.start()
        return made

    def _work(self, accounts: list[Account], until: float) -> None:
        turn = 0
        while (began := time.monotonic()) < until:
            for place, account in enumerate(accounts):
                posts = self._page(account)
                if posts and (turn + place) % 4 == 0:
                    self._less(account, posts[turn % len(posts)])
            turn += 1
            time.sleep(max(0.0, began + 1 - time.monotonic()))

    def _page(self, account: Account) -> list[str]:
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


def make_store(path: Path, honest: list[str]) -> None:
    """Write lists for the honest viewers, and what is popular for newcomers and strangers."""
    store = ServingStore(path)
    store.posts(range(1, POSTS))
    store.connection.execute("UPDATE posts SET author_id = post_id")  # so that no answer hides others' posts
    lists = {did: blob(range(1 + 40 * number, 301 + 40 * number)) for number, did in enumerate(honest)}
    store.publish(1, lists, {"": blob(range(1, 301))}, at=time.time())
    store.close()


def attack(pipe: Connection, rate: float, seconds: float, honest: list[str]) -> None:
    """Be the hostile side: send the key and the ports, get the server's port, attack, send what was answered."""
    plc_key, web_key = Account(plc_did(FIRST)), Account("did:web:key.example")
    ports = run_hosts(web_key)
    pipe.send((json.dumps(plc_key.document()), plc_key.did, ports))
    attackers = Attackers(("127.0.0.1", pipe.recv()), plc_key, web_key, honest, rate)
    attackers.run(seconds)
    pipe.send(dict(attackers.answers))


def kept(path: Path, answered: list[tuple[str, str]]) -> int:
    """Return how many of the answers are in the store."""
    with sqlite3.connect(path) as store:
        query = "SELECT viewer_did, post_uri FROM interactions WHERE event = 'requestLess'"
        rows = set(store.execute(query))
    return sum(answer in rows for answer in answered)


def measure(
    seconds: float, rate: float, honest: int, newcomers: int, checkout: Path = ROOT
) -> dict[str, Any]:
    """Run all sides and return the figures."""
    known = [Account(plc_did(number)) for number in range(1, honest + 1)]
    fresh = [Account(plc_did(number)) for number in range(5_001, 5_001 + newcomers)]
    here, there = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory(prefix="foryou-strangers-") as folder, directory(keeps=True) as plc:
        data_dir = Path(folder, "data")
        data_dir.mkdir()
        make_store(data_dir / "serving.sqlite", [account.did for account in known])
        hostile = multiprocessing.get_context("spawn").Process(
            target=attack, args=(there, rate, seconds, [account.did for account in known]), daemon=True
        )
        hostile.start()
        document, key_did, ports = here.recv()
        plc.publish(*known, *fresh)
        for number in range(HOSTILE):
            did = plc_did(FIRST + number)
            plc.answers[f"/{did}"] = (200, document.replace(key_did, did).encode())
        server = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(data_dir), plc.url, PUBLISHER_DID, json.dumps(ports)],
            stdout=subprocess.PIPE, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(checkout)},
        )  # fmt: skip
        try:
            assert server.stdout is not None
            address = ("127.0.0.1", int(server.stdout.readline()))
            memory = memory_mb(server.pid)
            until = time.monotonic() + seconds
            here.send(address[1])
            viewers, others = Viewers(known, address), Viewers(fresh, address)
            for thread in [*viewers.run(until, 10), *others.run(until, 1)]:
                thread.join()
            answers = here.recv()
            peak, memory_after = memory_mb(server.pid, "VmHWM"), memory_mb(server.pid)
        finally:
            server.terminate()
            server.wait(10)
        hostile.join(10)
        stores = [path for path in data_dir.iterdir() if path.name.startswith(("activity", "keys"))]
        cuts = statistics.quantiles(viewers.seconds, n=100)
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
            "directory_requests": len(plc.requests),
            "memory_mb": [round(memory), round(memory_after), round(peak)],
            "disk_mb": round(sum(path.stat().st_size for path in stores) / 1e6, 1),
        }


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--rate", type=float, default=120.0, help="hostile turns a second")
    parser.add_argument("--honest", type=int, default=50)
    parser.add_argument("--newcomers", type=int, default=5)
    parser.add_argument("--checkout", type=Path, default=ROOT)
    options = parser.parse_args()
    figures = measure(
        options.seconds, options.rate, options.honest, options.newcomers, options.checkout.absolute()
    )
    for name, value in figures.items():
        print(f"{name:<28}{value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
