"""The world's events, slot after slot: plans and picks become posts, likes, reposts, follows and the rest.

Owns: the order in which a slot is made, and the events that wait for later slots (deletions). Leaves to others: the
choices (``attention``, ``day_plan``), oddities (``odd_likes``, ``malformed``), keeping slots (``timeline``).

Each slot has its own random generator. State passes from slot to slot only through the post table, the pairs, the
account changes and the pending rows. So a world is the same, however far it is run.
"""

import numpy as np

from pipeline.simulate.mischief.malformed import BAD_LIKES, BAD_POSTS
from pipeline.simulate.parameters import DAY_US, HOUR_US, MINUTE_US, SLOT_US, SLOTS_A_DAY, WorldParameters
from pipeline.simulate.randomness import Bytes, Flags, Ints, fraction, hashed, seeded_generator
from pipeline.simulate.world.account_changes import AccountChanges
from pipeline.simulate.world.attention import Attention, survival
from pipeline.simulate.world.day_plan import Action, DayPlan, plan_day
from pipeline.simulate.world.event_columns import Events, Kind, in_order, join, make_events, no_events
from pipeline.simulate.world.odd_likes import UNFOLLOW, UNREPOST, delays_us, make_odd, record_keys
from pipeline.simulate.world.pairs import PairSet
from pipeline.simulate.world.people import People
from pipeline.simulate.world.posts import (
    BURST_MINUTES,
    BURST_QUALITY,
    BURST_SHARE,
    NEVER_US,
    RISE_AFTER_HOURS,
    RISE_HOURS,
    RISE_LATE,
    Mark,
    PostTable,
    draw_marks,
    draw_quality,
    draw_scale_us,
)

# Nobody likes older posts; so many days of posts precede the first event.
REACH_DAYS = 5
DELETED_POSTS = 0.04
OWN_LIKES = 0.02  # posts whose author likes them at once
BLOCKS, PROFILES = 0.005, 0.008  # shares of all events


