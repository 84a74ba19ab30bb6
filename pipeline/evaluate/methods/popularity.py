"""What is popular: the baseline that uses time alone, and what fills every short list.

Owns: ``popular_items``, ``popular_lists``, ``decayed_lists``, ``fill``. Leaves to others: which window is best
(``tuning``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import compiled
from pipeline.evaluate.like_events import NONE, Small
from pipeline.evaluate.splits import Split
from pipeline.store.model import HOUR_US

# Popular items considered for one list: enough that what a viewer has liked already cannot exhaust them.
POOL = 1000


def popular_items(split: Split, hours: float) -> Small:
    """Return the items liked most in the last hours, at most POOL; a tie goes to the newer item."""
    counts = np.bincount(split.events.items[split.since(hours)], minlength=split.events.item_count)
    counts[~split.exists] = 0
    order = np.argsort(-counts, kind="stable")[:POOL]
    return order[counts[order] > 0].astype(np.int32)


def popular_lists(split: Split, keep: int, *, hours: float) -> NDArray[np.int32]:
    """Return for every viewer the most liked items of the last hours that they have not liked."""
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    fill(lists, popular_items(split, hours), split)
    return lists


def decayed_lists(split: Split, keep: int, *, half_life_hours: float) -> NDArray[np.int32]:
    """Return for every viewer the most liked items, a like counting half after some hours; the smoothest window."""
    recent = split.since(20 * half_life_hours)
    ages = (split.at_us - split.events.times_us[recent]) / (half_life_hours * HOUR_US)
    scores = np.bincount(split.events.items[recent], weights=0.5**ages, minlength=split.events.item_count)
    scores[~split.exists] = 0.0
    order = np.argsort(-scores, kind="stable")[:POOL]
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    fill(lists, order[scores[order] > 0].astype(np.int32), split)
    return lists


def fill(lists: NDArray[np.int32], popular: Small, split: Split) -> None:
    """Fill the empty places at the lists' ends with popular items that are not listed, liked or the viewer's own."""
    _fill(lists, popular, split.barred.starts, split.barred.columns, split.events.item_count)


@compiled
def _fill(lists: Any, popular: Any, starts: Any, liked: Any, item_count: int) -> None:
    barred = np.zeros(item_count, np.uint8)
    for row in range(lists.shape[0]):
        size = 0
        while size < lists.shape[1] and lists[row, size] >= 0:
            barred[lists[row, size]] = 1
            size += 1
        for x in range(starts[row], starts[row + 1]):
            barred[liked[x]] = 1
        for item in popular:
            if size == lists.shape[1]:
                break
            if barred[item] == 0:
                barred[item] = 1
                lists[row, size] = item
                size += 1
        for x in range(starts[row], starts[row + 1]):
            barred[liked[x]] = 0
        for place in range(size):
            barred[lists[row, place]] = 0
