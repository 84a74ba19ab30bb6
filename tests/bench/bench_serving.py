"""How many pages a second does the web app serve, how fast, and at what cost?

The real server (processes of its own) over a serving.sqlite of --viewers lists of 300 items, a directory on
loopback with real keys, and a load of signed requests of many viewers from another process over kept
connections. Every request carries a token of its own; tokens are made beforehand, so signing is not measured.
Every page is remembered, logged as an impression, and moves its posts back in the viewer's next one.

    python tests/bench/bench_serving.py [--viewers 20000] [--signers 500] [--requests 20000] [--connections 16]
                                        [--rate N] [--threads 8] [--workers 1] [--plain] [--store FOLDER]

Without --rate the connections ask as fast as they are answered (closed loop: the most the server does); with
it they start N requests a second in all, and latencies count from the moment a request was due. --plain measures
plain_feed.py, the way the common starters serve, over the same lists. --store keeps the lists for the next run.
Prints a table and, last, one line of JSON. Seeded: the same lists each time.
"""

import argparse
import json
import multiprocessing
import os
import random
import selectors
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

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

POSTS = 200_000
ITEMS = 300
_PROGRAM = """
import sys
from pathlib import Path
from serving.config import ServingConfig
from serving.workers import run
run(ServingConfig(Path(sys.argv[1]), "feed.example.com", "did:web:feed.example.com", sys.argv[3],
                  ("for-you",), ("127.0.0.1", 0), sys.argv[2], False, int(sys.argv[4]), int(sys.argv[5])))
"""


def make_store(path: Path, viewers: int) -> None:
    """Write posts and one list for each viewer; lists repeat after some thousand."""
    chance = random.Random(1)
    store = ServingStore(path)
    connection = store.connection
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((post, post % 7, post_rkey(post), post_uri(post), 1, 5, 1) for post in range(1, POSTS + 1)),
    )
    tail = (
        struct.pack(f"<{ITEMS}f", *([0.5] * ITEMS))
        + struct.pack(f"<{ITEMS}H", *([3] * ITEMS))
        + b"\1" * ITEMS
    )
    lists = [
        struct.pack(f"<{ITEMS}I", *chance.sample(range(1, POSTS + 1), ITEMS)) + tail for _ in range(2_000)
    ]
    numbers = range(1, viewers + 1)
    connection.executemany(
        "INSERT INTO viewers VALUES (?, ?)", ((viewer, plc_did(viewer)) for viewer in numbers)
    )
    connection.executemany(
        "INSERT INTO lists VALUES (1, ?, 1, ?)", ((viewer, lists[viewer % len(lists)]) for viewer in numbers)
    )
    connection.execute(
        "INSERT INTO generations VALUES (1, ?, ?, ?, ?)",
        (int(time.time() * 1e6), int(time.time() * 1e6), viewers, viewers * ITEMS),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def make_plain_store(path: Path, lists: Path, signers: int) -> None:
    """Write the signers' lists as rows, as the starters keep them."""
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE ranked (viewer TEXT, place INTEGER, post_id INTEGER, PRIMARY KEY (viewer, place))"
    )
    connection.execute("CREATE TABLE posts (post_id INTEGER PRIMARY KEY, uri TEXT)")
    connection.execute("ATTACH ? AS given", (str(lists),))
    connection.execute("INSERT INTO posts SELECT post_id, uri FROM given.posts")
    query = "SELECT did, items FROM given.viewers JOIN given.lists USING (viewer_id) WHERE viewer_id <= ?"
    for did, items in connection.execute(query, (signers,)).fetchall():
        posts = struct.unpack_from(f"<{ITEMS}I", items)
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


def load(port: int, requests: list[bytes], connections: int, rate: float, result: Any) -> None:
    """Send requests over kept connections; put the latencies (s), statuses and span (s) into ``result``."""
    waiting = list(reversed(requests))
    selector = selectors.DefaultSelector()
    latencies: list[float] = []
    wrong = 0
    free = []
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        free.append(connection)
        selector.register(connection, selectors.EVENT_READ, [b"", 0.0])
    begun, sent, total = time.perf_counter(), 0, len(requests)
    while len(latencies) < total:
        now = time.perf_counter()
        while waiting and free and (not rate or now - begun >= sent / rate):
            connection = free.pop()
            selector.get_key(connection).data[1] = begun + sent / rate if rate else now
            connection.sendall(waiting.pop())
            sent += 1
        pause = max(0.0, begun + sent / rate - now) if rate and waiting and free else 1.0
        for key, _ in selector.select(pause):
            key.data[0] += key.fileobj.recv(262_144)  # type: ignore[union-attr]
            head, _, body = key.data[0].partition(b"\r\n\r\n")
            place = head.lower().find(b"content-length: ")
            if place < 0 or len(body) < int(head[place + 16 :].split(b"\r\n")[0]):
                continue
            wrong += not head.startswith(b"HTTP/1.1 200") or b'"post"' not in body
            latencies.append(time.perf_counter() - key.data[1])
            key.data[0] = b""
            free.append(key.fileobj)  # type: ignore[arg-type]
    result.put((latencies, wrong, time.perf_counter() - begun))


