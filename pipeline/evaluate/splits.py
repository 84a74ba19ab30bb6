"""Histories cut at rolling moments: what was known then, and what came next.

Owns: choosing the moments, ``Split``. Leaves to others: ranking (``registry``), measuring (``measures``).

At a moment T the history is every like before T. The people asked about have a history, and like something in
(T, T + window] that existed at T and that they had not liked: these are the targets. An item exists once it was
made, or once somebody liked it; a file does not say when items were made, so there the first like of an item is
nobody's target. One's own items are never listed.

Invariant: tuning moments and their windows end before the first moment that is reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse
from pipeline.evaluate.like_events import EvaluateError, Events, Ints
from pipeline.evaluate.matrices import matrix, row_numbers, rows_of, sort_rows

HOUR_US = 3_600_000_000
Numbers = NDArray[np.integer[Any]]
# Moments lie at even quantiles of the likes, so that busy and quiet hours count as they come.
TUNING = (0.30, 0.58)
REPORTED = (0.62, 0.97)


@dataclass(frozen=True, slots=True)
class Split:
    """One moment: ``cut`` likes of ``events`` came before it.

    ``viewers``: the users asked about, ascending; ``targets``: a row a viewer; ``liked``: a row a viewer of what
    they had liked, sorted; ``barred``: the same and their own items; ``activity``: likes each had; ``exists``: items
    that were there and may be listed; ``kept``: what a ranking keeps for its next trial on this split.
    """

    events: Events
    at_us: int
    cut: int
    viewers: Ints
    targets: Sparse
    liked: Sparse
    barred: Sparse
    activity: Ints
    exists: np.ndarray[tuple[int], np.dtype[np.bool_]]
    kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def since(self, hours: float) -> slice:
        """Return the likes of the last hours before the moment."""
        first = int(np.searchsorted(self.events.times_us[: self.cut], self.at_us - hours * HOUR_US, "right"))
        return slice(first, self.cut)

    def only(self, rows: Ints) -> "Split":
        """Return the split for some of its viewers, by row."""
        return Split(
            self.events, self.at_us, self.cut, self.viewers[rows], rows_of(self.targets, rows),
            rows_of(self.liked, rows), rows_of(self.barred, rows), self.activity[rows], self.exists,
        )  # fmt: skip


def moments(events: Events, count: int, window_hours: float, quantiles: tuple[float, float]) -> list[int]:
    """Return up to ``count`` moments whose windows do not overlap, all within the quantiles of the likes.

    Only likes of what may be listed count: a store knows posts for two weeks, but likes for three months.
    """
    times_us = events.times_us if events.allowed.all() else events.times_us[events.allowed[events.items]]
    if not len(times_us):
        return []
    low, high = (int(np.quantile(times_us, q)) for q in quantiles)
    window_us = int(window_hours * HOUR_US)
    places = np.linspace(quantiles[0], quantiles[1], 4 * count + 1)
    chosen: list[int] = []
    spacing_us = max(window_us, int((high - low - window_us) / max(count, 1) * 0.75))
    for at_us in np.quantile(times_us, places).astype(np.int64).tolist():
        if at_us + window_us > high or len(chosen) == count:
            break
        if not chosen or at_us >= chosen[-1] + spacing_us:
            chosen.append(at_us)
    return chosen


def split_at(
    events: Events, at_us: int, window_hours: float, sample: int | None, rng: np.random.Generator
) -> Split:
    """Return the history and the targets of a moment, for all viewers or a random ``sample`` of them."""
    cut, end = np.searchsorted(events.times_us, [at_us, at_us + int(window_hours * HOUR_US)], "right")
    known = np.zeros(events.item_count, np.bool_)
    known[events.items[:cut]] = True
    exists = (known | (events.created_us <= at_us)) & events.allowed
    history = np.bincount(events.users[:cut], minlength=events.user_count)
    users, items = events.users[cut:end], events.items[cut:end]
    counts = (history[users] > 0) & exists[items]
    users, items = users[counts], items[counts]
    viewers = np.unique(users).astype(np.int64)
    if sample is not None and len(viewers) > sample:
        viewers = np.sort(rng.choice(viewers, sample, replace=False))
    row_of = np.full(events.user_count, -1, np.int32)
    row_of[viewers] = np.arange(len(viewers))
    mine = row_of[users] >= 0
    targets = matrix(row_of[users[mine]], items[mine], None, len(viewers))
    rows = row_of[events.users[:cut]]
    mine = rows >= 0
    liked = sorted_rows(rows[mine], events.items[:cut][mine], len(viewers))
    barred = with_own(liked, events, viewers)
    return Split(events, at_us, int(cut), viewers, targets, liked, barred, history[viewers], exists)


def with_own(liked: Sparse, events: Events, viewers: Numbers) -> Sparse:
    """Return a matrix of what each viewer liked and made."""
    if events.owners is None:
        return liked
    row_of = np.full(events.user_count + 1, -1, np.int32)
    row_of[viewers] = np.arange(len(viewers))
    rows = row_of[events.owners]  # NONE is the last place, which is no viewer's
    mine = np.flatnonzero(rows >= 0)
    return sorted_rows(
        np.concatenate([row_numbers(liked), rows[mine]]),
        np.concatenate([liked.columns, mine.astype(np.int32)]),
        len(viewers),
    )


def sorted_rows(rows: Numbers, columns: Numbers, row_count: int) -> Sparse:
    """Return a matrix whose rows are sorted by column."""
    result = matrix(rows, columns, None, row_count)
    if result.columns is columns:
        result = Sparse(result.starts, result.columns.copy(), result.values)
    sort_rows(result.starts, result.columns)
    return result


def rolling(
    events: Events,
    windows: int,
    window_hours: float,
    samples: tuple[int | None, int | None],
    seed: int,
) -> tuple[list[Split], list[Split]]:
    """Return the splits for tuning and those to report, each at most ``windows``, with so many viewers at most."""
    tuning, reported = (
        list(one_by_one(events, windows, window_hours, quantiles, sample, seed))
        for quantiles, sample in zip((TUNING, REPORTED), samples, strict=True)
    )
    return tuning, reported


def one_by_one(
    events: Events,
    windows: int,
    window_hours: float,
    quantiles: tuple[float, float],
    sample: int | None,
    seed: int,
) -> Iterator[Split]:
    """Yield the splits of one part of the time, which are large where viewers are many; EvaluateError for none."""
    found = False
    for place, at_us in enumerate(moments(events, windows, window_hours, quantiles)):
        rng = np.random.default_rng([seed, int(quantiles == REPORTED), place])
        split = split_at(events, at_us, window_hours, sample, rng)
        if len(split.viewers):
            found = True
            yield split
    if not found:
        raise EvaluateError(
            f"{events.name}: no window of {window_hours:g} hours fits; try a smaller --window-hours"
        )
