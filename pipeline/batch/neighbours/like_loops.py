"""The compiled loops of the full pass: walking sorted likes, dealing rows out, picking seeds.

Owns: ``walk``, ``deal``, ``pick_seeds``, ``add_scales`` and ``find_posts``, and the forms of their arrays. Leaves
to others: where the arrays are stored (``walk_range``, ``product_block``), and what they mean, which
``sql/batch`` says file by file.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, compiled

VALUE_STEPS = 68719476736  # 2^36, as in seed_entries.sql


class Records(NamedTuple):
    """Like records, sorted by post, liker and time; each array is (records)."""

    authors: NDArray[np.int32]
    rkeys: NDArray[np.int64]
    likers: NDArray[np.int32]
    seen_us: NDArray[np.int64]


class Likers(NamedTuple):
    """What is known of the people, by actor_id, and of the viewers among them, by row."""

    degrees: NDArray[np.int32]  # (actors): distinct posts liked
    firsts: NDArray[np.int64]  # (actors): when the first of them was seen
    viewer_rows: NDArray[np.int32]  # (actors): a viewer's row, -1 for others
    since_us: NDArray[np.int64]  # (viewers): older likes of theirs make no rows


class Posts(NamedTuple):
    """Liked posts, sorted by author and rkey, and those of their likers who are looked at."""

    authors: NDArray[np.int32]  # (posts)
    rkeys: NDArray[np.int64]  # (posts)
    counts: NDArray[np.int32]  # (posts): distinct likers
    ends: NDArray[np.int64]  # (posts): where the post's part of ``likers`` ends
    likers: NDArray[np.int32]  # (likers looked at)


class ViewerLikes(NamedTuple):
    """Likes by viewers; each array is (likes)."""

    viewers: NDArray[np.int32]  # rows
    posts: NDArray[np.int32]
    seen_us: NDArray[np.int64]


class SeedPosts(NamedTuple):
    """What a seed counts, by post."""

    rkeys: NDArray[np.int64]  # (posts)
    counts: NDArray[np.int32]  # (posts): distinct likers
    starts: NDArray[np.int64]  # (posts + 1): where its likers who are looked at start
    masses: NDArray[np.float64]  # (posts): the sum of these likers' scales


class SeedRules(NamedTuple):
    """The parameters of seeds, as ``Ranking`` has them."""

    max_seeds: int
    seed_weight_newest: float
    seed_weight_oldest: float
    likers_exponent: float
    max_seed_likers: int


@compiled
def sample_number(liker_id: int, post_rkey: int) -> int:
    """Return the macro sample_number of ``sql/batch/macros.sql``; post_rkey is not negative."""
    x = (liker_id * 2654435761 + post_rkey % 2147483647) % 4294967296
    return ((x ^ (x >> 15)) * 1540483477) % 4294967296


@compiled
def is_looked_at(liker_id: int, post_rkey: int, likers: int, most: int) -> bool:
    """Tell whether a liker of a post with so many likers is one of those in ``seed_likers.sql``."""
    return likers <= most or sample_number(liker_id, post_rkey) * likers < most * 4294967296


@compiled
def walk(
    records: Records, people: Likers, first_post: int, max_seed_likers: int, made: Posts, rows: ViewerLikes
) -> tuple[int, int, int]:
    """Go through like records; return how many posts, likers looked at and viewers' likes were written.

    Writes the posts, and the first like of each post by each viewer from ``since_us`` on. Posts are numbered from
    ``first_post``. Adds to ``degrees`` every distinct like of a liker, and to ``firsts`` the time of the first one.
    """
    authors, rkeys, likers, seen = records
    degrees, firsts, viewer_rows, since = people
    post_authors, post_rkeys, post_counts, ends, looked_at = made
    row_viewers, row_posts, row_seen = rows
    posts = size = row_count = 0
    first = 0
    count = len(authors)
    while first < count:
        last = first
        distinct = 0
        while last < count and authors[last] == authors[first] and rkeys[last] == rkeys[first]:
            if last == first or likers[last] != likers[last - 1]:
                distinct += 1
            last += 1
        for i in range(first, last):
            liker = likers[i]
            if i > first and liker == likers[i - 1]:
                continue
            degrees[liker] += 1
            firsts[liker] = min(firsts[liker], seen[i])
            if is_looked_at(liker, rkeys[first], distinct, max_seed_likers):
                looked_at[size] = liker
                size += 1
            row = viewer_rows[liker]
            if row >= 0 and seen[i] >= since[row]:
                row_viewers[row_count], row_posts[row_count] = row, first_post + posts
                row_seen[row_count] = seen[i]
                row_count += 1
        post_authors[posts], post_rkeys[posts] = authors[first], rkeys[first]
        post_counts[posts], ends[posts] = distinct, size
        posts += 1
        first = last
    return posts, size, row_count


@compiled
def deal(groups: Any, group_count: int, starts: Any, order: Any) -> None:
    """Write the order that brings the rows of a group together, and where each group starts.

    ``groups`` (rows) names each row's group; ``starts`` is (groups + 1), ``order`` (rows). Within a group rows stay in
    their order.
    """
    starts[:] = 0
    for i in range(len(groups)):
        starts[groups[i] + 1] += 1
    for group in range(group_count):
        starts[group + 1] += starts[group]
    place = starts[:-1].copy()
    for i in range(len(groups)):
        group = groups[i]
        order[place[group]] = i
        place[group] += 1


@compiled
def _value(weight: float, likers: int, exponent: float) -> float:
    """Return what a seed is worth, as ``seed_entries.sql`` rounds it."""
    value: float = np.floor(weight * float(likers) ** -exponent * VALUE_STEPS + 0.5) / VALUE_STEPS
    return value


@compiled
def pick_seeds(
    starts: Any, posts: Any, seen: Any, answers: Sparse, known: SeedPosts, viewers: Any, scales: Any,
    rules: SeedRules, a: Sparse, everybody: Any,
) -> int:  # fmt: skip
    """Write the rows of matrix A and what all co-likers of each viewer would weigh; return the entries of A.

    ``seeds.sql``, ``seed_entries.sql`` and ``everybody.sql`` define them. The likes of viewer i are starts[i] ..
    starts[i + 1] of ``posts`` and ``seen``, by ascending post. Posts are numbered by (author_id, rkey), so likes seen
    at once stand in the documented order. ``answers`` has a row a viewer: the weights of the posts they answered.
    ``viewers`` (viewers) are their actor numbers, ``scales`` (viewers) how much each counts as a co-liker.
    ``everybody`` (viewers) is zero at first.
    """
    newest, oldest, exponent = rules.seed_weight_newest, rules.seed_weight_oldest, rules.likers_exponent
    answer_starts, answer_posts, answer_weights = answers
    rkeys, counts, liker_starts, masses = known
    a_starts, a_posts, a_values = a
    size = 0
    for viewer in range(len(starts) - 1):
        first, last = starts[viewer], starts[viewer + 1]
        order = np.argsort(-seen[first:last], kind="mergesort")
        seeds = min(last - first, rules.max_seeds)
        for place in range(seeds):
            post = posts[first + order[place]]
            answered = False
            for x in range(answer_starts[viewer], answer_starts[viewer + 1]):
                answered = answered or answer_posts[x] == post
            if answered:
                continue
            weight = oldest if seeds == 1 else newest + (oldest - newest) * place / (seeds - 1)
            likers = counts[post]
            value = _value(weight, likers, exponent)
            a_posts[size], a_values[size] = post, value
            looked_at = liker_starts[post + 1] - liker_starts[post]
            if looked_at > 0:
                others = masses[post]
                if is_looked_at(viewers[viewer], rkeys[post], likers, rules.max_seed_likers):
                    others -= scales[viewer]
                everybody[viewer] += value * (likers / looked_at) * others
            size += 1
        for x in range(answer_starts[viewer], answer_starts[viewer + 1]):
            post = answer_posts[x]
            a_posts[size], a_values[size] = post, _value(answer_weights[x], counts[post], exponent)
            size += 1
        a_starts[viewer + 1] = size
    return size


@compiled
def add_scales(starts: Any, likers: Any, scales: Any, masses: Any) -> None:
    """Write what the likers of each post weigh together: those from starts[post] to starts[post + 1].

    ``scales`` is by liker, ``masses`` (posts). They are added in the order of ``likers``.
    """
    for post in range(len(starts) - 1):
        total = 0.0
        for place in range(starts[post], starts[post + 1]):
            total += scales[likers[place]]
        masses[post] = total


@compiled
def find_posts(authors: Any, rkeys: Any, post_authors: Any, post_rkeys: Any, found: Any) -> None:
    """Write where each (author, rkey) is among posts sorted by them, -1 where it is not there."""
    for i in range(len(authors)):
        low, high = 0, len(post_authors)
        while low < high:
            middle = (low + high) >> 1
            if post_authors[middle] < authors[i] or (
                post_authors[middle] == authors[i] and post_rkeys[middle] < rkeys[i]
            ):
                low = middle + 1
            else:
                high = middle
        there = low < len(post_authors) and post_authors[low] == authors[i] and post_rkeys[low] == rkeys[i]
        found[i] = low if there else -1
