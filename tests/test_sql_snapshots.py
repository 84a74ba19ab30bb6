"""Snapshots for analysts: whole, unchanging, and gone only when nobody should be reading them any more."""

import os
import shutil
import time
from pathlib import Path

import duckdb
import pytest
from batch_tools import settings_for
from worlds import World

from pipeline.batch import jobs
from pipeline.explore import after_batch
from pipeline.store.analyst_snapshot import KEPT_SECONDS, copy_of, current_snapshot, make_snapshot

VIEWS = (Path(__file__).resolve().parents[1] / "sql/explore/views.sql").read_text()


def world() -> World:
    made = World().post("q1", by="dan")
    for name in ("ann", "bob", "cat"):
        made.like(name, "p1", hours_ago=40)
    return made.like("bob", "q1", hours_ago=0.5)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    settings = settings_for(world().write(tmp_path / "data"))
    jobs.run(settings, "all")
    after_batch.run(settings)
    return tmp_path / "data"


def session(data_dir: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET VARIABLE data_dir = ?", [str(data_dir)])
    connection.execute(VIEWS)
    return connection


def folders(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "explore").iterdir() if path.name.isdigit())


def test_an_open_session_stays_with_its_snapshot(data_dir: Path) -> None:
    before = session(data_dir)
    rows = before.execute("SELECT * FROM likes ORDER BY ALL").fetchall()
    assert len(rows) == 4
    shutil.rmtree(data_dir / "lake" / "likes")  # as retention does, and more
    settings = settings_for(data_dir)
    landing = data_dir / "landing.sqlite"
    world().like("cat", "q1", hours_ago=0.1).write(data_dir)
    assert landing.exists()
    jobs.run(settings, "all")
    after_batch.run(settings)
    assert before.execute("SELECT * FROM likes ORDER BY ALL").fetchall() == rows
    assert before.execute("SELECT max(generation) FROM candidates").fetchone() == (1,)
    after = session(data_dir)
    assert len(after.execute("SELECT * FROM likes").fetchall()) == 5
    assert after.execute("SELECT max(generation) FROM candidates").fetchone() == (2,)


def test_a_snapshot_is_removed_some_time_after_the_next(data_dir: Path) -> None:
    first = current_snapshot(data_dir)
    assert first is not None
    make_snapshot(data_dir, {})
    assert first.exists()
    old = time.time() - KEPT_SECONDS - 1
    os.utime(first, (old, old))
    newest = make_snapshot(data_dir, {})
    assert not first.exists()
    assert current_snapshot(data_dir) == newest
    assert session(data_dir).execute("SELECT count(*) FROM likes").fetchone() == (4,)


def test_links_cost_no_room(data_dir: Path) -> None:
    snapshot = current_snapshot(data_dir)
    assert snapshot is not None
    for day in (data_dir / "lake" / "likes").glob("day=*/likes.parquet"):
        assert day.samefile(copy_of(snapshot, f"likes/{day.parent.name}"))


def test_a_dead_runs_rest_does_no_harm(data_dir: Path) -> None:
    making = data_dir / "explore" / ".making"
    making.mkdir()
    (making / "rubbish.parquet").write_bytes(b"rubbish")
    before = folders(data_dir)
    make_snapshot(data_dir, {})
    assert not making.exists()
    assert len(folders(data_dir)) == len(before) + 1
    assert not list((data_dir / "explore").rglob("rubbish*"))


def test_a_lake_on_another_disk_is_linked_by_name(
    data_dir: Path, tmp_path: Path, monkeypatch: object
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr(os, "link", refuse)
    snapshot = make_snapshot(data_dir, {})
    assert any(path.is_symlink() for path in (snapshot / "likes").iterdir())
    assert session(data_dir).execute("SELECT count(*) FROM likes").fetchone() == (4,)
