"""Words and orders that the answers of analysts share, from a ``Store``'s truth.

Owns: times and places as the views show them, the order of ties, what the posts of lists are. Leaves to others: the
answers (``answers_likes``, ``answers_lists``, ``answers_runs``, ``answers_viewers``).
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from analyst_store import Store

from pipeline.identifiers import parse_post_uri

Rows = list[tuple[Any, ...]]

SOURCES = {1: "co-likers", 2: "popular", 3: "trial"}


def at(time_us: int) -> datetime:
    """Return a time as the views show it: UTC, without a zone."""
    return datetime(1970, 1, 1) + timedelta(microseconds=time_us)


def day(time_us: int) -> date:
    return at(time_us).date()


def partial(store: Store, when: date, days: Iterable[date]) -> bool:
    """A day in which the answer begins, or which is not over."""
    return when == min(days) or when >= day(store.now_us)


def rkey(post: str) -> int:
    parsed = parse_post_uri(post)
    assert parsed is not None
    return parsed[1]


def number_of(store: Store, did: str) -> int:
    return next(number for number, known in store.dids.items() if known == did)


def newest_first(store: Store, post: str) -> tuple[int, int]:
    """The documented order of ties: newer rkey, then the smaller number of the author."""
    numbers = {did: number for number, did in store.dids.items()}
    return -rkey(post), numbers[post.split("/")[2]]


def listed(store: Store) -> dict[str, tuple[int, int, int]]:
    """Post: created_us, likers, author's number, of the posts that lists name."""
    query = "SELECT uri, created_us, likers, author_id FROM posts"
    return {row[0]: row[1:] for row in store.rows("serving", query)}
