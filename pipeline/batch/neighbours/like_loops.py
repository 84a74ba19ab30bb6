"""The loops of the full pass over the graph, compiled: walking sorted likes, dealing rows out, picking seeds.

Owns: ``walk``, ``deal``, ``pick_seeds``, ``weigh`` and ``find_posts``. Leaves to others: what the arrays are
and where they are kept (``like_graph``, ``product_of_graph``); what they mean is said by ``sql/batch``, file
by file.
"""

from typing import Any

import numpy as np

from pipeline.batch.kernel import compiled


@compiled
def sample_number(liker_id: int, post_rkey: int) -> int:
    """Return the macro sample_number of ``sql/batch/macros.sql``; post_rkey is not negative."""
    x = (liker_id * 2654435761 + post_rkey % 2147483647) % 4294967296
    return ((x ^ (x >> 15)) * 1540483477) % 4294967296


@compiled
def is_looked_at(liker_id: int, post_rkey: int, likers: int, cap: int) -> bool:
    """Tell whether a liker of a post with so many is one of those in ``seed_likers.sql``."""
    return likers <= cap or sample_number(liker_id, post_rkey) * likers < cap * 4294967296


@compiled
def walk(
    authors: Any, rkeys: Any, likers: Any, seen: Any, first_post: int, cap: int,
    degrees: Any, firsts: Any, viewer_rows: Any, since: Any,
    post_authors: Any, post_rkeys: Any, post_likers: Any, kept: Any, kept_ends: Any,
    row_viewers: Any, row_posts: Any, row_seen: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Go through like records sorted by post, liker and time; return how many posts, kept likers and rows came out.

    Of each post: author, rkey, distinct likers, and those of its likers that are kept (``seed_likers.sql``), with
    where they end. Of each first like by a viewer (``viewer_rows`` has their row, -1 for others) from ``since`` on,
    by row: (row, post, seen). ``degrees`` counts every distinct like of a liker, ``firsts`` has the
    time of the first one.
    """
    posts = rows = size = 0
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
            if is_looked_at(liker, rkeys[first], distinct, cap):
                kept[size] = liker
                size += 1
            row = viewer_rows[liker]
            if row >= 0 and seen[i] >= since[row]:
                row_viewers[rows], row_posts[rows], row_seen[rows] = row, first_post + posts, seen[i]
                rows += 1
        post_authors[posts], post_rkeys[posts] = authors[first], rkeys[first]
        post_likers[posts], kept_ends[posts] = distinct, size
        posts += 1
        first = last
    return posts, size, rows


@compiled
def deal(groups: Any, group_count: int, starts: Any, order: Any) -> None:
    """Write the order that brings rows of a group together, as they came, and where each group starts."""
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
def pick_seeds(
    starts: Any, posts: Any, seen: Any, asked_starts: Any, asked_posts: Any, asked_weights: Any,
    post_likers: Any, max_seeds: int, newest: float, oldest: float, exponent: float,
    viewers: Any, scales: Any, post_rkeys: Any, kept_starts: Any, masses: Any, cap: int,
    a_starts: Any, a_posts: Any, a_values: Any, everybody: Any,
) -> int:  # fmt: skip
    """Write the rows of matrix A for viewers whose likes lie together, by ascending post; return the entries.

    As ``seeds.sql`` and ``seed_entries.sql`` define them. Posts are numbered by (author_id, rkey), so likes seen at
    once stand in the documented order. ``everybody`` gets what all co-likers of each would weigh (``everybody.sql``);
    ``viewers`` are their actor numbers, ``scales`` how much each counts as a co-liker.
    """
    size = 0
    for viewer in range(len(starts) - 1):
        first, last = starts[viewer], starts[viewer + 1]
        order = np.argsort(-seen[first:last], kind="mergesort")
        seeds = min(last - first, max_seeds)
        for place in range(seeds):
            post = posts[first + order[place]]
            answered = False
            for x in range(asked_starts[viewer], asked_starts[viewer + 1]):
                answered = answered or asked_posts[x] == post
            if answered:
                continue
            weight = oldest if seeds == 1 else newest + (oldest - newest) * place / (seeds - 1)
            scale = float(post_likers[post]) ** -exponent
            a_posts[size], a_values[size] = post, np.floor(weight * scale * 68719476736 + 0.5) / 68719476736
            likers, kept = post_likers[post], kept_starts[post + 1] - kept_starts[post]
            if kept > 0:
                others = masses[post]
                if is_looked_at(viewers[viewer], post_rkeys[post], likers, cap):
                    others -= scales[viewer]
                everybody[viewer] += a_values[size] * (likers / kept) * others
            size += 1
        for x in range(asked_starts[viewer], asked_starts[viewer + 1]):
            post = asked_posts[x]
            scale = float(post_likers[post]) ** -exponent
            value = np.floor(asked_weights[x] * scale * 68719476736 + 0.5) / 68719476736
            a_posts[size], a_values[size] = post, value
            size += 1
        a_starts[viewer + 1] = size
    return size


@compiled
def weigh(starts: Any, likers: Any, scales: Any, masses: Any) -> None:
    """Write what the kept likers of each post weigh together, in the order in which they are kept."""
    for post in range(len(starts) - 1):
        total = 0.0
        for place in range(starts[post], starts[post + 1]):
            total += scales[likers[place]]
        masses[post] = total


@compiled
def find_posts(authors: Any, rkeys: Any, post_authors: Any, post_rkeys: Any, found: Any) -> None:
    """Write each (author, rkey)'s place among posts sorted by them, -1 where it is not there."""
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
