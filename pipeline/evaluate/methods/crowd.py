"""What everybody likes lately, in all and in each language: ``sql/batch/popular.sql`` over arrays.

Owns: ``fresh_likes``; ``Crowds``, the popular items as rows of matrix F. Leaves to others: the definition
(``popular``, ``crowd_likers``, ``crowd_shares`` and ``crowds`` of ``sql/batch``); a test holds the two equal.

Where authors are not known nobody can be told to belong to a crowd, so every liker is a crowd of their own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.like_events import Events, Ints
from pipeline.evaluate.splits import Split
from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US


@dataclass(frozen=True, slots=True)
class Fresh:
    """Matrix F as entries: who liked which candidate lately, and what that like is still worth to a neighbour.

    ``lately`` is what it is worth in the crowd. ``newness`` is by liker how much one counts; in full without it.
    """

    likers: Ints
    items: Ints
    values: NDArray[np.float64]
    lately: NDArray[np.float64]
    newness: NDArray[np.float64] | None = None


def fresh_likes(split: Split, allowed: NDArray[np.bool_], ranking: Ranking) -> Fresh:
    """Return the likes of a moment that make candidates of the items allowed (``sql/batch/fresh_likes.sql``)."""
    events = split.events
    window = split.since(ranking.post_max_age_hours)
    counts = newness(
        events.users[window], events.times_us[window], events.user_count, split.at_us, ranking.newcomer_hours
    )
    window = split.since(ranking.candidate_window_hours)
    users, items = events.users[window].astype(np.int64), events.items[window].astype(np.int64)
    kept = allowed[items]
    hours = (split.at_us - events.times_us[window])[kept] / HOUR_US
    return Fresh(
        users[kept],
        items[kept],
        (1 + hours / ranking.like_decay_hours) ** -ranking.like_decay_exponent,
        (1 + hours / ranking.crowd_decay_hours) ** -ranking.crowd_decay_exponent,
        counts,
    )


def scores(
    fresh: Fresh, values: NDArray[np.float64], favourites: Ints, item_count: int, ranking: Ranking
) -> NDArray[np.float64]:
    """Return each item's popularity score with so much for every like, 0 for those nobody liked lately."""
    if not len(fresh.likers):
        return np.zeros(item_count)
    span = int(favourites.max()) + 1
    found, place = np.unique(fresh.items * span + favourites[fresh.likers], return_inverse=True)
    mass = np.bincount(place, weights=values * worth(fresh, ranking)[fresh.likers])
    result = np.bincount(found // span, weights=np.log1p(mass), minlength=item_count)
    return result.astype(np.float64)


def worth(fresh: Fresh, ranking: Ranking) -> NDArray[np.float64]:
    """Return by liker how much attention they have to give, 0 for those who liked nothing lately."""
    likes = np.bincount(fresh.likers)
    result = np.where(likes > 0, 1 / np.sqrt(likes + ranking.fallback_smoothing), 0.0)
    return result if fresh.newness is None else fresh.newness[: len(result)] ** 2 * result


def newness(
    users: NDArray[Any], times_us: Ints, user_count: int, at_us: int, hours: float
) -> NDArray[np.float64]:
    """Return by user how much one counts whose first like came when it did; ``users`` are in the order of time."""
    if hours <= 0:
        return np.ones(user_count)
    first = np.full(user_count, at_us, np.int64)
    first[users[::-1]] = times_us[::-1]
    return np.clip((at_us - first) / HOUR_US / hours, 0.0, 1.0)


def favourites(fresh: Fresh, authors: NDArray[np.int32] | None) -> Ints:
    """Return by liker the author they like most, the smaller number in a tie; without authors each has one alone."""
    liker_count = int(fresh.likers.max(initial=-1)) + 1
    if authors is None:
        return np.arange(liker_count)
    span = int(authors.max()) + 1
    found, sizes = np.unique(fresh.likers * span + authors[fresh.items], return_counts=True)
    liker, author = found // span, found % span
    order = np.lexsort((author, -sizes, liker))
    first = np.ones(len(order), np.bool_)
    first[1:] = liker[order][1:] != liker[order][:-1]
    crowd = np.zeros(liker_count, np.int64)
    crowd[liker[order][first]] = author[order][first]
    return crowd


def best_items(
    score: NDArray[np.float32], within: NDArray[np.bool_], authors: NDArray[np.int32] | None, ranking: Ranking
) -> NDArray[np.int32]:
    """Return the items of a fallback list, best first: the author's cap, then the list's length."""
    items = np.flatnonzero(within & (score > 0))
    order = items[np.lexsort((items, -score[items]))]
    if authors is not None:
        by_author = np.lexsort((np.arange(len(order)), authors[order]))
        ordered = authors[order][by_author]
        starts = (
            np.concatenate(([0], np.flatnonzero(np.diff(ordered)) + 1)) if len(ordered) else np.zeros(0, int)
        )
        place = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
        kept = np.empty(len(order), np.bool_)
        kept[by_author] = place < ranking.max_per_author
        order = order[kept]
    return order[: ranking.list_length].astype(np.int32)


class Crowds:
    """The crowds as rows of matrix F: row 0 is everybody, then each language with a list of its own.

    ``rows``, ``items``, ``shares``: the entries; ``row_of``: the row that serves each viewer.
    """

    def __init__(
        self,
        fresh: Fresh,
        events: Events,
        allowed: NDArray[np.bool_],
        viewers: Ints,
        ranking: Ranking,
    ) -> None:
        circles = favourites(fresh, events.authors)
        score = scores(fresh, fresh.values, circles, events.item_count, ranking).astype(np.float32)
        lists = [best_items(score, allowed, events.authors, ranking)]
        self.row_of: Ints = np.zeros(len(viewers), np.int64)
        liked = np.zeros(events.item_count, np.bool_)
        liked[fresh.items] = True
        for code in range(0 if events.speaks is None else events.speaks.shape[1]):
            spoken = events.speaks[:, code]  # type: ignore[index]
            if np.count_nonzero(spoken & allowed & liked) >= ranking.fallback_min_posts:
                self.row_of[_speakers(fresh, events, viewers) == code] = len(lists)
                lists.append(best_items(score, allowed & spoken, events.authors, ranking))
        self.count = len(lists)
        self.rows: Ints = np.repeat(np.arange(self.count), [len(items) for items in lists])
        self.items: Ints = np.concatenate(lists).astype(np.int64)
        share = scores(fresh, fresh.lately, circles, events.item_count, ranking)
        self.shares: NDArray[np.float64] = share[self.items] / (worth(fresh, ranking).sum() or 1.0)


def _speakers(fresh: Fresh, events: Events, viewers: Ints) -> Ints:
    """Return the commonest language of each viewer's fresh likes, the first by name in a tie, -1 for none."""
    row_of = np.full(events.user_count, -1)
    row_of[viewers] = np.arange(len(viewers))
    mine = row_of[fresh.likers] >= 0
    rows, items = row_of[fresh.likers[mine]], fresh.items[mine]
    assert events.speaks is not None
    counts = np.stack(
        [
            np.bincount(rows, weights=events.speaks[items, code], minlength=len(viewers))
            for code in range(events.speaks.shape[1])
        ],
        axis=1,
    )
    return np.where(counts.max(1) > 0, counts.argmax(1), -1)
