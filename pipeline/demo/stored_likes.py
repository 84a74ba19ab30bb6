"""Which like records the stores hold, by DID, to compare them with another record of the same likes.

Owns: a plain reading of the stores, for the demo's check and for tests. Leaves to others: the batch's own reading of
hundreds of millions of likes.
"""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import duckdb

import sql
from pipeline.identifiers import parse_post_uri, rkey_to_int
from sql import places
from sql.sqlite import connect


class StoredLike(NamedTuple):
    """A like record that exists; rkeys as ``identifiers.rkey_to_int`` numbers them."""

    liker: str
    rkey: int
    author: str
    post_rkey: int


def like_record(liker: str, rkey: str, subject: str) -> StoredLike | None:
    """Return what the store should hold of a like record, None when its subject is not a post."""
    number, post = rkey_to_int(rkey), parse_post_uri(subject)
    return None if number is None or post is None else StoredLike(liker, number, *post)


def like_records(data_dir: Path) -> tuple[list[StoredLike], int]:
    """Return the like records of landing and lake, and the stream time (us) up to which they are complete.

    A record that is stored twice, in landing and in the lake or under two days, comes twice. Likes of deleted accounts
    are left out. Raises sqlite3.OperationalError when there is no landing store.
    """
    closed = places.closed_days(data_dir)
    with closing(connect(places.landing(data_dir), read_only=True)) as landing:
        landing.execute("BEGIN")
        rows = landing.execute("SELECT day, liker_id, rkey, author_id, post_rkey, seen_us FROM likes")
        likes = [row[1:] for row in rows if row[0] not in closed]
        query = "SELECT liker_id, rkey, seen_us FROM unlikes WHERE found_open_like <> 1"
        unlikes = {(liker, rkey): seen_us for liker, rkey, seen_us in landing.execute(query)}
        dids = dict(landing.execute("SELECT actor_id, did FROM actors").fetchall())
        deleted = dict(landing.execute("SELECT actor_id, deleted_us FROM actors").fetchall())
        (until_us,) = landing.execute("SELECT last_us FROM watermark").fetchone()
    if closed:
        likes += _closed_likes(data_dir, closed, unlikes)
    records = [
        StoredLike(dids[liker], rkey, dids[author], post_rkey)
        for liker, rkey, author, post_rkey, seen_us in likes
        if seen_us > deleted[liker]
    ]
    return records, until_us


def _closed_likes(
    data_dir: Path, closed: set[int], unlikes: dict[tuple[int, int], int]
) -> list[tuple[int, int, int, int, int]]:
    """Return the lake's likes, without those that a tombstone in landing or the lake undoes."""
    connection = duckdb.connect()
    connection.execute(sql.load("lake/macros"))
    unliked_us = dict(unlikes)
    files = [str(file) for file in places.unlikes_files(data_dir)]
    if files:
        query = "SELECT liker_id, rkey, seen_us FROM lake_unlikes($files)"
        for liker, rkey, seen_us in connection.execute(query, {"files": files}).fetchall():
            unliked_us[liker, rkey] = max(seen_us, unliked_us.get((liker, rkey), 0))
    query = "SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM lake_likes($files)"
    rows = connection.execute(query, {"files": [str(places.likes(data_dir, day)) for day in sorted(closed)]})
    likes = [row for row in rows.fetchall() if row[4] > unliked_us.get((row[0], row[1]), -1)]
    connection.close()
    return likes
