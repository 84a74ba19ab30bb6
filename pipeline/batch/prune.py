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
FEW_VIEWERS = 200
FORGET_AFTER_US = DAY_US


def prune(
    serving: sqlite3.Connection,
    feed_id: int,
    renewed: Sequence[int],
    ranking: Ranking,
    now_us: int,
    feed_rkeys: Sequence[str] | None = None,
) -> Iterator[Step]:
    """Remove superseded lists, lists of viewers without a new one for a day, and what they alone needed.

    ``renewed`` are the viewers who got a list in this run, written or unchanged. ``feed_rkeys``, the feeds there
    are, is given by a run for everybody; any other run looks at the lists of its own viewers alone, since it says
    nothing of the rest. Each statement is a transaction.
    """
    keep_since_us = now_us - int(ranking.keep_minutes * 60e6)
    oldest = serving.execute(sql.load("serving/prune_kept"), {"keep_since_us": keep_since_us}).fetchone()[0]
    kept = {"oldest_kept": oldest}
    if feed_rkeys is None:
        for span in _spans(renewed):
            yield "prune lists", serving.execute(sql.load("serving/prune_lists"), {**span, **kept}).rowcount
    else:
        _name(serving, "renewed", "viewer_id", renewed)
        _name(serving, "configured", "feed_id", _feed_ids(serving, feed_rkeys))
        for first, last in _ranges(serving):
            span = {"first_viewer": first, "last_viewer": last}
            removed = serving.execute(sql.load("serving/prune_lists"), {**span, **kept}).rowcount
            forgotten = {**span, "feed_id": feed_id, "written_before_us": now_us - FORGET_AFTER_US}
            removed += serving.execute(sql.load("serving/prune_forgotten"), forgotten).rowcount
            yield "prune lists", removed
    yield "prune fallbacks", serving.execute(sql.load("serving/prune_fallbacks"), kept).rowcount
    if feed_rkeys is not None:  # each reads a whole table
        yield "prune posts", serving.execute(sql.load("serving/prune_posts")).rowcount
        yield "prune viewers", serving.execute(sql.load("serving/prune_viewers")).rowcount
    yield "prune generations", serving.execute(sql.load("serving/prune_generations"), kept).rowcount
    serving.execute(sql.load("serving/prune_variants"))


def _name(serving: sqlite3.Connection, table: str, column: str, ids: Sequence[int]) -> None:
    serving.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({column} INTEGER PRIMARY KEY)")
    serving.execute("BEGIN")
    serving.execute(f"DELETE FROM temp.{table}")
    serving.executemany(f"INSERT INTO temp.{table} VALUES (?)", ((number,) for number in ids))
    serving.execute("COMMIT")


def _feed_ids(serving: sqlite3.Connection, rkeys: Sequence[str]) -> list[int]:
    marks = ", ".join("?" * len(rkeys))
    return [row[0] for row in serving.execute(f"SELECT feed_id FROM feeds WHERE rkey IN ({marks})", rkeys)]


def _spans(viewers: Sequence[int]) -> Iterator[dict[str, int]]:
    """Yield spans that hold the viewers, ascending: one by one where they are few, for they lie far apart."""
    step = 1 if len(viewers) <= FEW_VIEWERS else CHUNK_VIEWERS
    for first in range(0, len(viewers), step):
        last = min(first + step, len(viewers)) - 1
        yield {"first_viewer": viewers[first], "last_viewer": viewers[last]}


def _ranges(serving: sqlite3.Connection) -> list[tuple[int, int]]:
    viewers = [row[0] for row in serving.execute("SELECT viewer_id FROM viewers ORDER BY viewer_id")]
    return [
        (viewers[first], viewers[min(first + CHUNK_VIEWERS, len(viewers)) - 1])
        for first in range(0, len(viewers), CHUNK_VIEWERS)
    ]
