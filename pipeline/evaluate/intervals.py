"""Means with bootstrap intervals over users, and paired differences between methods.

Owns: resampling. Leaves to others: the measures (``measures``), how the figures are shown (``report``,
``report_page``).

A user may be a viewer at several moments. Resampling draws users, not rows, so these rows stay together. All methods
get the same resamples, so a difference is paired. Weights are Poisson(1), which is the bootstrap for many users and
needs no index arrays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.measures import BY_VIEWER, Measured

Floats = NDArray[np.float64]
RESAMPLES = 1000
# By likes before the moment: serving a new viewer is another problem than serving an old one.
CLASSES = {"all": (1, 1 << 62), "cold": (1, 5), "warm": (6, 20), "heavy": (21, 1 << 62)}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, its 95 % interval, and the same of its difference to the reference, negative when behind."""

    mean: float
    low: float
    high: float
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0


def summarise(
    results: dict[str, list[Measured]], reference: str, seed: int
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Return class → method → measure → estimate; differences are method minus ``reference``."""
    names = list(results)
    first = results[names[0]]
    users = np.concatenate([part.users for part in first])
    activity = np.concatenate([part.activity for part in first])
    stacked = np.stack([np.concatenate([part.values for part in results[name]]) for name in names], 1)
    summary = {}
    for number, (label, (least, most)) in enumerate(CLASSES.items()):
        rows = (activity >= least) & (activity <= most)
        if not rows.any():
            continue
        means, draws = _bootstrap(users[rows], stacked[rows], np.random.default_rng([seed, 7, number]))
        place = names.index(reference)
        summary[label] = {
            name: {
                item: _estimate(means[m, i], draws[:, m, i], means[place, i], draws[:, place, i])
                for i, item in enumerate(BY_VIEWER)
            }
            for m, name in enumerate(names)
        }
    coverage = {name: np.mean([part.coverage for part in results[name]], axis=0) for name in names}
    base = coverage[reference]
    for name, drawn in coverage.items():
        summary["all"][name]["coverage"] = _estimate(drawn[0], drawn[1:], base[0], base[1:])
    return summary


def viewers_by_class(results: list[Measured]) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many different viewers each class has, and how many (viewer, moment) pairs."""
    activity = np.concatenate([part.activity for part in results])
    users = np.concatenate([part.users for part in results])
    inside = {label: (activity >= low) & (activity <= high) for label, (low, high) in CLASSES.items()}
    return (
        {label: len(np.unique(users[rows])) for label, rows in inside.items()},
        {label: int(rows.sum()) for label, rows in inside.items()},
    )


def _bootstrap(
    users: NDArray[np.int64], values: NDArray[np.float32], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the means (methods, measures) and RESAMPLES draws of them; values are (rows, methods, measures)."""
    _, place = np.unique(users, return_inverse=True)
    count = int(place.max()) + 1
    flat = values.reshape(len(values), -1)
    sums = np.stack([np.bincount(place, weights=column, minlength=count) for column in flat.T], 1)
    sizes = np.bincount(place, minlength=count).astype(np.float64)
    draws = np.empty((RESAMPLES, flat.shape[1]))
    step = max(1, 4_000_000 // count)
    for low in range(0, RESAMPLES, step):
        weights = rng.poisson(1.0, (min(step, RESAMPLES - low), count)).astype(np.float64)
        draws[low : low + step] = (weights @ sums) / np.maximum(weights @ sizes, 1e-12)[:, None]
    return (sums.sum(0) / len(values)).reshape(values.shape[1:]), draws.reshape(RESAMPLES, *values.shape[1:])


def _estimate(mean: float, draws: Floats, base: float, base_draws: Floats) -> Estimate:
    low, high = np.quantile(draws, [0.025, 0.975])
    change = np.quantile(draws - base_draws, [0.025, 0.975])
    return Estimate(
        float(mean), float(low), float(high), float(mean - base), float(change[0]), float(change[1])
    )
