"""foryou viewer export and forget, on a store with history: every file of the data directory is searched after it."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import commands
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analyst_store import Store
from serving_worlds import START
from streams import wait_until

from pipeline.explore import after_batch
from pipeline.operate.viewer.forget import forget
from pipeline.store.locks import exclusive
from serving.identity.key_store import KeyStore, forget_stored_key
from serving.identity.keys import SigningKey
from serving.viewers.activity_queue import Interaction, ShownPage, Visit
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.forgotten import forget_activity, mark_of
from sql import places

PUBLIC = {"landing.sqlite", "actors.parquet"}  # the account, its likes and its posts, from the stream


def found_in(data_dir: Path, text: str) -> set[str]:
    """Return every file under a folder that has a text: in its bytes, or in a column of Parquet."""
    found = set()
    for path in data_dir.rglob("*"):
        if not path.is_file():
            continue
        if text.encode() in path.read_bytes() or (path.suffix == ".parquet" and text in texts_of(path)):
            found.add(str(path.relative_to(data_dir)))
    return found


def texts_of(path: Path) -> str:
    """Return all texts of a Parquet file, and what its footer says of them."""
    table = pq.read_table(path)
    columns = [column for column in table.columns if pa.types.is_string(column.type)]
    return "\n".join(str(value) for column in columns for value in column.unique().to_pylist())


def viewer_of(store: Store) -> str:
    """Return a viewer of the store who wrote nothing, was shown posts on closed days, and answered."""
    authors = {like.author for like in store.records()}
    answered = {viewer for viewer, _, event, _ in store.interactions if event == "requestLess"}
    shown = {each.viewer for each in store.impressions}
    return min(did for did in (answered & shown & store.lists.keys()) if did not in authors)


@pytest.fixture
def history(analysts: Store, tmp_path: Path) -> tuple[Path, str]:
    """A copy of the analysts' store with a viewer who has left traces everywhere, also where rows were deleted."""
    data_dir = tmp_path / "data"
    shutil.copytree(analysts.data_dir, data_dir, symlinks=True)
    viewer = viewer_of(analysts)
    writer = ActivityWriter(places.activity(data_dir))
    others = [f"did:plc:{'z' * 20}{number:04}".replace("0", "a").replace("1", "b") for number in range(40)]
    for each in (viewer, *others):
        pages = [ShownPage(each, "for-you", 1, 1, [f"at://{others[0]}/app.bsky.feed.post/{place}"], [1], 7)
                 for place in range(30)]  # fmt: skip
        writer.record([Visit(each, "for-you", "en", 5), *pages])
        writer.record(
            [Interaction(each, f"at://{others[0]}/app.bsky.feed.post/a", "requestLess", "for-you", "", "", 5)]
        )
    assert writer.close(60)
    with closing(sqlite3.connect(places.activity(data_dir))) as activity:  # pages that become free
        activity.execute("PRAGMA secure_delete = OFF")
        activity.execute("DELETE FROM impression_pages WHERE served_us = 7")
        activity.commit()
    KeyStore(places.keys(data_dir), 3600).keep(viewer, SigningKey("ES256K", b"\2" * 33), START)
    with closing(sqlite3.connect(places.landing(data_dir))) as landing:
        row = "INSERT OR REPLACE INTO fetched_viewers (did, fetched_us, likes, outcome) VALUES (?, 5, 3, 'done')"
        landing.execute(row, (viewer,))
        landing.commit()
    with closing(sqlite3.connect(places.serving(data_dir))) as serving:
        serving.execute("INSERT OR REPLACE INTO waiting_runs VALUES (?, 5, 0, 0)", (viewer,))
        serving.execute("INSERT OR REPLACE INTO deleted_viewers VALUES (?, 5)", (viewer,))
        serving.commit()
    after_batch.run(analysts.settings.__class__(**{**fields_of(analysts.settings), "data_dir": data_dir}))
    places.logs(data_dir).mkdir()
    (places.logs(data_dir) / "schedule.log").write_text(f"one line\n{viewer}: 3 likes\nanother\n")
    (data_dir / "tmp-viewer-7").mkdir()  # as a killed export leaves it
    (data_dir / "tmp-viewer-7" / "spilled").write_text(viewer)
    return data_dir, viewer


def fields_of(settings: Any) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def in_web_app(data_dir: Path) -> Any:
    """Return what the command line passes on."""
    return lambda did, at_us: (
        forget_activity(places.activity(data_dir), did, at_us)
        | {"keys": forget_stored_key(places.keys(data_dir), did)}
    )


