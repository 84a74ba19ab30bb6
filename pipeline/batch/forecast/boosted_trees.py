"""Boosted trees in their simplest form: every level of a tree asks one question of all rows.

Owns: ``fit`` and ``predict``. Leaves to others: what the rows are and what they should predict.

A tree of depth d asks d questions, "is input i above t?". The answers are the digits of the number of a leaf, and the
leaf's value is the tree's part of the sum. Each tree is fitted to what the trees before it left over (gradient
boosting, squared error), on inputs cut into ``BINS`` ranges. Such symmetric trees predict about as well as free ones,
and a model is a small table, a row a tree.

Why no library: LightGBM's wheel needs libgomp from the system and brings scipy, 35 MB; scikit-learn brings scipy too,
and stores models as pickles of one version. ``tests/bench/RESULTS.md`` has this module beside LightGBM.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import compiled

Floats = NDArray[np.float64]

TREES = 50
DEPTH = 5
RATE = 0.2  # how much of each tree's fit counts
BINS = 64
SHRINKAGE = 5.0  # rows of value 0 that each leaf has besides its own: few rows decide little


class Trees(NamedTuple):
    """``inputs``, ``thresholds``: the question of each (tree, level); ``leaves``: the values of each tree's leaves.

    Level l adds 2^l to the number of a row's leaf when the row's input is above the threshold.
    """

    inputs: NDArray[np.int64]  # (trees, DEPTH)
    thresholds: Floats  # (trees, DEPTH)
    leaves: Floats  # (trees, 2 ** DEPTH)


def fit(rows: Floats, wanted: Floats) -> Trees:
    """Return trees that predict ``wanted`` of ``rows`` (rows, inputs); the same rows give the same trees."""
    edges = [_edges(column) for column in rows.T]
    bins = np.empty(rows.shape, np.uint8)
    for number, column in enumerate(rows.T):
        bins[:, number] = np.searchsorted(edges[number], column, "left")
    base = float(wanted.mean())
    inputs, cuts = np.zeros((TREES, DEPTH), np.int64), np.zeros((TREES, DEPTH), np.int64)
    leaves = np.zeros((TREES, 1 << DEPTH))
    _boost(bins, wanted - base, inputs, cuts, leaves)
    leaves[0] += base
    thresholds = np.full(inputs.shape, np.inf)  # where no question helps: everybody's answer is no
    for place in np.ndindex(inputs.shape):
        known = edges[inputs[place]]
        if cuts[place] < len(known):
            thresholds[place] = known[cuts[place]]
    return Trees(inputs, thresholds, leaves)


def predict(trees: Trees, rows: Floats) -> Floats:
    """Return what the trees predict of each row."""
    result = np.zeros(len(rows))
    for inputs, thresholds, leaves in zip(*trees, strict=True):
        result += leaves[(rows[:, inputs] > thresholds) @ (1 << np.arange(DEPTH))]
    return result


def _edges(column: Floats) -> Floats:
    """Return at most BINS - 1 thresholds between the values of a column, close together at both ends.

    What is liked most and what is newest are few rows among many, and matter most.
    """
    values = np.unique(column)
    if len(values) > BINS:
        place = np.linspace(0, 1, BINS)
        values = np.unique(np.quantile(column, place * place * (3 - 2 * place), method="nearest"))
    return (values[:-1] + values[1:]) / 2


@compiled
def _boost(bins: Any, left: Any, inputs: Any, cuts: Any, leaves: Any) -> None:
    """Fit tree after tree to ``left``, what the trees before it did not explain."""
    count, width = bins.shape
    trees, depth = inputs.shape
    for tree in range(trees):
        leaf = np.zeros(count, np.int64)
        for level in range(depth):
            sums = np.zeros((width, 1 << level, BINS))
            sizes = np.zeros((width, 1 << level, BINS))
            for row in range(count):
                for i in range(width):
                    sums[i, leaf[row], bins[row, i]] += left[row]
                    sizes[i, leaf[row], bins[row, i]] += 1
            most = -1.0
            for i in range(width):
                gains = np.zeros(BINS)
                for place in range(1 << level):
                    all_sum, all_size = sums[i, place].sum(), sizes[i, place].sum()
                    low_sum, low_size = 0.0, 0.0
                    for cut in range(BINS):
                        low_sum += sums[i, place, cut]
                        low_size += sizes[i, place, cut]
                        high_sum, high_size = all_sum - low_sum, all_size - low_size
                        gains[cut] += low_sum * low_sum / (low_size + SHRINKAGE)
                        gains[cut] += high_sum * high_sum / (high_size + SHRINKAGE)
                for cut in range(BINS):
                    if gains[cut] > most:
                        most, inputs[tree, level], cuts[tree, level] = gains[cut], i, cut
            for row in range(count):
                if bins[row, inputs[tree, level]] > cuts[tree, level]:
                    leaf[row] += 1 << level
        size = np.zeros(leaves.shape[1])
        for row in range(count):
            leaves[tree, leaf[row]] += left[row]
            size[leaf[row]] += 1
        for place in range(len(size)):
            leaves[tree, place] *= RATE / (size[place] + SHRINKAGE)
        for row in range(count):
            left[row] -= leaves[tree, leaf[row]]
