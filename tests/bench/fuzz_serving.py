"""Does any request, however wrong, make the web app answer 500, hang, or grow?

    python tests/bench/fuzz_serving.py [--requests 1000000] [--clients 4] [--workers 2] [--seed 1] [--minutes 0]

Clients in processes of their own send good, malformed and mangled requests to the real server and its workers over kept
connections (tests/serving_fuzz.py makes the requests), with real tokens of forty viewers among them. The workers'
resident memory is read every half second. The middle of the run is compared with its end, because caches fill at first.
--minutes ends the run earlier (0: when all requests are sent). Exits with 1 on any fault, or when memory grew by more
than 10 MB per worker between the middle and the end. Prints a table and, last, one line of JSON.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from bench_serving import PROGRAM, server
from bench_tools import family, memory_mb
from serving_fuzz import Client, Requests, fuzz
from serving_worlds import PUBLISHER_DID, Account, ServingStore, blob, directory, plc_did

POSTS = list(range(1, 301))
CHUNK = 100
GROWTH_MB = 10.0


def one_client(port: int, accounts: list[Account], seed: int, count: int, until: float, results: Any) -> None:
    """Send a client's share; put what it saw."""
    client, requests, sent = Client(("127.0.0.1", port)), Requests(seed, accounts), 0
    renewed = time.monotonic()
    while sent < count and time.monotonic() < until:
        fuzz(client.address, requests, min(CHUNK, count - sent), client)
        sent += CHUNK
        if time.monotonic() - renewed > 1_800:  # tokens live an hour
            requests, renewed = Requests(seed + sent, accounts, requests.cursors), time.monotonic()
    results.put((min(sent, count), dict(client.statuses), client.faults, client.slowest))


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("requests", 1_000_000), ("clients", 4), ("workers", 2), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--minutes", type=float, default=0.0)
    options = parser.parse_args()
    accounts = [Account(plc_did(number), "ES256" if number % 5 == 0 else "ES256K") for number in range(1, 41)]
    with tempfile.TemporaryDirectory() as folder, directory(keeps=True) as plc:
        plc.publish(*accounts)
        store = ServingStore(Path(folder) / "serving.sqlite")
        store.posts(POSTS)
        lists = {account.did: blob(POSTS) for account in accounts}
        store.publish(1, lists, {"": blob(POSTS), "pt": blob(POSTS[:9])}, at=time.time())
        store.close()
        command = ["-c", PROGRAM, folder, plc.url, PUBLISHER_DID, "8", str(options.workers)]
        with server(command) as (process, port):
            results: Any = multiprocessing.Queue()
            began = time.monotonic()
            until = began + (options.minutes * 60 or 1e9)
            share = options.requests // options.clients
            children = [
                multiprocessing.Process(
                    target=one_client, args=(port, accounts, options.seed + 1_000 * n, share, until, results)
                )
                for n in range(options.clients)
            ]
            for child in children:
                child.start()
            sizes: list[list[float]] = []
            while any(child.is_alive() for child in children) and results.qsize() < options.clients:
                time.sleep(0.5)
                sizes.append([memory_mb(worker) for worker in family(process.pid)[1:]])
            found = [results.get() for _ in children]
            seconds = time.monotonic() - began
    sent = sum(row[0] for row in found)
    statuses: Counter[str] = sum((Counter(row[1]) for row in found), Counter())
    faults = [fault for row in found for fault in row[2]]
    middle, end = sizes[len(sizes) * 4 // 10 : len(sizes) * 6 // 10], sizes[len(sizes) * 9 // 10 :]
    workers = range(min(map(len, sizes)))
    growth = [round(median(size[n] for size in end) - median(size[n] for size in middle), 1) for n in workers]
    for fault in faults:
        print(fault)
    figures = {
        "question": "does any request make the web app answer 500, hang or grow",
        "requests": sent,
        "seconds": round(seconds, 1),
        "requests_per_second": round(sent / seconds, 1),
        "statuses": dict(sorted(statuses.items())),
        "faults": len(faults),
        "slowest_seconds": round(max(row[3] for row in found), 2),
        "resident_mb_at_a_tenth_middle_end": [
            [median(size[n] for size in part) for part in (sizes[: len(sizes) // 10 + 1], middle, end)]
            for n in workers
        ],
        "growth_mb": growth,
    }
    for name, value in figures.items():
        print(f"{name:34} {value}")
    print(json.dumps(figures))
    return 1 if faults or max(growth) > GROWTH_MB else 0


if __name__ == "__main__":
    sys.exit(main())
