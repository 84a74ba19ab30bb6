"""How different lists are from one another, whatever they are worth.

Owns: coverage, author exposure, what strangers' lists have in common, posts with few likers. Leaves to others: what a
list was worth to its viewer (``measures``), means and intervals (``intervals``).

Coverage: different items in all lists / items that existed and may be listed. Author exposure: the Gini coefficient of
the places that authors have in all lists, 0 when all have as many and 1 when one has all; of authors who are listed, or
whose items somebody liked in the last day. In common: items that a list shares with that of a random stranger / places
of a list. Few likers: share of listed items that at most ``FEW_LIKERS`` people had liked.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import compiled
from pipeline.evaluate.like_events import NONE
from pipeline.evaluate.splits import Split

Floats = NDArray[np.float64]
Lists = NDArray[np.int32]
FEW_LIKERS = 5
RESAMPLES_TOGETHER = 50


def coverage(split: Split, lists: Lists, seed: int) -> Floats:
    """Return different items / items that may be listed: of all lists, then of bootstrap samples of them.

    A sample leaves out a share e^-1 of the lists; with the same seed, the same viewers' for every method.
    """
    rng = np.random.default_rng([seed, 8, split.at_us % 2**32])
    catalogue = max(int(np.count_nonzero(split.exists)), 1)
    size = split.events.item_count
    drawn = np.empty(1 + RESAMPLES_TOGETHER)
    drawn[0] = _different(lists, np.ones(len(lists), np.bool_), size) / catalogue
    for draw in range(RESAMPLES_TOGETHER):
        drawn[1 + draw] = _different(lists, rng.poisson(1.0, len(lists)) > 0, size) / catalogue
    return drawn


def exposure(split: Split, lists: Lists, seed: int) -> Floats:
    """Return the Gini coefficient of authors' places: of all lists, then of bootstrap samples; NaN without authors."""
    authors = split.events.authors
    if authors is None or not (lists != NONE).any():
        return np.full(1 + RESAMPLES_TOGETHER, np.nan)
    rng = np.random.default_rng([seed, 10, split.at_us % 2**32])
    rows, places = np.nonzero(lists != NONE)
    listed = authors[lists[rows, places]]
    recent = split.events.items[split.since(24.0)]
    counted = np.zeros(int(authors.max()) + 1, np.bool_)
    counted[authors[recent[split.exists[recent]]]] = True
    counted[listed] = True
    drawn = np.empty(1 + RESAMPLES_TOGETHER)
    for draw in range(1 + RESAMPLES_TOGETHER):
        weights = rng.poisson(1.0, len(lists)) if draw else np.ones(len(lists))
        drawn[draw] = gini(np.bincount(listed, weights[rows], len(counted))[counted].astype(np.float64))
    return drawn


def gini(amounts: Floats) -> float:
    """Return the Gini coefficient of amounts, NaN when they are all nothing."""
    total, count = amounts.sum(), len(amounts)
    if total <= 0:
        return float("nan")
    return float(2 * (np.arange(1, count + 1) @ np.sort(amounts)) / (count * total) - (count + 1) / count)


def in_common(lists: Lists, rng: np.random.Generator) -> Floats:
    """Return by list the share of its places with an item that the list of a random stranger has, too.

    Every list is one other list's stranger. With one list alone the answer is NaN.
    """
    if len(lists) < 2:
        return np.full(len(lists), np.nan)
    around = rng.permutation(len(lists))
    stranger = np.empty(len(lists), np.int64)
    stranger[around] = np.roll(around, 1)
    share: Floats = _shared(lists, stranger) / lists.shape[1]
    return share


def few_likers(split: Split, lists: Lists) -> Floats:
    """Return by list the share of its items with few likers."""
    filled = lists != NONE
    likers = np.bincount(split.events.items[: split.cut], minlength=split.events.item_count)
    share: Floats = ((likers[lists] <= FEW_LIKERS) & filled).sum(1) / np.maximum(filled.sum(1), 1)
    return share


@compiled
def _different(lists: Any, kept: Any, item_count: int) -> int:
    seen = np.zeros(item_count, np.bool_)
    count = 0
    for row in range(len(lists)):
        if kept[row]:
            for place in range(lists.shape[1]):
                item = lists[row, place]
                if item >= 0 and not seen[item]:
                    seen[item] = True
                    count += 1
    return count


@compiled
def _shared(lists: Any, stranger: Any) -> Any:
    counts = np.zeros(len(lists))
    for row in range(len(lists)):
        other = lists[stranger[row]]
        for item in lists[row]:
            if item >= 0:
                for its in other:
                    if its == item:
                        counts[row] += 1.0
                        break
    return counts
