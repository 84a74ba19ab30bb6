"""What activity.sqlite has of one viewer, for their own eyes, and taking an answer back.

Owns: these few queries. Leaves to others: all the rest that is known, which ``foryou viewer export`` gathers, and
forgetting (``forgotten``).
"""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import sql
from sql import sqlite

ANSWERS_SHOWN = 50
BUSY_SECONDS = 2.0


class VisitsOfFeed(NamedTuple):
    """How often a viewer opened a feed; times in microseconds since 1970."""

    feed: str
    pages: int
    first_us: int
    last_us: int


class GivenAnswer(NamedTuple):
    """An answer to a post: 'requestLess' or 'requestMore'."""

    event: str
    post_uri: str
    at_us: int


class KnownToUs(NamedTuple):
    """What a page shows."""

    visits: list[VisitsOfFeed]
    answers: list[GivenAnswer]
    interactions: int
    shown: int


NOTHING = KnownToUs([], [], 0, 0)


def known_to_us(path: Path, viewer: str) -> KnownToUs:
    """Return what is known of a viewer; sqlite3.Error when the store can't be read."""
    if not sqlite.has_tables(path, "takers"):
        return NOTHING
    with closing(sqlite.connect(path, read_only=True, busy_seconds=BUSY_SECONDS)) as connection:
        visits = connection.execute(
            "SELECT feed_rkey, pages, first_us, last_us FROM visits WHERE viewer_did = ? ORDER BY 1",
            (viewer,),
        ).fetchall()
        named = {"viewer_did": viewer, "rows": ANSWERS_SHOWN}
        answers = connection.execute(sql.load("activity/answers_given"), named).fetchall()
        counted = "SELECT interactions, impressions FROM takers WHERE viewer_did = ?"
        interactions, shown = connection.execute(counted, (viewer,)).fetchone() or (0, 0)
    return KnownToUs(
        [VisitsOfFeed(*row) for row in visits], [GivenAnswer(*row) for row in answers], interactions, shown
    )


def take_back_picks(path: Path, viewer: str, at_us: int) -> None:
    """Delete all picks of a viewer; sqlite3.Error when that fails."""
    _take_back(path, "activity/take_back_picks", {"viewer_did": viewer}, at_us)


def take_back(path: Path, viewer: str, post_uri: str, at_us: int) -> None:
    """Delete a viewer's answers to a post, and their pick of it; sqlite3.Error when that fails."""
    _take_back(path, "activity/take_back", {"viewer_did": viewer, "post_uri": post_uri}, at_us)


def _take_back(path: Path, query: str, named: dict[str, str], at_us: int) -> None:
    with (
        closing(sqlite.open_migrated(path, "activity", busy_seconds=BUSY_SECONDS)) as connection,
        sqlite.transaction(connection),
    ):
        if connection.execute(sql.load(query), named).rowcount:
            noted = {"viewer_did": named["viewer_did"], "received_us": at_us}
            connection.execute(sql.load("activity/note_taken_back"), noted)
