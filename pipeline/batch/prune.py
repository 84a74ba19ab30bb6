"""Removing from serving.sqlite what no reader needs any more.

Owns: which generations are kept, and the removals. Leaves to others: writing (``publish``).

Kept are the newest two generations and all published within keep_minutes, so that a page cursor's generation
stays readable. Invariant: for every kept generation, each viewer's newest list up to it remains, and with it
the posts it names; lists go in ranges of viewers, so no transaction is large.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import sql
from pipeline.ranking import Ranking
from pipeline.store.model import DAY_US

Step = tuple[str, int]

CHUNK_VIEWERS = 2_000
FORGET_AFTER_US = DAY_US


def prune(
    serving: sqlite3.Connection, feed_id: int, renewed: Sequence[int], ranking: Ranking, now_us: int
) -> Iterator[Step]:
    """Remove superseded lists, lists of viewers without a new one for a day, and what they alone needed.

    ``renewed`` are the viewers who got a list in this run, written or unchanged. Each statement is a
    transaction.
    """
    keep_since_us = now_us - int(ranking.keep_minutes * 60e6)
    oldest = serving.execute(sql.load("serving/prune_kept"), {"keep_since_us": keep_since_us}).fetchone()[0]
    serving.execute("CREATE TEMP TABLE IF NOT EXISTS renewed (viewer_id INTEGER PRIMARY KEY)")
    serving.execute("DELETE FROM temp.renewed")
    serving.execute("BEGIN")
    serving.executemany("INSERT INTO temp.renewed VALUES (?)", ((viewer,) for viewer in renewed))
    serving.execute("COMMIT")
    for first, last in _ranges(serving):
        span = {"first_viewer": first, "last_viewer": last}
        removed = serving.execute(sql.load("serving/prune_lists"), {**span, "oldest_kept": oldest}).rowcount
        forgotten = {**span, "feed_id": feed_id, "written_before_us": now_us - FORGET_AFTER_US}
        removed += serving.execute(sql.load("serving/prune_forgotten"), forgotten).rowcount
        yield "prune lists", removed
    kept = {"oldest_kept": oldest}
    yield "prune fallbacks", serving.execute(sql.load("serving/prune_fallbacks"), kept).rowcount
    yield "prune posts", serving.execute(sql.load("serving/prune_posts")).rowcount
    yield "prune viewers", serving.execute(sql.load("serving/prune_viewers")).rowcount
    yield "prune generations", serving.execute(sql.load("serving/prune_generations"), kept).rowcount


def _ranges(serving: sqlite3.Connection) -> list[tuple[int, int]]:
    viewers = [row[0] for row in serving.execute("SELECT viewer_id FROM viewers ORDER BY viewer_id")]
    return [
        (viewers[first], viewers[min(first + CHUNK_VIEWERS, len(viewers)) - 1])
        for first in range(0, len(viewers), CHUNK_VIEWERS)
    ]
