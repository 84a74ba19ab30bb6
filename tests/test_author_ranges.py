"""The ranges of authors that a full pass reads: none larger than asked, over real files, and all give one graph."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from batch_tools import graph_of
from numpy.typing import NDArray

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.neighbours.author_ranges import LAST_ACTOR, Range, author_ranges
from pipeline.lake import day_files
from pipeline.ranking import Ranking
from pipeline.store.model import DAY_US

NOW_US = 1_790_000_000_000_000
ACTORS = 3_000
Authors = NDArray[np.int64]


def skewed(chance: np.random.Generator, count: int) -> Authors:
    """Few authors have most of the likes, and they are the ones with small numbers, as in a real store."""
    return np.minimum(chance.pareto(0.8, count) * 20, ACTORS - 1).astype(np.int64)


def tiny(chance: np.random.Generator, count: int) -> Authors:
    return chance.integers(0, ACTORS, min(count, 7))


def one_author(chance: np.random.Generator, count: int) -> Authors:
    """Nearly all likes are on one author's posts."""
    return np.where(chance.random(count) < 0.9, 1_234, chance.integers(0, ACTORS, count))


def last_author(chance: np.random.Generator, count: int) -> Authors:
    """Many likes on posts of the actor with the greatest number."""
    return np.where(chance.random(count) < 0.5, ACTORS - 1, chance.integers(0, ACTORS, count))


def records(chance: np.random.Generator, authors: Authors, day: int) -> pa.Table:
    """Return like records on these authors' posts, at times of a day before now."""
    count = len(authors)
    posts = (NOW_US - 30 * DAY_US) * 1024 + chance.integers(0, 3, count) * 1024
    seen = NOW_US - day * DAY_US - chance.integers(1, DAY_US, count)
    return pa.table(
        {
            "liker_id": pa.array(chance.integers(0, ACTORS, count), pa.int32()),
            "rkey": seen * 1024,
            "author_id": pa.array(authors, pa.int32()),
            "post_rkey": posts,
            "seen_us": seen,
        }
    )


class Likes:
    """Days of likes in Parquet as the lake has them, and newer ones in ``landed_likes``."""

    def __init__(self, folder: Path, days: list[Authors], landed: Authors) -> None:
        chance = np.random.default_rng(7)
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute(sql.load("batch/inputs"))
        self.connection.execute("DROP TABLE like_records")
        self.connection.execute(sql.load("lake/macros"))
        self.files = [folder / f"{day}.parquet" for day in range(len(days))]
        for number, (path, authors) in enumerate(zip(self.files, days, strict=True)):
            self.connection.register("day", records(chance, authors, number + 1))
            day_files.write_likes(path, self.connection.sql(sql.load("lake/stored_rows")).to_arrow_table())
            self.connection.unregister("day")
        self.connection.register("newer", records(chance, landed, 0))
        self.connection.execute("CREATE TABLE landed_likes AS FROM newer")
        self.connection.execute("SET VARIABLE lake_files = ?", [[str(path) for path in self.files]])
        self.connection.execute(sql.load("lake/like_records"))
        self.connection.execute(
            f"INSERT INTO actors SELECT range, 'did:' || range, 0, 0 FROM range({ACTORS})"
        )
        self.counts = np.bincount(np.concatenate([*days, landed]), minlength=ACTORS)

    def sizes(self, ranges: list[Range]) -> list[int]:
        """Return how many records each range has, once the ranges are known to cover every author once."""
        assert (ranges[0][0], ranges[-1][1]) == (0, LAST_ACTOR)
        for (_, last), (first, _) in pairwise(ranges):
            assert first == last + 1
        return [int(self.counts[first : last + 1].sum()) for first, last in ranges]

    def graph(self, folder: Path, ranges: list[Range]) -> dict[str, bytes]:
        """Return the files of the graph that a full pass makes, reading these ranges."""
        ranking = Ranking(block_viewers=1_000)
        sql_steps.prepare(self.connection, ranking, NOW_US)
        sql_steps.set_variables(self.connection, {"window_hours": 24.0 * 60})
        for name in sql_steps.BEFORE_GRAPH:
            sql_steps.run_file(self.connection, name)
        graph = graph_of(self.connection, ranking, folder, ranges)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return files | {"degrees": graph.degrees.tobytes(), "columns": graph.columns.tobytes()}


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of 4,000 likes, so that a day has several."""
    monkeypatch.setattr(day_files, "ROW_GROUP_ROWS", 4_000)


@pytest.mark.parametrize("kind", [skewed, tiny, one_author, last_author])
@pytest.mark.parametrize("rows", [1, 500, 6_000, 20_000])
def test_no_range_is_larger_than_asked_unless_it_is_one_author(
    tmp_path: Path, kind: Callable[[np.random.Generator, int], Authors], rows: int
) -> None:
    chance = np.random.default_rng(3)
    days = [kind(chance, count) for count in (30_000, 20_000, 11, 1)]
    likes = Likes(tmp_path, days, kind(chance, 5_000))
    ranges = author_ranges(likes.connection, likes.files, rows)
    sizes = likes.sizes(ranges)
    for (first, last), size in zip(ranges, sizes, strict=True):
        assert size <= rows or np.count_nonzero(likes.counts[first : last + 1]) == 1, (first, last, size)
    for size, following in pairwise(sizes):  # no more ranges than there must be
        assert size + following > rows


def test_likes_that_fit_are_one_range(tmp_path: Path) -> None:
    likes = Likes(tmp_path, [np.arange(900)], np.arange(100))
    assert author_ranges(likes.connection, likes.files, 1_000) == [(0, LAST_ACTOR)]
    assert len(author_ranges(likes.connection, likes.files, 999)) == 2


def test_no_files_and_no_likes_are_one_range(tmp_path: Path) -> None:
    likes = Likes(tmp_path, [np.arange(0), np.arange(1)], np.arange(0))
    assert author_ranges(likes.connection, [], 1) == [(0, LAST_ACTOR)]
    assert author_ranges(likes.connection, likes.files, 1) == [(0, LAST_ACTOR)]


def test_newer_likes_alone_are_cut_too(tmp_path: Path) -> None:
    """A fresh store has no closed day yet."""
    likes = Likes(tmp_path, [np.arange(1)], np.repeat(np.arange(1, 50), 100))
    sizes = likes.sizes(author_ranges(likes.connection, likes.files, 1_000))
    assert sizes == [901, 1_000, 1_000, 1_000, 1_000]


def test_every_cut_gives_the_same_graph(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    likes = Likes(tmp_path, [skewed(chance, 20_000), skewed(chance, 9)], skewed(chance, 3_000))
    whole = likes.graph(tmp_path / "whole", [(0, LAST_ACTOR)])
    assert len(whole["likers"]) > 4 * 10_000
    for rows in (400, 3_000):
        ranges = author_ranges(likes.connection, likes.files, rows)
        assert len(ranges) > 5
        assert likes.graph(tmp_path / f"{rows}", ranges) == whole
