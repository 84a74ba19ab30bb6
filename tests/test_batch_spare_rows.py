"""New lists take the rows of those that no reader holds any more, and no others."""

import sqlite3
from pathlib import Path

import pytest
from test_batch_publish import START, make, open_serving, steps, visible, world

from pipeline.batch.publish import write_lists


def rows(serving: sqlite3.Connection) -> dict[int, list[int]]:
    """Return the rows of ``lists`` by generation."""
    found: dict[int, list[int]] = {}
    for generation, row in serving.execute("SELECT generation, rowid FROM lists ORDER BY rowid"):
        found.setdefault(generation, []).append(row)
    return found


def test_a_new_list_takes_the_row_of_one_that_nobody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of 1 and 2; 3 and 4 are of others. An hour later nobody reads 1, and 5 is written over it."""
    monkeypatch.setattr(write_lists, "CHUNK_LISTS", 2)
    make(tmp_path, world(2, visits_later=7_200))
    make(tmp_path, world(3, visits_later=7_200), START + 3_600)
    serving = open_serving(tmp_path)
    for generation, minutes in ((3, 100), (4, 101)):
        at_us = int((START + minutes * 60) * 1e6)
        serving.execute(
            "INSERT INTO generations (generation, snapshot_us, published_us, lists, items) VALUES (?, ?, ?, 0, 0)",
            (generation, at_us, at_us),
        )
    before = rows(serving)
    assert before.keys() == {1, 2}
    held = {generation: visible(tmp_path, generation) for generation in (2, 3, 4)}
    world(4, visits_later=7_200).write(tmp_path)
    for step, _ in steps(tmp_path, serving, START + 7_200):
        if step == "prune lists":  # 2 may go then, for it is older than half an hour
            break
        assert {generation: visible(tmp_path, generation) for generation in held} == held, step
    assert rows(serving) == {2: before[2], 5: before[1]}
    serving.close()
    assert visible(tmp_path) != held[4]


def test_a_row_that_a_kept_generation_uses_is_not_written_over(tmp_path: Path) -> None:
    """Twenty minutes on, a reader may still hold generation 1: 3 gets rows of its own."""
    make(tmp_path, world(2))
    first = visible(tmp_path)
    make(tmp_path, world(3), START + 600)
    make(tmp_path, world(4), START + 1_200)
    serving = open_serving(tmp_path)
    assert {generation: len(found) for generation, found in rows(serving).items()} == {1: 4, 2: 4, 3: 4}
    serving.close()
    assert visible(tmp_path, 1) == first
