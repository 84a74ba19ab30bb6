"""A world as readers see it: any time of its history, and the live events after it.

Owns: the slots made so far, what is forgotten, the law of likes as a function. Leaves to others: making slots
(``slot_maker``), lines (``render``), which likes exist (``ground_truth``), the clock (``listener``).

Several threads may use a world: one lock guards making, forgetting and rendering.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from pipeline.simulate.like_log import LikeLog
from pipeline.simulate.lines.render import Renderer
from pipeline.simulate.parameters import DAY_US, HOUR_US, SLOT_US, SLOTS_A_DAY, WorldParameters
from pipeline.simulate.randomness import Flags, Floats, Ints
from pipeline.simulate.world.attention import burst_survival, survival
from pipeline.simulate.world.event_columns import Events, Kind, join
from pipeline.simulate.world.people import People
from pipeline.simulate.world.posts import PostTable
from pipeline.simulate.world.slot_maker import REACH_DAYS, SlotMaker

__all__ = ["World", "WorldParameters"]

# Rendered chunks kept for readers at about the same place; each takes a few megabytes.
_CACHED_CHUNKS = 4


class World:
    """People and everything they do, made on demand.

    ``people``, ``posts``: see their classes. ``like_counts``: likes made so far by each person. A span as
    long as history plus ``keep_hours`` stays readable; ``log`` keeps the likes of the slots before it.
    """

    def __init__(self, parameters: WorldParameters) -> None:
        self.parameters = parameters
        self.people = People(parameters)
        self.posts = PostTable(parameters.seed)
        self.like_counts: Ints = np.zeros(self.people.count, np.int64)
        self.event_count = 0
        self.lock = threading.RLock()
        self.renderer = Renderer(parameters.seed, self.people, self.posts)
        self.log = LikeLog(self.posts)
        self._slot_maker = SlotMaker(parameters, self.people, self.posts)
        self._slots: list[Events] = []
        self._reach: list[int] = []  # the oldest post within reach in each slot, from slot 0 on
        self._forgotten = 0  # slots
        self._group = min(36, max(1, 100_000 // parameters.users))
        self._rendered: OrderedDict[tuple[int, int], tuple[Events, list[bytes]]] = OrderedDict()

    @property
    def made_until_us(self) -> int:
        """The time before which all events are made."""
        return self.parameters.start_us + (self._forgotten + len(self._slots)) * SLOT_US

    @property
    def kept_from_us(self) -> int:
        """The time from which events can still be read."""
        return self.parameters.start_us + self._forgotten * SLOT_US

    def make_until(self, until_us: int) -> None:
        """Make events at least up to a time."""
        while self.made_until_us < until_us:
            with self.lock:
                self._make_slot()

    def slot_of(self, time_us: int) -> int:
        """Return the number of the kept slot to read from for events at or after a time."""
        return max(self._forgotten, (time_us - self.parameters.start_us) // SLOT_US - 1)

    def slot_start_us(self, slot: int) -> int:
        """Return when a slot starts."""
        return self.parameters.start_us + slot * SLOT_US

    def chunk(self, slot: int) -> tuple[Events, list[bytes], int] | None:
        """Return the events and lines of some slots around a slot, and the number of the slot after them.

        Returns None when the slot is forgotten; makes slots if need be. Slots are rendered in groups, because small
        arrays cost as much as large ones; the newest are rendered one by one. So a chunk may begin before ``slot``,
        and readers select by time.
        """
        with self.lock:
            self.make_until(self.slot_start_us(slot + 1))
            if slot < self._forgotten:
                return None
            first = slot - slot % self._group
            after = first + self._group
            if first < self._forgotten or after > self._forgotten + len(self._slots):
                first, after = slot, slot + 1
            found = self._rendered.get((first, after))
            if found is None:
                events = join(self._slots[first - self._forgotten : after - self._forgotten])
                found = events, self.renderer.lines(events)
                self._rendered[first, after] = found
                while len(self._rendered) > _CACHED_CHUNKS:
                    self._rendered.popitem(last=False)
            return *found, after

    def count_until(self, until_us: int) -> int:
        """Return the number of events made with time_us <= until_us, where that is in a kept slot."""
        with self.lock:
            later = 0
            for events in reversed(self._slots):
                count = len(events) - int(np.searchsorted(events.time_us, until_us, side="right"))
                later += count
                if count < len(events):
                    break
            return self.event_count - later

    def kept_slots(self) -> list[Events]:
        """Return the slots that are kept, oldest first."""
        with self.lock:
            return list(self._slots)

    def lines(self, from_us: int | None = None, until_us: int | None = None) -> Iterator[bytes]:
        """Yield the Jetstream lines with from_us <= time_us < until_us: all of history by default."""
        least = self.parameters.start_us if from_us is None else from_us
        most = self.parameters.end_us if until_us is None else until_us
        slot = self.slot_of(least)
        while self.slot_start_us(slot) < most:
            found = self.chunk(slot)
            if found is None:
                slot += 1
                continue
            events, rendered, slot = found
            low, high = np.searchsorted(events.time_us, [least, most])
            if high > low:
                least = int(events.time_us[high - 1]) + 1  # a later chunk may begin earlier
            yield from rendered[low:high]

    def reachable_posts(self, at_us: int) -> Ints:
        """Return the numbers of the posts that could be liked at a time; events must be made up to it."""
        with self.lock:
            first = self._reach[(at_us - self.parameters.start_us) // SLOT_US]
            created = self.posts.since("created_us", first)
            return first + np.flatnonzero(created < at_us).astype(np.int64)

    def like_weight(self, person: int, posts: Ints, at_us: int) -> Floats:
        """Return weights proportional to the probability that a person's next like falls on each of the posts."""
        return self.like_weights(np.full(len(posts), person, np.int64), posts, at_us)

    def like_weights(self, people: Ints, posts: Ints, at_us: int) -> Floats:
        """Return the weight of each post for the person beside it.

        This is the law of ``attention`` over the ten minutes from ``at_us``, without regard to what the person has
        liked already. Weights compare posts; those of all posts for one person sum to somewhat less than 1.
        """
        with self.lock:
            everything = self.reachable_posts(at_us)
            drawing = self._drawing(everything, at_us)
            communities = self.posts.of("community", everything)
            mass = np.bincount(communities, weights=drawing, minlength=len(self.people.communities))
            mine = self.posts.of("community", posts)
            authors = self.posts.of("author", posts).astype(np.int64)
            share = self.people.taste[people, mine] / np.maximum(mass[mine], 1e-300)
            own = np.where(authors == people, 0.05, 1.0)
            affinity = self.people.affinity(people, authors)
            within: Flags = (posts >= everything[0]) & (self.posts.of("created_us", posts) < at_us)
            result: Floats = share * self._drawing(posts, at_us) * affinity * own * within
            return result

    def hidden(self, people: Ints, at_us: int) -> Flags:
        """Tell whose accounts are deleted or deactivated at a time."""
        return self._slot_maker.account_changes.hidden(people, at_us)

    def like_counts_of_posts(self, until_us: int) -> dict[tuple[int, int], int]:
        """Return how many likes exist of each post, by author's number and rkey, up to and including a time."""
        with self.lock:
            likes, _ = self.log.state(self.kept_slots(), until_us)
        pairs, counts = np.unique(np.stack([likes.author, likes.post_rkey]), axis=1, return_counts=True)
        return dict(zip(zip(*pairs.tolist(), strict=True), counts.tolist(), strict=True))

    def _drawing(self, posts: Ints, at_us: int) -> Floats:
        """Return quality x attention of posts over the slot's length from a time."""
        table = self.posts
        ages = at_us - table.of("created_us", posts).astype(np.float64)
        scale = table.of("scale_us", posts).astype(np.float64)
        share = (survival(ages, scale) - survival(ages + SLOT_US, scale)) * (1.0 - table.of("late", posts))
        bursting = np.flatnonzero(table.of("burst_us", posts))
        burst = table.of("burst_us", posts[bursting]).astype(np.float64)
        length = table.of("burst_scale_us", posts[bursting])
        share[bursting] += burst_survival(at_us, burst, length) - burst_survival(
            at_us + SLOT_US, burst, length
        )
        authors = table.of("author", posts).astype(np.int64)
        visible = (table.of("deleted_us", posts) > at_us) & ~self.hidden(authors, at_us)
        result: Floats = table.of("quality", posts) * share * visible
        return result

    def _make_slot(self) -> None:
        events = self._slot_maker.next_slot()
        self._slots.append(events)
        self._reach.append(self._slot_maker.first_within_reach())
        self.event_count += len(events)
        likers = events.actor[events.kind == Kind.LIKE]
        self.like_counts += np.bincount(likers, minlength=self.people.count)
        kept_us = int(self.parameters.days * DAY_US + self.parameters.keep_hours * HOUR_US) + SLOT_US
        while self.made_until_us - self.kept_from_us > kept_us:
            self.log.absorb(self._slots.pop(0))
            self._forgotten += 1
            # An event waits at most REACH_DAYS after the slot that chose its post.
            self.posts.forget_before(self._reach[max(0, self._forgotten - REACH_DAYS * SLOTS_A_DAY)])
