"""Which likes of a fetched repository are stored: those that can count, within what strangers may add in a day.

Owns: the two rules below, their limits and arithmetic, and ``fetched_rows``. Leaves to others: reading repositories
(``backfill``), storing what is admitted (``fetched_likes``).

1. A like counts when a stream or an archive reported its post's author: the author has a number. So a fetch invents
   nobody. The post itself need not be known. Posts older than two weeks are known by their likes alone, archives bring
   no posts, and a younger post that nobody reported is never a candidate. Its like costs its row, for which there is:
2. Strangers' repositories bring at most STRANGERS_ROWS a day. Up to STRANGERS_WHOLE_ROWS each is stored as it was read,
   then only its newest STRANGER_FEW likes, enough for a first list. Who finds no room is fetched again later.
   Repositories that were replaced count as strangers', since anybody may replace their own.

What is left out may be reported by a stream or an archive later, or was before: so it is of no part of the list that
was read whole, and voids nothing.

Arithmetic: a word takes 60 bytes in landing.sqlite until its day is merged, and 25 in the lake's changes for as long as
its day is kept, 90 days (56 and 22 were measured, with 200 repositories of a thousand likes each).
    landing  1 M × 60 bytes                        60 MB a day, merged within two days
    lake     1 M × 25 bytes = 25 MB a day, × 90    2.3 GB at most, if strangers come at the limit for months
    actors   a row for each stranger with a like that counts, 100 bytes (a did:web 640 at most, with its index): of
             the 200,000 strangers whose visits have room (serving/budgets/limits.py)   20 to 130 MB in all
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import sql
from pipeline.store.model import DAY_US, POST_DAYS

STRANGERS_WHOLE_ROWS = 500_000
STRANGERS_ROWS = 1_000_000
STRANGER_FEW = 50
LIKES_ENOUGH = 20  # for a list
_KEPT_DAYS = 30  # of the figures

UNKNOWN_AUTHOR, NO_ROOM = "fetched_like_of_unknown_author", "fetched_like_without_room"


class HistoryLike(NamedTuple):
    """A like by its record; seen_us is the time in its rkey."""

    rkey: int
    author: str
    post_rkey: int
    seen_us: int


class Statement(NamedTuple):
    """What a repository was read as: its revision before the first page, and the part of it that was read whole.

    That part is the keys from ``from_rkey`` on; without it, only what was listed is known.
    """

    rev: int
    from_rkey: int | None


class Admission(NamedTuple):
    """What is stored of a repository, with the authors' numbers, and what was left out, by reason.

    ``again`` says why it is to be fetched again soon, or nothing.
    """

    likes: Sequence[HistoryLike]
    authors: dict[str, int]
    statement: Statement | None
    left_out: Counter[str]
    again: str


def admit(
    connection: sqlite3.Connection,
    likes: Sequence[HistoryLike],
    statement: Statement | None,
    now_us: int,
    *,
    is_stranger: bool,
) -> Admission:
    """Return what may be stored of a list, and take its room; runs in the caller's transaction."""
    execute = connection.execute
    dids = json.dumps(sorted({like.author for like in likes}))
    authors: dict[str, int] = dict(execute(sql.load("landing/actor_ids"), {"dids": dids}).fetchall())
    kept = [like for like in likes if like.author in authors]
    left_out: Counter[str] = Counter({UNKNOWN_AUTHOR: len(likes) - len(kept)})
    again = ""
    if left_out[UNKNOWN_AUTHOR] and len(kept) < LIKES_ENOUGH and _is_young(connection):
        again = "the stream has not come upon the authors of their likes yet"
    if is_stranger:
        room = _room(connection, now_us)
        if len(kept) > room:
            kept = sorted(kept, key=lambda like: like.seen_us, reverse=True)
            left_out[NO_ROOM] = len(kept) - room
            again = again if room else "there is no room for more strangers today"
            kept = kept[:room]
        execute(
            "INSERT INTO fetched_rows VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET likes = likes + excluded.likes",
            (now_us // DAY_US, len(kept)),
        )
        execute("DELETE FROM fetched_rows WHERE day < ?", (now_us // DAY_US - _KEPT_DAYS,))
    left_out = +left_out
    if left_out and statement is not None and statement.from_rkey is not None:
        stored = {like.rkey for like in kept}
        newest = max(like.rkey for like in likes if like.rkey not in stored)
        statement = statement._replace(from_rkey=max(statement.from_rkey, newest + 1))
    return Admission(kept, authors, statement, left_out, again)


def _room(connection: sqlite3.Connection, now_us: int) -> int:
    """Return how many likes of one stranger may be stored."""
    row = connection.execute("SELECT likes FROM fetched_rows WHERE day = ?", (now_us // DAY_US,)).fetchone()
    taken = 0 if row is None else int(row[0])
    if taken >= STRANGERS_ROWS:
        return 0
    return STRANGER_FEW if taken >= STRANGERS_WHOLE_ROWS else STRANGERS_WHOLE_ROWS


def _is_young(connection: sqlite3.Connection) -> bool:
    """Tell whether the store knows less than two weeks, so that many who are liked are unknown."""
    row = connection.execute("SELECT b.seen_us, w.seen_us FROM began AS b, watermark AS w").fetchone()
    return row is None or int(row[1]) - int(row[0]) < POST_DAYS * DAY_US
