"""Lists and their readers on a simulated network, step after step: what readers like is in the next step's history.

Owns: ``Weeks``, the loop; the listers, which make the lists of a step. Leaves to others: the people who read
(``weeks_readers``), what all of it says (``bench_weeks``), the lists themselves (the batch's kernel and rules).

The history is the world's own, without what the readers like in it from ``from_us`` on: from then on they read nothing
but the feed. The world goes on whatever the lists do: nobody else likes more of what readers like. So two runs on one
world have the same posts, and the same likes by everybody who is no reader.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import replace

import numpy as np
import polars as pl
from bench_optimum import events_of_likes, split_of
from weeks_readers import Readers

from pipeline.batch.kernel import Sparse
from pipeline.batch.list_sources import TRIAL
from pipeline.batch.lists.arrange import Draw, Popular, arrange, rules_of
from pipeline.evaluate.matrices import contains, row_numbers, rows_of, sorted_rows
from pipeline.evaluate.methods import forecast, ours
from pipeline.evaluate.methods.popularity import fill, popular_items
from pipeline.evaluate.splits import Split
from pipeline.ranking import Ranking
from pipeline.simulate.timeline import World
from pipeline.store.model import HOUR_US

LIST = 300
SECONDS_A_POST = 5
# (viewers, LIST) of items, -1 where empty, and of whether a place tries a post.
Lists = tuple[np.ndarray, np.ndarray]
Lister = Callable[["Weeks", Split, Sparse], Lists]


class Weeks:
    """The readers of one feed, and all that has happened to them.

    ``base``: the likes of everybody else, with every item that anybody may be shown. ``posts``: the post number of each
    item. ``readers.people`` must ascend.
    """

    def __init__(self, world: World, readers: Readers, likes: pl.DataFrame, from_us: int) -> None:
        mine = pl.col("user").is_in(readers.people.tolist()) & (pl.col("time_us") >= from_us)
        self.world, self.readers = world, readers
        self.base, self.posts = events_of_likes(world, likes.filter(~mine))
        self._deleted_us = world.posts.of("deleted_us", self.posts)
        self._authors = world.posts.of("author", self.posts).astype(np.int64)
        self._users = np.searchsorted(self.base.user_keys, readers.people)
        assert np.array_equal(self.base.user_keys[self._users], readers.people), (
            "a reader has no like of before"
        )
        self._made: list[np.ndarray] = []  # (3, likes): users, items, times
        self._seen = [np.zeros(0, np.int32) for _ in readers.people]
        self._shown: list[pl.DataFrame] = []
        self._learned: Split | None = None

    def copy(self) -> "Weeks":
        """Return the same moment, to go on with other lists; what was shown so far is not in it."""
        other = copy(self)
        other.readers, other._made, other._seen, other._shown = (
            self.readers.copy(),
            self._made[:],
            self._seen[:],
            [],
        )
        return other

    def learn(self, at_us: int) -> None:
        """Learn the forecast of all later steps from the likes before a time.

        The batch learns once a day; here the world stays as it is, and one time spares most of the work.
        """
        self._learned = self.split(at_us, np.arange(len(self.readers.people)))
        forecast.trees_before(self._learned, Ranking())

    def split(self, at_us: int, rows: np.ndarray) -> Split:
        """Return what is known at a time, with some readers as viewers."""
        base = self.base
        cut = int(np.searchsorted(base.times_us, at_us, "right"))
        made = np.concatenate([np.zeros((3, 0), np.int64), *self._made], axis=1)
        users, items, times_us = (
            np.concatenate([column[:cut], more])
            for column, more in zip((base.users, base.items, base.times_us), made, strict=True)
        )
        order = np.lexsort((items, users, times_us))
        events = replace(
            base,
            users=users[order].astype(np.int32),
            items=items[order].astype(np.int32),
            times_us=times_us[order],
        )
        exists = base.allowed & (self._deleted_us > at_us) & (base.created_us <= at_us)
        exists &= np.bincount(events.items, minlength=base.item_count) > 0
        exists &= ~self.world.hidden(self._authors, at_us)
        split = split_of(events, self._users[rows], at_us, exists)
        if self._learned is not None:
            forecast.keep_trees(self._learned, split)
        return split

    def weights(self, rows: np.ndarray, items: np.ndarray, at_us: int) -> np.ndarray:
        """Return by the world's law what each item is worth to the reader beside it."""
        return self.world.like_weights(self.readers.people[rows], self.posts[items], at_us)

    def seen(self, rows: np.ndarray) -> Sparse:
        """Return what some readers have seen."""
        found = [self._seen[row] for row in rows.tolist()]
        owners = np.repeat(np.arange(len(rows)), [len(items) for items in found])
        return sorted_rows(owners, np.concatenate([np.zeros(0, np.int32), *found]), len(rows))

    def step(self, at_us: int, hours: float, lister: Lister) -> None:
        """Let the readers who come in the hours from a time read the lists that are made of what is known then."""
        readers = self.readers
        rows = readers.coming(at_us, hours)
        if not len(rows):
            return
        split, seen = self.split(at_us, rows), self.seen(rows)
        lists, tries = lister(self, split, seen)
        depths = readers.depths(rows, at_us)
        owners, places = np.nonzero((lists >= 0) & (np.arange(lists.shape[1]) < depths[:, None]))
        items = lists[owners, places]
        again = contains(seen.starts, seen.columns, owners, items)
        chances = np.where(again, 0.0, readers.chances(self.weights(rows[owners], items, at_us)))
        liked = readers.like(rows[owners], self.posts[items], chances)
        times_us = at_us + (1 + places) * (SECONDS_A_POST * 1_000_000)
        self._made.append(np.stack([self._users[rows[owners]], items, times_us])[:, liked])
        readers.feel(rows, depths, np.bincount(owners, chances, len(rows)))
        for owner, row in enumerate(rows.tolist()):
            self._seen[row] = np.concatenate([self._seen[row], items[(owners == owner) & ~again]])
        likers = np.bincount(split.events.items, minlength=self.base.item_count)
        self._shown.append(
            pl.DataFrame(
                {
                    "at_us": np.full(len(items), at_us),
                    "reader": rows[owners],
                    "item": items,
                    "likers": likers[items],
                    "trial": tries[owners, places],
                    "again": again,
                    "chance": chances,
                    "liked": liked,
                }
            )
        )

    def shown(self) -> pl.DataFrame:
        """Return a row a post that a reader saw: at_us, reader, item, likers before, trial, again, chance, liked."""
        return pl.concat(self._shown)


