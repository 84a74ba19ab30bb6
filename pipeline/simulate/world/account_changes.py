"""Accounts that are deleted, deactivated and active again; identity events.

Owns: which account is hidden when. Leaves to others: dropping what these people would have done (``slot_maker``).
At most a twentieth of the people ever delete their accounts, however long the world runs.
"""

import numpy as np

from pipeline.simulate.parameters import DAY_US
from pipeline.simulate.randomness import Column, Flags, Ints, seeded_generator
from pipeline.simulate.world.event_columns import Events, Kind, join, make_events
from pipeline.simulate.world.odd_likes import delays_us
from pipeline.simulate.world.people import People
from pipeline.simulate.world.posts import NEVER_US

# Per person and day.
DELETE_RATE = 0.0004
DEACTIVATE_RATE = 0.0008
IDENTITY_RATE = 0.05
DELETED_MOST = 0.05


class AccountChanges:
    """Which accounts are hidden when: that of person n from ``from_us[n]`` until before ``until_us[n]``."""

    def __init__(self, people: People, seed: int) -> None:
        self._people, self._seed = people, seed
        self.from_us: Ints = np.full(people.count, NEVER_US, np.int64)
        self.until_us: Ints = np.full(people.count, NEVER_US, np.int64)
        self.deleted: Flags = np.zeros(people.count, np.bool_)

    def hidden(self, people: Column, times_us: "Ints | int") -> Flags:
        """Tell whose accounts are deleted or deactivated at the times."""
        result: Flags = (self.from_us[people] <= times_us) & (times_us < self.until_us[people])
        return result

    def plan_day(self, day: int, start_us: int) -> Events:
        """Decide what happens to accounts in the 24 hours from ``start_us``; return the events, unsorted."""
        rng = seeded_generator(self._seed, 11, day)
        count = self._people.count
        present = ~self.deleted & ((self.from_us == NEVER_US) | (self.until_us <= start_us))
        free = rng.permutation(np.flatnonzero(present))
        allowed = max(0, int(DELETED_MOST * count) - int(self.deleted.sum()))
        deletions = min(max(1, int(rng.poisson(DELETE_RATE * count))), allowed)
        pauses = max(1, int(rng.poisson(DEACTIVATE_RATE * count)))
        leaving, pausing = free[:deletions], free[deletions : deletions + pauses]
        leave_us = start_us + rng.integers(0, DAY_US, len(leaving))
        pause_us = start_us + rng.integers(0, DAY_US, len(pausing))
        return_us = pause_us + delays_us(rng, len(pausing), 6 * 3600.0, 1.5)
        self.from_us[leaving], self.until_us[leaving], self.deleted[leaving] = leave_us, NEVER_US, True
        self.from_us[pausing], self.until_us[pausing] = pause_us, return_us
        renamed = rng.integers(0, count, int(rng.poisson(IDENTITY_RATE * count)))
        rename_us = start_us + rng.integers(0, DAY_US, len(renamed))
        here = ~self.hidden(renamed, rename_us)
        renamed, rename_us = renamed[here], rename_us[here]
        return join(
            [
                make_events(leave_us, Kind.DELETED, leaving),
                make_events(pause_us, Kind.DEACTIVATED, pausing),
                make_events(return_us, Kind.ACTIVE, pausing),
                make_events(rename_us, Kind.IDENTITY, renamed),
                make_events(rename_us + 4_000, Kind.ACTIVE, renamed),
            ]
        )
