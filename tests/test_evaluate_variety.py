"""How different lists are from one another: worlds whose answers are known."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pipeline.evaluate.like_events import numbered
from pipeline.evaluate.splits import Split, split_at
from pipeline.evaluate.variety import coverage, exposure, few_likers, gini, in_common
from pipeline.store.model import HOUR_US

RNG = np.random.default_rng(0)


def split_of(likers: list[int], authors: list[int]) -> Split:
    """Item n has so many likers before the moment, and as many again after it."""
    rows = [(user, item, 30 + item / 100) for item, count in enumerate(likers) for user in range(count)]
    rows += [(100 + user, item, 43) for item, count in enumerate(likers) for user in range(count)]
    likes = pl.DataFrame(rows, ["user", "item", "hours"], orient="row")
    known = numbered("hand", likes.with_columns(time_us=(pl.col("hours") * HOUR_US).cast(pl.Int64)))
    by_number = np.array([authors[key] for key in known.item_keys.tolist()], np.int32)
    return split_at(replace(known, authors=by_number), 42 * HOUR_US, 6.0, None, RNG)


def lists_of(split: Split, rows: list[list[int]]) -> np.ndarray:
    numbers = {key: number for number, key in enumerate(split.events.item_keys.tolist())}
    return np.array([[numbers.get(item, -1) for item in row] for row in rows], np.int32)


def test_few_likers_are_those_of_before_the_moment() -> None:
    """Items 0 to 3 have 1, 5, 6 and 9 likers; those after the moment do not count, nor does an empty place."""
    split = split_of([1, 5, 6, 9], [0, 1, 2, 3])
    lists = lists_of(split, [[0, 1, 2, 3], [2, 3, -1, -1], [1, 2, 3, -1]])
    assert few_likers(split, lists) == pytest.approx([2 / 4, 0, 1 / 3])


def test_what_strangers_have_in_common() -> None:
    lists = np.array([[1, 2, 3, 4]] * 5, np.int32)
    assert in_common(lists, np.random.default_rng(1)) == pytest.approx(np.ones(5))
    apart = np.arange(20, dtype=np.int32).reshape(5, 4)
    assert in_common(apart, np.random.default_rng(1)) == pytest.approx(np.zeros(5))
    # Two lists are each other's strangers, whatever their order; empty places are nothing in common.
    two = np.array([[1, 2, 3, -1], [3, 9, 1, -1]], np.int32)
    assert in_common(two, np.random.default_rng(1)) == pytest.approx([0.5, 0.5])
    assert np.isnan(in_common(lists[:1], np.random.default_rng(1))).all()
    # Half of the people have one list, the others another: a stranger is of the same half every other time.
    halves = np.repeat(np.array([[1, 2], [3, 4]], np.int32), 500, axis=0)
    assert 0.4 < in_common(halves, np.random.default_rng(1)).mean() < 0.6


def test_author_exposure_by_hand() -> None:
    assert gini(np.array([3.0, 3.0, 3.0])) == pytest.approx(0)
    assert gini(np.array([0.0, 0.0, 0.0, 8.0])) == pytest.approx(3 / 4)
    assert gini(np.array([1.0, 3.0])) == pytest.approx(1 / 4)  # mean difference 2 / (2 · 2 · 2) · 2 pairs / 4
    split = split_of([1, 1, 1, 1], [0, 0, 1, 2])
    all_alike = lists_of(split, [[0, 2, 3], [1, 2, 3]])
    assert exposure(split, all_alike, 1)[0] == pytest.approx(0)
    # Author 0 has all six places; two others had likes in the last day and have none.
    assert exposure(split, lists_of(split, [[0, 1], [0, 1], [0, 1]]), 1)[0] == pytest.approx(2 / 3)
    unknown = replace(split, events=replace(split.events, authors=None))
    assert np.isnan(exposure(unknown, all_alike, 1)).all()


def test_coverage_counts_what_could_be_listed() -> None:
    split = split_of([1, 1, 1, 1], [0, 0, 1, 2])
    found = coverage(split, lists_of(split, [[0, 1, -1], [1, 2, -1]]), 1)
    assert found[0] == pytest.approx(3 / 4) and found[1:].max() <= 3 / 4