def test_after_it_every_file_has_public_likes_alone(history: tuple[Path, str], analysts: Store) -> None:
    data_dir, viewer = history
    before = found_in(data_dir, viewer)
    for name in (
        "activity.sqlite",
        "keys.sqlite",
        "serving.sqlite",
        "log/schedule.log",
        "lake/impressions",
        "tmp-viewer",
    ):
        assert any(each.startswith(name) for each in before)
    assert any(name.startswith("explore") and "impressions" in name for name in before)
    days = {day: pq.read_table(places.impressions(data_dir, day)) for day in places.impression_days(data_dir)}
    report = forget(data_dir, viewer, in_web_app(data_dir), 10**18)
    assert {Path(name).name for name in found_in(data_dir, viewer)} == PUBLIC, report
    assert "Backups made before this still have it." in report[-1]
    for day, table in days.items():  # nobody else lost anything
        others = [row for row in table.to_pylist() if row["viewer_did"] != viewer]
        assert pq.read_table(places.impressions(data_dir, day)).to_pylist() == others
    actor = {did: number for number, did in analysts.dids.items()}[viewer]
    with closing(sqlite3.connect(places.serving(data_dir))) as serving:
        assert serving.execute("SELECT count(*) FROM lists WHERE viewer_id = ?", (actor,)).fetchone() == (0,)
        assert serving.execute("SELECT count(*) FROM lists").fetchone()[0] > 0
        assert serving.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    text = (places.logs(data_dir) / "schedule.log").read_text()
    assert text.splitlines()[::2] == ["one line", "another"]
    again = forget(data_dir, viewer, in_web_app(data_dir), 10**18)
    assert "nothing to delete" in again[0]


def test_the_commands(history: tuple[Path, str], analysts: Store) -> None:
    data_dir, viewer = history
    env = commands.environment(data_dir)
    known = json.loads(commands.run("viewer", "export", viewer, env=env).stdout)
    assert not list(data_dir.glob("tmp-viewer*"))
    likes = {like.post for like in analysts.records() if like.liker == viewer}
    assert known["public_likes"]["count"] == len(likes)
    shown = [each for each in analysts.impressions if each.viewer == viewer]
    assert sorted(each["post"] for each in known["shown"]) == sorted(each.post for each in shown)
    answered = {(post, event) for did, post, event, _ in analysts.interactions if did == viewer}
    names = {"show less": "requestLess", "show more": "requestMore"}
    mine = {(each["post"], names.get(each["event"], each["event"])) for each in known["interactions"]}
    assert mine == answered
    expected = [post for post, *_ in analysts.lists[viewer]]
    assert [item["post"] for item in known["lists"]["for-you"]["posts"]] == expected
    assert known["visits"][0]["feed"] == "for-you"
    assert commands.run("viewer", "forget", viewer, env=env).returncode == 0
    known = json.loads(commands.run("viewer", "export", viewer, env=env).stdout)
    assert known["public_likes"]["count"] == len(likes)
    assert [known[name] for name in ("visits", "interactions", "shown", "lists")] == [[], [], [], {}]
    refused = commands.run("viewer", "forget", "alice.example.com", env=env)
    assert refused.returncode == 1
    assert "no DID" in refused.stderr


def test_it_waits_for_a_run_that_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    with exclusive(tmp_path, "recent"):
        thread = threading.Thread(
            target=forget,
            args=(tmp_path, "did:plc:" + "a" * 24, lambda *_: {}, 5),
            kwargs={"say": said.append},
        )
        thread.start()
        wait_until(lambda: bool(said))
        assert thread.is_alive()
    thread.join(60)
    assert not thread.is_alive()


def test_a_worker_writes_nothing_of_before(tmp_path: Path) -> None:
    """What waits in a worker's queue when its viewer is forgotten is dropped, and its memory learns of it."""
    path, viewer, other = tmp_path / "activity.sqlite", "did:plc:" + "a" * 24, "did:plc:" + "b" * 24
    now = START
    writer = ActivityWriter(path, now=lambda: now)
    marks: list[bytes] = []
    writer.tell_forgotten(marks.extend)
    writer.record([Visit(viewer, "for-you", "en", 1), Visit(other, "for-you", "en", 1)])
    wait_until(lambda: writer.written == 2)
    at_us = int(START * 1e6) + 1
    forget_activity(path, viewer, at_us)
    wait_until(lambda: marks == [mark_of(viewer)])
    writer.record([Visit(viewer, "for-you", "en", at_us - 1), Visit(other, "for-you", "en", at_us - 1)])
    assert writer.close(60)
    with closing(sqlite3.connect(path)) as activity:
        assert activity.execute("SELECT viewer_did FROM visits").fetchall() == [(other,)]
    writer = ActivityWriter(path, now=lambda: now)
    writer.record([Visit(viewer, "for-you", "en", at_us + 1)])
    assert writer.close(60)
    with closing(sqlite3.connect(path)) as activity:
        assert activity.execute("SELECT first_us FROM visits WHERE viewer_did = ?", (viewer,)).fetchall() == [
            (at_us + 1,)
        ]
