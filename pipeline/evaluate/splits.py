"""Histories cut at rolling moments: what was known then, and what came next.

Owns: choosing the moments, ``Split``. Leaves to others: ranking (``registry``), measuring (``measures``).

At a moment T the history is every like before T. The viewers are the users who have a history and who like, in
(T, T + window], something that existed at T and that they had not liked: these are their targets. An item exists once
it was made, or once somebody liked it. A file does not say when items were made, so the first like of an item is
nobody's target. Users' own items are never listed.

Invariant: tuning moments and their windows end before the first moment that is reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse
from pipeline.evaluate.like_events import EvaluateError, Ints, LikeEvents
from pipeline.evaluate.matrices import Numbers, matrix, row_numbers, rows_of, sorted_rows
from pipeline.store.model import HOUR_US

# Moments lie at even quantiles of the likes, so that busy and quiet hours count by their likes.
TUNING = (0.30, 0.58)
REPORTED = (0.62, 0.97)
# Of the earlier and of the later file, where there are two: then nothing is kept back for the report.
OF_TWO = {TUNING: (TUNING[0], REPORTED[1]), REPORTED: (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Split:
    """One moment: ``cut`` likes of ``events`` came before it.

    ``viewers``: user numbers, ascending. ``targets``, ``liked``, ``barred``: matrices with a row per viewer; what the
    viewer had liked, sorted; and the same with the viewer's own items. ``activity``: likes of each viewer. ``exists``:
    items that were there and may be listed. ``cache``: what a ranking keeps for its next trial on this split.
    """

    events: LikeEvents
    at_us: int
    cut: int
    viewers: Ints
    targets: Sparse
    liked: Sparse
    barred: Sparse
    activity: Ints
    exists: NDArray[np.bool_]
    cache: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

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


def moments(events: LikeEvents, count: int, window_hours: float, quantiles: tuple[float, float]) -> list[int]:
    """Return up to ``count`` moments whose windows do not overlap, all within the quantiles of the likes.

    Only likes of items that may be listed count: a store knows posts for two weeks, but likes for three months.
    """
    times_us = events.times_us if events.allowed.all() else events.times_us[events.allowed[events.items]]
    if events.later_us is not None:
        times_us = times_us[(times_us >= events.later_us) == (quantiles == REPORTED)]
        quantiles = OF_TWO[quantiles]
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
    events: LikeEvents, at_us: int, window_hours: float, sample: int | None, rng: np.random.Generator
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
    row_of = rows_by_user(events, viewers)
    mine = row_of[users] >= 0
    targets = matrix(row_of[users[mine]], items[mine], None, len(viewers))
    liked = liked_before(events, int(cut), viewers)
    barred = with_own(liked, events, viewers)
    return Split(events, at_us, int(cut), viewers, targets, liked, barred, history[viewers], exists)


def rows_by_user(events: LikeEvents, viewers: Numbers) -> NDArray[np.int32]:
    """Return by user the row of each viewer, -1 for other users and, in the last place, for nobody."""
    row_of = np.full(events.user_count + 1, -1, np.int32)
    row_of[viewers] = np.arange(len(viewers))
    return row_of


def liked_before(events: LikeEvents, cut: int, viewers: Numbers) -> Sparse:
    """Return a matrix of what each viewer liked among the first ``cut`` likes, rows sorted."""
    rows = rows_by_user(events, viewers)[events.users[:cut]]
    mine = rows >= 0
    return sorted_rows(rows[mine], events.items[:cut][mine], len(viewers))


def with_own(liked: Sparse, events: LikeEvents, viewers: Numbers) -> Sparse:
    """Return a matrix of what each viewer liked and made."""
    if events.owners is None:
        return liked
    rows = rows_by_user(events, viewers)[events.owners]  # NONE is the last place
    mine = np.flatnonzero(rows >= 0)
    return sorted_rows(
        np.concatenate([row_numbers(liked), rows[mine]]),
        np.concatenate([liked.columns, mine.astype(np.int32)]),
        len(viewers),
    )


def rolling(
    events: LikeEvents,
    windows: int,
    window_hours: float,
    quantiles: tuple[float, float],
    sample: int | None,
    seed: int,
) -> Iterator[Split]:
    """Yield up to ``windows`` splits of one part of the time, one by one because they are large.

    Raises EvaluateError when there is none.
    """
    found = False
    for place, at_us in enumerate(moments(events, windows, window_hours, quantiles)):
        rng = np.random.default_rng([seed, int(quantiles == REPORTED), place])
        split = split_at(events, at_us, window_hours, sample, rng)
        if len(split.viewers):
            found = True
            yield split
    if not found:
        raise EvaluateError(_no_window(events, window_hours))


def _no_window(events: LikeEvents, window_hours: float) -> str:
    """Say why there is no moment: too short a time, or nobody who likes something again."""
    first, last = (datetime.fromtimestamp(int(us) / 1e6, UTC) for us in events.times_us[[0, -1]])
    hours = (last - first).total_seconds() / 3600
    return (
        f"set {events.name!r}: no window of {window_hours:g} hours fits: its likes span {hours:.3g} hours, "
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}, and somebody must like, within a window, what others "
        "had liked before it. Is the unit of the times right (--time-unit)? Else try another --window-hours"
    )
