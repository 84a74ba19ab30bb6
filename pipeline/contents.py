"""Which like records the stores hold, by DID: for comparing them with somebody else's record.

Owns: ``like_records``. The batch reads the same stores its own way, by number and by the hundred million;
this is the plain reading, for the demo's check and for tests.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

import duckdb

import sql
from pipeline.identifiers import parse_post_uri, rkey_to_int
from pipeline.store.lake import closed_days, day_file
from pipeline.store.model import AccountStatus
from sql.sqlite import connect


class LikeRecord(NamedTuple):
    """A like record that exists; rkeys as ``identifiers.rkey_to_int`` numbers them."""

    liker: str
    rkey: int
    author: str
    post_rkey: int


def like_record(liker: str, rkey: str, subject: str) -> LikeRecord | None:
    """Return what the store should hold of a like record, None when its subject is no post."""
    number, post = rkey_to_int(rkey), parse_post_uri(subject)
    return None if number is None or post is None else LikeRecord(liker, number, *post)


def like_records(data_dir: Path) -> tuple[list[LikeRecord], int]:
    """Return the like records of landing and lake, and the stream time (us) up to which they are complete.

    A record held twice, in landing and in the lake or under two days, comes twice. Likes of deleted accounts
    no longer exist. Raises sqlite3.OperationalError when there is no landing store.
    """
    closed = closed_days(data_dir)
    landing = connect(data_dir / "landing.sqlite", read_only=True)
    try:
        landing.execute("BEGIN")
        rows = landing.execute(
            "SELECT day, liker_id, rkey, author_id, post_rkey, seen_us FROM likes"
        ).fetchall()
        likes = [row[1:] for row in rows if row[0] not in closed]
        unlikes = {(liker, rkey): us for liker, rkey, us in landing.execute("SELECT * FROM unlikes")}
        dids = dict(landing.execute("SELECT actor_id, did FROM actors").fetchall())
        deleted = dict(
            landing.execute(
                "SELECT actor_id, status_us FROM actors WHERE status = ?", (int(AccountStatus.DELETED),)
            ).fetchall()
        )
        until_us = _complete_until(landing)
    finally:
        landing.close()
    if closed:
        connection = duckdb.connect()
        connection.execute(sql.load("batch/lake_macros"))
        files = [str(day_file(data_dir, day)) for day in sorted(closed)]
        query = "SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM lake_likes($files)"
        likes += connection.execute(query, {"files": files}).fetchall()
        connection.close()
    records = [
        LikeRecord(dids[liker], rkey, dids[author], post_rkey)
        for liker, rkey, author, post_rkey, seen_us in likes
        if seen_us > unlikes.get((liker, rkey), -1) and seen_us > deleted.get(liker, -1)
    ]
    return records, until_us


def _complete_until(landing: sqlite3.Connection) -> int:
    row = landing.execute("SELECT event_us FROM stream_cursors ORDER BY committed_us DESC LIMIT 1").fetchone()
    return int(row[0]) if row else 0
