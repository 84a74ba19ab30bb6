"""The forecast: the trees learn what they are shown, and a forecast is used only where it foresees something."""

import numpy as np

from pipeline.batch.forecast.boosted_trees import fit, predict
from pipeline.batch.forecast.learning import INPUTS, Moment, expected, learned


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
