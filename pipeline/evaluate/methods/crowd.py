"""What everybody likes lately, in all languages and in each: ``sql/batch/popular.sql`` over arrays.

Owns: ``fresh_likes``; ``PopularItems``; ``Crowds``, these as rows of matrix F. Leaves to others: the definition
(``popular``, ``crowd_likers``, ``crowd_shares`` and ``crowds`` of ``sql/batch``); a test holds the two equal.

Where authors are unknown, likers cannot be grouped by the author they like most, so each liker is a group.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.batch.kernel import Kinds
from pipeline.batch.neighbours.product_block import newness_of
from pipeline.evaluate.like_events import Ints, LikeEvents, Small
from pipeline.evaluate.splits import Split
from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FreshLikes:
    """Matrix F as entries: who liked which candidate lately, and what that like still counts for a neighbour.

    ``hours``: the age of each like. ``crowd_values``: what it counts in the crowd. ``newness``: by user, how much a
    liker counts.
    """

    likers: Ints
    items: Ints
    hours: Floats
    values: Floats
    crowd_values: Floats
    newness: Floats


def fresh_likes(split: Split, allowed: NDArray[np.bool_], ranking: Ranking) -> FreshLikes:
    """Return the likes before a moment that make candidates of the allowed items (``sql/batch/fresh_likes.sql``)."""
    events = split.events
    window = split.since(ranking.candidate_window_hours)
    users, items = events.users[window].astype(np.int64), events.items[window].astype(np.int64)
    kept = allowed[items]
    hours = (split.at_us - events.times_us[window])[kept] / HOUR_US
    return FreshLikes(
        users[kept],
        items[kept],
        hours,
        (1 + hours / ranking.like_decay_hours) ** -ranking.like_decay_exponent,
        (1 + hours / ranking.crowd_decay_hours) ** -ranking.crowd_decay_exponent,
        newness_of(first_in_crowd(split, ranking), split.at_us, ranking),
    )


def first_likes(split: Split, window: slice) -> Ints:
    """Return by user when the first reported like of the window came, the moment itself for users without one."""
    events = split.events
    if events.reported_us is None:
        return _first_seen(split, window)
    firsts_us = np.full(events.user_count, split.at_us, np.int64)
    np.minimum.at(firsts_us, events.users[window], events.reported_us[window])
    return firsts_us


def first_in_crowd(split: Split, ranking: Ranking) -> Ints:
    """Return by user when they began to count in the crowd (``sql/batch/crowd_likers.sql``)."""
    reported_us = first_likes(split, split.since(ranking.post_max_age_hours))
    memory = split.since(min(ranking.crowd_memory_hours, ranking.post_max_age_hours))
    return np.maximum(reported_us, _first_seen(split, memory))


def _first_seen(split: Split, window: slice) -> Ints:
    events = split.events
    firsts_us = np.full(events.user_count, split.at_us, np.int64)
    # The latest first, so that a user's earliest one stays.
    firsts_us[events.users[window][::-1]] = events.times_us[window][::-1]
    return firsts_us


def attention(fresh: FreshLikes, ranking: Ranking) -> Floats:
    """Return by liker how much attention their likes share out, 0 for those who liked nothing lately."""
    likes = np.bincount(fresh.likers)
    each = np.where(likes > 0, 1 / np.sqrt(likes + ranking.fallback_smoothing), 0.0)
    return fresh.newness[: len(each)] ** 2 * each


def scores(fresh: FreshLikes, values: Floats, groups: Ints, item_count: int, ranking: Ranking) -> Floats:
    """Return each item's popularity score, where ``values`` is what each like counts; 0 without likes."""
    if not len(fresh.likers):
        return np.zeros(item_count)
    span = int(groups.max()) + 1
    found, place = np.unique(fresh.items * span + groups[fresh.likers], return_inverse=True)
    mass = np.bincount(place, weights=values * attention(fresh, ranking)[fresh.likers])
    return np.bincount(found // span, weights=np.log1p(mass), minlength=item_count).astype(np.float64)


def favourite_authors(fresh: FreshLikes, authors: Small | None) -> Ints:
    """Return by liker the author they like most, the smaller number in a tie; without authors each has one alone."""
    result = np.arange(int(fresh.likers.max(initial=-1)) + 1)
    if authors is not None:
        pairs = pl.DataFrame({"liker": fresh.likers, "author": authors[fresh.items]})
        pairs = pairs.group_by("liker", "author").len().sort("len", "author", descending=[True, False])
        pairs = pairs.unique("liker", keep="first", maintain_order=True)
        result[:] = 0
        result[pairs["liker"].to_numpy()] = pairs["author"].to_numpy()
    return result


def best_items(
    score: NDArray[np.float32], within: NDArray[np.bool_], authors: Small | None, ranking: Ranking
) -> Small:
    """Return the items of a fallback list, best first: the author's cap, then the list's length."""
    items = np.flatnonzero(within & (score > 0)).astype(np.int32)
    items = items[np.lexsort((items, -score[items]))]
    if authors is not None:
        place = pl.DataFrame({"author": authors[items]}).select(pl.int_range(pl.len()).over("author"))
        items = items[place.to_series().to_numpy() < ranking.fallback_max_per_author]
    return items[: ranking.list_length]


class PopularItems:
    """What is popular at a moment: the relation ``popular`` over arrays.

    ``lists``: the items of all languages together, then of each language that has a list; ``languages`` names these by
    their column in ``speaks``. ``items``: all that are in a list, ascending. ``groups``: by liker, the author they like
    most.
    """

    def __init__(self, split: Split, allowed: NDArray[np.bool_], ranking: Ranking) -> None:
        events = split.events
        self.fresh = fresh_likes(split, allowed, ranking)
        self.groups = favourite_authors(self.fresh, events.authors)
        self._ranking, self._item_count = ranking, events.item_count
        score = scores(self.fresh, self.fresh.values, self.groups, events.item_count, ranking).astype(
            np.float32
        )
        self.lists = [best_items(score, allowed, events.authors, ranking)]
        self.languages: list[int] = []
        liked = np.zeros(events.item_count, np.bool_)
        liked[self.fresh.items] = True
        for code in range(0 if events.speaks is None else events.speaks.shape[1]):
            spoken = events.speaks[:, code]  # type: ignore[index]
            if np.count_nonzero(spoken & allowed & liked) >= ranking.fallback_min_posts:
                found = best_items(score, allowed & spoken, events.authors, ranking)
                if len(found):  # else what is popular in all languages serves it (``crowds.sql``)
                    self.languages.append(code)
                    self.lists.append(found)
        self.items: Ints = np.unique(np.concatenate(self.lists)).astype(np.int64)

    def shares(self) -> Floats:
        """Return by item which share of the average liker's attention it has now."""
        fresh = self.fresh
        share = scores(fresh, fresh.crowd_values, self.groups, self._item_count, self._ranking)
        return share / (attention(fresh, self._ranking).sum() or 1.0)


class Crowds:
    """The crowds as rows of matrix F: row 0 is everybody, then each language with a list of its own.

    ``rows``, ``items``, ``shares``: the entries; ``row_of``: the row that serves each viewer.
    """

    def __init__(self, popular: PopularItems, shares: Floats, events: LikeEvents, viewers: Ints) -> None:
        self.row_of: Ints = np.zeros(len(viewers), np.int64)
        if popular.languages:
            languages = _languages(popular.fresh, events, viewers)
            for place, code in enumerate(popular.languages):
                self.row_of[languages == code] = place + 1
        self.count = len(popular.lists)
        self.rows: Ints = np.repeat(np.arange(self.count), [len(items) for items in popular.lists])
        self.items: Ints = np.concatenate(popular.lists).astype(np.int64)
        self.shares: Floats = shares[self.items]


def reading(popular: PopularItems, events: LikeEvents, viewers: Ints, ranking: Ranking) -> Kinds | None:
    """Return the items' languages as kinds, and how much posts in each count for each viewer.

    ``sql/batch/list_viewers.sql`` and ``readable`` in ``macros.sql`` say the same. None where no language matters.
    """
    if events.speaks is None or ranking.foreign_weight == 1.0:
        return None
    counts = _liked_languages(popular.fresh, events, viewers)
    reads = (counts > 0) & (counts >= ranking.reading_share * counts.sum(0))
    if events.requested is not None:
        reads |= events.requested.languages[viewers].T
    spoken, kinds = np.unique(events.speaks, axis=0, return_inverse=True)
    read, factors_of = np.unique(reads.T, axis=0, return_inverse=True)
    shared: NDArray[np.bool_] = read.astype(np.int64) @ spoken.T.astype(np.int64) > 0
    everything = shared | ~read.any(axis=1, keepdims=True) | ~spoken.any(axis=1)
    return Kinds(
        kinds.reshape(-1).astype(np.int32),
        np.where(everything, 1.0, ranking.foreign_weight),
        factors_of.reshape(-1).astype(np.int32),
    )


def _languages(fresh: FreshLikes, events: LikeEvents, viewers: Ints) -> Ints:
    """Return the first language that each viewer's app asks for, else the commonest of their fresh likes, else -1.

    In a tie the first by name.
    """
    counts = _liked_languages(fresh, events, viewers)
    commonest = np.where(counts.max(0) > 0, counts.argmax(0), -1)
    first = np.full(len(viewers), -1) if events.requested is None else events.requested.first[viewers]
    return np.where(first >= 0, first, commonest)


def _liked_languages(fresh: FreshLikes, events: LikeEvents, viewers: Ints) -> Floats:
    """Return (languages, viewers): how many fresh likes each viewer has in each language."""
    row_of = np.full(events.user_count, -1)
    row_of[viewers] = np.arange(len(viewers))
    mine = row_of[fresh.likers] >= 0
    rows, items = row_of[fresh.likers[mine]], fresh.items[mine]
    assert events.speaks is not None
    return np.stack(
        [np.bincount(rows, weights=spoken[items], minlength=len(viewers)) for spoken in events.speaks.T]
    )
