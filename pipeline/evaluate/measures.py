"""What a list was worth to a viewer, by what the viewer liked next.

Owns: the measures, one row per viewer. Leaves to others: how lists differ (``variety``), means and intervals
(``intervals``).

recall@k: targets in the list / targets. NDCG@k: gain 1 / log2(place + 1), relative to the best possible order.
MRR: 1 / place of the first target, 0 without one. Hit rate: whether there is one. Novelty: mean popularity
percentile of the listed items among all liked in the last day; 100 is the most popular. Author diversity:
different authors / items. Fresh: share of items less than an hour old. ``variety`` has the others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.like_events import NONE, Ints
from pipeline.evaluate.matrices import contains, row_numbers, sorted_rows
from pipeline.evaluate.splits import Split
from pipeline.evaluate.variety import coverage, exposure, few_likers, in_common
from pipeline.store.model import HOUR_US

Floats = NDArray[np.float64]
DEPTH = 30
BLOCK = 100_000  # viewers measured at once
BY_VIEWER = ("recall", "ndcg", "mrr", "hit", "novelty", "authors", "fresh", "few_likers", "common")
OF_ALL_LISTS = ("coverage", "exposure")


@dataclass(frozen=True, slots=True)
class Measured:
    """``values``: (viewers, measures), in the order of BY_VIEWER, NaN where unknown.

    ``together``: (OF_ALL_LISTS, of all lists and then of bootstrap samples of them).
    """

    users: Ints
    activity: Ints
    values: NDArray[np.float32]
    together: Floats


def measure(split: Split, lists: NDArray[np.int32], seed: int = 0) -> Measured:
    """Return the measures of lists (viewers, DEPTH), whose empty places are NONE."""
    values = np.empty((len(lists), len(BY_VIEWER)), np.float32)
    percentile = popularity_percentiles(split)
    for first in range(0, len(lists), BLOCK):
        rows = np.arange(first, min(first + BLOCK, len(lists)))
        values[rows, :-1] = _values(split.only(rows), lists[rows], percentile)
    # With the same seed, the same strangers for every method.
    values[:, -1] = in_common(lists, np.random.default_rng([seed, 11, split.at_us % 2**32]))
    together = np.stack([coverage(split, lists, seed), exposure(split, lists, seed)])
    return Measured(split.viewers, split.activity, values, together)


def _values(split: Split, lists: NDArray[np.int32], percentile: Floats) -> Floats:
    filled = lists != NONE
    listed = np.maximum(filled.sum(1), 1)
    safe = np.where(filled, lists, 0)
    ages = split.at_us - split.events.created_us[safe]
    values: Floats = np.column_stack(
        [
            *hits_of(split, lists),
            (percentile[safe] * filled).sum(1) / listed,
            _author_shares(split, safe, filled) / listed,
            ((ages < HOUR_US) & filled).sum(1) / listed,
            few_likers(split, lists),
        ]
    )
    return values


def hits_of(split: Split, lists: NDArray[np.int32]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return recall, NDCG, MRR and hit of each list."""
    count, depth = lists.shape
    rows = np.repeat(np.arange(count), depth)
    wanted = sorted_rows(row_numbers(split.targets), split.targets.columns.astype(np.int64), count)
    hits = contains(wanted.starts, wanted.columns, rows, lists.ravel().astype(np.int64)).reshape(count, depth)
    sizes = np.diff(wanted.starts)
    gains = 1 / np.log2(np.arange(depth) + 2)
    best = np.concatenate(([0.0], np.cumsum(gains)))[np.minimum(sizes, depth)]
    any_hit: Floats = (hits.sum(1) > 0).astype(np.float64)
    recall: Floats = hits.sum(1) / sizes
    ndcg: Floats = (hits * gains).sum(1) / best
    reciprocal: Floats = any_hit / (hits.argmax(1) + 1.0)
    return recall, ndcg, reciprocal, any_hit


def popularity_percentiles(split: Split) -> Floats:
    """Return each item's percentile by likes in the last day among those that were liked then."""
    counts = np.bincount(split.events.items[split.since(24.0)], minlength=split.events.item_count)
    counted = np.sort(counts[(counts > 0) & split.exists])
    ranks = np.searchsorted(counted, counts, "right")
    percentiles: Floats = 100.0 * ranks / max(len(counted), 1)
    return percentiles


def _author_shares(split: Split, lists: Ints, filled: NDArray[np.bool_]) -> Floats:
    authors = split.events.authors
    if authors is None:
        return np.full(len(lists), np.nan)
    ordered = np.sort(np.where(filled, authors[lists], NONE), axis=1)
    changes = (ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] != NONE)
    different: Floats = (changes.sum(1) + (ordered[:, 0] != NONE)).astype(np.float64)
    return different
