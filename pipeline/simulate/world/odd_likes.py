"""The oddities of likes: unlikes, re-likes, duplicates, foreign keys, subjects that are not posts.

Owns: how often each happens, and its events. Leaves to others: malformed records (``malformed``), accounts
(``account_changes``). The truth always stays decided: the last event of a (liker, rkey) says whether the like exists.
"""

import numpy as np

from pipeline.simulate.randomness import Column, Ints
from pipeline.simulate.world.event_columns import Events, Kind, Subject, Trait, join, make_events, odd_subject
from pipeline.simulate.world.people import People

# Shares of likes.
UNLIKE = 0.0125
RELIKE_SAME_COMMIT = 0.10  # of unlikes
RELIKE_LATER = 0.15  # of unlikes
DUPLICATE = 0.002
NOT_A_TID = 0.001
UNKNOWN_POST = 0.004
NOT_A_POST = 0.004
FORGED = 0.001
EARLY_UNLIKE = 0.0003
STRAY_UNLIKE = 0.0006
UPDATE = 0.0006
VIA = 0.18
# Shares of other records that are deleted.
UNREPOST = 0.037
UNFOLLOW = 0.13


def delays_us(rng: np.random.Generator, count: int, median_seconds: float, sigma: float) -> Ints:
    """Return log-normal delays."""
    result: Ints = (1e6 * np.exp(np.log(median_seconds) + sigma * rng.normal(size=count))).astype(np.int64)
    return np.minimum(result, 5 * 86_400_000_000 - 1000) + rng.integers(1, 1000, size=count)


def record_keys(people: People, actors: Column, times_us: Ints) -> Ints:
    """Return the TIDs that clients make for records that the stream shows at these times."""
    ordinal = np.arange(len(times_us), dtype=np.int64) & 1023
    result: Ints = (times_us - people.lag_us[actors]) << 10 | ordinal
    return result


def make_odd(rng: np.random.Generator, people: People, likes: Events, start_us: int) -> Events:
    """Return the likes of one slot with all their oddities; some rows come after the slot's end."""
    count = len(likes)
    if not count:
        return likes
    rkey, target, traits = likes.rkey.copy(), likes.target.copy(), likes.traits.copy()
    draw = rng.random(count)
    unknown = np.flatnonzero(draw < UNKNOWN_POST)
    target[unknown] = odd_subject(
        np.full(len(unknown), int(Subject.UNKNOWN_POST)), rng.integers(0, 2**40, len(unknown))
    )
    other = np.flatnonzero((draw >= UNKNOWN_POST) & (draw < UNKNOWN_POST + NOT_A_POST))
    # Few feeds and lists exist, so the same ones are liked again and again.
    target[other] = odd_subject(rng.integers(1, len(Subject), len(other)), rng.integers(0, 50, len(other)))
    foreign = rng.random(count) < NOT_A_TID
    rkey[foreign] = -rkey[foreign]
    traits[rng.random(count) < FORGED] |= int(Trait.FORGED)
    traits[rng.random(count) < VIA] |= int(Trait.VIA)
    likes = Events(likes.time_us, likes.kind, likes.actor, target, rkey, traits)
    # A like has one fate, so that no update follows an unlike.
    fate = rng.random(count)
    unliked, early = fate < UNLIKE, (fate >= UNLIKE) & (fate < UNLIKE + EARLY_UNLIKE)
    parts = [
        likes,
        _again(rng, people, likes),
        *_unlikes(rng, people, likes.take(unliked)),
        *_lone_unlikes(rng, people, likes, likes.take(early), start_us),
    ]
    updated = likes.take(fate > 1 - UPDATE)
    subjects = likes.target[rng.integers(0, count, len(updated))]
    good = subjects >= 0
    updated, subjects = updated.take(good), subjects[good]
    times = updated.time_us + delays_us(rng, len(updated), 120.0, 1.5)
    parts.append(make_events(times, Kind.LIKE_UPDATE, updated.actor, subjects, updated.rkey))
    return join(parts)


def _again(rng: np.random.Generator, people: People, likes: Events) -> Events:
    """Return second likes of the same posts under other keys."""
    rows = likes.take(rng.random(len(likes)) < DUPLICATE)
    times = rows.time_us + delays_us(rng, len(rows), 20.0, 2.0)
    keys = record_keys(people, rows.actor, times)
    return make_events(times, Kind.LIKE, rows.actor, rows.target, keys)


def _unlikes(rng: np.random.Generator, people: People, likes: Events) -> list[Events]:
    """Return the unlikes of some likes, and the likes that follow some of them."""
    times = likes.time_us + delays_us(rng, len(likes), 90.0, 2.2)
    fate = rng.random(len(likes))
    both = fate < RELIKE_SAME_COMMIT
    later = (fate >= RELIKE_SAME_COMMIT) & (fate < RELIKE_SAME_COMMIT + RELIKE_LATER)
    plain = likes.take(~both)
    parts = [make_events(times[~both], Kind.UNLIKE, plain.actor, 0, plain.rkey)]
    # A deletion and a creation in one commit: two adjacent rows that sorting keeps together.
    pair, when = likes.take(both), np.repeat(times[both], 2)
    actors = np.repeat(pair.actor, 2)
    keys = record_keys(people, actors, when)
    keys[0::2] = pair.rkey
    first = np.arange(len(when)) % 2 == 0
    parts.append(
        make_events(
            when,
            np.where(first, Kind.UNLIKE, Kind.LIKE).astype(np.uint8),
            actors,
            np.where(first, 0, np.repeat(pair.target, 2)),
            keys,
            np.where(first, 0, Trait.SAME_COMMIT).astype(np.uint8),
        )
    )
    back = likes.take(later)
    again = times[later] + delays_us(rng, len(back), 30.0, 2.0)
    parts.append(
        make_events(again, Kind.LIKE, back.actor, back.target, record_keys(people, back.actor, again))
    )
    return parts


def _lone_unlikes(
    rng: np.random.Generator, people: People, likes: Events, early: Events, start_us: int
) -> list[Events]:
    """Return unlikes that come before their like, and unlikes of likes that never come."""
    before = np.maximum(early.time_us - rng.integers(1, 5_000_000, len(early)), start_us)
    stray = likes.take(rng.random(len(likes)) < STRAY_UNLIKE)
    old = record_keys(people, stray.actor, stray.time_us - 30 * 86_400_000_000)
    return [
        make_events(before, Kind.UNLIKE, early.actor, 0, early.rkey),
        make_events(stray.time_us, Kind.UNLIKE, stray.actor, 0, old),
    ]
