"""The activity writer loses nothing it can write, waits for nobody, and says when the disk fails."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from serving_worlds import (
    FEED,
    SKELETON,
    START,
    Account,
    Clock,
    OneAccount,
    ServingStore,
    bearer,
    blob,
    config_of,
    flush,
    plc_did,
    post_uri,
    wait_until,
)

from serving.app import create_app
from serving.budgets import limits
from serving.budgets.limits import Bounds, ByClass
from serving.viewers import activity_writer as module
from serving.viewers.activity_queue import Interaction, Visit
from serving.viewers.activity_writer import ActivityWriter
from sql import places, sqlite


def _seen(post: int, viewer: int = 1, at: float = START) -> Interaction:
    return Interaction(plc_did(viewer), post_uri(post), "interactionSeen", "for-you", "", "", int(at * 1e6))


def _visit(viewer: int = 1, at: float = START, languages: str = "en") -> Visit:
    return Visit(plc_did(viewer), "for-you", languages, int(at * 1e6))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "activity.sqlite"


@pytest.fixture
def writer(path: Path) -> Iterator[ActivityWriter]:
    made = ActivityWriter(path, now=Clock())
    yield made
    made.close()


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


def test_nothing_is_made_before_something_is_recorded(writer: ActivityWriter, path: Path) -> None:
    assert flush(writer)
    assert not path.exists()


def test_visits_are_summed(writer: ActivityWriter, path: Path) -> None:
    writer.record([_visit(), _visit(at=START + 5, languages=""), _visit(2)])
    assert flush(writer)
    writer.record([_visit(at=START + 9, languages="pt")])
    assert flush(writer)
    assert _rows(path, "SELECT languages, pages, first_us, last_us FROM visits ORDER BY pages DESC") == [
        ("pt", 3, int(START * 1e6), int((START + 9) * 1e6)),
        ("en", 1, int(START * 1e6), int(START * 1e6)),
    ]


def test_a_commit_follows_within_a_second(writer: ActivityWriter, path: Path) -> None:
    """By itself, on a machine that is not too busy for it."""
    writer.record([_seen(1)])
    assert wait_until(lambda: writer.written == 1)
    assert module.GATHER_SECONDS <= 0.5


def test_the_end_writes_what_is_queued(path: Path) -> None:
    writer = ActivityWriter(path, now=Clock())
    writer.record([_seen(post, viewer=post % 2) for post in range(12_000)])
    assert writer.close(120.0)
    assert _rows(path, "SELECT count(*) FROM interactions") == [(12_000,)]


def test_a_full_queue_drops_and_counts_without_waiting(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite.connect(path)
    sqlite.migrate(other, "activity")
    other.execute("BEGIN IMMEDIATE")  # holds the writer up
    writer = ActivityWriter(
        path, now=Clock(), queue_bytes=ByClass(Bounds(9_999, 9_999, 5_000), Bounds(0, 0, 0))
    )
    started = time.monotonic()
    for post in range(10_000):
        writer.record([_seen(post)])
    assert time.monotonic() - started < 30  # waiting for the disk once a post would take hours
    assert writer.dropped > 0
    other.execute("ROLLBACK")
    assert flush(writer)
    assert writer.written + writer.dropped == 10_000
    assert writer.close(120)
    other.close()


def test_a_locked_store_is_retried_complained_of_once_and_recovers(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    path.parent.mkdir()
    path.mkdir()  # no file can be made here
    writer = ActivityWriter(path, now=Clock())
    with caplog.at_level(logging.ERROR):
        writer.record([_seen(1), _visit()])
        assert wait_until(lambda: writer.failures > 3)
    assert len([record for record in caplog.records if "activity" in record.name]) == 1
    assert not writer.state()["ok"]
    path.rmdir()
    assert flush(writer)
    assert writer.state()["ok"]
    assert _rows(path, "SELECT count(*) FROM interactions") == [(1,)]
    assert writer.close()


def test_the_end_does_not_wait_for_a_disk_that_fails(path: Path) -> None:
    path.mkdir(parents=True)
    writer = ActivityWriter(path, now=Clock())
    writer.record([_seen(1)])
    started = time.monotonic()
    assert not writer.close(0.5)
    assert time.monotonic() - started < 60  # the disk fails for ever
    assert writer.dropped == 1


def test_a_removed_file_is_made_anew(writer: ActivityWriter, path: Path) -> None:
    writer.record([_seen(1)])
    assert flush(writer)
    for each in path.parent.glob("activity.sqlite*"):
        each.unlink()
    writer.record([_seen(2)])
    assert flush(writer)
    assert _rows(path, "SELECT post_uri FROM interactions") == [(post_uri(2),)]


def test_a_store_of_a_newer_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    newer = sqlite.connect(path)
    sqlite.migrate(newer, "activity")
    newer.execute("INSERT INTO _migrations VALUES (99, 'x')")
    newer.close()
    writer = ActivityWriter(path, now=Clock())
    writer.record([_seen(1)])
    assert wait_until(lambda: bool(writer.failure))
    assert not writer.close()
    assert _rows(path, "SELECT count(*) FROM interactions") == [(0,)]


def test_a_reader_is_not_in_the_way(writer: ActivityWriter, path: Path) -> None:
    writer.record([_seen(1)])
    assert flush(writer)
    reader = sqlite.connect(path, read_only=True)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM interactions").fetchall()
    writer.record([_seen(2)])
    assert flush(writer)
    reader.close()


def test_a_viewer_keeps_the_newest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Bounds(100, 100, 1_000)
    monkeypatch.setattr(limits, "INTERACTIONS_KEPT", ByClass(kept, kept))
    writer = ActivityWriter(path, now=Clock())
    writer.record([_seen(post, viewer=2) for post in range(150)])
    writer.record([_seen(post, at=START + post) for post in range(1_200)])
    assert writer.close(120)
    counts = _rows(
        path, "SELECT count(*), min(received_us) FROM interactions GROUP BY viewer_did ORDER BY 1, 2"
    )
    assert counts == [(100, int(START * 1e6)), (100, int((START + 1100) * 1e6))]


def test_old_activity_is_forgotten(path: Path) -> None:
    clock = Clock()
    writer = ActivityWriter(path, now=clock)
    writer.record([_seen(1), _visit(1)])
    assert flush(writer)
    clock.at += 91 * 86_400
    writer.record([_seen(2, at=clock.at), _visit(2, at=clock.at)])
    assert writer.close()
    assert _rows(path, "SELECT post_uri FROM interactions") == [(post_uri(2),)]
    assert _rows(path, "SELECT viewer_did FROM visits") == [(plc_did(2),)]


def test_many_threads_lose_nothing(writer: ActivityWriter, path: Path) -> None:
    def work(viewer: int) -> None:
        for post in range(200):
            writer.record([_seen(post, viewer)])

    threads = [threading.Thread(target=work, args=(viewer,)) for viewer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flush(writer)
    assert _rows(path, "SELECT count(*) FROM interactions") == [(1600,)]


def test_health_says_what_is_wrong(tmp_path: Path) -> None:
    clock = Clock()
    writer = ActivityWriter(tmp_path / "activity.sqlite", now=clock)
    client = TestClient(create_app(config_of(tmp_path), now=clock, activity=writer))

    def health() -> tuple[int, dict[str, Any]]:
        answer = client.simulate_get("/health")
        return answer.status_code, answer.json

    status, state = health()
    assert status == 503
    assert "no serving.sqlite" in state["reason"]
    store = ServingStore(tmp_path / "serving.sqlite")
    assert "no generation" in health()[1]["reason"]
    store.posts([1])
    store.publish(3, {plc_did(1): blob([1]), plc_did(2): blob([1])})
    status, state = health()
    assert status == 200
    assert (state["ok"], state["generation"], state["age_seconds"], state["lists"]) == (True, 3, 60.0, 2)
    clock.at += 25 * 3600
    status, state = health()
    assert status == 503
    assert "lists are old" in state["reason"]
    # A run for a waiting viewer publishes too: everybody else's lists are as old as they were.
    clock.at = START
    store.publish(4, {plc_did(1): blob([1])}, at=START - 1)
    renewed = (
        "INSERT INTO runs (run_id, job, tier, step, started_us, seconds, rows, peak_mb, outcome) "
        "VALUES (?, 'candidates', ?, 'prune generations', ?, 60.0, 1, 1.0, 'done')"
    )
    store.connection.execute(renewed, (1, "all", int((START - 3 * 3600 - 61) * 1e6)))
    store.connection.execute(renewed, (2, "waiting", int((START - 61) * 1e6)))
    status, state = health()
    assert (status, state["age_seconds"], state["everybody_age_seconds"]) == (503, 1.0, 10_801.0)
    assert state["reason"].startswith("lists are old: everybody's are of 3.0 hours ago")
    store.connection.execute(renewed, (3, "all", int((START - 61) * 1e6)))
    assert health()[0] == 200
    (tmp_path / "activity.sqlite").mkdir()
    writer.record([_visit()])
    assert wait_until(lambda: bool(writer.failure))
    status, state = health()
    assert status == 503
    assert "can't be written" in state["reason"]
    assert state["activity"]["failures"] >= 1
    writer.close()
    store.close()


def test_a_web_app_with_a_folder_of_its_own_looks_for_the_lists_outside_it(tmp_path: Path) -> None:
    """Otherwise nobody's number is noted, nobody's deleted account is seen, and no day is known to be in the lake."""
    (tmp_path / "web").mkdir()
    account = Account(plc_did(1))
    store = ServingStore(places.serving(tmp_path))
    store.posts(range(1, 9))
    store.publish(1, {account.did: blob(range(1, 9))}, {"": blob([1])})
    store.close()
    app = create_app(config_of(tmp_path), now=Clock(), resolver=OneAccount(account))
    TestClient(app).simulate_get(SKELETON, params={"feed": FEED}, headers=bearer(account.token()))
    path = places.activity(tmp_path)
    assert path.parent.name == "web"
    assert wait_until(lambda: sqlite.has_tables(path, "newest_viewers"))
    with closing(sqlite.connect(path, read_only=True)) as connection:
        assert wait_until(
            lambda: connection.execute("SELECT viewer_id FROM newest_viewers").fetchall() == [(1,)]
        )
