"""Means with bootstrap intervals over users and over windows, and paired differences between methods.

Owns: resampling. Leaves to others: the measures (``measures``), how the figures are shown (``report``,
``report_page``).

A user may be a viewer at several moments. Resampling draws users, not rows, so these rows stay together. All methods
get the same resamples, so a difference is paired. Weights are Poisson(1), which is the bootstrap for many users and
needs no index arrays.

"Another week" says how far the figure may lie at other moments. It draws windows beside users: of w windows, w - 1
with replacement, which gives the mean of few windows its right variance (Rao and Wu 1988). Where each window has other
people, their chance counts twice, so the interval errs on the wide side; it says nothing with one window.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.measures import BY_VIEWER, OF_ALL_LISTS, Measured

Floats = NDArray[np.float64]
RESAMPLES = 1000
# By likes before the moment: serving a new viewer is another problem than serving an old one.
CLASSES = {"all": (1, 1 << 62), "cold": (1, 5), "warm": (6, 20), "heavy": (21, 1 << 62)}


@dataclass(frozen=True, slots=True)
class AnotherWeek:
    """95 % intervals of a mean and of its difference to the reference, over windows and users."""

    low: float
    high: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, its 95 % interval over users, and the same of its difference to the reference, negative when behind."""

    mean: float
    low: float
    high: float
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0
    another_week: AnotherWeek | None = None


def summarise(
    results: dict[str, list[Measured]], reference: str, seed: int
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Return class → method → measure → estimate; differences are method minus ``reference``."""
    names = list(results)
    first = results[names[0]]
    users = np.concatenate([part.users for part in first])
    activity = np.concatenate([part.activity for part in first])
    windows = np.repeat(np.arange(len(first)), [len(part.users) for part in first])
    stacked = np.stack([np.concatenate([part.values for part in results[name]]) for name in names], 1)
    place = names.index(reference)
    summary = {}
    for number, (label, (least, most)) in enumerate(CLASSES.items()):
        rows = (activity >= least) & (activity <= most)
        if not rows.any():
            continue
        rng = np.random.default_rng([seed, 7, number])
        means, draws, weeks = _bootstrap(users[rows], windows[rows], stacked[rows], rng)
        summary[label] = {
            name: {
                item: _estimate(
                    means[:, i], draws[:, :, i], None if weeks is None else weeks[:, :, i], m, place
                )
                for i, item in enumerate(BY_VIEWER)
            }
            for m, name in enumerate(names)
        }
    # (methods, measures, windows, samples)
    together = np.stack([np.stack([part.together for part in results[name]], 1) for name in names])
    rng = np.random.default_rng([seed, 9])
    for i, item in enumerate(OF_ALL_LISTS):
        by_window = together[:, i].transpose(2, 0, 1)  # (samples, methods, windows)
        drawn = _window_draws(len(first), by_window.shape[0] - 1, rng)
        weeks = None
        if drawn is not None:
            weeks = (by_window[1:] * drawn[:, None, :]).sum(2) / drawn.sum(1)[:, None]
        means = by_window.mean(2)
        for m, name in enumerate(names):
            summary["all"][name][item] = _estimate(means[0], means[1:], weeks, m, place)
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
    users: NDArray[np.int64],
    windows: NDArray[np.int64],
    values: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats | None]:
    """Return the means (methods, measures), RESAMPLES draws of them over users, and as many over windows and users.

    ``values`` are (rows, methods, measures), rows in the order of windows. The last answer is None for one window.
    """
    _, place = np.unique(users, return_inverse=True)
    count = int(place.max()) + 1
    flat = values.reshape(len(values), -1).astype(np.float64)
    starts = np.flatnonzero(np.r_[True, windows[1:] != windows[:-1], True])
    chosen = _window_draws(len(starts) - 1, RESAMPLES, rng)
    over_users, over_both = np.empty((2, RESAMPLES, flat.shape[1]))
    step = max(1, 4_000_000 // count)
    for low in range(0, RESAMPLES, step):
        draws = slice(low, min(low + step, RESAMPLES))
        weights = rng.poisson(1.0, (draws.stop - low, count)).astype(np.float64)
        # The last column counts the rows, so that a mean is a quotient.
        sums, both = np.zeros((2, draws.stop - low, flat.shape[1] + 1))
        for window, (first, last) in enumerate(pairwise(starts)):
            mine = weights[:, place[first:last]]
            part = np.column_stack([mine @ flat[first:last], mine.sum(1)])
            sums += part
            if chosen is not None:
                both += chosen[draws, window, None] * part
        over_users[draws] = sums[:, :-1] / np.maximum(sums[:, -1:], 1e-12)
        over_both[draws] = both[:, :-1] / np.maximum(both[:, -1:], 1e-12)
    shape = RESAMPLES, *values.shape[1:]
    means = flat.mean(0).reshape(values.shape[1:])
    return means, over_users.reshape(shape), None if chosen is None else over_both.reshape(shape)


def _window_draws(windows: int, draws: int, rng: np.random.Generator) -> Floats | None:
    """Return how often each draw has each window, None when there is one alone."""
    if windows < 2:
        return None
    return rng.multinomial(windows - 1, np.full(windows, 1 / windows), draws).astype(np.float64)


def _estimate(means: Floats, draws: Floats, weeks: Floats | None, method: int, reference: int) -> Estimate:
    """Return the estimate of a method of (methods) means and (draws, methods) draws."""
    week = None
    if weeks is not None:
        week = AnotherWeek(*_interval(weeks[:, method]), *_interval(weeks[:, method] - weeks[:, reference]))
    return Estimate(
        float(means[method]),
        *_interval(draws[:, method]),
        float(means[method] - means[reference]),
        *_interval(draws[:, method] - draws[:, reference]),
        week,
    )


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
