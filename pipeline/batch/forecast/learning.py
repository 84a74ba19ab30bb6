"""What a forecast is learned from, and when it is good enough: moments of the past, and what was liked after them.

Owns: the names of the inputs, which moments are looked at, ``learned`` with its check. Leaves to others: the inputs of
a moment (``pipeline.evaluate.methods.forecast``), the trees (``boosted_trees``).

A post's share of the likes after a moment is learned as its square root: so a post that has half of all likes does not
decide alone what is learned, nor do the many that have hardly any.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.forecast.boosted_trees import Trees, fit, predict

Floats = NDArray[np.float64]

# Hours back from a moment, by their names in the inputs.
WINDOWS = {
    "5m": 1 / 12, "15m": 1 / 4, "30m": 1 / 2, "1h": 1.0, "2h": 2.0, "4h": 4.0, "8h": 8.0, "16h": 16.0, "24h": 24.0,
    "48h": 48.0,
}  # fmt: skip
INPUTS = (
    *(f"mass_{name}" for name in WINDOWS),
    *(f"share_{name}" for name in WINDOWS),
    "age_hours",
    "idle_hours",
)
# What is expected is a post's share of the likes of so many hours.
AHEAD_HOURS = 6.0
# Moments of the past that are learned from are an hour apart, and at most so old.
KEPT_DAYS = 14
# Hours of likes before a moment without which its inputs say too little, and the fewest moments to learn from.
LEAST_HISTORY_HOURS = 12
LEAST_MOMENTS = 24
NEWEST_SHARE = 4  # one of so many moments, the newest, is for the check


class Moment(NamedTuple):
    """The posts that were popular at a moment, a row a post in the order of INPUTS.

    ``liked``: likes in the hours after it. ``crowd``: the share of attention that each post had.
    """

    rows: Floats
    liked: Floats
    crowd: Floats


def learned(moments: Sequence[Moment]) -> Trees | None:
    """Return the trees of these moments, newest first; None where they are too few, or foresee less than the crowd.

    The check learns from the older three quarters: what was liked after the newest quarter must be nearer to their
    forecast than to what was popular before.
    """
    moments = [moment for moment in moments if moment.liked.sum() > 0]
    if len(moments) < LEAST_MOMENTS:
        return None
    newest = len(moments) // NEWEST_SHARE
    trees = _fit(moments[newest:])
    checked = moments[:newest]
    ahead = _error(checked, [expected(trees, moment.rows) for moment in checked])
    return _fit(moments) if ahead < _error(checked, [moment.crowd for moment in checked]) else None


def expected(trees: Trees, rows: Floats) -> Floats:
    """Return how much of the next hours' likes each post is expected to get; the sum over all posts is about 1."""
    return np.maximum(predict(trees, rows), 0.0) ** 2


def _fit(moments: Sequence[Moment]) -> Trees:
    rows = np.concatenate([moment.rows for moment in moments])
    return fit(rows, np.concatenate([_roots(moment.liked) for moment in moments]))


def _error(moments: Sequence[Moment], shares: Sequence[Floats]) -> float:
    """Return the mean squared error of shares, as square roots."""
    errors = [
        (_roots(moment.liked) - _roots(share)) ** 2 for moment, share in zip(moments, shares, strict=True)
    ]
    return float(np.concatenate(errors).mean())


def _roots(shares: Floats) -> Floats:
    return np.sqrt(shares / (shares.sum() or 1.0))
