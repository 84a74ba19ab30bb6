"""The jobs from the outside: what they say, record and refuse, and kill -9 at any moment."""

import logging
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from batch_tools import settings_for, stored_neighbours
from commands import FORKS
from list_bytes import unpack
from worlds import World

from pipeline.batch import jobs
from pipeline.batch.inputs.snapshot import open_snapshot
from pipeline.errors import BatchError, SettingError, StoreError
from pipeline.ranking import Ranking
from pipeline.store.locks import exclusive
from pipeline.store.model import keys_of_day
from pipeline.store.newest_generation import newest_generation
from sql import places
from sql.sqlite import connect


def world() -> World:
    made = World().post("q1", by="dan").post("q2", by="eve", langs="pt")
    for name in ("ann", "bob", "cat"):
        made.like(name, "p1", hours_ago=40).like(name, "p2", hours_ago=30)
    return made.like("bob", "q1", hours_ago=0.5).like("cat", "q2", hours_ago=0.5)


def test_all_makes_lake_neighbours_and_lists(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings = settings_for(world().write(tmp_path))
    assert newest_generation(tmp_path) == 0
    with caplog.at_level(logging.INFO, "foryou.batch"):
        jobs.run(settings, "all")
    assert newest_generation(tmp_path) == 1
    assert places.closed_days(tmp_path)
    table = stored_neighbours(tmp_path)
    assert table.column_names == ["viewer_id", "neighbour_id", "weight", "rank", "snapshot_us", "left_out"]
    assert len(table) == 6
    serving = sqlite3.connect(tmp_path / "serving.sqlite")
    runs = serving.execute("SELECT DISTINCT run_id, job, outcome FROM runs ORDER BY job").fetchall()
    assert runs == [(1, job, "done") for job in sorted(jobs.JOBS)]
    assert serving.execute("SELECT rows FROM runs WHERE step = 'lists'").fetchone() == (3,)
    assert serving.execute("SELECT min(peak_mb) > 10 FROM runs").fetchone() == (1,)
    serving.close()
    said = [record.getMessage() for record in caplog.records if record.name == "foryou.batch"]
    runs = [line for line in said if " of memory are free " not in line]  # a line more where there is little
    assert [line.partition(":")[0] for line in runs] == [
        "compact",
        "neighbours",
        "candidates",
    ]  # one line each
    assert ", product 6, " in runs[1]
    assert ", lists 3, " in runs[2]
    assert not (tmp_path / "tmp").exists()


def test_the_second_run_takes_its_likes_from_the_lake(tmp_path: Path):
    settings = settings_for(world().write(tmp_path))
    jobs.run(settings, "all")
    landing = sqlite3.connect(tmp_path / "landing.sqlite")
    with landing:
        for day in places.closed_days(tmp_path):
            landing.execute("DELETE FROM like_words WHERE rkey >= ? AND rkey < ?", keys_of_day(day))
    landing.close()
    jobs.run(settings, "all")
    serving = sqlite3.connect(tmp_path / "serving.sqlite")
    assert serving.execute("SELECT lists FROM generations").fetchall() == [(3,), (0,)]
    serving.close()


@pytest.mark.parametrize("job", jobs.JOBS)
def test_no_likes_is_said_plainly(tmp_path: Path, job: str):
    with pytest.raises(BatchError, match=r"no likes yet in .*: run 'foryou ingest' first"):
        jobs.run(settings_for(tmp_path), job)
    connect(tmp_path / "landing.sqlite").close()
    with pytest.raises(BatchError, match="no likes yet"):
        jobs.run(settings_for(tmp_path), job)
    World().write(tmp_path)
    with pytest.raises(BatchError, match="no likes yet"):
        jobs.run(settings_for(tmp_path), job)


def test_no_likes_is_no_failure_of_all(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "foryou.batch"):
        jobs.run(settings_for(tmp_path), "all")
    assert "no likes yet" in caplog.text
    assert newest_generation(tmp_path) == 0


def test_candidates_without_neighbours_publish_what_is_popular(tmp_path: Path):
    jobs.run(settings_for(world().write(tmp_path)), "candidates")
    serving = sqlite3.connect(tmp_path / "serving.sqlite")
    assert serving.execute("SELECT lists FROM generations").fetchall() == [(0,)]
    ((language, items),) = serving.execute("SELECT language, items FROM fallbacks").fetchall()
    assert (language, len(unpack(items))) == ("", 2)
    serving.close()


def test_one_batch_at_a_time(tmp_path: Path):
    settings = settings_for(world().write(tmp_path))
    with exclusive(tmp_path, "batch"), pytest.raises(StoreError, match="another batch"):
        jobs.run(settings, "all")


def test_what_is_refused(tmp_path: Path):
    with pytest.raises(BatchError, match="unknown job 'publish'"):
        jobs.run(settings_for(tmp_path), "publish")
    with pytest.raises(SettingError, match="unknown parameter max_seed"):
        jobs.run(settings_for(tmp_path, {"max_seed": 1}), "all")
    with pytest.raises(BatchError, match="unknown job 'copies'"):  # the command does it, without a run
        jobs.run(settings_for(tmp_path), "copies")


def test_a_failure_is_one_line_and_is_recorded(tmp_path: Path):
    settings = settings_for(world().write(tmp_path))
    jobs.run(settings, "all")
    next((tmp_path / "lake" / "likes").glob("*/likes.parquet")).write_bytes(b"no parquet")
    with pytest.raises(BatchError, match=r"^neighbours, at the start: ") as caught:
        jobs.run(settings, "neighbours")
    assert "\n" not in str(caught.value)
    serving = sqlite3.connect(tmp_path / "serving.sqlite")
    rows = serving.execute("SELECT step, outcome FROM runs WHERE outcome <> 'done'").fetchall()
    serving.close()
    assert len(rows) == 1
    assert rows[0][1] in str(caught.value)


def run_in_child(data_dir: Path) -> None:
    """Run everything, in a process to be killed."""
    jobs.run(settings_for(data_dir), "all")


def test_killed_at_any_moment(tmp_path: Path):
    """kill -9 at random moments; then one undisturbed run, whose result is that of a fresh store."""
    fresh, data = tmp_path / "fresh", tmp_path / "data"
    jobs.run(settings_for(world().write(fresh)), "all")
    world().write(data)
    moments = random.Random(7)
    for _ in range(5):
        child = FORKS.Process(target=run_in_child, args=(data,))
        child.start()
        time.sleep(moments.uniform(0.05, 0.6))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    jobs.run(settings_for(data), "all")
    query = "SELECT viewer_id, items FROM lists ORDER BY viewer_id"
    found = []
    for folder in (fresh, data):
        serving = sqlite3.connect(folder / "serving.sqlite")
        found.append([(viewer, len(items)) for viewer, items in serving.execute(query)])
        serving.close()
        assert (folder / "lake" / "neighbours.parquet").exists()
    assert found[0] == found[1]
    assert places.closed_days(fresh) == places.closed_days(data)
    assert not list((data / "lake" / ".tmp").glob("*"))


@pytest.mark.parametrize("last", ["ann", "answered", "gone", "other"])
def test_a_run_for_some_viewers_reads_the_accounts_that_it_needs(tmp_path: Path, last: str) -> None:
    """The account with the greatest number is one of them, once: arrays by actor are so long."""
    made = World()
    for name in sorted(["ann", "answered", "gone", "other", "author"], key=lambda name: name == last):
        made.actor(name, status=4 if name == "gone" else 0)
    made.post("p1", by="answered").post("q1", by="author").like("other", "p1").like("gone", "q1")
    made.interaction("ann", "p1", "requestLess").interaction("other", "q1", "requestLess").write(tmp_path)
    dids = ["did:plc:ann", "did:plc:gone", "did:plc:nobody"]
    with open_snapshot(tmp_path, Ranking(), 1, window_hours=96.0, dids=dids) as snapshot:
        connection = snapshot.connection
        found = connection.execute("SELECT did, status FROM actors ORDER BY did").fetchall()
        assert connection.execute("FROM wanted_viewers").fetchall() == [(made.id("ann"),)]
    needed = {"ann", "answered", "gone", last}
    assert found == [(made.did(name), 4 if name == "gone" else 0) for name in sorted(needed)]


def test_each_job_reads_what_viewers_asked_for_in_its_own_window(tmp_path: Path) -> None:
    """What was seen matters while its post may be in a list; "show less" and "show more" are seeds as likes are."""
    made = world()
    for event, hours in (
        ("requestLess", Ranking().post_max_age_hours + 1),
        ("interactionSeen", Ranking().post_max_age_hours + 1),
        ("requestMore", 3000),
        ("requestMore", 20),
    ):
        made.interaction("ann", f"q{1 + (hours == 20)}", event, hours_ago=hours)
    made.write(tmp_path)
    read = {}
    for window_hours in (96.0, 24 * 90.0):
        with open_snapshot(tmp_path, Ranking(), 1, window_hours=window_hours) as snapshot:
            rows = snapshot.connection.execute(
                "SELECT event, post_uri FROM interactions ORDER BY ALL"
            ).fetchall()
        read[window_hours] = rows
    recent, older = ("requestMore", made.uri("q2")), ("requestLess", made.uri("q1"))
    assert read == {96.0: [recent], 24 * 90.0: [older, recent]}
