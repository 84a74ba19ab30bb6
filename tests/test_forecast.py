"""The forecast: the trees learn what they are shown, and a forecast is used only where it foresees something."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from batch_tools import candidates_by_sql, duck, neighbours_by_sql
from worlds import NOW_US, World

import sql
from pipeline.batch.forecast.boosted_trees import TREES, fit, predict
from pipeline.batch.forecast.history import learn_when_due, load_trees, remember
from pipeline.batch.forecast.learning import INPUTS, Moment, expected, learned
from pipeline.batch.inputs import sql_steps
from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US
from sql import places


def test_trees_learn_a_rule_and_the_same_rows_give_the_same_trees() -> None:
    """Wanted is 1 where input 2 is above 0.7 and input 0 is not above 0.2, else 0; the last input is noise."""
    rows = np.random.default_rng(1).random((5000, 4))
    wanted = ((rows[:, 2] > 0.7) & (rows[:, 0] <= 0.2)).astype(np.float64)
    trees = fit(rows, wanted)
    other = np.random.default_rng(2).random((1000, 4))
    truth = (other[:, 2] > 0.7) & (other[:, 0] <= 0.2)
    assert ((predict(trees, other) > 0.5) == truth).mean() > 0.98
    assert all(np.array_equal(one, two) for one, two in zip(trees, fit(rows, wanted), strict=True))


def test_trees_of_rows_that_are_all_alike_predict_their_mean() -> None:
    trees = fit(np.ones((50, 3)), np.full(50, 0.25))
    assert np.allclose(predict(trees, np.array([[1.0, 1.0, 1.0], [9.0, 0.0, 1.0]])), 0.25)


def past(rule: str, moments: int = 40, posts: int = 60) -> list[Moment]:
    """Return moments at which young posts are liked next ('young'), or those that the crowd likes ('crowd')."""
    rng, found = np.random.default_rng(3), []
    for _ in range(moments):
        rows = rng.random((posts, len(INPUTS)))
        young = 100.0 * (rows[:, INPUTS.index("age_hours")] < 0.1)
        crowd = rng.random(posts) ** 8
        found.append(Moment(rows, young + 1 if rule == "young" else 100 * crowd, crowd / crowd.sum()))
    return found


def test_what_is_learned_foresees_and_what_foresees_nothing_is_not_used() -> None:
    moments = past("young")
    trees = learned(moments)
    assert trees is not None
    rows = past("young", 41)[-1].rows
    share = expected(trees, rows)
    young = rows[:, INPUTS.index("age_hours")] < 0.1
    assert 0.5 < share.sum() < 1.5 and share[young].min() > 5 * share[~young].max()
    assert learned(moments[:10]) is None  # too few
    assert learned(past("crowd")) is None  # what is popular now says more


def stored(moments: list[Moment]) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB with ``forecast_moments`` of these moments, newest last, an hour apart."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(sql.load("batch/inputs"))
    connection.execute(
        "CREATE TABLE forecast_moments (moment_us BIGINT, author_id INTEGER, rkey BIGINT, now FLOAT, liked BIGINT, "
        "inputs FLOAT[])"
    )
    for number, moment in enumerate(moments):
        rows = [
            (NOW_US + number * HOUR_US, 1, place, float(now), int(liked), values.tolist())
            for place, (values, liked, now) in enumerate(zip(*moment, strict=True))
        ]
        connection.executemany("INSERT INTO forecast_moments VALUES (?, ?, ?, ?, ?, ?)", rows)
    return connection


def test_the_trees_say_the_same_in_sql(tmp_path: Path) -> None:
    places.lake(tmp_path).mkdir()
    moments = past("young", 30, 40)
    connection = stored(moments)
    assert learn_when_due(connection, tmp_path, "for-you", NOW_US) == TREES
    assert learn_when_due(connection, tmp_path, "for-you", NOW_US + HOUR_US) == 0  # not due
    assert load_trees(connection, tmp_path, "for-you") == TREES
    rows = past("young", 31, 40)[-1].rows
    names = ", ".join(f"{name} DOUBLE" for name in INPUTS)
    connection.execute(f"CREATE TABLE forecast_inputs (post_no INTEGER, {names})")
    marks = ", ".join("?" * (len(INPUTS) + 1))
    connection.executemany(
        f"INSERT INTO forecast_inputs VALUES ({marks})", [(no, *row.tolist()) for no, row in enumerate(rows)]
    )
    sql_steps.run_file(connection, "forecast")
    found = dict(connection.execute("SELECT post_no, expected FROM forecast").fetchall())
    trees = learned([Moment(*moment) for moment in reversed(moments)])
    assert trees is not None
    wanted = expected(trees, rows)
    assert [found.get(no, 0.0) for no in range(len(rows))] == pytest.approx(
        wanted.tolist(), rel=1e-4, abs=1e-9
    )


def test_trees_that_foresee_nothing_any_more_go_and_a_broken_file_is_no_obstacle(tmp_path: Path) -> None:
    places.lake(tmp_path).mkdir()
    learn_when_due(stored(past("young", 30, 40)), tmp_path, "for-you", NOW_US)
    path = places.forecast_trees(tmp_path, "for-you")
    good = path.read_bytes()
    later = NOW_US + 25 * HOUR_US
    assert learn_when_due(stored(past("crowd", 30, 40)), tmp_path, "for-you", later) == 0
    assert not path.exists()
    path.write_bytes(good[:100])
    connection = stored(past("young", 30, 40))
    assert load_trees(connection, tmp_path, "for-you") == 0
    assert learn_when_due(connection, tmp_path, "for-you", later) == TREES
    assert load_trees(connection, tmp_path, "for-you") == TREES


def remembered(world: World, folder: Path) -> list[tuple[int, int | None]]:
    """Return (hours before the world's end, likes after) of all moments of the post q1, after a run that remembers."""
    connection = duck(world, Ranking())
    neighbours_by_sql(connection, Ranking())
    candidates_by_sql(connection, Ranking())
    remember(connection, folder, "for-you")
    query = (
        f"SELECT ({world.now_us} - moment_us) / {HOUR_US}, liked FROM forecast_moments "
        f"WHERE rkey = {world.posts['q1'][1]} ORDER BY moment_us"
    )
    return [(round(hours), liked) for hours, liked in connection.execute(query).fetchall()]


def test_a_moment_is_kept_once_an_hour_and_learns_how_its_posts_were_liked(tmp_path: Path) -> None:
    def at(hours: float, likes: list[float]) -> World:
        """Return the world so many hours later, when q1 was liked at these hours."""
        world = World(NOW_US + int(hours * HOUR_US))
        world.post("q1", by="dan", hours_ago=hours + 1)
        for number, when in enumerate(likes):
            world.like(f"liker{number}", "q1", hours_ago=hours - when)
        return world.like("ann", "q1", hours_ago=hours + 0.5)

    assert remembered(at(0, []), tmp_path) == [(0, None)]
    assert remembered(at(0.5, []), tmp_path) == [(0, None)]  # none again so soon
    assert remembered(at(2, [1]), tmp_path) == [(2, None), (0, None)]
    assert remembered(at(7, [1, 4, 5.9, 6.5]), tmp_path) == [(7, 3), (5, None), (0, None)]
    assert remembered(at(9, [1, 4, 5.9, 6.5, 8.5]), tmp_path) == [(9, 3), (7, 3), (2, None), (0, None)]
    weeks = 15 * 24
    assert remembered(at(weeks, [weeks - 1]), tmp_path)[:1] == []  # older than what is learned from


def test_likes_of_now_stand_in_while_there_is_no_forecast() -> None:
    """Without trees the share is what it is now; with trees the one that is expected to be liked has it."""
    world = World().post("q1", by="dan", hours_ago=5).post("q2", by="eve", hours_ago=0.5)
    for number in range(6):
        world.like(f"liker{number}", "old", hours_ago=90).like(
            f"liker{number}", "q1" if number else "q2", hours_ago=0.1
        )
    shares = []
    for foresees in (False, True):
        if foresees:
            world.tree(["age_hours"], [1.03], [0.6, 0.1])
        connection = duck(world, Ranking())
        neighbours_by_sql(connection, Ranking())
        candidates_by_sql(connection, Ranking())
        query = "SELECT share, now FROM crowd_shares JOIN candidate_posts USING (post_no) ORDER BY rkey"
        shares.append(connection.execute(query).fetchall())
    before, after = shares
    assert [share for share, _ in before] == [float(np.float32(now)) for _, now in before]
    assert before[0][0] > before[1][0] > 0
    assert after[1][0] == pytest.approx(36 * after[0][0])
    assert sum(share for share, _ in after) == pytest.approx(sum(now for _, now in before))
