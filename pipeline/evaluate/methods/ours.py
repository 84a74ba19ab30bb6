"""Our ranking over arrays: the definition of ``sql/batch`` and the batch's own kernel, at any moment of the past.

Owns: turning a history into the matrices A, B, N and F. Leaves to others: the products (``pipeline.batch.kernel``),
every parameter (``pipeline.ranking``). A test holds these lists equal to the batch's on a simulated world.

Not here, because a history of likes has none of it: answers ("show less"), seen posts, places between an author's
posts.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.inputs.neighbour_files import LEAST_LEFT_OUT
from pipeline.batch.kernel import Kinds, Sparse, Top, compiled, sparse, top_rows
from pipeline.batch.neighbours.like_loops import SeedPosts, SeedRules, add_scales, is_looked_at, pick_seeds
from pipeline.batch.neighbours.product_block import co_liker_scale, newness_of, weight_left_out
from pipeline.evaluate.like_events import NONE, Ints
from pipeline.evaluate.matrices import columns_of, matrix, row_numbers, rows_of, scores_of
from pipeline.evaluate.methods import crowd, forecast
from pipeline.evaluate.splits import Split, rows_by_user
from pipeline.ranking import Ranking, neighbours_key
from pipeline.store.model import HOUR_US

Floats = NDArray[np.float64]
# (viewer, neighbour) places held at once; bounds memory.
CELLS = 4_000_000
# (viewer, neighbour) places that a split caches for the next trial, which mostly changes later steps.
CACHED_CELLS = 10_000_000


def rank(
    split: Split,
    keep: int,
    ranking: Ranking,
    threads: int = 1,
    scores: NDArray[np.float32] | None = None,
) -> NDArray[np.int32]:
    """Return the best ``keep`` items for every viewer, NONE where there are fewer; ``scores`` receives their scores."""
    fresh = Candidates(split, ranking)
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    for rows, weights, left_out in near_viewers(split, ranking, threads):
        top = fresh.top(rows, weights, left_out, keep, threads)
        lists[rows] = columns_of(top)
        if scores is not None:
            scores[rows] = top.scores
    return lists


def near_viewers(split: Split, ranking: Ranking, threads: int = 1) -> Iterator[tuple[Ints, Sparse, Floats]]:
    """Yield blocks of viewers, their neighbours' weights, and the weight of the co-likers left out.

    A small split caches them for the next trial.
    """
    key = neighbours_key(ranking)
    if key in split.cache:
        yield from split.cache[key]
        return
    for other in [other for other in split.cache if isinstance(other, str)]:
        del split.cache[other]  # holds the neighbours of one trial at a time
    blocks = []
    near = _Neighbours(split, ranking)
    small = len(split.viewers) * ranking.max_neighbours <= CACHED_CELLS
    step = max(1, min(CELLS // ranking.max_neighbours, ranking.block_viewers))
    for first in range(0, len(split.viewers), step):
        rows = np.arange(first, min(first + step, len(split.viewers)))
        block = rows, *near.block(rows, threads)
        if small:
            blocks.append(block)
        yield block
    if small:
        split.cache[key] = blocks


class _Neighbours:
    """A · B of a split, by the loops of the batch's full pass: seeds, who liked them, how much each co-liker counts."""

    def __init__(self, split: Split, ranking: Ranking) -> None:
        self._split, self._ranking, events = split, ranking, split.events
        window = split.since(ranking.seed_window_days * 24.0)
        users, self._items, self._times_us = (
            events.users[window],
            events.items[window],
            events.times_us[window],
        )
        newness = newness_of(crowd.first_likes(split, window), split.at_us, ranking)
        self._scale = co_liker_scale(np.bincount(users, minlength=events.user_count), newness, ranking)
        rows = rows_by_user(events, split.viewers)[users]
        mine = np.flatnonzero(rows >= 0).astype(np.int32)
        # By viewer: places in the window, oldest first; likes seen at once are in the order of items, newest first.
        self._likes = matrix(rows[mine], mine, None, len(split.viewers))
        kept = np.zeros(events.item_count, np.bool_)
        kept[self._items[mine]] = True
        del rows, mine
        counts = np.bincount(self._items, minlength=events.item_count).astype(np.int32)
        kept = kept[self._items]
        _look_at(
            users, self._items, events.user_keys, events.item_keys, counts, ranking.max_seed_likers, kept
        )
        # B: the likers of every post that a viewer liked, or the fixed sample of them.
        self._b = matrix(self._items[kept], users[kept], None, events.item_count)
        masses = np.empty(events.item_count)
        add_scales(self._b.starts, self._b.columns, self._scale, masses)
        self._posts = SeedPosts(events.item_keys, counts, self._b.starts, masses)
        self._rules = SeedRules(*(getattr(ranking, name) for name in SeedRules._fields))

    def block(self, rows: Ints, threads: int) -> tuple[Sparse, Floats]:
        """Return the weights of some viewers' neighbours, columns users, and of their other co-likers together."""
        viewers, likes = self._split.viewers[rows], rows_of(self._likes, rows)
        items, times_us = self._items[likes.columns], self._times_us[likes.columns]
        room = int(np.minimum(np.diff(likes.starts), self._ranking.max_seeds).sum())
        starts, everybody = np.zeros(len(rows) + 1, np.int64), np.zeros(len(rows))
        a = Sparse(starts, np.empty(room, np.int32), np.empty(room))
        no_answers = Sparse(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int32), np.empty(0))
        size = pick_seeds(
            likes.starts, items, times_us, no_answers, self._posts,
            self._split.events.user_keys[viewers], self._scale[viewers], self._rules, a, everybody,
        )  # fmt: skip
        top = top_rows(
            Sparse(starts, a.columns[:size], a.values[:size]),
            self._b,
            scale=self._scale,
            power=self._ranking.overlap_exponent,
            excluded=sparse(np.arange(len(rows)), viewers, None, len(rows)),
            keep=self._ranking.max_neighbours,
            threads=threads,
        )
        return scores_of(top), weight_left_out(everybody, top).astype(np.float64)


