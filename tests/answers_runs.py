"""What the queries of sql/explore about batch runs and the stream should answer, worked out in plain Python.

Owns: one function a query. Leaves to others: likes (``answers_likes``), lists (``answers_lists``), viewers
(``answers_viewers``).
"""

from collections import defaultdict

from analyst_store import Store
from analyst_truth import Rows, at, day

from pipeline.store.model import HOUR_US


def generation_lag(store: Store, rows: int = 20, feed: str = "") -> Rows:
    runs: dict[tuple[str, bool, int], list[tuple[int, int, int, int]]] = defaultdict(list)
    for generation, snapshot_us, published_us, lists, items, its_feed, everybody in store.rows(
        "serving",
        "SELECT generation, snapshot_us, published_us, lists, items, feed, everybody FROM generations",
    ):
        if feed in ("", its_feed):
            runs[its_feed, bool(everybody), snapshot_us].append((generation, published_us, lists, items))
    answer: Rows = []
    before: dict[tuple[str, bool], int] = {}
    for key in sorted(runs, key=lambda key: key[2]):
        generation, published_us = (max(row[column] for row in runs[key]) for column in (0, 1))
        former = before.get(key[:2])
        apart = None if former is None else (published_us - former) / 60e6
        lists, items = (sum(row[column] for row in runs[key]) for column in (2, 3))
        answer.append((generation, *key[:2], at(key[2]), at(published_us), (published_us - key[2]) / 60e6, apart,
                       lists, items))  # fmt: skip
        before[key[:2]] = published_us
    return sorted(answer, key=lambda row: (row[3], row[0]), reverse=True)[:rows]


def batch_costs(store: Store, job: str = "", rows: int = 20) -> Rows:
    runs: dict[tuple[int, str, str], Rows] = defaultdict(list)
    for row in store.rows(
        "serving", "SELECT run_id, job, tier, feed, step, started_us, seconds, peak_mb FROM runs"
    ):
        if job in ("", row[1]):
            runs[row[:3]].append(row)
    answer = []
    for (run_id, name, tier), steps in runs.items():
        longest = max(steps, key=lambda step: step[6])
        answer.append(
            (run_id, name, tier, len({step[3] for step in steps} - {""}), at(min(step[5] for step in steps)),
             sum(step[6] for step in steps), max(step[7] for step in steps), longest[4], longest[6], "done")
        )  # fmt: skip
    return sorted(answer, key=lambda row: (row[4], row[1]), reverse=True)[:rows]


def batch_steps(store: Store, job: str = "candidates", tier: str = "") -> Rows:
    query = f"SELECT run_id, tier, step, seconds, rows FROM runs WHERE job = '{job}'"
    found = [row for row in store.rows("serving", query) if tier in ("", row[1])]
    last = max(row[0] for row in found)
    steps: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for run_id, _, step, seconds, rows in found:
        if run_id == last:
            steps[step].append((seconds, rows))
    total = sum(seconds for parts in steps.values() for seconds, _ in parts)
    answer: Rows = []
    for step, parts in steps.items():
        seconds, rows = sum(part[0] for part in parts), sum(part[1] for part in parts)
        answer.append((step, seconds, seconds / total, rows, rows / seconds if seconds else None))
    return sorted(answer, key=lambda row: (-row[1], row[0]))


def stream_gaps(store: Store) -> Rows:
    return [
        (at(first), at(last), (last - first) / HOUR_US, day(first), day(last), host, wire)
        for first, last, host, wire in sorted(store.gaps, reverse=True)
    ]


def dropped_events(store: Store) -> Rows:
    found = store.rows("landing", "SELECT kind, name, value FROM counters WHERE kind IN ('event', 'drop')")
    total = sum(row[2] for row in found)
    drops = [(name, value, value / total) for kind, name, value in found if kind == "drop"]
    return sorted(drops, key=lambda row: (-row[1], row[0]))
