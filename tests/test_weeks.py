"""The loop of lists and readers (tests/bench/weeks_loop.py): its rules hold on a small network."""

import numpy as np
import polars as pl
import pytest
from bench_optimum import END_US, likes_in
from weeks_loop import Weeks, best, foryou, worst
from weeks_readers import Readers, tries_for

from pipeline.batch.kernel import Sparse
from pipeline.ranking import Ranking
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.store.model import DAY_US, HOUR_US

STEP_HOURS = 6.0
START_US = END_US - 2 * DAY_US


@pytest.fixture(scope="module")
def start() -> Weeks:
    """Return thirty readers who come at nearly every step, after a day and a half without a feed."""
    world = World(WorldParameters(users=300, days=3.5, seed=2, end_us=END_US, communities=6))
    world.make_until(END_US + HOUR_US)
    likes = likes_in(world)
    before = likes.filter(pl.col("time_us") < START_US).group_by("user").len().filter(pl.col("len") >= 5)
    people = np.sort(before["user"].to_numpy())[:30].astype(np.int64)
    readers = Readers(people, world.people.peak_hour[people], 2, 1.0)
    readers.rate[:] = 100.0
    weeks = Weeks(world, readers, likes, START_US)
    everybody = np.arange(len(people))
    split = weeks.split(START_US, everybody)
    lists, _ = best(weeks, split, weeks.seen(everybody))
    rows, places = np.nonzero(lists[:, :20] >= 0)
    readers.tries = tries_for(weeks.weights(rows, lists[rows, places], START_US), 0.2)
    return weeks


def run(weeks: Weeks, lister: object, first: int, last: int) -> Weeks:
    for step in range(first, last):
        weeks.step(START_US + step * int(STEP_HOURS * HOUR_US), STEP_HOURS, lister)  # type: ignore[arg-type]
    return weeks


def test_people_stay_with_the_best_lists_and_leave_worthless_ones(start: Weeks) -> None:
    used = run(start.copy(), best, 0, 1)
    used.readers.settle()
    stayed, left = run(used.copy(), best, 1, 9), run(used.copy(), worst, 1, 9)
    assert stayed.readers.left.mean() < 0.15
    assert left.readers.left.mean() > 0.5
    assert stayed.readers.returning().mean() > 2 * left.readers.returning().mean()
    assert stayed.shown()["chance"].mean() > 3 * left.shown()["chance"].mean()
    assert len(left.readers.coming(END_US, STEP_HOURS)) < len(stayed.readers.coming(END_US, STEP_HOURS))


def test_who_has_left_never_comes_again(start: Weeks) -> None:
    readers = start.readers.copy()
    readers.left[:] = True
    assert not any(len(readers.coming(START_US + hour * HOUR_US, 24.0)) for hour in range(48))


def test_what_was_seen_goes_behind(start: Weeks) -> None:
    weeks = run(start.copy(), foryou(Ranking()), 0, 1)
    at_us = START_US + int(STEP_HOURS * HOUR_US)
    rows = np.arange(len(weeks.readers.people))
    split, seen = weeks.split(at_us, rows), weeks.seen(rows)
    nothing = Sparse(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int32), np.empty(0))
    with_seen, without = (foryou(Ranking())(weeks, split, known)[0][:, :5] for known in (seen, nothing))

    def again(lists: np.ndarray) -> float:
        old = [seen.columns[low:high] for low, high in zip(seen.starts[:-1], seen.starts[1:], strict=True)]
        return float(
            np.mean([np.isin(row[row >= 0], items).mean() for row, items in zip(lists, old, strict=True)])
        )

    assert again(without) > 0.2
    assert again(with_seen) < 0.02


def test_likes_are_read_by_the_next_step(start: Weeks) -> None:
    weeks = run(start.copy(), foryou(Ranking()), 0, 1)
    liked = weeks.shown().filter("liked")
    assert len(liked) > 20
    at_us = START_US + int(STEP_HOURS * HOUR_US)
    rows = np.arange(len(weeks.readers.people))
    split = weeks.split(at_us, rows)
    events, people = split.events, weeks.readers.people
    now = events.times_us > START_US
    made = {
        (int(user), int(item))
        for user, item in zip(events.user_keys[events.users[now]], events.items[now], strict=True)
    }
    pairs = {(int(people[row]), item) for row, item in liked.select("reader", "item").iter_rows()}
    # Readers' likes of these hours are those that they made of the feed, and no others.
    assert {pair for pair in made if pair[0] in set(people.tolist())} == pairs
    assert (np.diff(events.times_us) >= 0).all() and events.times_us.max() <= at_us
    # What a reader likes is listed for nobody who has liked it, and brings what they liked before others.
    lists, _ = foryou(Ranking())(weeks, split, weeks.seen(rows))
    for row, item in liked.select("reader", "item").iter_rows():
        assert item not in lists[row]


def test_runs_differ_by_their_lists_alone(start: Weeks) -> None:
    one, same, other = (run(start.copy(), lister, 0, 2) for lister in (best, best, worst))
    assert one.shown().equals(same.shown())
    first_us = pl.col("at_us") == START_US
    assert set(one.shown().filter(first_us)["reader"]) == set(other.shown().filter(first_us)["reader"])
    assert not one.shown().equals(other.shown())
    # Likes that the readers of two worlds did not make are the same.
    assert one.base is other.base


def test_trial_places_show_what_few_like(start: Weeks) -> None:
    tried = run(start.copy(), foryou(Ranking(trial_share=0.3)), 0, 2).shown().filter("trial")
    assert len(tried) > 5
    assert tried["likers"].max() <= Ranking().trial_max_likers
    assert not run(start.copy(), foryou(Ranking()), 0, 1).shown()["trial"].any()


def test_tries_give_the_wanted_share() -> None:
    weights = np.array([0.0, 1e-6, 1e-3, 0.1])
    assert (1 - np.exp(-tries_for(weights, 0.3) * weights)).mean() == pytest.approx(0.3)
    with pytest.raises(ValueError, match="worth nothing"):
        tries_for(np.array([0.0, 0.0, 1.0]), 0.5)
