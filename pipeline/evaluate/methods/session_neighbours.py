"""Sessions alike: VMIS-kNN, the session nearest-neighbour method of Serenade, over a viewer's latest likes.

Owns: cutting likes into sessions, the sessions nearest to a viewer, their items. Leaves to others: filling short lists
(``registry``), choosing parameters (``tuning``), the product (``pipeline.batch.kernel``).

Source: B. Kersbergen, O. Sprangers, S. Schelter, "Serenade: Low-Latency Session-Based Recommendation in e-Commerce at
Scale", SIGMOD 2022, and its public implementation (bolcom/serenade). With s the viewer's latest items, and p(i) the
place of an item among them, 1 the oldest and |s| the newest:

    the ``recent_sessions`` sessions that ended last, of those that share an item with s
    r(n) = Σ over items i in both s and n  p(i) / |s|            the ``neighbours`` greatest, N; a tie: ended later
    score(i) = Σ over sessions n in N with i  λ(n) · r(n) · log(|H| / h(i))
    λ(n) = 1 - 0.1 · x, never below 0, where x counts from the newest item of s (1) to the newest that n shares

H is all sessions before the moment, h(i) those with item i. ``idf`` is an exponent on the logarithm, 0 for none.

Unlike a shop's visitors, likers have no sessions of their own making. So a session ends where its liker paused for
``pause_hours``. Where the paper has the session that is going on, the viewer's ``latest`` likes stand, whatever pauses
lie between them. The viewer's own sessions are no neighbours, because they hold nothing new.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, compiled, top_rows
from pipeline.evaluate.like_events import NONE, Ints, Small
from pipeline.evaluate.matrices import columns_of, matrix, rows_of
from pipeline.evaluate.splits import Split, rows_by_user
from pipeline.store.model import HOUR_US

# (viewer, neighbour) places held at once; bounds memory.
CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Sessions:
    """All sessions before a moment, numbered by when they ended, so a greater number is a later session.

    ``items``: the items of each session. ``of_item``: the latest sessions of each item, the latest first. ``counts``:
    by item, how many sessions have it. ``users``: whose each session is.
    """

    items: Sparse
    of_item: Sparse
    counts: Ints
    users: Small


def session_neighbour_lists(
    split: Split,
    keep: int,
    *,
    recent_sessions: int,
    neighbours: int,
    latest: int,
    pause_hours: float,
    idf: float,
) -> NDArray[np.int32]:
    """Return lists of what is in the sessions that are most like each viewer's latest likes."""
    # One more than wanted, because a session of an item may be the viewer's own.
    sessions = sessions_before(split, pause_hours, recent_sessions + 1)
    session_count, viewers = len(sessions.users), split.viewers
    rarity = np.log(np.maximum(session_count / np.maximum(sessions.counts, 1), 1.0)) ** idf
    scale = np.where(split.exists, rarity, 0.0)
    newest = _latest_likes(split, latest)
    lists = np.full((len(viewers), keep), NONE, np.int32)
    step = max(1, CELLS // neighbours)
    for first in range(0, len(viewers), step):
        rows = np.arange(first, min(first + step, len(viewers)))
        likes = rows_of(newest, rows)
        room = len(rows) * neighbours
        near = Sparse(np.zeros(len(rows) + 1, np.int64), np.empty(room, np.int32), np.empty(room))
        of_item = sessions.of_item
        size = _nearest(
            likes.starts, likes.columns, viewers[rows], of_item.starts, of_item.columns, sessions.users,
            recent_sessions, neighbours, near.starts, near.columns, near.values,
        )  # fmt: skip
        near = Sparse(near.starts, near.columns[:size], near.values[:size])
        barred = rows_of(split.barred, rows)
        lists[rows] = columns_of(
            top_rows(near, sessions.items, scale=scale, power=1.0, excluded=barred, keep=keep)
        )
    return lists


def sessions_before(split: Split, pause_hours: float, most: int) -> Sessions:
    """Return the sessions before a moment: a user's likes, cut where they paused; ``most`` of each item are indexed."""
    events = split.events
    users, items, times_us = (
        events.users[: split.cut],
        events.items[: split.cut],
        events.times_us[: split.cut],
    )
    order = matrix(users, np.arange(split.cut, dtype=np.int32), None, events.user_count).columns
    users, items, times_us = users[order], items[order], times_us[order]
    begins = np.ones(len(users), np.bool_)
    begins[1:] = (users[1:] != users[:-1]) | (np.diff(times_us) > pause_hours * HOUR_US)
    session = np.cumsum(begins) - 1  # in the order of users
    starts = np.flatnonzero(begins)
    ended_us = times_us[np.append(starts[1:], len(times_us)) - 1] if len(starts) else times_us
    by_end = np.argsort(ended_us, kind="stable")
    number = np.empty(len(starts), np.int64)
    number[by_end] = np.arange(len(starts))
    session = number[session]
    of_session = matrix(session, items, None, len(starts))
    counts = np.bincount(items, minlength=events.item_count)
    # Sessions come in the order of their numbers; taken backwards, each item has its latest first.
    backwards = np.repeat(np.arange(len(starts), dtype=np.int32), np.diff(of_session.starts))[::-1]
    of_item = matrix(of_session.columns[::-1], backwards, None, events.item_count)
    rank = np.arange(len(of_item.columns)) - np.repeat(of_item.starts[:-1], counts)
    kept = rank < most
    bounded = np.concatenate(([0], np.cumsum(np.minimum(counts, most))))
    of_item = Sparse(bounded, of_item.columns[kept], of_item.values)
    return Sessions(of_session, of_item, counts, users[starts][by_end])


def _latest_likes(split: Split, most: int) -> Sparse:
    """Return each viewer's latest likes, the newest first."""
    events = split.events
    rows = rows_by_user(events, split.viewers)[events.users[: split.cut]]
    mine = np.flatnonzero(rows >= 0)[::-1]
    likes = matrix(rows[mine], events.items[: split.cut][mine], None, len(split.viewers))
    sizes = np.diff(likes.starts)
    kept = np.arange(len(likes.columns)) - np.repeat(likes.starts[:-1], sizes) < most
    starts = np.concatenate(([0], np.cumsum(np.minimum(sizes, most))))
    return Sparse(starts, likes.columns[kept], likes.values)


@compiled
def _nearest(
    like_starts: Any, likes: Any, viewers: Any, starts: Any, sessions: Any, users: Any, recent: int, keep: int,
    near_starts: Any, near: Any, weights: Any,
) -> int:  # fmt: skip
    """Write each viewer's nearest sessions and their weights λ · r; return how many."""
    alike = np.zeros(len(users))
    newest_shared = np.zeros(len(users), np.int32)
    touched = np.empty(len(users), np.int32)
    size = 0
    for row in range(len(viewers)):
        first, last = like_starts[row], like_starts[row + 1]
        count = 0
        for x in range(first, last):  # the newest first
            place = x - first + 1
            worth = (last - x) / (last - first)
            for y in range(starts[likes[x]], starts[likes[x] + 1]):
                session = sessions[y]
                if users[session] == viewers[row]:
                    continue
                if newest_shared[session] == 0:
                    newest_shared[session] = place
                    touched[count] = session
                    count += 1
                alike[session] += worth
        touched[:count].sort()
        # Of the sessions that ended last, the latest first, so that a stable order leaves ties to them.
        latest = touched[max(0, count - recent) : count][::-1].copy()
        best = np.argsort(-alike[latest], kind="mergesort")[:keep]
        for z in best:
            session = latest[z]
            weight = (1.0 - 0.1 * newest_shared[session]) * alike[session]
            if newest_shared[session] < 10:
                near[size] = session
                weights[size] = weight
                size += 1
        for t in range(count):
            alike[touched[t]] = 0.0
            newest_shared[touched[t]] = 0
        near_starts[row + 1] = size
    return size
