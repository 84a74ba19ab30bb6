"""How many pages a second does the web app serve, how fast, and at what cost?

    python tests/bench/bench_serving.py [--viewers 20000] [--signers 500] [--requests 20000] [--connections 16]
                                        [--rate N ...] [--threads 8] [--workers 1 ...] [--plain] [--kept-keys]
                                        [--drop-cache] [--store FOLDER]

The real server, in processes of its own, serves --viewers lists of 300 items. A directory on loopback has real keys.
Another process sends signed requests of many viewers over kept connections. Every request has its own token, made
beforehand, so signing is not measured. Every page is remembered, logged as an impression, and moves its posts back in
the viewer's next page.

With rate 0 each connection sends its next request as soon as it has its answer (closed loop: the most that the server
does). Otherwise N requests a second are started in all, and latencies count from the moment a request was due. Each
number of workers is a server of its own, measured at each rate in turn. --plain adds plain_feed.py, the way the common
starters serve, over the same lists, and compares rate and CPU. --kept-keys starts with the signers' keys on disk, as
after a restart. --drop-cache removes the lists from the system's cache before each start. --store keeps the lists for
the next run. Prints a table and, last, one line of JSON. The lists are the same each time.
"""

import argparse
import json
import multiprocessing
import os
import random
import selectors
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from bench_tools import ROOT, cpu_seconds, drop_cache, family, memory_mb, parser_of
from list_bytes import blob, unpack
from serving_worlds import (
    FEED,
    PUBLISHER_DID,
    SKELETON,
    Account,
    ServingStore,
    directory,
    plc_did,
    post_rkey,
    post_uri,
)

from serving.identity.key_store import KeyStore
from serving.identity.keys import signing_key

COLD = 1_100  # requests one after another at the start
POSTS, AUTHORS = 200_000, 50_000
ITEMS = 300
PROGRAM = """
import sys
from pathlib import Path
from serving.config import ServingConfig
from serving.process.workers import run
run(ServingConfig(Path(sys.argv[1]), "feed.example.com", "did:web:feed.example.com", sys.argv[3],
                  ("for-you",), ("127.0.0.1", 0), sys.argv[2], "off", int(sys.argv[4]), int(sys.argv[5])))
"""


def make_store(path: Path, viewers: int) -> None:
    """Make a serving.sqlite with posts and one list for each viewer."""
    store = ServingStore(path)
    fill(store, viewers)
    store.close()


def fill(store: ServingStore, viewers: int) -> None:
    """Write posts, one list for each viewer, and what is popular; lists repeat after some thousand."""
    chance, connection = random.Random(1), store.connection
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT OR REPLACE INTO posts (post_id, author_id, rkey, uri, created_us, likers, last_generation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((post, post % AUTHORS, post_rkey(post), post_uri(post), 1, 5, 1) for post in range(1, POSTS + 1)),
    )
    lists = [blob(chance.sample(range(1, POSTS + 1), ITEMS)) for _ in range(2_000)]
    numbers = range(1, viewers + 1)
    connection.executemany(
        "INSERT INTO viewers VALUES (?, ?)", ((viewer, plc_did(viewer)) for viewer in numbers)
    )
    connection.executemany(
        "INSERT INTO lists VALUES (1, ?, 1, ?)", ((viewer, lists[viewer % len(lists)]) for viewer in numbers)
    )
    connection.execute("INSERT INTO fallbacks VALUES (1, '', 1, ?)", (lists[0],))
    connection.execute(
        "INSERT INTO generations (generation, snapshot_us, published_us, lists, items) VALUES (1, ?, ?, ?, ?)",
        (int(time.time() * 1e6), int(time.time() * 1e6), viewers, viewers * ITEMS),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make_plain_store(path: Path, lists: Path, signers: list[int]) -> None:
    """Write the signers' lists as rows, as the starters keep them."""
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE ranked (viewer TEXT, place INTEGER, post_id INTEGER, PRIMARY KEY (viewer, place))"
    )
    connection.execute("CREATE TABLE posts (post_id INTEGER PRIMARY KEY, uri TEXT)")
    connection.execute("ATTACH ? AS given", (str(lists),))
    connection.execute("INSERT INTO posts SELECT post_id, uri FROM given.posts")
    query = (
        "SELECT did, items FROM given.viewers AS v JOIN given.lists AS l "
        "ON l.viewer_id = v.viewer_id AND l.feed_id = 1 WHERE v.viewer_id = ?"
    )
    for viewer in signers:
        did, items = connection.execute(query, (viewer,)).fetchone()
        posts = [item[0] for item in unpack(items)]
        connection.executemany(
            "INSERT INTO ranked VALUES (?, ?, ?)", ((did, place, post) for place, post in enumerate(posts))
        )
    connection.commit()
    connection.close()