def foryou(ranking: Ranking) -> Lister:
    """Return the lister that makes lists as the batch does: ranking, rules, seen posts last, trial places."""

    def lists(weeks: Weeks, split: Split, seen: Sparse) -> Lists:
        events, fresh = split.events, ours.Candidates(split, ranking)
        popular = [np.asarray(items, np.int32) for items in fresh.popular.lists]
        entries = np.concatenate(popular)
        starts = np.concatenate([[0], np.cumsum([len(items) for items in popular])])
        shelf = Popular(starts, entries, np.ones(len(entries), np.float32))
        items, tries = _empty(len(split.viewers))
        few = fresh.likers <= ranking.trial_max_likers
        for rows, near, left_out in ours.near_viewers(split, ranking):
            draw = Draw(events.user_keys[split.viewers[rows]], split.at_us // HOUR_US, events.item_keys, few)
            made = arrange(
                fresh.top(rows, near, left_out, LIST, 1), shelf, fresh.crowd_of[rows], rows_of(split.barred, rows),
                rows_of(seen, rows), events.authors, rules_of(ranking, len(rows)), draw=draw,
            )  # fmt: skip
            row, place = _places(made.starts)
            items[rows[row], place] = made.posts
            tries[rows[row], place] = made.sources == TRIAL
        for row in np.flatnonzero(
            items[:, 0] < 0
        ).tolist():  # nobody near them: what is popular, as it is served
            barred = split.barred.columns[split.barred.starts[row] : split.barred.starts[row + 1]]
            fallback = popular[fresh.crowd_of[row]]
            fallback = fallback[~np.isin(fallback, barred)]
            old = np.isin(fallback, seen.columns[seen.starts[row] : seen.starts[row + 1]])
            items[row, : len(fallback)] = fallback[np.argsort(old, kind="stable")]
        return items, tries

    return lists


def popular(weeks: Weeks, split: Split, seen: Sparse) -> Lists:
    """Make lists of what was liked most in the last hour, then in the last day, of what a reader has not seen."""
    unseen = replace(split, barred=_joined(split.barred, seen))
    items, tries = _empty(len(split.viewers))
    for hours in (1.0, 24.0):
        fill(items, popular_items(split, hours), unseen)
    return items, tries


def best(weeks: Weeks, split: Split, seen: Sparse) -> Lists:
    """Make the lists that are worth most now, of what somebody has liked and a reader has not seen."""
    return by_worth(weeks, split, seen, 1.0)


def worst(weeks: Weeks, split: Split, seen: Sparse) -> Lists:
    """Make the lists that are worth least."""
    return by_worth(weeks, split, seen, -1.0)


def by_worth(weeks: Weeks, split: Split, seen: Sparse, sign: float) -> Lists:
    """Make lists in the order of what posts are worth, by the world's own law; sign -1 turns it round."""
    barred, candidates = _joined(split.barred, seen), np.flatnonzero(split.exists)
    row_of = np.searchsorted(weeks.readers.people, split.events.user_keys[split.viewers])
    items, tries = _empty(len(split.viewers))
    for row, reader in enumerate(row_of.tolist()):
        mine = barred.columns[barred.starts[row] : barred.starts[row + 1]]
        left = candidates[~np.isin(candidates, mine)]
        worth = weeks.weights(np.full(len(left), reader), left, split.at_us)
        order = left[np.argsort(-sign * worth, kind="stable")[:LIST]]
        items[row, : len(order)] = order
    return items, tries


def _empty(count: int) -> Lists:
    return np.full((count, LIST), -1, np.int32), np.zeros((count, LIST), np.bool_)


def _joined(one: Sparse, other: Sparse) -> Sparse:
    rows = np.concatenate([row_numbers(one), row_numbers(other)])
    return sorted_rows(rows, np.concatenate([one.columns, other.columns]), len(one.starts) - 1)


def _places(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the list and the place of each entry of lists one after another."""
    sizes = np.diff(starts)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return rows, np.arange(starts[-1]) - starts[rows]
