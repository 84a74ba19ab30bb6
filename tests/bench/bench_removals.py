"""How long does a deleted post stay on pages, and what does a page pay for looking?

    python tests/bench/bench_removals.py [--seconds 60] [--rate 500] [--rows 1000000] [--pages 2000]

Runs the real ingest and web app. A stream sends --rate likes a second for --seconds, and among them deletions of listed
posts and takedowns of their authors. A reader asks for pages all the time. A removal has arrived when the first page
without the post was asked for. Then the cost: --pages pages of 50 posts are made in this
process, with a store of --rows removals beside the lists and without one. Prints a table and, last, one line of JSON.
"""

import json
import random
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np
from bench_tools import parser_of
from page_times import make_lists, page_times
from removal_tools import Town, running_town
from serving_worlds import Account, directory, plc_did, post_rkey

from pipeline.identifiers import tid_at, tid_from_int
from sql import places
from sql.sqlite import open_migrated

POSTS, AUTHORS = 100, 25


def like(town: Town, number: int) -> str:
    """Return the line of a like of some post."""
    town.clock_us += 2_000
    record = {
        "subject": {"uri": town.uri(number % POSTS), "cid": "b"},
        "createdAt": "2026-05-25T14:23:28.778Z",
    }
    key = tid_from_int(tid_at(town.clock_us, number % 1024))
    body = {
        "rev": key, "operation": "create", "collection": "app.bsky.feed.like", "rkey": key, "cid": "b",
        "record": {"$type": "app.bsky.feed.like", **record},
    }  # fmt: skip
    return json.dumps(
        {"did": plc_did(10_000 + number % 5_000), "time_us": town.clock_us, "kind": "commit", "commit": body}
    )


def watch(town: Town, shown: dict[int, float], done: threading.Event) -> None:
    """Note when the first page was asked for that is without each post; ``shown`` says when the stream took it back."""
    while not done.is_set():
        asked = time.monotonic()
        posts = set(town.page(signed=False)[0])
        for number in list(shown):
            if town.uri(number) not in posts:
                ARRIVED[number] = asked - shown.pop(number)
        time.sleep(0.01)


ARRIVED: dict[int, float] = {}


def seconds_to_page(seconds: int, rate: int) -> list[float]:
    """Return how long each removal took from the stream to a page."""
    choose, sent = random.Random(1), dict[int, float]()
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder, directory() as plc:
        viewer = Account(plc_did(1))
        plc.publish(viewer)
        with running_town(Path(folder), viewer, plc.url, authors=AUTHORS, posts=POSTS) as town:
            reader = threading.Thread(target=watch, args=(town, sent, done))
            reader.start()
            began, events = time.monotonic(), 0
            deletions = choose.sample(range(POSTS - AUTHORS), min(POSTS - AUTHORS, seconds))
            takedowns = list(range(POSTS - AUTHORS, POSTS))  # the last post of each author, never deleted
            due = [*[(number, True) for number in deletions], *[(number, False) for number in takedowns]]
            pauses = seconds / len(due)
            while time.monotonic() - began < seconds:
                elapsed = time.monotonic() - began
                lines = [like(town, number) for number in range(events, int(elapsed * rate))]
                events += len(lines)
                if due and elapsed > pauses * (len(deletions) + len(takedowns) - len(due)):
                    number, is_deletion = due.pop(0)
                    lines.append(
                        town.commit(number, "delete") if is_deletion else town.account(number, "takendown")
                    )
                    sent[number] = time.monotonic()
                town.stream.append(lines)
                time.sleep(0.02)
            time.sleep(5)
            done.set()
            reader.join()
            assert not sent, f"{len(sent)} of {len(ARRIVED) + len(sent)} removals reached no page"
    return list(ARRIVED.values())


def page_costs(rows: int, pages: int) -> dict[str, float]:
    """Return microseconds a page of 50 posts takes without a store of removals and with one, and its bytes a row."""
    choose = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_lists(folder, choose)
        base = post_rkey(1)
        with closing(open_migrated(places.removals(folder), "removals")) as removals:
            removals.execute("BEGIN")
            keys = (base + choose.integers(-(1 << 40), 1 << 40, rows)).tolist()
            removals.executemany(
                "INSERT OR IGNORE INTO removed_posts VALUES (?, ?)", [(key, key % 7) for key in keys]
            )
            hidden = [(author, 1 << 62, 1) for author in range(100, 100 + rows // 10)]
            removals.executemany("INSERT INTO hidden_authors VALUES (?, ?, ?)", hidden)
            removals.execute("COMMIT")
            removals.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = places.removals(folder).stat().st_size
        times = page_times(folder, pages, time.perf_counter)
    return {f"page {kind} µs": round(median(found)) for kind, found in times.items()} | {
        "MB": round(size / 1e6, 1), "bytes a row": round(size / (rows * 1.1), 1)
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = parser_of(__doc__, seconds=60, rate=500, rows=1_000_000, pages=2_000).parse_args()
    costs = page_costs(options.rows, options.pages)
    found = sorted(seconds_to_page(options.seconds, options.rate))
    figures = {
        "removals": len(found),
        "p50 s": round(median(found), 2),
        "p95 s": round(found[int(len(found) * 0.95)], 2),
        "max s": round(found[-1], 2),
    } | costs
    for name, value in figures.items():
        print(f"{name:>20} {value:>12,}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