def request(account: Account, now: float) -> bytes:
    """Return one request of the kind an AppView sends."""
    return (
        f"GET {SKELETON}?feed={FEED}&limit=30 HTTP/1.1\r\nHost: feed.example.com\r\n"
        f"User-Agent: BskyAppView\r\nAccept-Language: en\r\n"
        f"Authorization: Bearer {account.token(now=now, exp=int(now) + 3500)}\r\n\r\n"
    ).encode()


class Loaded(NamedTuple):
    """What a load saw: seconds of each answer, answers that were wrong, its own span and CPU seconds.

    ``again``: requests that were sent a second time, because their connection was closed before any answer came.
    """

    latencies: list[float]
    wrong: int
    seconds: float
    cpu: float
    again: int


@dataclass
class Kept:
    """A kept connection: what has come of its answer, when its request was due, and the request."""

    received: bytes = b""
    due: float = 0.0
    request: bytes = b""


def load(port: int, requests: list[bytes], connections: int, rate: float, result: Any) -> None:
    """Send requests over kept connections; put a ``Loaded`` into ``result``."""
    waiting = list(reversed(requests))
    selector = selectors.DefaultSelector()
    latencies: list[float] = []
    wrong = again = 0
    free = []

    def connect(kept: Kept) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, kept)
        return connection

    for _ in range(connections):
        free.append(connect(Kept()))
    begun, sent, total = time.perf_counter(), 0, len(requests)
    while len(latencies) < total:
        now = time.perf_counter()
        while waiting and free and (not rate or now - begun >= sent / rate):
            connection = free.pop()
            kept = selector.get_key(connection).data
            kept.due, kept.request = begun + sent / rate if rate else now, waiting.pop()
            with suppress(OSError):  # a connection that is closed is seen below
                connection.sendall(kept.request)
            sent += 1
        pause = max(0.0, begun + sent / rate - now) if rate and waiting and free else 1.0
        for key, _ in selector.select(pause):
            connection, kept = key.fileobj, key.data
            try:
                received = connection.recv(262_144)  # type: ignore[union-attr]
            except OSError:
                received = b""
            kept.received += received
            head, _, body = kept.received.partition(b"\r\n\r\n")
            place = head.lower().find(b"content-length: ")
            is_whole = place >= 0 and len(body) >= int(head[place + 16 :].split(b"\r\n")[0])
            if not received:  # closed, as by a proxy that is loaded again
                selector.unregister(connection)
                connection.close()  # type: ignore[union-attr]
                if not kept.request:
                    free.remove(connection)
                    free.append(connect(Kept()))
                elif kept.received:
                    wrong += 1
                    latencies.append(time.perf_counter() - kept.due)
                    free.append(connect(Kept()))
                else:
                    again += 1
                    connect(kept).sendall(kept.request)
            elif is_whole and kept.request:
                is_page = kept.request.startswith(b"GET")
                wrong += not head.startswith(b"HTTP/1.1 200") or (is_page and b'"post"' not in body)
                latencies.append(time.perf_counter() - kept.due)
                kept.received = kept.request = b""
                free.append(connection)  # type: ignore[arg-type]
    result.put(Loaded(latencies, wrong, time.perf_counter() - begun, time.process_time(), again))


@contextmanager
def server(command: list[str], tree: Path = ROOT) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server, of a working tree, that prints its port at the end of its first line."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tree,  # Python looks there first
    )
    assert process.stderr is not None
    try:
        port = int(process.stderr.readline().rpartition(":")[2])
        # What it logs is read and dropped: a pipe that is full would stop it.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, port
    finally:
        process.terminate()
        process.wait(5)


def run(port: int, requests: list[bytes], connections: int, rate: float) -> Loaded:
    """Run the load in a process of its own."""
    results: Any = multiprocessing.Queue()
    child = multiprocessing.Process(target=load, args=(port, requests, connections, rate, results))
    child.start()
    taken = results.get()
    child.join()
    return taken  # type: ignore[no-any-return]


