"""Taste sketches: who likes a post, in 64 bits, so that the web app knows at once which posts are of a rejected kind.

Owns: computing the sketches. Leaves to others: writing them (``publish.generations``), comparing them
(``serving.viewers.list_order``), and what takes a batch run (``sql/batch/seeds.sql`` weighs "show less" against those
who liked the post).

Every author has a point on a sphere, chosen by hash. A liker's point is the mean of the posts they liked lately, and
a post's point the mean of its likers. Two rounds of this bring posts close together that the same people like,
whoever wrote them. The mean of all posts is subtracted. Each of the 64 coordinates gives one bit, its sign. Two close
posts differ in about a sixteenth of the bits, two unrelated posts in half.

Memory: 64 numbers of four bytes for each liker and each post of the last days; 0.8 GB for 3 million of both.
"""

from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import compiled
from pipeline.store.duck import columns

BITS = 64
ROUNDS = 2
# Likes that are used, of a liker and of a post; a mean of so many is close enough, and more cost time.
LIKES_A_LIKER = 16
LIKERS_A_POST = 100

Points = NDArray[np.float32]


def sketches(connection: duckdb.DuckDBPyConnection) -> NDArray[np.int64]:
    """Return the sketch of each post of ``candidate_posts``, by post_no, from ``fresh_likes``."""
    (authors,) = columns(connection, "SELECT author_id FROM candidate_posts ORDER BY post_no")
    likers, posts = (
        np.asarray(column, np.int64)
        for column in columns(connection, "SELECT liker_id, post_no FROM fresh_likes")
    )
    likers, liker_count = _numbered(likers)
    kept = _sample(likers, likers, posts, LIKES_A_LIKER)
    likers, posts = likers[kept], posts[kept]
    kept = _sample(posts, likers, posts, LIKERS_A_POST)
    likers, posts = likers[kept], posts[kept]
    points = _hashed(np.asarray(authors, np.int64))
    for _ in range(ROUNDS):
        points = _means(posts, likers, _normal(points), liker_count)
        points = _means(likers, posts, _normal(points), len(authors))
        if len(points):
            points -= points.mean(axis=0)
    bits = (points > 0).astype(np.uint64)
    made: NDArray[np.int64] = (
        (bits << np.arange(BITS, dtype=np.uint64)).sum(axis=1, dtype=np.uint64).view(np.int64)
    )
    return made


def _numbered(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return ids as numbers from 0 without gaps, and how many there are."""
    present = np.zeros(int(ids.max()) + 1 if len(ids) else 0, bool)
    present[ids] = True
    numbers = np.cumsum(present) - 1
    return numbers[ids], int(present.sum())


def _sample(
    sides: NDArray[np.int64], likers: NDArray[np.int64], posts: NDArray[np.int64], most: int
) -> NDArray[np.bool_]:
    """Return which likes to keep so that each side has about ``most``: the same likes at every run."""
    counts = np.bincount(sides)[sides] if len(sides) else np.zeros(0, np.int64)
    chances = _mixed(likers * np.int64(2_654_435_761) + posts).astype(np.float64) / 2.0**64
    kept: NDArray[np.bool_] = chances * counts < most
    return kept


def _mixed(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return numbers as splitmix64 mixes them."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _hashed(ids: NDArray[np.int64]) -> Points:
    """Return a point for each number, the same at every run: BITS signs of its hash."""
    signs = (_mixed(ids)[:, None] >> np.arange(BITS, dtype=np.uint64)) & np.uint64(1)
    points: Points = signs.astype(np.float32) * 2 - 1
    return points


def _normal(points: Points) -> Points:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    normal: Points = (points / np.maximum(lengths, 1e-9)).astype(np.float32)
    return normal


def _means(sources: NDArray[np.int64], targets: NDArray[np.int64], points: Points, count: int) -> Points:
    """Return for each target the mean of the points of its sources."""
    sums = np.zeros((count, BITS), np.float32)
    _add(sources, targets, points, sums)
    counts = np.bincount(targets, minlength=count).astype(np.float32)[:, None]
    means: Points = (sums / np.maximum(counts, 1)).astype(np.float32)
    return means


@compiled
def _add(sources: Any, targets: Any, points: Any, sums: Any) -> None:
    """Add to each target of ``sums`` (targets, BITS) the points (sources, BITS) of its sources, entry by entry."""
    for entry in range(len(sources)):
        source, target = sources[entry], targets[entry]
        for bit in range(BITS):
            sums[target, bit] += points[source, bit]
