"""Who does something when: the intentions of one day, before anybody chooses a post.

Owns: active days, sessions, the hours of the day. Leaves to others: which post each action falls on (``attention``),
oddities (``odd_likes``).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from pipeline.simulate.parameters import DAY_US
from pipeline.simulate.randomness import Bytes, Floats, Ints, seeded_generator
from pipeline.simulate.world.people import People

_STEPS = 1440
_SESSION_SECONDS = 45.0


class Action(IntEnum):
    """What a person intends to do."""

    LIKE = 0
    REPOST = 1
    FOLLOW = 2
    REPLY = 3
    POST = 4


@dataclass(frozen=True, slots=True)
class DayPlan:
    """Intentions in order of time, as columns; ``people`` are numbers, ``actions`` are Action values."""

    times_us: Ints
    people: Ints
    actions: Bytes


def plan_day(people: People, seed: int, day: int, start_us: int) -> DayPlan:
    """Return what everybody does in the 24 hours from ``start_us``, the world's ``day``-th."""
    rng = seeded_generator(seed, 10, day)
    active = np.flatnonzero(rng.random(people.count) < people.active_share)
    mood = rng.gamma(1.5, 1 / 1.5, size=len(active)) / people.active_share[active]
    rates = np.stack(
        [people.like_rate, people.repost_rate, people.follow_rate, people.reply_rate, people.post_rate],
        axis=1,
    )[active]
    counts = rng.poisson(rates * mood[:, None])
    totals = counts.sum(axis=1)
    sessions = 1 + rng.poisson(0.3 * totals)
    first = np.concatenate([[0], np.cumsum(sessions)[:-1]])
    starts = _session_starts(rng, np.repeat(people.peak_hour[active], sessions), start_us)
    owner = np.repeat(np.arange(len(active)), totals)
    actions = np.repeat(np.tile(np.arange(len(Action), dtype=np.uint8), len(active)), counts.ravel())
    session = first[owner] + (rng.random(len(owner)) * sessions[owner]).astype(np.int64)
    within = (rng.exponential(_SESSION_SECONDS, size=len(owner)) * 1e6).astype(np.int64)
    times = start_us + (starts[session] + within) % DAY_US
    order = np.argsort(times, kind="stable")
    return DayPlan(times[order], active[owner][order], actions[order])


def hour_weights(hours: Floats, peak: float) -> Floats:
    """Return how busy each hour (UTC) is for people whose day peaks at ``peak``; the mean over a day is 1."""
    angle = 2 * np.pi * (hours - peak) / 24
    result: Floats = 1 + 0.72 * np.cos(angle) + 0.12 * np.cos(2 * angle)
    return result


def _session_starts(rng: np.random.Generator, peaks: Floats, start_us: int) -> Ints:
    """Return the microsecond of the day (from ``start_us``) at which each session starts."""
    minutes = np.arange(_STEPS) * (24 * 60 / _STEPS)
    hours = (start_us % DAY_US / 3.6e9 + minutes / 60) % 24
    offsets = np.empty(len(peaks), np.int64)
    for peak in np.unique(peaks):
        mine = np.flatnonzero(peaks == peak)
        sums = np.cumsum(hour_weights(hours, float(peak)))
        step = np.searchsorted(sums, rng.random(len(mine)) * sums[-1], side="right")
        offsets[mine] = ((step + rng.random(len(mine))) * (DAY_US / _STEPS)).astype(np.int64)
    return np.minimum(offsets, DAY_US - 1)