def options_of() -> argparse.Namespace:
    """Return the command line's options."""
    parser = parser_of(__doc__, viewers=20_000, requests=20_000, connections=16, threads=8)
    parser.add_argument("--signers", type=int, default=500, help="viewers who ask, of those with a list")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--plain", action="store_true", help="also the way the common starters serve")
    parser.add_argument("--kept-keys", action="store_true", help="the signers' keys are on disk")
    parser.add_argument("--drop-cache", action="store_true", help="the lists are not in memory at the start")
    parser.add_argument("--store", type=Path, help="folder in which the lists are kept")
    parser.add_argument(
        "--rate", type=float, nargs="+", default=[0.0], help="requests a second; 0 for as many as it takes"
    )
    return parser.parse_args()


def keep_keys(path: Path, accounts: list[Account]) -> None:
    """Write the accounts' keys as a former server kept them."""
    store = KeyStore(path, 24 * 3600.0)
    for account in accounts:
        store.keep(account.did, signing_key(account.document(), account.did), time.time())


def median(values: list[float]) -> float:
    """Return the median in milliseconds."""
    return round(sorted(values)[len(values) // 2] * 1e3, 2)


def measure(
    name: str, command: list[str], options: argparse.Namespace, accounts: list[Account]
) -> list[dict[str, Any]]:
    """Start a server and ask it: one request after another first, then at each rate."""
    chance, rows = random.Random(2), []
    first = [request(account, time.time()) for account in accounts[:COLD]]
    with server(command) as (process, port):
        cold, wrong_cold = run(port, first, 1, 0.0)[:2]
        for rate in options.rate:
            requests = [request(chance.choice(accounts), time.time()) for _ in range(options.requests)]
            before = cpu_seconds(process.pid)
            latencies, wrong, seconds, own, _ = run(port, requests, options.connections, rate)
            used = cpu_seconds(process.pid) - before
            latencies.sort()
            rows.append(
                {
                    "server": name,
                    "rate": rate,
                    "requests_per_second": round(len(latencies) / seconds, 1),
                    "p50_ms": median(latencies),
                    "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 2),
                    "max_ms": round(latencies[-1] * 1e3, 2),
                    "cpu_ms_per_request": round(used / len(latencies) * 1e3, 3),
                    "load_cpu_ms_per_request": round(own / len(latencies) * 1e3, 3),
                    "first_request_ms": round(cold[0] * 1e3, 2),
                    "first_ten_p50_ms": median(cold[1:11]),
                    "thousandth_ten_p50_ms": median(cold[-100:][:10]),
                    "resident_mb": [memory_mb(member) for member in family(process.pid)],
                    "wrong": wrong + wrong_cold,
                }
            )
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


def main() -> None:
    """Run the benchmark."""
    options = options_of()
    with tempfile.TemporaryDirectory() as temporary, directory(keeps=True) as plc:
        folder = options.store or Path(temporary)
        lists, keys = folder / "serving.sqlite", folder / "keys.sqlite"
        if not lists.exists():
            folder.mkdir(parents=True, exist_ok=True)
            make_store(lists, options.viewers)
        numbers = random.Random(3).sample(range(1, options.viewers + 1), options.signers)
        accounts = [Account(plc_did(number)) for number in numbers]
        plc.publish(*accounts)
        rows = []
        for workers in options.workers:
            for left in (keys, folder / "activity.sqlite"):
                left.unlink(missing_ok=True)
            if options.kept_keys:
                keep_keys(keys, accounts)
            if options.drop_cache:
                drop_cache(lists)
            command = [
                "-c",
                PROGRAM,
                str(folder),
                plc.url,
                PUBLISHER_DID,
                str(options.threads),
                str(workers),
            ]
            rows += measure(f"{workers} workers", command, options, accounts)
        if options.plain:
            plain = Path(temporary) / "plain.sqlite"
            make_plain_store(plain, lists, numbers)
            if options.drop_cache:
                drop_cache(plain)
            here = str(Path(__file__).with_name("plain_feed.py"))
            rows += measure("plain", [here, str(plain), plc.url], options, accounts)
            last = rows[-len(options.rate)]
            for row in rows[: -len(options.rate) : len(options.rate)]:
                row["times_plain_rate"] = round(row["requests_per_second"] / last["requests_per_second"], 2)
                row["plain_cpu_ratio"] = round(last["cpu_ms_per_request"] / row["cpu_ms_per_request"], 2)
                print(f"{row['server']}: {row['times_plain_rate']} times the plain server's rate, "
                      f"1/{row['plain_cpu_ratio']} of its CPU a request")  # fmt: skip
    settings = {name: getattr(options, name) for name in ("viewers", "signers", "requests", "connections")}
    print(json.dumps({"question": "pages a second, signed, 30 posts a page", **settings, "rows": rows}))


if __name__ == "__main__":
    main()
