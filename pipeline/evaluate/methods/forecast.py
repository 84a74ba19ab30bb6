"""What will be liked in the next hours: the batch's forecast over arrays, learned from the likes before a moment.

Owns: the inputs of a post at a moment (what its likers were worth lately, and its age), the moments of the past that it
is learned from, and the lists of the forecast alone. Leaves to others: what is learned from them
(``pipeline.batch.forecast``), which posts are popular (``crowd``).

Invariant: nothing after the moment of a split is read. So what was liked after a moment of the past ends there too.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.forecast.boosted_trees import Trees
from pipeline.batch.forecast.learning import (
    AHEAD_HOURS,
    KEPT_DAYS,
    LEAST_HISTORY_HOURS,
    WINDOWS,
    Moment,
    expected,
    learned,
)
from pipeline.batch.kernel import Sparse
from pipeline.evaluate.like_events import NONE, Ints, LikeEvents
from pipeline.evaluate.methods import crowd
from pipeline.evaluate.methods.popularity import fill
from pipeline.evaluate.splits import Split
from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US

Floats = NDArray[np.float64]


def forecast_lists(split: Split, keep: int, *, base: Ranking) -> NDArray[np.int32]:
    """Return for every viewer what is expected to be liked most, of what they have not liked."""
    popular = crowd.PopularItems(split, _allowed(split, base), base)
    trees = trees_before(split, base)
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    if trees is not None:
        share = expected(trees, inputs(popular, split, base))
        order = np.argsort(-share, kind="stable")
        fill(lists, popular.items[order[share[order] > 0]].astype(np.int32), split)
    return lists


def shares(popular: crowd.PopularItems, split: Split, ranking: Ranking) -> Floats:
    """Return each item's share of the crowd, as far as wanted by what is expected."""
    now = popular.shares()
    counts = ranking.forecast_weight and (ranking.crowd_weight or ranking.left_out_weight)
    trees = trees_before(split, ranking) if counts else None
    if trees is None:
        return now
    next_ = expected(trees, inputs(popular, split, ranking))
    if not next_.sum():
        return now
    result = (1 - ranking.forecast_weight) * now
    result[popular.items] += ranking.forecast_weight * next_ / next_.sum() * now[popular.items].sum()
    return result


def trees_before(split: Split, ranking: Ranking) -> Trees | None:
    """Return what can be learned before a split's moment, None when that is too little or foresees nothing.

    The split caches it, and the events cache the moments of the past. There the decays are the default ones, since they
    hardly change which posts are popular; so tuning them need not look at the past again.
    """
    seen = replace(
        Ranking(),
        candidate_window_hours=ranking.candidate_window_hours,
        post_max_age_hours=ranking.post_max_age_hours,
        newcomer_hours=ranking.newcomer_hours,
    )
    key = ("forecast", seen)
    if key not in split.cache:
        events, first_us = split.events, int(split.events.times_us[0])
        moments = []
        for hours in range(int(AHEAD_HOURS), KEPT_DAYS * 24):
            # On the hour, so that the next split finds it in the cache.
            at_us = (split.at_us // HOUR_US - hours) * HOUR_US
            if at_us < first_us + LEAST_HISTORY_HOURS * HOUR_US:
                break
            if (*key, at_us) not in events.cache:
                events.cache[(*key, at_us)] = _moment(events, at_us, seen)
            moments.append(events.cache[(*key, at_us)])
        split.cache[key] = learned(moments)
    found: Trees | None = split.cache[key]
    return found


def keep_trees(earlier: Split, later: Split) -> None:
    """Let a split use what an earlier one has learned, as the batch does for a day, instead of learning again."""
    later.cache.update({key: trees for key, trees in earlier.cache.items() if key[0] == "forecast"})


def _moment(events: LikeEvents, at_us: int, ranking: Ranking) -> Moment:
    """Return what was popular at a moment of the past, and what came next."""
    past = _earlier(events, at_us)
    popular = crowd.PopularItems(past, _allowed(past, ranking), ranking)
    until = int(np.searchsorted(events.times_us, at_us + int(AHEAD_HOURS * HOUR_US), "right"))
    liked = np.bincount(events.items[past.cut : until], minlength=events.item_count)[popular.items]
    rows = inputs(popular, past, ranking)
    return Moment(rows, liked.astype(np.float64), popular.shares()[popular.items])


def inputs(popular: crowd.PopularItems, split: Split, ranking: Ranking) -> Floats:
    """Return the inputs of the popular posts at a moment."""
    fresh, items, events = popular.fresh, popular.items, split.events
    place = np.full(events.item_count, NONE)
    place[items] = np.arange(len(items))
    mine = np.flatnonzero(place[fresh.items] != NONE)
    likers, hours, row = fresh.likers[mine], fresh.hours[mine], place[fresh.items[mine]]
    worth = crowd.attention(fresh, ranking)[likers]
    span = int(popular.groups.max(initial=0)) + 1
    found, pair = np.unique(row * span + popular.groups[likers], return_inverse=True)
    masses = []
    for window in WINDOWS.values():
        mass = np.bincount(pair, weights=worth * (hours < window), minlength=len(found))
        masses.append(np.bincount(found // span, weights=np.log1p(mass), minlength=len(items)))
    shares = [mass / (mass.sum() or 1.0) for mass in masses]
    idle = np.full(len(items), ranking.candidate_window_hours)
    np.minimum.at(idle, row, hours)
    ages = np.maximum(split.at_us - events.created_us[items], 0) / HOUR_US
    return np.column_stack([*masses, *shares, ages, idle])


def _earlier(events: LikeEvents, at_us: int) -> Split:
    """Return an earlier moment of the same history, without viewers."""
    cut = int(np.searchsorted(events.times_us, at_us, "right"))
    known = np.zeros(events.item_count, np.bool_)
    known[events.items[:cut]] = True
    nobody: Ints = np.zeros(0, np.int64)
    nothing = Sparse(np.zeros(1, np.int64), np.zeros(0, np.int32), np.empty(0))
    return Split(events, at_us, cut, nobody, nothing, nothing, nothing, nobody, known & events.allowed)


def _allowed(split: Split, ranking: Ranking) -> NDArray[np.bool_]:
    ages = (split.at_us - split.events.created_us) / HOUR_US
    return split.exists & (ages < ranking.post_max_age_hours)
