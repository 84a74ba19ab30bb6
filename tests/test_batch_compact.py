"""Closed days move to the lake whole, wherever the job is stopped."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import NOW_US, World

import sql
from pipeline.batch.inputs.snapshot import open_snapshot
from pipeline.lake import day_files
from pipeline.lake.compact import compact
from pipeline.ranking import Ranking
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, NAMED_DAY, day_of, day_of_key, keys_of_day
from sql import places

RANKING = Ranking()
FIVE = "liker_id, rkey, author_id, post_rkey, seen_us"


def world() -> World:
    made = World()
    for days in range(5):
        for liker in ("ann", "bob", "cat"):
            made.like(liker, f"p{days}", hours_ago=24 * days + 1).like(liker, "all", hours_ago=24 * days + 2)
    made.like("dan", "p3", hours_ago=80, rkey=-(2**62) - 12345).like("dan", "p4", hours_ago=80, rkey=-1)
    return made.like("eve", "p3", hours_ago=81).unlike("eve", "p3", hours_ago=70)


def seen_by_readers(data_dir: Path) -> list[tuple[int, ...]]:
    """Return every live like a batch would count, from landing and lake together."""
    with open_snapshot(data_dir, RANKING, 1, window_hours=90 * 24.0) as snapshot:
        return snapshot.connection.execute(f"SELECT {FIVE} FROM like_records ORDER BY ALL").fetchall()


def test_closed_days_move_and_nothing_changes_for_readers(tmp_path: Path):
    made = world()
    made.write(tmp_path)
    before = seen_by_readers(tmp_path)
    steps = list(compact(tmp_path, RANKING, 1))
    today = day_of(NOW_US)
    assert sorted(places.closed_days(tmp_path)) == list(range(today - 4, today))
    assert seen_by_readers(tmp_path) == before
    assert (2, "write 2026-05-24") not in steps
    assert sum(rows for step, rows in steps if step.startswith("commit")) == sum(
        1 for row in before if NAMED_DAY < day_of_key(row[1]) < today
    ), "likes under keys that name no day have changes alone"
    assert list(compact(tmp_path, RANKING, 1)) == [("clear", 0)]


def test_a_day_closes_an_hour_after_its_end(tmp_path: Path):
    """Half an hour past midnight yesterday is still open."""
    midnight = NOW_US // DAY_US * DAY_US
    World(midnight + DAY_US // 48).like("ann", "p1", hours_ago=1).write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    assert places.closed_days(tmp_path) == set()
    with sqlite3.connect(tmp_path / "landing.sqlite") as landing:
        landing.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", (midnight + DAY_US // 24,))
    landing.close()
    list(compact(tmp_path, RANKING, 1))
    assert places.closed_days(tmp_path) == {day_of(midnight) - 1}


def test_stopped_between_any_two_steps(tmp_path: Path):
    """After each step the files are as kill -9 would leave them: readers see the same, a new run finishes."""
    world().write(tmp_path / "data")
    expected = seen_by_readers(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "whole")
    list(compact(tmp_path / "whole", RANKING, 1))
    count = 0
    for step, _ in compact(tmp_path / "data", RANKING, 1):
        count += 1
        left = tmp_path / f"left-{count}"
        shutil.copytree(tmp_path / "data", left)
        assert seen_by_readers(left) == expected, step
        list(compact(left, RANKING, 1))
        assert seen_by_readers(left) == expected, step
        assert places.closed_days(left) == places.closed_days(tmp_path / "whole")
        assert not list(places.lake_drafts(left).glob("*"))
    assert count == 11


def test_a_half_written_temporary_is_removed(tmp_path: Path):
    world().write(tmp_path)
    places.lake_drafts(tmp_path).mkdir(parents=True)
    (places.lake_drafts(tmp_path) / "likes-2026-05-24.parquet").write_bytes(b"PAR1 half")
    next(iter(compact(tmp_path, RANKING, 1)))
    assert not places.lake_drafts(tmp_path).exists()


def test_rows_of_a_day_in_the_lake_are_not_read_twice(tmp_path: Path):
    """Ingest deletes them later, in parts; until then the lake alone counts."""
    world().write(tmp_path)
    before = seen_by_readers(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    with sqlite3.connect(tmp_path / "landing.sqlite") as landing:
        first, end = keys_of_day(day_of(NOW_US) - 1)
        query = "DELETE FROM like_words WHERE rkey >= ? AND rkey < ? AND liker_id = 2"
        assert landing.execute(query, (first, end)).rowcount == 2
    landing.close()
    assert seen_by_readers(tmp_path) == before


def test_an_unlike_after_compaction_counts(tmp_path: Path):
    made = world()
    made.write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    before = seen_by_readers(tmp_path)
    made.unlike("ann", "p3", hours_ago=0.5).write(tmp_path)
    assert len(seen_by_readers(tmp_path)) == len(before) - 1


def test_days_past_retention_leave_and_stay_away(tmp_path: Path):
    """Also while landing.sqlite has their words still."""
    world().write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    short = replace(RANKING, seed_window_days=2)
    for _ in range(2):
        list(compact(tmp_path, short, 1))
        assert places.closed_days(tmp_path) == {day_of(NOW_US) - 1, day_of(NOW_US) - 2}
        assert not places.likes(tmp_path, day_of(NOW_US) - 3).parent.exists()
        assert places.changes_of(tmp_path, day_of(NOW_US) - 3) is None


def test_a_watermark_that_jumped_by_years_removes_two_days_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Nothing but a wrong clock makes many days old at once: there is time to look."""
    made = World()
    for days in range(9):
        made.like("ann", f"p{days}", hours_ago=24 * days + 1)
    made.write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    today = day_of(NOW_US)
    assert places.closed_days(tmp_path) == set(range(today - 8, today))
    with sqlite3.connect(tmp_path / "landing.sqlite") as store:
        store.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", (NOW_US + 3 * 365 * DAY_US,))
    store.close()
    landing = Landing(tmp_path)
    retention = Retention(landing, tmp_path, 90)
    while retention.step():
        pass
    landing.close()
    left = []
    for _ in range(6):
        steps = [step.split()[0] for step, _ in compact(tmp_path, RANKING, 1)]
        assert steps.count("remove") <= 2
        left.append(sorted(places.closed_days(tmp_path)))
    assert left == [list(range(today - 6 + 2 * run, today)) for run in range(6)]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"{old} days are past retention; 2 of them are removed now" for old in (8, 6, 4)]


LIKE = st.tuples(
    st.integers(1, 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(1, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 4_000_000_000_000_000),
)


@settings(max_examples=50, deadline=None)
@given(likes=st.lists(LIKE, max_size=20))
def test_nothing_is_lost_in_a_file(tmp_path_factory: pytest.TempPathFactory, likes: list[tuple[int, ...]]):
    """Also rkeys that are no TIDs (negative), and times that a TID does not fit."""
    path = tmp_path_factory.getbasetemp() / "likes.parquet"
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(
        "CREATE TABLE day (liker_id INTEGER, rkey BIGINT, author_id INTEGER, post_rkey BIGINT, seen_us BIGINT)"
    )
    if likes:
        connection.executemany("INSERT INTO day VALUES (?, ?, ?, ?, ?)", likes)
    day_files.write_likes(path, connection.sql(sql.load("lake/stored_rows")).to_arrow_table())
    connection.execute(sql.load("lake/macros"))
    restored = connection.execute(f"SELECT * FROM lake_likes(['{path}'])").fetchall()
    connection.close()
    assert sorted(restored) == sorted(likes)
