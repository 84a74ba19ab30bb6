"""How soon does a newcomer get likes and a list, behind a crowd whose hosts are slow, closed, huge, lying or busy?

The real timetable with its processes, on a small store of made-up likes. Each viewer of the crowd has a host of their
own, a port of this machine. The newcomer comes last, or in the middle of the crowd. Seconds count from their visit.

    python tests/bench/bench_newcomers.py [--crowd 1000] [--seconds 120] [--where last|middle]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import commands  # noqa: E402
from repositories import record_of  # noqa: E402
from repository_hosts import SLOW_KINDS, RepositoryHosts  # noqa: E402
from worlds import small_town  # noqa: E402

from pipeline.identifiers import post_uri  # noqa: E402
from sql import places  # noqa: E402
from sql.sqlite import connect  # noqa: E402

NEWCOMER = "did:plc:" + "n" * 24
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def did_of(number: int) -> str:
    return "did:plc:" + "".join(LETTERS[number >> shift & 31] for shift in range(115, -5, -5))


def make_store(data_dir: Path) -> list[dict[str, Any]]:
    """Write a store of a few people's likes; return the likes of a newcomer of their taste."""
    made = small_town(time.time_ns() // 1000)
    made.visit("ann").write(data_dir)
    likes = []
    for number in range(6):
        author, post_rkey = made.posts[f"p{number}"]
        name = next(name for name, found in made.actors.items() if found == author)
        record = record_of(NEWCOMER, 3_600_000_000 + number, number)
        record["value"]["subject"]["uri"] = post_uri(made.did(name), post_rkey)
        likes.append(record)
    return likes


def value(path: Path, query: str, *parameters: Any) -> Any:
    """Return the first value of a query, None when there is none."""
    store = connect(path, read_only=True)
    try:
        row = store.execute(query, parameters).fetchone()
        return None if row is None else row[0]
    finally:
        store.close()


def rss_mb(process_ids: list[int]) -> tuple[float, int]:
    """Return the memory and the threads of the child that fetches, while there is one."""
    for number in process_ids:
        try:
            command = Path(f"/proc/{number}/cmdline").read_bytes()
            if b"--waiting" not in command or b"backfill" not in command:
                continue
            status = Path(f"/proc/{number}/status").read_text()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return int(fields["VmHWM"].split()[0]) / 1024, int(fields["Threads"])
    return 0.0, 0


def measure(arguments: argparse.Namespace, data_dir: Path) -> dict[str, Any]:
    likes = make_store(data_dir)
    kinds = {did_of(number): SLOW_KINDS[number % len(SLOW_KINDS)] for number in range(arguments.crowd)}
    hosts = RepositoryHosts(kinds, {NEWCOMER: likes})
    env = commands.environment(data_dir, plc_url=hosts.url, candidates_minutes="60", everybody_minutes="60")
    log = data_dir / "log"
    found: dict[str, Any] = {
        "crowd": arguments.crowd,
        "where": arguments.where,
        "likes_s": None,
        "list_s": None,
    }
    peak_mb, threads = 0.0, 0
    with commands.running("schedule", env=env, log=log):
        while "looking for viewers" not in log.read_text():
            time.sleep(0.2)
        began_us = time.time_ns() // 1000
        visits = [did_of(number) for number in range(arguments.crowd)]
        visits.insert(len(visits) if arguments.where == "last" else len(visits) // 2, NEWCOMER)
        activity = connect(places.activity(data_dir))
        activity.execute("BEGIN")
        activity.executemany(
            "INSERT INTO visits VALUES (?, 'for-you', 'en', 1, ?, ?)",
            [(did, began_us + number, began_us + number) for number, did in enumerate(visits)],
        )
        activity.execute("COMMIT")
        activity.close()
        began = time.monotonic()
        landing, serving = places.landing(data_dir), places.serving(data_dir)
        while time.monotonic() - began < arguments.seconds:
            seconds = round(time.monotonic() - began, 1)
            query = "SELECT likes FROM fetched_viewers WHERE did = ? AND likes > 0"
            if found["likes_s"] is None and value(landing, query, NEWCOMER):
                found["likes_s"] = seconds
            if found["list_s"] is None and value(serving, "SELECT 1 FROM viewers WHERE did = ?", NEWCOMER):
                found["list_s"] = seconds
            memory, count = rss_mb([int(path.name) for path in Path("/proc").glob("[0-9]*")])
            peak_mb, threads = max(peak_mb, memory), max(threads, count)
            time.sleep(0.25)
        found["crowd_tried"] = value(landing, "SELECT count(*) FROM fetched_viewers WHERE did <> ?", NEWCOMER)
    return found | {"peak_mb": round(peak_mb), "threads": threads, "requests": dict(hosts.requests)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--where", choices=("last", "middle"), default="last")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments, Path(folder))
    for name in ("likes_s", "list_s"):
        shown = "not in time" if found[name] is None else f"{found[name]} s"
        print(f"{'likes stored' if name == 'likes_s' else 'own list':14} {shown}")
    print(f"{'crowd tried':14} {found['crowd_tried']} of {found['crowd']} in {arguments.seconds:g} s")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
