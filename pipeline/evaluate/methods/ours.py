"""Our ranking over arrays: the definition of ``sql/batch`` and the batch's own kernel, at any moment of the past.

Owns: turning a history into the matrices A, B, N and F. Leaves to others: the products (``pipeline.batch.kernel``),
every parameter (``pipeline.ranking``). A test holds these lists equal to the batch's on a simulated world.

Not here, because a history of likes has none of it: answers ("show less"), seen posts, places between an author's
posts.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, Top, sparse, top_rows
from pipeline.batch.neighbours.product_of_graph import weight_left_out
from pipeline.evaluate.like_events import NONE, Ints, Small
from pipeline.evaluate.matrices import columns_of, matrix, row_numbers, rows_of, scores_of, stacked
from pipeline.evaluate.methods import crowd
from pipeline.evaluate.splits import Split, rows_by_user
from pipeline.ranking import Ranking, neighbours_key
from pipeline.store.model import HOUR_US

Floats = NDArray[np.float64]
# (viewer, neighbour) places held at once; bounds memory.
CELLS = 4_000_000
# (viewer, neighbour) places that a split caches for the next trial, which mostly changes later steps.
CACHED_CELLS = 10_000_000
# Likes handled at once; bounds memory.
ROWS = 4_000_000


def rank(
    split: Split,
    keep: int,
    ranking: Ranking,
    threads: int = 1,
    scores: NDArray[np.float32] | None = None,
) -> NDArray[np.int32]:
    """Return the best ``keep`` items for every viewer, NONE where there are fewer; ``scores`` receives their scores."""
    fresh = _Candidates(split, ranking)
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    for rows, weights, left_out in _weights(split, ranking, threads):
        top = fresh.top(rows, weights, left_out, keep, threads)
        lists[rows] = columns_of(top)
        if scores is not None:
            scores[rows] = top.scores
    return lists


def _weights(split: Split, ranking: Ranking, threads: int) -> Iterator[tuple[Ints, Sparse, Floats]]:
    """Yield blocks of viewers, their neighbours' weights, and the weight of the co-likers left out.

    A small split caches them for the next trial.
    """
    key = neighbours_key(ranking)
    if key in split.cache:
        yield from split.cache[key]
        return
    split.cache.clear()  # holds one result at a time
    blocks = []
    near = _Neighbours(split, ranking)
    small = len(split.viewers) * ranking.max_neighbours <= CACHED_CELLS
    step = max(1, min(CELLS // ranking.max_neighbours, ranking.block_viewers))
    for first in range(0, len(split.viewers), step):
        rows = np.arange(first, min(first + step, len(split.viewers)))
        top = near.top(rows, threads)
        block = rows, scores_of(top), near.left_out(rows, top)
        if small:
            blocks.append(block)
        yield block
    if small:
        split.cache[key] = blocks


class _Neighbours:
    """A · B of a split: seeds, who liked them, and how much each co-liker counts."""

    def __init__(self, split: Split, ranking: Ranking) -> None:
        self._split, self._ranking, self._viewers = split, ranking, split.viewers
        events = split.events
        window = split.since(ranking.seed_window_days * 24.0)
        users, items = events.users[window], events.items[window]
        degree = np.bincount(users, minlength=events.user_count).astype(np.float64)
        self._scale: Floats = np.maximum(degree + ranking.degree_smoothing, 1e-12) ** -ranking.degree_exponent
        self._scale *= crowd.newness(split, window, ranking.newcomer_hours)
        self._likers = likers = np.bincount(items, minlength=events.item_count)
        self._a = self._seeds(split, users, items, events.times_us[window], likers)
        # B: the likers of every seed post, or the fixed sample of them.
        wanted = np.zeros(events.item_count, np.bool_)
        wanted[self._a.columns] = True
        kept = np.zeros(len(items), np.bool_)
        for first in range(0, len(items), ROWS):
            part = slice(first, first + ROWS)
            liker, item = users[part], items[part]
            kept[part] = wanted[item] & self._is_sampled(liker, item)
        self._b = matrix(items[kept], users[kept], None, events.item_count)
        sizes = np.diff(self._b.starts)
        # By item: how many likers each sampled one stands for, and what all its likers would weigh together.
        self._each: Floats = np.divide(likers, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
        self._mass: Floats = self._each * np.bincount(
            row_numbers(self._b), weights=self._scale[self._b.columns], minlength=len(sizes)
        )

    def _seeds(self, split: Split, users: Small, items: Small, times_us: Ints, likers: Ints) -> Sparse:
        rows = rows_by_user(split.events, split.viewers)[users]
        mine = np.flatnonzero(rows >= 0).astype(np.int32)
        likes = matrix(rows[mine], mine, None, len(split.viewers))  # by viewer: places among the likes
        del rows, mine
        parts = []
        for block in _blocks(likes.starts):
            own = likes.columns[likes.starts[block[0]] : likes.starts[block[-1] + 1]]
            row = np.repeat(np.arange(len(block)), np.diff(likes.starts[block[0] : block[-1] + 2]))
            parts.append(self._seeds_of(row, items[own], times_us[own], len(block), likers))
        return stacked(parts)

    def _seeds_of(self, rows: Ints, items: Small, times_us: Ints, row_count: int, likers: Ints) -> Sparse:
        ranking = self._ranking
        order = np.lexsort((items, -times_us, rows))  # items are numbered newest first
        rows, items = rows[order], items[order]
        counts = np.bincount(rows, minlength=row_count)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        seeds = np.minimum(counts[rows], ranking.max_seeds)
        newest, oldest = ranking.seed_weight_newest, ranking.seed_weight_oldest
        weight = np.where(seeds == 1, oldest, newest + (oldest - newest) * place / np.maximum(seeds - 1, 1))
        kept = (place < seeds) & (likers[items] >= 2)
        rows, items, weight = rows[kept], items[kept], weight[kept]
        scale = likers[items].astype(np.float64) ** -ranking.likers_exponent
        value = np.floor(weight * scale * 2.0**36 + 0.5) / 2.0**36
        return matrix(rows, items, value, row_count)

    def top(self, rows: Ints, threads: int) -> Top:
        """Return the neighbours of some viewers, columns users."""
        viewers = self._viewers[rows]
        itself = sparse(np.arange(len(rows)), viewers, None, len(rows))
        return top_rows(
            rows_of(self._a, rows),
            self._b,
            scale=self._scale,
            power=self._ranking.overlap_exponent,
            excluded=itself,
            keep=self._ranking.max_neighbours,
            threads=threads,
        )

    def left_out(self, rows: Ints, top: Top) -> Floats:
        """Return the weight of each viewer's co-likers that are not neighbours."""
        a = rows_of(self._a, rows)
        viewers = np.repeat(self._viewers[rows], np.diff(a.starts))
        itself = self._is_sampled(viewers, a.columns) * self._scale[viewers]
        others = self._mass[a.columns] - self._each[a.columns] * itself
        everybody = np.bincount(row_numbers(a), weights=a.values * others, minlength=len(rows))
        return weight_left_out(everybody.astype(np.float64), top).astype(np.float64)

    def _is_sampled(self, users: Ints | Small, items: Small) -> NDArray[np.bool_]:
        """Tell for each like whether its liker is in the item's sample."""
        events, most = self._split.events, self._ranking.max_seed_likers
        number = _sample_number(events.user_keys[users], events.item_keys[items])
        result: NDArray[np.bool_] = (self._likers[items] <= most) | (
            number * self._likers[items] < most * 2**32
        )
        return result


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
        fresh = crowd.fresh_likes(split, allowed, ranking)
        self._crowds = crowd.Crowds(fresh, events, allowed, split.viewers, ranking)
        everyone = events.user_count
        self._f = matrix(
            np.concatenate([fresh.likers, everyone + self._crowds.rows]),
            np.concatenate([fresh.items, self._crowds.items]),
            np.concatenate([fresh.values, self._crowds.shares]),
            everyone + self._crowds.count,
        )

    def top(self, rows: Ints, near: Sparse, left_out: Floats, keep: int, threads: int) -> Top:
        """Return the best items of some viewers; ``near`` is their neighbours' weights."""
        events, ranking = self._split.events, self._ranking
        weighted = row_numbers(near)
        crowd_weight = ranking.crowd_weight * np.bincount(weighted, weights=near.values, minlength=len(rows))
        crowd_weight += ranking.left_out_weight * left_out
        some = np.flatnonzero(crowd_weight)
        n = matrix(
            np.concatenate([weighted, some]),
            np.concatenate([near.columns, events.user_count + self._crowds.row_of[rows[some]]]),
            np.concatenate([near.values, crowd_weight[some]]),
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


def _blocks(starts: Ints) -> Iterator[Ints]:
    """Yield row numbers in blocks of about ROWS entries."""
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + ROWS, "right")) - 1
        yield np.arange(first, last := min(max(last, first + 1), len(starts) - 1))
        first = last


def _sample_number(liker_keys: Ints, item_keys: Ints) -> Ints:
    """Return ``sql/batch/macros.sql``'s sample_number."""
    x = (liker_keys * 2654435761 + item_keys % 2147483647) % 2**32
    result: Ints = (x ^ x >> 15) * 1540483477 % 2**32
    return result