def family(process: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *map(int, children)]


def cpu_seconds(process: int) -> float:
    """Return the processor time a process and its children have used."""
    ticks = 0
    for member in family(process):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> list[float]:
    """Return the resident memory of a process and of its children."""
    sizes = []
    for member in family(process):
        for line in Path(f"/proc/{member}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                sizes.append(round(int(line.split()[1]) / 1024, 1))
    return sizes


@contextmanager
def server(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server that prints its port at the end of its first line."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        yield process, int(process.stderr.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(5)
        process.stderr.close()


def run(port: int, requests: list[bytes], connections: int, rate: float) -> tuple[list[float], int, float]:
    """Run the load in a process of its own."""
    results: Any = multiprocessing.Queue()
    child = multiprocessing.Process(target=load, args=(port, requests, connections, rate, results))
    child.start()
    taken = results.get()
    child.join()
    return taken  # type: ignore[no-any-return]


def options_of() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--viewers", type=int, default=20_000)
    parser.add_argument("--signers", type=int, default=500, help="viewers who ask, of those with a list")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="the way the common starters serve")
    parser.add_argument("--store", type=Path, help="folder in which the lists are kept")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="requests a second; 0 for as many as it takes"
    )
    return parser.parse_args()


def main() -> None:
    """Run the benchmark."""
    options = options_of()
    with tempfile.TemporaryDirectory() as temporary, directory(keeps=True) as plc:
        folder = options.store or Path(temporary)
        if not (folder / "serving.sqlite").exists():
            make_store(folder / "serving.sqlite", options.viewers)
        (folder / "keys.sqlite").unlink(missing_ok=True)
        accounts = [Account(plc_did(viewer)) for viewer in range(1, options.signers + 1)]
        plc.publish(*accounts)
        chance, now = random.Random(2), time.time()
        first = [request(account, now) for account in accounts]
        measured = [request(chance.choice(accounts), now) for _ in range(options.requests)]
        if options.plain:
            make_plain_store(Path(temporary) / "plain.sqlite", folder / "serving.sqlite", options.signers)
            here = Path(__file__).with_name("plain_feed.py")
            command = [str(here), str(Path(temporary) / "plain.sqlite"), plc.url]
        else:
            numbers = [str(options.threads), str(options.workers)]
            command = ["-c", _PROGRAM, str(folder), plc.url, PUBLISHER_DID, *numbers]
        with server(command) as (process, port):
            cold, _, cold_seconds = run(port, first, 1, 0.0)
            before = cpu_seconds(process.pid)
            latencies, wrong, seconds = run(port, measured, options.connections, options.rate)
            used = cpu_seconds(process.pid) - before
            resident = memory_mb(process.pid)
    in_order = list(latencies)
    latencies.sort()
    figures = {
        "question": "pages a second of the web app, signed, 30 posts a page",
        "server": "plain" if options.plain else f"{options.workers} workers",
        "viewers": options.viewers,
        "signers": options.signers,
        "requests": options.requests,
        "connections": options.connections,
        "rate_asked": options.rate,
        "requests_per_second": round(len(latencies) / seconds, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 2),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 2),
        "max_ms": round(latencies[-1] * 1e3, 2),
        "cpu_ms_per_request": round(used / len(latencies) * 1e3, 3),
        "first_request_ms": round(cold[0] * 1e3, 2),
        "first_ten_p50_ms": round(sorted(cold[1:11])[5] * 1e3, 2),
        "thousandth_ten_p50_ms": round(sorted(in_order[1_000:1_010])[5] * 1e3, 2),
        "first_requests_per_second": round(len(cold) / cold_seconds, 1),
        "resident_mb": resident,
        "wrong": wrong,
    }
    for name, value in figures.items():
        print(f"{name:26} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
