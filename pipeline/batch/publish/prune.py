"""Which superseded lists readers may still hold, and removing what no reader needs any more.

Owns: which generations are kept, who is reading, and the removals. Leaves to others: writing (``generations``,
``write_lists``).

A page cursor names the generation of its list. So a list that a viewer had within keep_minutes must stay readable.
That holds for viewers who asked for a page within that time. Of all others, who are nearly everybody, only the
newest list is kept. A viewer may have their first page in a long time a second before their list is replaced. Such
a viewer is not known here yet: their next page continues in the new list, without the posts they were shown
(``serving.feed.paging``).

Invariant: for every kept generation, the newest list up to it remains of each viewer who is reading. Of everybody
else the newest list of all remains. With a list remain the posts it names. Lists are removed for some viewers at a
time, so no transaction is large.

Little is left to remove, since new lists take the rows of those that nobody reads (``write_lists``). A run for some
viewers removes nothing of the others'; the next run for everybody overwrites it.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import sql
from pipeline.progress import Step
from pipeline.ranking import Ranking
from pipeline.store.model import DAY_US
from pipeline.store.newest_generation import newest
from pipeline.store.who_is_due import recent_viewers
from sql.sqlite import transaction

CHUNK_VIEWERS = 2_000
FORGET_AFTER_US = DAY_US


def oldest_kept(serving: sqlite3.Connection, ranking: Ranking, now_us: int) -> int:
    """Return the oldest generation that a reader may hold: the one visible keep_minutes ago, 0 for none."""
    keep_since_us = now_us - int(ranking.keep_minutes * 60e6)
    found = serving.execute(sql.load("serving/oldest_kept"), {"keep_since_us": keep_since_us}).fetchone()[0]
    return int(found or 0)


def name_readers(serving: sqlite3.Connection, data_dir: Path, ranking: Ranking, now_us: int) -> None:
    """Make the table ``temp.readers`` (viewer_id) of viewers who asked for a page within keep_minutes."""
    dids = recent_viewers(data_dir, now_us, ranking.keep_minutes * 60)
    serving.execute("CREATE TEMP TABLE IF NOT EXISTS readers (viewer_id INTEGER PRIMARY KEY)")
    serving.execute("DELETE FROM temp.readers")
    serving.execute(sql.load("serving/add_readers"), {"dids": json.dumps(dids)})


def prune(
    serving: sqlite3.Connection,
    feed_id: int,
    renewed: Sequence[int],
    ranking: Ranking,
    now_us: int,
    all_rkeys: Sequence[str] | None = None,
) -> Iterator[Step]:
    """Remove superseded lists, lists of viewers without a new one for a day, and what only these lists needed.

    ``renewed`` are the viewers who got a list in this run, written or unchanged. A run for everybody gives
    ``all_rkeys``, the record keys of all feeds. Any other run looks only at the lists of its own viewers, since it
    says nothing of the rest. ``temp.readers`` names who is reading. Each statement is a transaction.
    """
    kept = {"oldest_kept": oldest_kept(serving, ranking, now_us), "newest": newest(serving)}
    if all_rkeys is None:
        for viewers in _chunks(renewed):
            yield "prune lists", _prune_lists(serving, viewers, kept)
    else:
        _name(serving, "renewed", "viewer_id", renewed)
        _name(serving, "configured", "feed_id", _feed_ids(serving, all_rkeys))
        everybody = [row[0] for row in serving.execute("SELECT viewer_id FROM viewers ORDER BY viewer_id")]
        for viewers in _chunks(everybody):
            removed = _prune_lists(serving, viewers, kept)
            span = {"first_viewer": viewers[0], "last_viewer": viewers[-1]}
            forgotten = {**span, "feed_id": feed_id, "written_before_us": now_us - FORGET_AFTER_US}
            removed += serving.execute(sql.load("serving/prune_forgotten_lists"), forgotten).rowcount
            yield "prune lists", removed
    yield "prune fallbacks", serving.execute(sql.load("serving/prune_fallbacks"), kept).rowcount
    if all_rkeys is not None:  # each reads a whole table
        yield "prune posts", serving.execute(sql.load("serving/prune_posts"), kept).rowcount
        unlisted = "DELETE FROM viewers WHERE viewer_id NOT IN (SELECT viewer_id FROM lists)"
        yield "prune viewers", serving.execute(unlisted).rowcount
    yield "prune generations", serving.execute(sql.load("serving/prune_generations"), kept).rowcount
    serving.execute("DELETE FROM variants WHERE generation NOT IN (SELECT generation FROM generations)")


def _name(serving: sqlite3.Connection, table: str, column: str, ids: Sequence[int]) -> None:
    serving.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({column} INTEGER PRIMARY KEY)")
    with transaction(serving):
        serving.execute(f"DELETE FROM temp.{table}")
        serving.executemany(f"INSERT INTO temp.{table} VALUES (?)", ((number,) for number in ids))


def _feed_ids(serving: sqlite3.Connection, rkeys: Sequence[str]) -> list[int]:
    marks = ", ".join("?" * len(rkeys))
    return [row[0] for row in serving.execute(f"SELECT feed_id FROM feeds WHERE rkey IN ({marks})", rkeys)]


def _chunks(viewers: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(viewers), CHUNK_VIEWERS):
        yield viewers[first : first + CHUNK_VIEWERS]


def _prune_lists(serving: sqlite3.Connection, viewers: Sequence[int], kept: dict[str, int]) -> int:
    named = {"viewers": json.dumps(viewers), **kept}
    return serving.execute(sql.load("serving/prune_lists"), named).rowcount
