"""Is the first request after a start as fast as the thousandth?

    python tests/bench/bench_start.py [--starts 40] [--viewers 20000] [--trees FOLDER ...] [--store FOLDER]

Starts the real server, in processes of its own, --starts times over --viewers lists of 300 items, with the signers'
keys on disk as after a restart. It sends one signed request after another, each of another viewer. There are four kinds
of starts: the lists are in the system's cache or not, and the first request is on a new connection or on one that has
been open for a while.

--trees compares working trees of this project, which take turns at each start. The control is waitress around a handler
of one line, with the same client: it shows what the client, the kernel and waitress take. Latencies count from before
connect() on a new connection, from before send() on a kept one; medians over the starts are shown. ``cpu`` is how long
the worker's threads ran for that request. The client has made its own first calls before, on a core that the worker
does not use. "rested" is a request after a pause as long as the first one's, when everything has been used a thousand
times: it shows what a pause alone costs. Prints a table and, last, one line of JSON. The lists are the same each time.
"""

import argparse
import json
import os
import random
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from bench_serving import (
    PROGRAM,
    PUBLISHER_DID,
    Account,
    keep_keys,
    make_store,
    plc_did,
    request,
    server,
)
from bench_tools import ROOT, drop_cache, family, memory_mb

THOUSAND = 1_000
TAIL = 30  # requests from the thousandth on, of which the median is taken: one alone may meet a commit
PAUSE_SECONDS = 0.5
_CONTROL = """
import os, socket, sys, waitress
def handler(environ, start_response):
    start_response("200 OK", [("Content-Length", "8")])
    return [b'"post"ok']
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
listening = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listening.getsockname()[1], file=sys.stderr, flush=True)
waitress.serve(handler, sockets=[listening], threads=8, ident="")
"""

Row = dict[str, float]


class Client:
    """One connection at a time; times are in milliseconds."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, data: bytes, *, new: bool = False) -> float:
        """Send a request, on a new connection if need be, and return how long its answer took."""
        if new:
            self.close()
        begun = time.perf_counter()
        if self._connection is None:
            self.connect()
        assert self._connection is not None
        self._connection.sendall(data)
        answer = b""
        while True:
            answer += self._connection.recv(262_144)
            head, _, body = answer.partition(b"\r\n\r\n")
            place = head.lower().find(b"content-length: ")
            if place >= 0 and len(body) >= int(head[place + 16 :].split(b"\r\n")[0]):
                break
        taken = time.perf_counter() - begun
        assert head.startswith(b"HTTP/1.1 200") and b'"post"' in body, answer[:300]
        return taken * 1e3

    def connect(self) -> None:
        """Open a connection."""
        self._connection = socket.create_connection(("127.0.0.1", self._port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def cpu_ms(process: int) -> float:
    """Return how long a process's threads have run."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def measured(process: int, ask: Callable[[], float]) -> tuple[float, float]:
    """Return a request's latency and the worker's time for it."""
    before = cpu_ms(process)
    latency = ask()
    time.sleep(0.002)  # what the worker does after it has answered
    return latency, cpu_ms(process) - before


def figures_of(process: int, port: int, requests: list[bytes], *, new: bool) -> Row:
    """Ask a worker that has just started."""
    client, row = Client(port), {}
    if not new:
        client.connect()
    time.sleep(PAUSE_SECONDS)
    row["first"], row["first cpu"] = measured(process, lambda: client.ask(requests[0]))
    row["second"], row["second cpu"] = measured(process, lambda: client.ask(requests[1], new=new))
    row["third"] = client.ask(requests[2], new=new)
    row["slowest between"] = max(client.ask(data) for data in requests[3 : THOUSAND - 1])
    tail = [client.ask(data, new=new) for data in requests[THOUSAND - 1 : THOUSAND - 1 + TAIL]]
    row["thousandth"] = median(tail)
    cpu = [measured(process, partial(client.ask, data, new=new))[1] for data in requests[-TAIL:-1]]
    row["thousandth cpu"] = median(cpu)
    if new:
        client.close()
    time.sleep(PAUSE_SECONDS)
    row["rested"], row["rested cpu"] = measured(process, lambda: client.ask(requests[-1]))
    client.close()
    row["resident MB"] = memory_mb(process)
    return row


def median(values: list[float]) -> float:
    """Return the median."""
    return sorted(values)[len(values) // 2]


def start(
    tree: Path | None,
    folder: Path,
    accounts: list[Account],
    requests: list[bytes],
    *,
    cached: bool,
    new: bool,
) -> Row:
    """Start a tree's server, or the control without one, and ask it."""
    if tree is None:
        command = ["-c", _CONTROL]
    else:
        for name in ("keys.sqlite", "activity.sqlite"):
            for end in ("", "-wal", "-shm"):
                (folder / (name + end)).unlink(missing_ok=True)
        keep_keys(folder / "keys.sqlite", accounts)
        command = ["-c", PROGRAM, str(folder), "http://127.0.0.1:9", PUBLISHER_DID, "8", "1"]
    lists = folder / "serving.sqlite"
    if cached:
        lists.read_bytes()
    else:
        drop_cache(lists)
    cores = os.sched_getaffinity(0)
    begun = time.perf_counter()
    with server(command, tree or ROOT) as (process, port):
        ready = (time.perf_counter() - begun) * 1e3
        os.sched_setaffinity(0, {min(cores)})  # the worker has the last one to itself
        row = figures_of(family(process.pid)[-1], port, requests, new=new)
    os.sched_setaffinity(0, cores)
    return {"ready": ready, **row}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=40, help="of each tree, a quarter of each kind")
    parser.add_argument("--viewers", type=int, default=20_000)
    parser.add_argument("--trees", type=Path, nargs="+", default=[ROOT])
    parser.add_argument("--store", type=Path, help="folder in which the lists are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.store or Path(temporary)
        if not (folder / "serving.sqlite").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make_store(folder / "serving.sqlite", options.viewers)
        numbers = random.Random(3).sample(range(1, options.viewers + 1), THOUSAND + 2 * TAIL)
        accounts = [Account(plc_did(number)) for number in numbers]
        requests = [request(account, time.time()) for account in accounts]
        found: dict[tuple[str, bool, bool], list[Row]] = defaultdict(list)
        servers = [*((tree.name, tree) for tree in options.trees), ("control", None)]
        for turn, (name, tree) in product(range(options.starts), servers):
            cached, new = turn % 2 == 0, turn // 2 % 2 == 0
            row = start(tree, folder, accounts, requests, cached=cached, new=new)
            found[name, cached, new].append(row)
    rows: list[dict[str, Any]] = []
    for (name, cached, new), starts in sorted(found.items()):
        middle = {key: round(median([row[key] for row in starts]), 2) for key in starts[0]}
        worst = round(max(row["first"] for row in starts), 2)
        rows.append(
            {
                "server": name,
                "lists": "in memory" if cached else "on disk",
                "connection": "new" if new else "kept",
                "starts": len(starts),
                **middle,
                "first max": worst,
            }
        )
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(
        json.dumps({"question": "first request after a start, ms", "viewers": options.viewers, "rows": rows})
    )


if __name__ == "__main__":
    main()
