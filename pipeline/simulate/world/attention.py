"""Which post an action falls on: the probability that a person likes a post, and draws from it.

Owns: the law of the world. A person picks a community by taste, then one of its posts with probability proportional
to quality x attention, then keeps it with probability proportional to the affinity to its author. Nobody likes a post
twice. Leaves to others: who acts when (``day_plan``).

Attention to a post of age t has the density of a Weibull law, so that likes come as N(t) ~ t^0.65 at first; a few
posts have a burst some hours later, and posts that rise have nearly all of their attention then. Within a slot, the
time of a young post's like is drawn from exactly that law; an older post is liked at the time of the session.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.simulate.parameters import SLOT_US
from pipeline.simulate.randomness import Flags, Floats, Ints
from pipeline.simulate.world.pairs import PairSet
from pipeline.simulate.world.people import People
from pipeline.simulate.world.posts import SHAPE, PostTable

# Nobody sees a post sooner.
SEEN_AFTER_US = 25_000_000
_ROUNDS = 12


def survival(ages_us: Floats, scale_us: Floats) -> Floats:
    """Return the share of attention still to come at an age."""
    ages = np.maximum(ages_us - SEEN_AFTER_US, 0.0)
    result: Floats = np.exp(-((ages / scale_us) ** SHAPE))
    return result


def burst_survival(now_us: float, burst_us: Floats, scale_us: Floats) -> Floats:
    """Return the share of a burst still to come."""
    result: Floats = np.exp(-np.maximum(now_us - burst_us, 0.0) / scale_us)
    return result


@dataclass(frozen=True, slots=True)
class Picks:
    """What was chosen; only rows marked in ``found`` have a post."""

    posts: Ints
    times_us: Ints
    found: Flags


class Attention:
    """The posts open to choice in one slot, weighted; draws many picks at once."""

    def __init__(self, people: People, table: PostTable, first: int, slot_us: int, hidden: Flags) -> None:
        self._people, self._table, self._first = people, table, first
        self._start, self._end = slot_us, slot_us + SLOT_US
        created = table.since("created_us", first)
        scale = table.since("scale_us", first)
        left, burst_left = table.since("left", first), table.since("burst_left", first)
        after = survival(self._end - created.astype(np.float64), scale.astype(np.float64))
        weights = table.since("quality", first) * (left - after) * (1.0 - table.since("late", first))
        left[:] = after
        bursting = np.flatnonzero(burst_left)
        if len(bursting):
            burst_after = burst_survival(
                float(self._end),
                table.since("burst_us", first)[bursting],
                table.since("burst_scale_us", first)[bursting],
            )
            share = np.maximum(burst_left[bursting] - burst_after, 0.0)
            weights[bursting] += table.since("quality", first)[bursting] * share
            burst_left[bursting] = np.where(burst_after < 1e-3, 0.0, burst_after)
        deleted = table.since("deleted_us", first) < slot_us
        weights[deleted | hidden[table.since("author", first)]] = 0.0
        community = table.since("community", first)
        self._order = np.argsort(community, kind="stable")
        self._sums = np.concatenate([[0.0], np.cumsum(weights[self._order])])
        edges = np.searchsorted(community[self._order], np.arange(len(people.communities) + 1))
        self._low = self._sums[edges[:-1]]
        self._mass = self._sums[edges[1:]] - self._low

    def pick(
        self, rng: np.random.Generator, people: Ints, times_us: Ints, once: Flags, pairs: PairSet
    ) -> Picks:
        """Choose a post for each person; rows marked in ``once`` never repeat a (post, person) pair."""
        count = len(people)
        posts, times = np.full(count, -1, np.int64), times_us.copy()
        waiting = np.arange(count) if self._sums[-1] > 0 else np.arange(0)
        for _ in range(_ROUNDS):
            if not len(waiting):
                break
            who = people[waiting]
            chosen, accepted = self._draw(rng, who)
            when = self._when(rng, chosen, times_us[waiting])
            accepted &= when < self._table.of("deleted_us", chosen)
            accepted &= when > self._table.of("created_us", chosen)
            single = np.flatnonzero(accepted & once[waiting])
            accepted[single[~pairs.add(chosen[single], who[single])]] = False
            rows = waiting[accepted]
            posts[rows], times[rows] = chosen[accepted], when[accepted]
            waiting = waiting[~accepted]
        return Picks(posts, times, posts >= 0)

    def _draw(self, rng: np.random.Generator, who: Ints) -> tuple[Ints, Flags]:
        community = self._people.choose_communities(who, rng.random(len(who)))
        mass = self._mass[community]
        place = (
            np.searchsorted(self._sums, self._low[community] + rng.random(len(who)) * mass, side="right") - 1
        )
        chosen = self._first + self._order[np.clip(place, 0, len(self._order) - 1)]
        authors = self._table.of("author", chosen).astype(np.int64)
        accepted = (mass > 0) & (rng.random(len(who)) < self._people.affinity(who, authors))
        # People like their own posts, but seldom.
        accepted &= (authors != who) | (rng.random(len(who)) < 0.05)
        return chosen.astype(np.int64), accepted

    def _when(self, rng: np.random.Generator, posts: Ints, times_us: Ints) -> Ints:
        created = self._table.of("created_us", posts)
        young = np.flatnonzero(created > self._start - SLOT_US)
        scale = self._table.of("scale_us", posts[young]).astype(np.float64)
        born = created[young].astype(np.float64)
        before = survival(self._start - born, scale)
        after = survival(self._end - born, scale)
        remaining = before + rng.random(len(young)) * (after - before)
        ages = SEEN_AFTER_US + scale * (-np.log(np.maximum(remaining, 1e-300))) ** (1 / SHAPE)
        times = times_us.copy()
        times[young] = np.clip(born + ages, self._start, self._end - 1).astype(np.int64)
        return times
