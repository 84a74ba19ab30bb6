"""Removing from serving.sqlite what no reader needs any more.

Owns: the removals. Leaves to others: what readers may hold (``readers``), writing (``generations``).

Invariant: for every kept generation, the newest list up to it of each viewer who is reading remains, of all
others the newest of all, and with a list the posts it names; lists go a number of viewers at a time, so no
transaction is large.

Few are left to remove: new lists take the rows of those that nobody reads (``generations``). A run for some
viewers removes nothing of others', which the next run for everybody writes over.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence

import sql
from pipeline.batch.publish.readers import oldest_kept
from pipeline.progress import Step
from pipeline.ranking import Ranking
from pipeline.store.model import DAY_US
from pipeline.store.newest_generation import newest

CHUNK_VIEWERS = 2_000
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
    nothing of the rest. ``temp.readers`` names who is reading. Each statement is a transaction.
    """
    kept = {"oldest_kept": oldest_kept(serving, ranking, now_us), "newest": newest(serving)}
    if feed_rkeys is None:
        for viewers in _chunks(renewed):
            yield "prune lists", _prune_lists(serving, viewers, kept)
    else:
        _name(serving, "renewed", "viewer_id", renewed)
        _name(serving, "configured", "feed_id", _feed_ids(serving, feed_rkeys))
        everybody = [row[0] for row in serving.execute("SELECT viewer_id FROM viewers ORDER BY viewer_id")]
        for viewers in _chunks(everybody):
            removed = _prune_lists(serving, viewers, kept)
            span = {"first_viewer": viewers[0], "last_viewer": viewers[-1]}
            forgotten = {**span, "feed_id": feed_id, "written_before_us": now_us - FORGET_AFTER_US}
            removed += serving.execute(sql.load("serving/prune_forgotten_lists"), forgotten).rowcount
            yield "prune lists", removed
    yield "prune fallbacks", serving.execute(sql.load("serving/prune_fallbacks"), kept).rowcount
    if feed_rkeys is not None:  # each reads a whole table
        yield "prune posts", serving.execute(sql.load("serving/prune_posts"), kept).rowcount
        unlisted = "DELETE FROM viewers WHERE viewer_id NOT IN (SELECT viewer_id FROM lists)"
        yield "prune viewers", serving.execute(unlisted).rowcount
    yield "prune generations", serving.execute(sql.load("serving/prune_generations"), kept).rowcount
    serving.execute("DELETE FROM variants WHERE generation NOT IN (SELECT generation FROM generations)")


def _name(serving: sqlite3.Connection, table: str, column: str, ids: Sequence[int]) -> None:
    serving.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({column} INTEGER PRIMARY KEY)")
    serving.execute("BEGIN")
    serving.execute(f"DELETE FROM temp.{table}")
    serving.executemany(f"INSERT INTO temp.{table} VALUES (?)", ((number,) for number in ids))
    serving.execute("COMMIT")


def _feed_ids(serving: sqlite3.Connection, rkeys: Sequence[str]) -> list[int]:
    marks = ", ".join("?" * len(rkeys))
    return [row[0] for row in serving.execute(f"SELECT feed_id FROM feeds WHERE rkey IN ({marks})", rkeys)]


def _chunks(viewers: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(viewers), CHUNK_VIEWERS):
        yield viewers[first : first + CHUNK_VIEWERS]


def _prune_lists(serving: sqlite3.Connection, viewers: Sequence[int], kept: dict[str, int]) -> int:
    named = {"viewers": json.dumps(viewers), **kept}
    return serving.execute(sql.load("serving/prune_lists"), named).rowcount
