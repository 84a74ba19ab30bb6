"""The rules after ranking, by hand and against plain Python."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import arranged

from pipeline.batch.kernel import Sparse, Top, sparse
from pipeline.batch.lists.arrange import Popular, arrange, popular_lists, rules_of
from pipeline.ranking import Ranking

RANKING = replace(Ranking(), list_length=8, max_per_author=3, author_spacing=3)


def matrix(posts: list[int]) -> Sparse:
    return sparse(np.zeros(len(posts), int), np.array(posts, int), None, 1)


def one(
    ranked: list[int],
    authors: list[int],
    *,
    popular: list[int] | None = None,
    overall: list[int] | None = None,
    excluded: list[int] | None = None,
    seen: list[int] | None = None,
    ranking: Ranking = RANKING,
) -> list[tuple[int, int]]:
    """Arrange one list; return its (post, source)."""
    length = ranking.list_length
    top = Top(
        np.zeros((1, length), np.int32),
        np.zeros((1, length), np.float32),
        np.ones((1, length), np.int32),
        np.array([len(ranked)], np.int32),
    )
    top.columns[0, : len(ranked)] = ranked
    both = [overall or [], popular or []]
    lists = Popular(
        np.array([0, len(both[0]), len(both[0]) + len(both[1])]),
        np.array(both[0] + both[1], np.int32),
        np.ones(len(both[0]) + len(both[1]), np.float32),
    )
    found = arrange(
        top, lists, np.array([1]), matrix(excluded or []), matrix(seen or []), np.array(authors, np.int32),
        rules_of(ranking, 1),
    )  # fmt: skip
    return list(zip(found.posts.tolist(), found.sources.tolist(), strict=True))


def test_three_places_between_two_posts_of_an_author():
    """Posts 0 and 1 are one author's: 1 moves to the first place that is far enough."""
    assert [post for post, _ in one([0, 1, 2, 3, 4, 5], [9, 9, 1, 2, 3, 4])] == [0, 2, 3, 4, 1, 5]


def test_what_never_fits_is_left_out():
    assert one([0, 1, 2], [5, 5, 6]) == [(0, 1), (2, 1)]


def test_a_short_list_is_filled_in_the_viewers_language_then_in_all():
    """Excluded, listed and capped posts are passed over."""
    authors = [0, 0, 0, 0, 4, 5, 6, 7, 8, 9]
    found = one([0, 1, 2], authors, popular=[3, 0, 4, 5], overall=[4, 6, 7], excluded=[5])
    assert found == [(0, 1), (4, 2), (6, 2), (7, 2), (1, 1)]


def test_seen_posts_move_behind_unseen_ones():
    assert one([0, 1, 2], [0, 1, 2, 3], popular=[3], seen=[0]) == [(1, 1), (2, 1), (3, 2), (0, 1)]


def test_a_list_without_ranked_posts_stays_empty():
    assert one([], [0, 1], popular=[0, 1]) == []


def test_a_list_whose_ranked_posts_find_no_place_stays_empty():
    """The one ranked post was seen, and behind a popular one of the same author there is no place for it."""
    assert one([0], [5, 5], popular=[1], seen=[0]) == []
    assert one([0, 2], [5, 5, 6], popular=[1], seen=[0]) == [(2, 1), (1, 2)]


def test_fallback_lists_obey_the_same_rules():
    popular = Popular(np.array([0, 3, 3]), np.array([0, 1, 2], np.int32), np.array([3, 2, 1], np.float32))
    found = popular_lists(popular, np.array([7, 7, 8], np.int32), RANKING)
    assert found.starts.tolist() == [0, 2, 2]
    assert found.posts.tolist() == [0, 2]
    assert set(found.sources.tolist()) == {2}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
    st.integers(0, 4),
)
def test_places_equal_plain_python(authors: list[int], seen: set[int], spacing: int):
    ranking = replace(RANKING, max_per_author=8, author_spacing=spacing)
    posts = list(range(len(authors)))
    mine = sorted(post for post in seen if post in posts)
    found = [post for post, _ in one(posts, authors, seen=mine, ranking=ranking)]
    assert found == arranged(posts, dict(enumerate(authors)), seen, spacing)
