"""The pass over finished lists: good ones pass, and each rule has a fault that it finds."""

from dataclasses import replace

import numpy as np
import pytest

import sql
from pipeline.batch.kernel import Sparse
from pipeline.batch.list_sources import CO_LIKERS, POPULAR
from pipeline.batch.lists.arrange import Lists, rules_of
from pipeline.batch.lists.checks import FAULTS, check_entries
from pipeline.errors import BatchError
from pipeline.ranking import Ranking

RANKING = replace(Ranking(), list_length=6, max_per_author=2, author_spacing=1)
VIEWERS = np.array([70, 80, 90], np.int64)
AUTHORS = np.array([0, 0, 1, 1, 2, 3, 4, 0], np.int32)  # by post
AUTHOR_IDS = np.array([11, 11, 12, 12, 13, 14, 80, 11], np.int64)


def lists_of(first: list[int], second: list[int]) -> Lists:
    """Two lists of posts, and an empty one; each begins with a post from co-likers."""
    posts = np.array(first + second, np.int32)
    sources = np.full(len(posts), POPULAR, np.uint8)
    sources[[0, len(first)]] = CO_LIKERS
    return Lists(
        np.array([0, len(first), len(posts), len(posts)], np.int64),
        posts,
        np.ones(len(posts), np.float32),
        (sources == CO_LIKERS).astype(np.int32),
        sources,
    )


def look(lists: Lists) -> None:
    """Audit with viewer 70 having post 5 excluded."""
    excluded = Sparse(np.array([0, 1, 1, 1], np.int64), np.array([5], np.int32), np.empty(0))
    check_entries(VIEWERS, lists, excluded, AUTHORS, AUTHOR_IDS, rules_of(RANKING, len(VIEWERS)))


def changed(name: str, place: int, value: float) -> Lists:
    """Good lists with one value changed."""
    lists = lists_of([0, 2, 1], [4, 5])
    getattr(lists, name)[place] = value
    return lists


def test_good_lists_pass():
    look(lists_of([0, 2, 1, 3, 4, 6], [4, 5]))
    look(lists_of([0], [5, 0, 2, 1]))


@pytest.mark.parametrize(
    ("fault", "viewer", "lists"),
    [
        ("positions", 80, lists_of([0], [0, 2, 1, 3, 4, 5, 6])),
        ("entries", 70, changed("scores", 1, np.nan)),
        ("entries", 70, changed("scores", 2, 0.0)),
        ("entries", 80, changed("sources", 4, 3)),
        ("entries", 80, changed("co_likers", 4, 1)),
        ("entries", 70, changed("co_likers", 0, 0)),
        ("duplicate_posts", 80, lists_of([0], [4, 5, 4])),
        ("own_posts", 80, lists_of([0], [4, 6])),
        ("author_cap", 70, lists_of([0, 2, 1, 3, 7], [4])),
        ("author_spacing", 70, lists_of([0, 1], [4])),
        ("empty_lists", 80, changed("sources", 3, POPULAR)),
        ("excluded_posts", 70, lists_of([0, 5], [4])),
    ],
)
def test_each_fault_is_found(fault: str, viewer: int, lists: Lists):
    if fault == "empty_lists":
        lists.co_likers[3] = 0
    with pytest.raises(
        BatchError, match=f"^check {fault} found .* nothing was published.* viewer_id {viewer}$"
    ):
        look(lists)


def test_the_faults_are_those_of_the_sql():
    names = {name.removeprefix("checks/") for name in sql.names("checks")}
    assert set(FAULTS[:-1]) <= names