@compiled
def _look_at(
    users: Any, items: Any, user_keys: Any, item_keys: Any, counts: Any, most: int, kept: Any
) -> None:
    """Of the likes that are kept, keep those whose likers are looked at (``seed_likers.sql``)."""
    for i in range(len(users)):
        item = items[i]
        kept[i] = kept[i] and is_looked_at(user_keys[users[i]], item_keys[item], counts[item], most)


class Candidates:
    """N · F of a split: fresh likes, the crowd's row, and how age and popularity scale each item.

    ``popular``: what is popular in each language; ``crowd_of``: by viewer the place of their language in its lists.
    ``likers``: of each item, in the hours after which a post is no candidate.
    """

    def __init__(self, split: Split, ranking: Ranking) -> None:
        self._ranking, self._split = ranking, split
        events = split.events
        window = split.since(ranking.post_max_age_hours)
        self.likers = np.bincount(events.items[window], minlength=events.item_count)
        ages = (split.at_us - events.created_us) / HOUR_US
        allowed = split.exists & (ages < ranking.post_max_age_hours)
        self._scale = (
            0.5 ** (np.maximum(ages, 0.0) / ranking.half_life_hours)
            * np.maximum(self.likers, 1).astype(np.float64) ** -ranking.popularity_exponent
        )
        self.popular = popular = crowd.PopularItems(split, allowed, ranking)
        fresh = popular.fresh
        self._crowds = crowd.Crowds(popular, forecast.shares(popular, split, ranking), events, split.viewers)
        self.crowd_of = self._crowds.row_of
        self._languages = crowd.reading(popular, events, split.viewers, ranking)
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
        kept = np.bincount(weighted, weights=near.values, minlength=len(rows))
        rest = np.where(
            left_out > LEAST_LEFT_OUT * (left_out + kept), left_out, 0.0
        )  # as in crowd_weights.sql
        crowd_weight = ranking.crowd_weight * kept + ranking.left_out_weight * rest
        some = np.flatnonzero(crowd_weight)
        n = matrix(
            np.concatenate([weighted, some]),
            np.concatenate([near.columns, events.user_count + self.crowd_of[rows[some]]]),
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
            kinds=self._kinds(rows),
            threads=threads,
        )

    def _kinds(self, rows: Ints) -> Kinds | None:
        known = self._languages
        return None if known is None else known._replace(factors_of=known.factors_of[rows])
