"""The [ranking] table: what is taken and what is refused, in one clear line."""

import re
from dataclasses import fields, replace

import pytest

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.errors import SettingError
from pipeline.ranking import Ranking, neighbours_key, ranking_from
from pipeline.store.model import POST_DAYS


def test_nothing_set_gives_the_defaults():
    assert ranking_from({}) == Ranking()


def test_values_are_taken():
    ranking = ranking_from({"max_seeds": 40, "half_life_hours": 3})
    assert (ranking.max_seeds, ranking.half_life_hours) == (40, 3.0)
    assert isinstance(ranking.half_life_hours, float)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"max_seed": 40}, "unknown parameter max_seed .did you mean max_seeds"),
        ({"max_seeds": 1.5}, "must be a whole number"),
        ({"max_seeds": True}, "must be a whole number"),
        ({"max_seeds": "40"}, "must be a whole number"),
        ({"half_life_hours": "6"}, "must be a number"),
        ({"half_life_hours": 0}, "must be from 0.01"),
        ({"half_life_hours": float("nan")}, "must be from"),
        ({"score_exponent": -1.0}, "must be from"),
        ({"candidate_window_hours": 340.0}, "must not exceed post_max_age_hours"),
    ],
)
def test_what_is_refused(table: dict[str, object], text: str):
    with pytest.raises(SettingError, match=text) as caught:
        ranking_from(table)
    assert "\n" not in str(caught.value)


def test_what_neighbours_depend_on_is_told_by_their_key():
    """Every parameter that the queries up to neighbours.sql read; else feeds that differ in it would share a file."""
    files = (*sql_steps.SEEDS, *sql_steps.NEIGHBOURS)
    text = "".join(sql.load(f"batch/{name}") for name in files)
    read = {item.name for item in fields(Ranking)} & set(re.findall(r"getvariable\('(\w+)'\)", text))
    assert {"max_seeds", "overlap_exponent"} <= read
    for name in read:
        other = replace(Ranking(), **{name: getattr(Ranking(), name) + 1})
        assert neighbours_key(other) != neighbours_key(Ranking()), name


def test_posts_are_stored_for_as_long_as_they_may_be_listed():
    assert Ranking().post_max_age_hours <= POST_DAYS * 24