class SlotMaker:
    """Makes slot 0, 1, 2 … of a world, each once, in order."""

    def __init__(self, parameters: WorldParameters, people: People, table: PostTable) -> None:
        self._parameters, self._people, self._table = parameters, people, table
        self._seed = parameters.seed
        self.account_changes = AccountChanges(people, self._seed)
        self._pairs = PairSet()
        self._pending = no_events()
        self._plan: DayPlan
        self._next = 0
        self._last_us = parameters.start_us - 1
        # The first post that can be liked in each of the last slots.
        self._slot_first: list[int] = []
        # A post cannot have more likes than there are people who may see it.
        self._most = 0.35 * people.count
        self._write_prehistory()

    def first_within_reach(self) -> int:
        """Return the number of the oldest post that can still be liked."""
        return self._slot_first[0]

    def next_slot(self) -> Events:
        """Return the next slot's events in order of time; its times may run over its end by microseconds."""
        slot = self._next
        start = self._parameters.start_us + slot * SLOT_US
        if slot % SLOTS_A_DAY == 0:
            day = slot // SLOTS_A_DAY
            self._plan = plan_day(self._people, self._seed, day, start)
            self._pending = join([self._pending, self.account_changes.plan_day(day, start)])
        rng = seeded_generator(self._seed, 12, slot)
        low, high = np.searchsorted(self._plan.times_us, [start, start + SLOT_US])
        times, who = self._plan.times_us[low:high], self._plan.people[low:high]
        actions = self._plan.actions[low:high]
        here = ~self.account_changes.hidden(who, times)
        acted = self._act(rng, start, times[here], who[here], actions[here])
        made = join([self._pending, *acted, *self._sundries(rng, acted)])
        due = made.time_us < start + SLOT_US
        self._pending = made.take(~due)
        made = made.take(due)
        commits = made.kind < Kind.IDENTITY
        commits |= made.kind >= Kind.BAD_LIKE
        made = made.take(~(commits & self.account_changes.hidden(made.actor, made.time_us)))
        made = in_order(made, self._last_us)
        if len(made):
            self._last_us = int(made.time_us[-1])
        self._next += 1
        if len(self._slot_first) > REACH_DAYS * SLOTS_A_DAY:
            self._slot_first.pop(0)
            self._pairs.forget_before(self._slot_first[0])
        return made

    def _act(
        self,
        rng: np.random.Generator,
        start: int,
        times: Ints,
        who: Ints,
        actions: Bytes,
    ) -> list[Events]:
        """Return posts, likes, reposts and follows, and their deletions."""
        self._slot_first.append(self._table.end)
        posting = actions == Action.POST
        own = self._people.choose_communities(who[posting], rng.random(int(posting.sum())))
        written = self._write(rng, who[posting], times[posting], own, None)
        everyone = np.arange(self._people.count)
        attention = Attention(
            self._people,
            self._table,
            self._slot_first[0],
            start,
            self.account_changes.hidden(everyone, start),
        )
        who, times, actions = who[~posting], times[~posting], actions[~posting]
        picks = attention.pick(rng, who, times, actions == Action.LIKE, self._pairs)
        who, times, actions, posts = (
            who[picks.found],
            picks.times_us[picks.found],
            actions[picks.found],
            picks.posts[picks.found],
        )
        replying = actions == Action.REPLY
        communities = self._table.of("community", posts[replying])
        replies = self._write(rng, who[replying], times[replying], communities, posts[replying])
        keys = record_keys(self._people, who, times)

        def rows(action: Action, kind: Kind, targets: Ints) -> Events:
            mine = actions == action
            return make_events(times[mine], kind, who[mine], targets[mine], keys[mine])

        likes = join([rows(Action.LIKE, Kind.LIKE, posts), self._own_likes(rng, written)])
        reposts = rows(Action.REPOST, Kind.REPOST, posts)
        follows = rows(Action.FOLLOW, Kind.FOLLOW, self._table.of("author", posts).astype(np.int64))
        return [
            written,
            replies,
            make_odd(rng, self._people, likes, start),
            reposts,
            _deletions_of(rng, reposts, Kind.UNREPOST, UNREPOST),
            follows,
            _deletions_of(rng, follows, Kind.UNFOLLOW, UNFOLLOW),
            self._deletions(rng, join([written, replies])),
        ]

    def _write(
        self, rng: np.random.Generator, authors: Ints, times: Ints, communities: Ints, parents: Ints | None
    ) -> Events:
        """Add posts, replies when ``parents`` are given, to the table; return their events."""
        count, reply = len(authors), parents is not None
        keys = record_keys(self._people, authors, times)
        quality = draw_quality(rng, reply, count, self._most)
        bursting = (rng.random(count) < BURST_SHARE) & (quality > BURST_QUALITY) & (not reply)
        burst = times + delays_us(rng, count, 2.5 * 3600, 1.0)
        rising, rise = self._rising(times)
        rising &= (quality > BURST_QUALITY) & (not reply)
        later = bursting | rising
        marks = draw_marks(rng, communities == self._people.communities.adult, reply)
        if parents is None:  # any recent post may be quoted
            quoted = rng.integers(self._slot_first[0] if self._slot_first else 0, self._table.end + 1, count)
            above = np.where((marks & int(Mark.QUOTE)) != 0, np.minimum(quoted, self._table.end - 1), -1)
        else:
            above = parents
        numbers = self._table.append(
            count,
            author=authors,
            community=communities,
            created_us=times,
            rkey=keys,
            quality=quality,
            scale_us=draw_scale_us(rng, count),
            burst_us=np.where(later, np.where(rising, rise, burst), 0),
            burst_scale_us=np.where(rising, RISE_HOURS * HOUR_US, BURST_MINUTES * MINUTE_US),
            burst_left=later.astype(np.float64),
            late=np.where(rising, RISE_LATE, 0.0),
            marks=marks,
            deleted_us=np.full(count, NEVER_US),
            parent=above,
            root=np.full(count, -1),
        )
        if parents is not None:
            roots = self._table.of("root", parents)
            self._table.since("root", self._table.end - count)[:] = np.where(
                roots >= self._slot_first[0], roots, parents
            )
        return make_events(times, Kind.POST, authors, numbers, keys)

    def _rising(self, times: Ints) -> tuple[Flags, Ints]:
        """Tell which of the next posts rise, if they are good enough, and when; none from before the history.

        A function of the post's number, so that all that is drawn stays the same whatever their share.
        """
        numbers = self._table.end + np.arange(len(times), dtype=np.int64)
        drawn = fraction(hashed(self._seed, 44, numbers)) < self._parameters.risers
        rising: Flags = drawn & (times >= self._parameters.start_us)
        low, high = RISE_AFTER_HOURS
        hours = low + (high - low) * fraction(hashed(self._seed, 45, numbers))
        return rising, times + (hours * HOUR_US).astype(np.int64)

    def _deletions(self, rng: np.random.Generator, written: Events) -> Events:
        """Decide which of the new posts will be deleted; return the events."""
        chosen = written.take(rng.random(len(written)) < DELETED_POSTS)
        times = chosen.time_us + delays_us(rng, len(chosen), 2400.0, 2.0)
        self._table.since("deleted_us", self._table.base)[chosen.target - self._table.base] = times
        return make_events(times, Kind.UNPOST, chosen.actor, chosen.target, chosen.rkey)

    def _own_likes(self, rng: np.random.Generator, written: Events) -> Events:
        mine = written.take(rng.random(len(written)) < OWN_LIKES)
        self._pairs.add(mine.target, mine.actor.astype(np.int64))
        times = mine.time_us + delays_us(rng, len(mine), 8.0, 1.0)
        return make_events(
            times, Kind.LIKE, mine.actor, mine.target, record_keys(self._people, mine.actor, times)
        )

    def _sundries(self, rng: np.random.Generator, made: list[Events]) -> list[Events]:
        """Return blocks, profile updates and malformed records by people who act in this slot."""
        acting = join(made)
        acting = acting.take(acting.kind < Kind.IDENTITY)
        share = self._parameters.rubbish
        parts = []
        for kind, rate, choices in (
            (Kind.BLOCK, BLOCKS, self._people.count),
            (Kind.PROFILE, PROFILES, 1),
            (Kind.BAD_LIKE, share * 0.7, BAD_LIKES),
            (Kind.BAD_POST, share * 0.3, BAD_POSTS),
        ):
            rows = acting.take(rng.random(len(acting)) < rate)
            times = rows.time_us + rng.integers(1, 2_000_000, len(rows))
            targets = rng.integers(0, choices, len(rows))
            keys = record_keys(self._people, rows.actor, times)
            parts.append(make_events(times, kind, rows.actor, targets, keys))
        return parts

    def _write_prehistory(self) -> None:
        """Write the posts of the days before the first event; they are not in the stream."""
        for day in range(-REACH_DAYS, 0):
            start = self._parameters.start_us + day * DAY_US
            plan = plan_day(self._people, self._seed, REACH_DAYS * 1_000_000 - day, start)
            rng = seeded_generator(self._seed, 13, -day)
            chosen = np.flatnonzero(plan.actions == Action.POST)
            times, who = plan.times_us[chosen], plan.people[chosen]
            ends = np.searchsorted(times, start + SLOT_US * np.arange(SLOTS_A_DAY))
            self._slot_first.extend((self._table.end + ends).tolist())
            own = self._people.choose_communities(who, rng.random(len(who)))
            self._write(rng, who, times, own, None)
        ages = self._parameters.start_us - self._table.since("created_us", 0).astype(np.float64)
        self._table.since("left", 0)[:] = survival(ages, self._table.since("scale_us", 0).astype(np.float64))


def _deletions_of(rng: np.random.Generator, made: Events, kind: Kind, share: float) -> Events:
    rows = made.take(rng.random(len(made)) < share)
    times = rows.time_us + delays_us(rng, len(rows), 600.0, 2.5)
    return make_events(times, kind, rows.actor, rows.target, rows.rkey)
