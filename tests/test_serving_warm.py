"""The rehearsal before a worker listens: it opens all that the first request needs, and leaves nothing behind."""

import logging
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    wait_until,
)

from serving.app import create_app
from serving.feed import rehearsal
from serving.feed.rehearsal import rehearse
from serving.http.web_metrics import WebMetrics
from serving.identity.key_store import KeyStore
from serving.identity.keys import signing_key
from serving.identity.resolver import STALE_SECONDS
from serving.lists.list_bytes import ListItem
from serving.lists.list_store import ListStore
from serving.viewers.activity_queue import Visit
from serving.viewers.activity_writer import ActivityWriter

ALICE = Account(plc_did(1))
POSTS = list(range(1, 121))
OPENING = frozenset({"sqlite3.connect", "open", "import", "compile"})

_audited: list[list[tuple[str, str]]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _audited and event in OPENING:
        _audited[-1].append((event, Path(str(arguments[0]).partition("?")[0]).name))


sys.addaudithook(_hear)  # it can't be taken away again, but hears nothing outside ``_opened``


@contextmanager
def _opened() -> Iterator[list[tuple[str, str]]]:
    """Give what is opened, imported or compiled meanwhile."""
    _audited.append([])
    try:
        yield _audited[-1]
    finally:
        _audited.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of an installation that has served before: lists, keys and visits."""
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(POSTS)
    lists = {plc_did(viewer): blob(POSTS[viewer:] + POSTS[:viewer]) for viewer in range(1, 6)}
    store.publish(1, lists, {"": blob(POSTS)})
    store.close()
    keys = KeyStore(tmp_path / "keys.sqlite", STALE_SECONDS)
    keys.keep(ALICE.did, signing_key(ALICE.document(), ALICE.did), START)
    activity = ActivityWriter(tmp_path / "activity.sqlite", now=Clock())
    activity.record([Visit(ALICE.did, "for-you", "en", int(START * 1e6))])
    assert activity.close()
    return tmp_path


def _ask(client: TestClient, viewer: Account = ALICE) -> dict[str, Any]:
    answer = client.simulate_get(
        SKELETON, params={"feed": FEED, "limit": "30"}, headers=bearer(viewer.token())
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def _rows(folder: Path) -> dict[str, list[str]]:
    """Return all that is stored."""
    stored = {}
    for path in sorted(folder.glob("*.sqlite")):
        connection = sqlite3.connect(path)
        stored[path.name] = list(connection.iterdump())
        connection.close()
    return stored


@pytest.mark.parametrize("rehearsed", [True, False])
def test_the_first_request_opens_nothing(folder: Path, rehearsed: bool) -> None:
    another = (
        folder.parent / f"{folder.name}-before"
    )  # its request brings Falcon's and the client's own imports
    _ask(TestClient(create_app(config_of(another), now=Clock(), resolver=OneAccount(ALICE))))
    activity = ActivityWriter(folder / "activity.sqlite", now=Clock())
    client = TestClient(create_app(config_of(folder), now=Clock(), activity=activity, rehearsed=rehearsed))
    if rehearsed:
        activity.start()
    with _opened() as opened:
        _ask(client)
        opened_later = list(opened)
        assert flush(activity)
        databases = {name for event, name in opened if event == "sqlite3.connect"}
    assert activity.close()
    if rehearsed:
        assert opened_later == []
        assert "activity.sqlite" not in databases
    else:  # so what the rehearsal saves is really noticed here
        assert databases == {"serving.sqlite", "keys.sqlite", "activity.sqlite"}


def test_as_many_as_may_be_answered_at_once_find_a_connection(folder: Path) -> None:
    config = config_of(folder, threads=4)
    activity = ActivityWriter(folder / "activity.sqlite")
    app = create_app(config, now=Clock(), activity=activity, rehearsed=True)
    store: ListStore = app._router.find(SKELETON)[0].store  # type: ignore[index, attr-defined]
    with _opened() as opened, ExitStack() as held:
        snapshots = [held.enter_context(store.read()) for _ in range(4)]
        assert all(snapshot is not None for snapshot in snapshots) and opened == []
        held.enter_context(store.read())
        assert [event for event, _ in opened] == ["sqlite3.connect"]


def test_a_rehearsal_leaves_nothing_behind(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = _rows(folder)
    metrics, activity = WebMetrics(), ActivityWriter(folder / "activity.sqlite", now=Clock())
    config = config_of(folder, access_log="all")
    with caplog.at_level(logging.INFO):
        app = create_app(config, now=Clock(), activity=activity, metrics=metrics, rehearsed=True)
    assert caplog.records == []
    assert _rows(folder) == before
    assert activity.state() == ActivityWriter(folder / "none.sqlite").state()
    counted = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    assert [line for line in counted if "_created" not in line and not line.endswith(" 0.0")] == []
    feed: Any = app._router.find(SKELETON)[0]  # type: ignore[index, attr-defined]
    assert feed.memory.bytes_of(True) == feed.memory.bytes_of(False) == 0
    plain = TestClient(create_app(config_of(folder), now=Clock(), resolver=OneAccount(ALICE)))
    assert _ask(TestClient(app))["feed"] == _ask(plain)["feed"]


def test_it_reads_lists_of_viewers_and_is_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[tuple[str | None, int]] = []
    app = create_app(config_of(folder), now=Clock(), resolver=OneAccount(ALICE))
    feed: Any = app._router.find(SKELETON)[0]  # type: ignore[index, attr-defined]

    class Observed(type(feed)):  # type: ignore[misc]
        def _page(self, wanted: Any, *others: Any) -> Any:
            page = super()._page(wanted, *others)
            pages.append((wanted.viewer, len(page.entries)))
            return page

    monkeypatch.setattr(rehearsal, "SECONDS", 10.0)
    rehearse(Observed(*(getattr(feed, name) for name in feed.__slots__)))
    assert len(pages) > 1
    assert {viewer for viewer, _ in pages} <= {plc_did(viewer) for viewer in range(1, 6)}
    assert {posts for _, posts in pages} == {30}


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_reading_posts_ahead_ends_in_time_and_the_connection_goes_on(tmp_path: Path, seconds: float) -> None:
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(1, 20_001))
    store.publish(1, {ALICE.did: blob(POSTS)})
    store.close()
    statements: list[str] = []
    with ListStore(tmp_path / "serving.sqlite").read() as snapshot:
        assert snapshot is not None
        snapshot._connection.set_trace_callback(statements.append)
        snapshot.read_posts_ahead(seconds)
        assert snapshot.uris_of([ListItem(20_000, 1.0, 1, 1)], anybody=True)
        assert snapshot.list_of("for-you", ALICE.did, 1) is not None
    assert "FROM posts NOT INDEXED" in statements[0]


def test_before_there_is_a_store_nothing_fails_and_it_is_picked_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        app = create_app(config_of(tmp_path), now=Clock(), resolver=OneAccount(ALICE), rehearsed=True)
    assert caplog.records == []
    assert not (tmp_path / "activity.sqlite").exists() and not (tmp_path / "serving.sqlite").exists()
    client = TestClient(app)
    assert _ask(client)["feed"] == []
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(POSTS)
    store.publish(1, {ALICE.did: blob(POSTS)})
    store.close()
    assert len(_ask(client)["feed"]) == 30


@pytest.mark.parametrize("damage", ["rubbish", "a list", "a folder"])
def test_a_damaged_store_keeps_no_worker_from_starting(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "serving.sqlite"
    if damage == "a list":
        connection = sqlite3.connect(path)
        connection.execute("UPDATE lists SET items = x'00010203'")
        connection.commit()
        connection.close()
    else:
        for left in folder.glob("serving.sqlite*"):
            left.unlink()
        path.write_bytes(b"rubbish" * 1_000) if damage == "rubbish" else path.mkdir()
    app = create_app(config_of(folder), now=Clock(), resolver=OneAccount(ALICE), rehearsed=True)
    assert any("nothing is rehearsed" in record.message for record in caplog.records)
    assert all(record.exc_info is None for record in caplog.records)
    answer = TestClient(app).simulate_get(SKELETON, params={"feed": FEED}, headers=bearer(ALICE.token()))
    assert answer.status_code == 503


def test_activity_that_cannot_be_opened_beforehand_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "activity.sqlite"
    path.mkdir()
    activity = ActivityWriter(path, now=Clock())
    activity.start()
    activity.record([Visit(ALICE.did, "for-you", "en", int(START * 1e6))])
    assert wait_until(lambda: activity.failures > 0)
    path.rmdir()
    assert flush(activity) and activity.close()
    assert activity.written == 1
