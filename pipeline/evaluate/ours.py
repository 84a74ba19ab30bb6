"""Our ranking over arrays: the definition of ``sql/batch`` and the batch's own kernel, at any moment of the past.

Owns: turning a history into the matrices A, B, N and F. Leaves to others: the products (``pipeline.batch.kernel``),
every parameter (``pipeline.ranking``). A test holds these lists and the batch's equal on a simulated world.

Not here, since a history of likes has none of it: answers ("show less"), seen posts, places between an author's posts.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, Top, top_rows
from pipeline.evaluate import crowd
from pipeline.evaluate.events import NONE, Ints
from pipeline.evaluate.matrices import matrix, rows_of
from pipeline.evaluate.splits import HOUR_US, Split
from pipeline.ranking import Ranking

Floats = NDArray[np.float64]
# (viewer, neighbour) places held at once: bounds memory for long rows of neighbours.
CELLS = 4_000_000


def rank(
    split: Split, keep: int, ranking: Ranking, threads: int = 1, scores: NDArray[np.float32] | None = None
) -> NDArray[np.int32]:
    """Return the best ``keep`` items for every viewer; places nobody's likes fill are NONE. ``scores`` takes theirs."""
    near = _Neighbours(split, ranking)
    fresh = _Candidates(split, ranking)
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    step = max(1, min(CELLS // ranking.max_neighbours, ranking.block_viewers))
    for first in range(0, len(split.viewers), step):
        rows = np.arange(first, min(first + step, len(split.viewers)))
        top = fresh.top(rows, near.top(rows, threads), keep, threads)
        lists[rows] = np.where(np.arange(keep) < top.filled[:, None], top.columns, NONE)
        if scores is not None:
            scores[rows] = top.scores
    return lists


class _Neighbours:
    """A · B of a split: seeds, who liked them, and how much each co-liker is held back."""

    def __init__(self, split: Split, ranking: Ranking) -> None:
        self._ranking, self._viewers = ranking, split.viewers
        events = split.events
        window = split.since(ranking.seed_window_days * 24.0)
        users, items = events.users[window].astype(np.int64), events.items[window].astype(np.int64)
        degree = np.bincount(users, minlength=events.user_count).astype(np.float64)
        self._scale: Floats = np.maximum(degree + ranking.degree_smoothing, 1e-12) ** -ranking.degree_exponent
        self._scale *= crowd.newness(
            users, events.times_us[window], events.user_count, split.at_us, ranking.newcomer_hours
        )
        likers = np.bincount(items, minlength=events.item_count)
        self._a = self._seeds(split, users, items, events.times_us[window], likers)
        # B: the likers of every seed post; of a popular one, the fixed sample.
        wanted = np.zeros(events.item_count, np.bool_)
        wanted[self._a.columns] = True
        kept = wanted[items]
        users, items = users[kept], items[kept]
        popular = likers[items] > ranking.max_seed_likers
        number = _sample_number(events.user_keys[users], events.item_keys[items])
        kept = ~popular | (number * likers[items] < ranking.max_seed_likers * 2**32)
        self._b = matrix(items[kept], users[kept], None, events.item_count)

    def _seeds(self, split: Split, users: Ints, items: Ints, times_us: Ints, likers: Ints) -> Sparse:
        ranking, events = self._ranking, split.events
        row_of = np.full(events.user_count, -1)
        row_of[split.viewers] = np.arange(len(split.viewers))
        mine = row_of[users] >= 0
        rows, items, times_us = row_of[users[mine]], items[mine], times_us[mine]
        order = np.lexsort((items, -times_us, rows))  # items are numbered newest first
        rows, items = rows[order], items[order]
        counts = np.bincount(rows, minlength=len(split.viewers))
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        seeds = np.minimum(counts[rows], ranking.max_seeds)
        newest, oldest = ranking.seed_weight_newest, ranking.seed_weight_oldest
        weight = np.where(seeds == 1, oldest, newest + (oldest - newest) * place / np.maximum(seeds - 1, 1))
        kept = (place < seeds) & (likers[items] >= 2)
        rows, items, weight = rows[kept], items[kept], weight[kept]
        scale = likers[items].astype(np.float64) ** -ranking.likers_exponent
        value = np.floor(weight * scale * 2.0**36 + 0.5) / 2.0**36
        return matrix(rows, items, value, len(split.viewers))

    def top(self, rows: Ints, threads: int) -> Top:
        """Return the neighbours of some viewers, columns users."""
        viewers = self._viewers[rows]
        itself = Sparse(np.arange(len(rows) + 1), viewers.astype(np.int32), np.empty(0))
        return top_rows(
            rows_of(self._a, rows),
            self._b,
            scale=self._scale,
            power=self._ranking.overlap_exponent,
            excluded=itself,
            keep=self._ranking.max_neighbours,
            threads=threads,
        )


class _Candidates:
    """N · F of a split: fresh likes, the crowd's row, and how age and popularity scale each item."""

    def __init__(self, split: Split, ranking: Ranking) -> None:
        self._ranking, self._split = ranking, split
        events = split.events
        window = split.since(ranking.post_max_age_hours)
        likers = np.bincount(events.items[window], minlength=events.item_count)
        ages = (split.at_us - events.created_us) / HOUR_US
        allowed = split.exists & (ages < ranking.post_max_age_hours)
        self._scale = (
            0.5 ** (np.maximum(ages, 0.0) / ranking.half_life_hours)
            * np.maximum(likers, 1).astype(np.float64) ** -ranking.popularity_exponent
        )
        newness = crowd.newness(
            events.users[window],
            events.times_us[window],
            events.user_count,
            split.at_us,
            ranking.newcomer_hours,
        )
        window = split.since(ranking.candidate_window_hours)
        users, items = events.users[window].astype(np.int64), events.items[window].astype(np.int64)
        hours = (split.at_us - events.times_us[window]) / HOUR_US
        kept = allowed[items]
        decay = (1 + hours[kept] / ranking.like_decay_hours) ** -ranking.like_decay_exponent
        fresh = crowd.Fresh(users[kept], items[kept], decay, newness)
        self._crowds = crowd.Crowds(fresh, events, allowed, split.viewers, ranking)
        everyone = events.user_count
        self._f = matrix(
            np.concatenate([fresh.likers, everyone + self._crowds.rows]),
            np.concatenate([fresh.items, self._crowds.items]),
            np.concatenate([fresh.values, self._crowds.shares]),
            everyone + self._crowds.count,
        )

    def top(self, rows: Ints, near: Top, keep: int, threads: int) -> Top:
        """Return the best items of some viewers, who have these neighbours."""
        events, ranking = self._split.events, self._ranking
        taken = np.arange(near.columns.shape[1]) < near.filled[:, None]
        weights = np.where(taken, near.scores.astype(np.float64), 0.0)
        some = np.flatnonzero(near.filled) if ranking.crowd_weight > 0 else np.zeros(0, np.int64)
        total = weights.sum(1)
        n = matrix(
            np.concatenate([np.repeat(np.arange(len(rows)), near.filled), some]),
            np.concatenate([near.columns[taken], events.user_count + self._crowds.row_of[rows[some]]]),
            np.concatenate([weights[taken], ranking.crowd_weight * total[some]]),
            len(rows),
        )
        return top_rows(
            n,
            self._f,
            scale=self._scale,
            power=ranking.score_exponent,
            excluded=rows_of(self._split.barred, rows),
            keep=keep,
            groups=events.authors,
            per_group=0 if events.authors is None else ranking.max_per_author,
            counted=events.user_count,
            threads=threads,
        )


def _sample_number(liker_keys: Ints, item_keys: Ints) -> Ints:
    """Return ``sql/batch/macros.sql``'s sample_number."""
    x = (liker_keys * 2654435761 + item_keys % 2147483647) % 2**32
    result: Ints = (x ^ x >> 15) * 1540483477 % 2**32
    return result
