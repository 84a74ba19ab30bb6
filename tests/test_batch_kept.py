"""Lists of viewers who are reading stay readable; all others have one row each, and a run goes out in parts."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from batch_tools import settings_for
from test_batch_publish import RANKING, START, make, open_serving, steps, visible, world

from pipeline.batch import jobs
from pipeline.batch.publish import generations, write_lists
from sql.sqlite import connect


def rows(data_dir: Path, query: str) -> list[tuple[int, ...]]:
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    try:
        return serving.execute(query).fetchall()
    finally:
        serving.close()


def lists_of(data_dir: Path) -> dict[int, list[int]]:
    """Return the generations of each viewer's rows."""
    found: dict[int, list[int]] = {}
    for viewer, generation in rows(data_dir, "SELECT viewer_id, generation FROM lists ORDER BY 1, 2"):
        found.setdefault(viewer, []).append(generation)
    return found


def test_a_superseded_list_is_kept_of_those_who_are_reading_alone(tmp_path: Path) -> None:
    """Ten minutes after the first lists cat asks for a page again; an hour on, everybody's lists are new."""
    made = world(2)
    cat = made.id("cat")
    make(tmp_path, made)
    make(tmp_path, world(3).visit("cat", hours_ago=-1), START + 3_600)
    assert lists_of(tmp_path) == {viewer: [1, 2] if viewer == cat else [2] for viewer in lists_of(tmp_path)}
    assert visible(tmp_path, 1)[str(cat)] == [made.uri("q0"), made.uri("q1")]
    # When cat has left as well, its rows become one.
    make(tmp_path, world(4).visit("cat", hours_ago=-1), START + 7_200)
    assert set(map(tuple, lists_of(tmp_path).values())) == {(3,)}


def test_the_file_does_not_grow_while_nobody_reads(tmp_path: Path) -> None:
    """The new list takes its viewer's only row, within the transaction that makes it visible."""
    make(tmp_path, world(2))
    before = rows(tmp_path, "SELECT rowid, viewer_id FROM lists ORDER BY 1")
    world(3).write(tmp_path)
    serving = open_serving(tmp_path)
    old = visible(tmp_path)
    for step, _ in steps(tmp_path, serving, START + 7_200):
        if step == "lists":
            break
        assert visible(tmp_path) == old
    assert rows(tmp_path, "SELECT rowid, viewer_id FROM lists ORDER BY 1") == before
    assert visible(tmp_path) != old
    serving.close()


def test_a_run_goes_out_in_parts_and_a_dead_one_leaves_old_lists_to_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lists, "PART_LISTS", 2)
    monkeypatch.setattr(write_lists, "CHUNK_LISTS", 1)
    data, whole = tmp_path / "data", tmp_path / "whole"
    make(data, world(2))
    old = visible(data)
    assert rows(data, "SELECT generation, lists FROM generations ORDER BY 1") == [(1, 2), (2, 2)]
    make(whole, world(2))
    make(whole, world(4), START + 7_200)
    new = visible(whole)
    assert new["generation"] == 4
    world(4).write(data)
    serving = open_serving(data)
    going = steps(data, serving, START + 7_200)
    while next(going)[0] != "lists":
        pass
    going.close()
    serving.close()
    left = visible(data)
    viewers = sorted((key for key in new if key.isdigit()), key=int)
    assert [left[viewer] for viewer in viewers[:2]] == [new[viewer] for viewer in viewers[:2]]
    assert [left[viewer] for viewer in viewers[2:]] == [old[viewer] for viewer in viewers[2:]]
    assert left[""] == new[""] != old[""]
    make(data, world(4), START + 7_260)
    assert {**visible(data), "generation": 4} == new


def test_other_runs_publish_between_parts_and_no_post_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many generations of others come between two parts; what the last part names is kept as long as its list."""
    monkeypatch.setattr(write_lists, "PART_LISTS", 2)
    monkeypatch.setattr(write_lists, "CHUNK_LISTS", 1)
    monkeypatch.setattr(generations, "KEPT_AHEAD", 1)
    short = replace(RANKING, keep_minutes=0.0)
    world(3).write(tmp_path)
    jobs.run(settings_for(tmp_path), "neighbours")
    serving, other = open_serving(tmp_path), open_serving(tmp_path)
    for step, _ in steps(tmp_path, serving, START, short):
        if step == "lists" and newest_generation(other) < 100:
            later_us = int((START - 1) * 1e6)
            other.executemany(
                "INSERT INTO generations (generation, snapshot_us, published_us, lists, items) VALUES (?, ?, ?, 0, 0)",
                [(number, later_us, later_us) for number in range(2, 101)],
            )
    other.close()
    serving.close()
    made = world(3)
    expected = [made.uri(name) for name in ("q0", "q1", "q2")]
    seen = visible(tmp_path)
    assert seen["generation"] == 101
    assert {tuple(posts) for viewer, posts in seen.items() if viewer != "generation"} == {tuple(expected)}  # type: ignore[arg-type]
    assert rows(tmp_path, "SELECT DISTINCT last_generation FROM posts") == [(102,)]


def newest_generation(serving: sqlite3.Connection) -> int:
    return int(serving.execute("SELECT max(generation) FROM generations").fetchone()[0])
