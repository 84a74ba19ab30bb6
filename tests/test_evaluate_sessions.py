"""VMIS-kNN: sessions and scores by hand, and the formula in plain Python on random likes."""

import math
from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from pipeline.evaluate.like_events import LikeEvents, numbered
from pipeline.evaluate.measures import DEPTH
from pipeline.evaluate.methods import session_neighbours
from pipeline.evaluate.methods.session_neighbours import session_neighbour_lists, sessions_before
from pipeline.evaluate.splits import Split, split_at
from pipeline.store.model import HOUR_US

RNG = np.random.default_rng(0)


def events(rows: list[tuple[int, int, float]]) -> LikeEvents:
    """Return events of (user, item, hours since the start)."""
    likes = pl.DataFrame(rows, ["user", "item", "hours"], orient="row")
    return numbered("hand", likes.with_columns(time_us=(pl.col("hours") * HOUR_US).cast(pl.Int64)))


def listed(split: Split, lists: np.ndarray) -> dict[int, list[int]]:
    keys = split.events
    return {
        int(keys.user_keys[viewer]): keys.item_keys[row[row >= 0]].tolist()
        for viewer, row in zip(split.viewers.tolist(), lists, strict=True)
    }


def test_a_pause_ends_a_session() -> None:
    known = events([(1, 5, 0), (1, 6, 0.4), (1, 7, 1.5), (2, 5, 0.2), (2, 8, 0.6), (1, 8, 9)])
    split = split_at(known, 8 * HOUR_US, 6.0, None, RNG)
    found = sessions_before(split, 0.5, 10)
    rows = [
        found.items.columns[a:b].tolist()
        for a, b in zip(found.items.starts, found.items.starts[1:], strict=False)
    ]
    # In the order in which they ended: user 1's first, user 2's, user 1's second.
    assert [known.item_keys[row].tolist() for row in rows] == [[5, 6], [5, 8], [7]]
    assert known.user_keys[found.users].tolist() == [1, 2, 1]
    assert len(sessions_before(split, 2.0, 10).users) == 2
    item = known.item_keys.tolist().index(5)
    for most, wanted in ((10, [1, 0]), (1, [1])):
        of_item = sessions_before(split, 0.5, most).of_item
        assert of_item.columns[of_item.starts[item] : of_item.starts[item + 1]].tolist() == wanted


def test_scores_by_hand() -> None:
    """Viewer 1 liked 10, then 11. Sessions: A {10, 20}, B {11, 21}, C {10, 11, 22}, D {30}, and the viewer's own.

    r: A 1/2, B 2/2, C 3/2. λ: A shares the second newest, .8; B and C the newest, .9. Five sessions in all, and each of
    20, 21, 22 is in one: 22 has 1.35 log 5, 21 .9 log 5, 20 .4 log 5.
    """
    likes = [
        (2, 10, 0),
        (2, 20, 0.1),
        (3, 11, 1),
        (3, 21, 1.1),
        (4, 10, 2),
        (4, 11, 2.1),
        (4, 22, 2.2),
        (5, 30, 3),
    ]
    split = split_at(events([*likes, (1, 10, 4), (1, 11, 4.2), (1, 30, 9)]), 8 * HOUR_US, 6.0, None, RNG)
    usual = {"recent_sessions": 500, "neighbours": 100, "latest": 9, "pause_hours": 0.5, "idf": 1.0}
    ranked = [({}, [22, 21, 20]), ({"neighbours": 2}, [22, 21]), ({"recent_sessions": 2}, [22, 21])]
    # Of the newest like alone, B and C are as near as one another: the tie goes to the newer item.
    ranked += [({"latest": 1}, [22, 21]), ({"recent_sessions": 1}, [22]), ({"idf": 0.0}, [22, 21, 20])]
    for changes, wanted in ranked:
        lists = session_neighbour_lists(split, DEPTH, **{**usual, **changes})
        assert listed(split, lists) == {1: wanted}, changes


def test_the_tenth_newest_like_counts_nothing() -> None:
    likes = [(2, 100, 0), (2, 50, 0.1), (3, 101, 0), (3, 51, 0.1), (4, 60, 3)]
    mine = [(1, 100 + place, 1 + place / 100) for place in range(10)]
    split = split_at(events([*likes, *mine, (1, 60, 9)]), 8 * HOUR_US, 6.0, None, RNG)
    lists = session_neighbour_lists(
        split, DEPTH, recent_sessions=500, neighbours=100, latest=20, pause_hours=0.5, idf=1.0
    )
    assert listed(split, lists) == {1: [51]}  # 101 is the ninth newest, 100 the tenth


@pytest.mark.parametrize("seed", range(4))
def test_the_formula_in_plain_python_gives_the_same_lists(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    rows = {
        (int(user), int(item)): float(hour)
        for user, item, hour in zip(
            rng.integers(0, 25, 600), rng.zipf(1.5, 600) % 40, rng.uniform(0, 60, 600), strict=True
        )
    }
    known = events([(user, item, hour) for (user, item), hour in rows.items()])
    split = split_at(known, 45 * HOUR_US, 12.0, None, RNG)
    parameters = {"recent_sessions": 12, "neighbours": 5, "latest": 4, "pause_hours": 3.0, "idf": 1.0}
    monkeypatch.setattr(session_neighbours, "CELLS", 20)  # several blocks of viewers
    lists = session_neighbour_lists(split, DEPTH, **parameters)
    assert len(split.viewers) > 8 and (lists >= 0).sum() > 50
    for row, viewer in enumerate(split.viewers.tolist()):
        assert lists[row][lists[row] >= 0].tolist() == plain_lists(split, viewer, **parameters)


def plain_lists(
    split: Split,
    viewer: int,
    recent_sessions: int,
    neighbours: int,
    latest: int,
    pause_hours: float,
    idf: float,
) -> list[int]:
    """The formula of the module's text, word by word."""
    by_user = defaultdict(list)
    known = split.events
    for user, item, time_us in zip(
        known.users[: split.cut], known.items[: split.cut], known.times_us, strict=False
    ):
        by_user[int(user)].append((int(time_us), int(item)))
    sessions: list[tuple[int, int, set[int]]] = []  # when it ended, whose it is, its items
    for user, likes in sorted(by_user.items()):
        last_us = -(10**18)
        for time_us, item in likes:
            if time_us - last_us > pause_hours * HOUR_US:
                sessions.append((time_us, user, set()))
            sessions[-1] = (time_us, user, sessions[-1][2] | {item})
            last_us = time_us
    newest = [item for _, item in by_user[viewer][::-1][:latest]]
    near = sorted(
        (s for s in sessions if s[1] != viewer and s[2] & set(newest)), reverse=True, key=lambda s: s[0]
    )
    near = near[:recent_sessions]
    alike = [
        sum((len(newest) - place) / len(newest) for place, i in enumerate(newest) if i in s[2]) for s in near
    ]
    nearest = sorted(range(len(near)), key=lambda n: -alike[n])[:neighbours]
    scores: dict[int, float] = defaultdict(float)
    for n in nearest:
        shared = next(place for place, item in enumerate(newest, 1) if item in near[n][2])
        for item in near[n][2]:
            found = sum(item in s[2] for s in sessions)
            scores[item] += max(0.0, 1 - 0.1 * shared) * alike[n] * math.log(len(sessions) / found) ** idf
    liked = {item for _, item in by_user[viewer]}
    best = sorted((item for item in scores if item not in liked), key=lambda i: (-round(scores[i], 6), i))
    return best[:DEPTH]
