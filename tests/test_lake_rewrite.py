"""The dead leave the lake: undone likes when it is worth a rewrite, deleted accounts' likes always."""

import os
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pipeline.lake.rewrite import rewrite_due_day
from test_batch_compact import seen_by_readers
from worlds import NOW_US, World

import sql
from pipeline.lake import day_files
from pipeline.lake.compact import compact
from pipeline.ranking import Ranking
from pipeline.store.model import day_of
from sql import places

RANKING = Ranking()
TODAY = day_of(NOW_US)


def rows_of(files: list[Path], macro: str) -> list[tuple[int, ...]]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(sql.load("lake/macros"))
    rows = connection.execute(
        f"SELECT liker_id, rkey FROM {macro}($f) ORDER BY ALL", {"f": [str(f) for f in files]}
    )
    found = rows.fetchall()
    connection.close()
    return found


def fold_all(data_dir: Path) -> list[str]:
    """Look through every day once, the longest waiting first; return the steps that changed something."""
    steps = []
    for _ in range(len(places.closed_days(data_dir))):
        connection = duckdb.connect(config={"threads": 1})
        steps += [step for step, _ in rewrite_due_day(data_dir, connection, pause_seconds=-1)]
        connection.close()
    return steps


@pytest.fixture
def world() -> World:
    """Four likers over four closed days."""
    made = World()
    for days in range(1, 5):
        for liker in ("ann", "bob", "cat", "dan"):
            made.like(liker, f"p{days}", hours_ago=24 * days + 1)
    return made


def close_days(world: World, data_dir: Path) -> tuple[int, int]:
    """Write the world and close its days; then undo a like of three days ago, on the day that closed last."""
    world.write(data_dir)
    list(compact(data_dir, RANKING, 1))
    dead = (world.id("ann"), world.like_rkeys["ann", "p3"])
    tombstone = {"liker_id": [dead[0]], "rkey": [dead[1]], "seen_us": [world.time(25)]}
    day_files.replace_unlikes(data_dir, TODAY - 1, pa.table(tombstone))
    return dead


def test_an_undone_like_and_its_tombstone_leave(world: World, tmp_path: Path) -> None:
    dead = close_days(world, tmp_path)
    before = seen_by_readers(tmp_path)
    assert dead in rows_of([places.likes(tmp_path, TODAY - 3)], "lake_likes")
    assert rows_of(places.unlikes_files(tmp_path), "lake_unlikes") == [dead]
    assert dead not in [row[:2] for row in before]
    steps = fold_all(tmp_path)
    assert [step.split()[0] for step in steps] == ["rewrite", "rewrite"]
    assert dead not in rows_of([places.likes(tmp_path, TODAY - 3)], "lake_likes")
    assert rows_of(places.unlikes_files(tmp_path), "lake_unlikes") == []
    assert seen_by_readers(tmp_path) == before
    assert fold_all(tmp_path) == []


def test_what_a_deleted_account_liked_is_gone_from_every_day(world: World, tmp_path: Path) -> None:
    world.write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    world.delete_account("bob", hours_ago=0.5).write(tmp_path)
    fold_all(tmp_path)
    for day in places.closed_days(tmp_path):
        likers = {liker for liker, _ in rows_of([places.likes(tmp_path, day)], "lake_likes")}
        assert world.id("bob") not in likers
        assert world.id("cat") in likers


def test_a_few_dead_are_not_worth_a_rewrite(tmp_path: Path) -> None:
    made = World()
    for number in range(200):
        made.like(f"l{number}", "p1", hours_ago=49 + number / 1000)
    made.write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    dead = {"liker_id": [made.id("l3")], "rkey": [made.like_rkeys["l3", "p1"]], "seen_us": [made.time(25)]}
    day_files.replace_unlikes(tmp_path, TODAY - 1, pa.table(dead))
    file = places.likes(tmp_path, TODAY - 2)
    before = file.read_bytes()
    assert fold_all(tmp_path) == []
    assert file.read_bytes() == before
    assert len(rows_of(places.unlikes_files(tmp_path), "lake_unlikes")) == 1
    assert len(seen_by_readers(tmp_path)) == 199


def test_stopped_between_any_two_steps(world: World, tmp_path: Path) -> None:
    data = tmp_path / "data"
    close_days(world, data)
    expected = seen_by_readers(data)
    taken = 0
    for _ in range(len(places.closed_days(data))):
        connection = duckdb.connect(config={"threads": 1})
        for step, _ in rewrite_due_day(data, connection, pause_seconds=-1):
            taken += 1
            left = tmp_path / f"left-{taken}"
            shutil.copytree(data, left)
            assert seen_by_readers(left) == expected, step
            fold_all(left)
            assert seen_by_readers(left) == expected, step
        connection.close()
    assert taken == 2


def test_a_day_all_dead_leaves(tmp_path: Path) -> None:
    World().like("ann", "p1", hours_ago=49).like("bob", "p2", hours_ago=1).delete_account(
        "ann", hours_ago=0.5
    ).write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    fold_all(tmp_path)
    assert not any(
        rows_of([places.likes(tmp_path, day)], "lake_likes") for day in places.closed_days(tmp_path)
    )


def test_a_day_all_dead_keeps_its_tombstones_of_earlier_days(tmp_path: Path) -> None:
    made = (
        World()
        .like("ann", "p1", hours_ago=25)
        .like("bob", "p3", hours_ago=73)
        .like("cat", "p3", hours_ago=74)
    )
    made.write(tmp_path)
    list(compact(tmp_path, RANKING, 1))
    dead = {"liker_id": [made.id("bob")], "rkey": [made.like_rkeys["bob", "p3"]], "seen_us": [made.time(24)]}
    day_files.replace_unlikes(tmp_path, TODAY - 1, pa.table(dead))
    made.delete_account("ann", hours_ago=0.5).write(tmp_path)
    connection = duckdb.connect(config={"threads": 1})
    os.utime(places.likes(tmp_path, TODAY - 1), (1, 1))  # waits longest
    assert [step for step, _ in rewrite_due_day(tmp_path, connection)] == ["rewrite 2026-05-27"]
    connection.close()
    assert TODAY - 1 in places.closed_days(tmp_path)
    assert [row[0] for row in seen_by_readers(tmp_path) if row[0] == made.id("bob")] == []
