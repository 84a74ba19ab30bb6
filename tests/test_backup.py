"""foryou backup and restore: while everything runs and is killed, and what they refuse."""

import io
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import commands
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_tools import differences
from serving_worlds import ServingStore
from streams import free_port, wait_until

from pipeline.blocking.rule_file import add
from pipeline.blocking.rules import BLOCK, Rule
from pipeline.demo.stored_likes import like_records
from pipeline.operate.backup import lake_copy
from pipeline.operate.backup import take as take_module
from pipeline.operate.backup.manifest import BackupError, whole_backups
from pipeline.operate.backup.restore import restore
from pipeline.operate.backup.take import take
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import WorldParameters
from pipeline.store.fetch_admission import HistoryLike
from pipeline.store.fetched_likes import DONE, HistoryStore
from pipeline.store.landing import Landing
from serving.viewers.activity_queue import Visit
from serving.viewers.activity_writer import ActivityWriter
from sql import places
from sql.sqlite import connect

SKELETON = "app.bsky.feed.getFeedSkeleton"
BACKUPS = 4
KILLED_BACKUPS = 5
# Files of a data directory, beside the stores, the key and the days of likes.
KEPT = [
    "lake/changes/day=2026-11-02/changes-0.parquet",
    "lake/impressions/day=2026-11-02/impressions.parquet",
]
FOR_A_MOVE = ["lake/neighbours.parquet", "lake/neighbour-parts/neighbours-7-1/00000.parquet"]
REBUILT = [
    "explore/7/likes/open.parquet",
    "explore/current.parquet",
    "dashboard.json",
    "keys.sqlite",
    "removals.sqlite",
    "tmp/spilled",
    "backfill/host/day.spool",
]
DRAFTS = ["lake/.tmp/half.parquet"]


def parquet(text: str) -> bytes:
    """Return a small file of Parquet with checksums."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [text] * 100}), sink, write_page_checksum=True, compression="none")
    return sink.getvalue()


def viewers(data_dir: Path) -> set[str]:
    """The viewers in activity.sqlite."""
    path = data_dir / "activity.sqlite"
    if not path.exists():
        return set()
    with closing(connect(path, read_only=True)) as store:
        try:
            return {row[0] for row in store.execute("SELECT viewer_did FROM visits")}
        except sqlite3.OperationalError:  # just made
            return set()


@dataclass
class Feed:
    """An installation at work: ingest, a batch after the other, and viewers."""

    data_dir: Path
    network: SimulatedNetwork
    env: dict[str, str]
    address: str
    service_did: str
    done: threading.Event = field(default_factory=threading.Event)

    def keep_batching(self) -> None:
        while not self.done.is_set():
            commands.run("batch", "--job", "compact", env=self.env)
            self.done.wait(0.2)

    def keep_visiting(self) -> None:
        feed = f"at://{self.service_did}/app.bsky.feed.generator/for-you"
        with httpx.Client(base_url=self.address, timeout=120) as client:
            for account in self.network.world.people.dids:
                token = self.network.token(account, self.service_did, SKELETON)
                headers = {"Authorization": f"Bearer {token}"}
                try:
                    client.get(f"/xrpc/{SKELETON}", params={"feed": feed, "limit": 30}, headers=headers)
                except httpx.TransportError:
                    time.sleep(0.05)
                if self.done.wait(0.01):
                    return


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    parameters = WorldParameters(users=300, days=4, seed=11, end_us=1_790_000_000_000_000)
    port = free_port()
    with SimulatedNetwork(parameters, speed=7200) as network:
        env = commands.environment(
            tmp_path / "data",
            stream_url=network.stream_url,
            stream_start_hours="1000000",
            hostname=f"localhost:{port}",
            listen=f"127.0.0.1:{port}",
            plc_url=network.plc_url,
        )
        did = f"did:web:localhost%3A{port}"
        yield Feed(tmp_path / "data", network, env, f"http://127.0.0.1:{port}", did)


def test_a_backup_under_load_is_complete_and_goes_on_elsewhere(feed: Feed, tmp_path: Path) -> None:
    folder, choose = tmp_path / "backups", random.Random(11)
    pieces: list[Callable[[], None]] = [feed.keep_batching, feed.keep_visiting]
    threads = [threading.Thread(target=piece) for piece in pieces]
    add(feed.data_dir, [Rule(BLOCK, "word", "crypto")])
    with commands.running("ingest", env=feed.env), commands.running("serve", env=feed.env):
        wait_until(lambda: (feed.data_dir / "landing.sqlite").exists())
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: bool(places.closed_days(feed.data_dir)) and bool(viewers(feed.data_dir)))
            for number in range(BACKUPS):
                seen_before = viewers(feed.data_dir)
                backup = take(feed.data_dir, folder, clock=lambda n=number: 1_790_000_000 + n)  # type: ignore[misc]
                seen_after = viewers(feed.data_dir)
                # A backup can be read as it is: the same stores in another place.
                held, missing, extra = differences(backup, feed.network.world)
                assert held > 1_000
                assert (missing, extra) == (0, 0)
                assert seen_before <= viewers(backup) <= seen_after
            for _ in range(KILLED_BACKUPS):
                with commands.running("backup", str(folder), env=feed.env) as process:
                    time.sleep(choose.uniform(0.1, 0.7))
                    process.kill()
                    process.wait()
        finally:
            feed.done.set()
            for thread in threads:
                thread.join()
    # Whatever is there by name is whole, and the next backup removes what the killed ones left.
    for backup in whole_backups(folder)[BACKUPS:]:
        assert differences(backup, feed.network.world)[1:] == (0, 0)
    last = commands.run("backup", str(folder), "--keep", "1", env=feed.env)
    assert last.returncode == 0, last.stderr
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == [
        whole_backups(folder)[0].name
    ]
    elsewhere = tmp_path / "elsewhere"
    env = feed.env | {"FORYOU_DATA_DIR": str(elsewhere)}
    restored = commands.run("restore", str(folder), env=env)
    assert restored.returncode == 0, restored.stderr
    assert like_records(elsewhere) == like_records(feed.data_dir)
    assert viewers(elsewhere) == viewers(feed.data_dir) != set()
    for name in ("cursor.key", "rules.txt"):
        assert (elsewhere / name).read_bytes() == (feed.data_dir / name).read_bytes()
    # The new machine goes on where the old one stood.
    before = like_records(elsewhere)[1]
    with commands.running("ingest", env=env):
        wait_until(lambda: like_records(elsewhere)[1] > before + 3_600_000_000)
    assert commands.run("batch", env=env).returncode == 0
    assert differences(elsewhere, feed.network.world)[1:] == (0, 0)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A small installation: stores with a row each, days in the lake, a key, and what can be made again."""
    folder = tmp_path / "data"
    folder.mkdir()
    Landing(folder).close()
    history = HistoryStore(folder)
    history.intern(["did:plc:b"])
    history.store_viewer("did:plc:a", [HistoryLike(1, "did:plc:b", 2, 3)], 4, DONE)
    history.close()
    ServingStore(folder / "serving.sqlite").close()
    for day in ("2026-11-01", "2026-11-02"):
        path = folder / "lake" / "likes" / f"day={day}" / "likes.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(parquet(day))
    for name in KEPT + FOR_A_MOVE + REBUILT + DRAFTS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(parquet(name) if "changes" in name else name.encode() * 10)
    (folder / "cursor.key").write_bytes(bytes(32))
    writer = ActivityWriter(folder / "activity.sqlite")
    writer.record([Visit("did:plc:a", "for-you", "en", time.time_ns() // 1000)])
    assert writer.close()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder by path, locks and the list of files aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith((".lock", "backup.json"))
    }


def test_a_lake_that_changes_meanwhile_is_taken_as_of_one_moment(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = data_dir / "lake" / "likes" / "day=2026-11-03" / "likes.parquet"
    first = data_dir / "lake" / "likes" / "day=2026-11-01" / "likes.parquet"
    changes = iter([lambda: (added.parent.mkdir(), added.write_bytes(parquet("new"))), first.unlink])
    list_files = lake_copy.listed

    def listed(folder: Path, *, lists: bool) -> frozenset[lake_copy.LakeFile]:
        found = list_files(folder, lists=lists)
        next(changes, lambda: None)()  # a compaction just after each of the first two looks
        return found

    monkeypatch.setattr(lake_copy, "listed", listed)
    backup = take(data_dir, tmp_path / "backups")
    names = {name for name in files(backup) if name.startswith("lake/likes")}
    assert names == {f"lake/likes/day=2026-11-0{n}/likes.parquet" for n in (2, 3)}


def test_the_lake_is_copied_where_it_cannot_be_linked(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def refuse(source: Path, goal: Path) -> None:
        if Path(source).is_relative_to(data_dir):  # another disk
            raise OSError(18, "Invalid cross-device link")
        link(source, goal)

    monkeypatch.setattr(os, "link", refuse)
    first, second = (take(data_dir, tmp_path / "b", clock=lambda n=n: 1.79e9 + n) for n in range(2))  # type: ignore[misc]
    day = "lake/likes/day=2026-11-01/likes.parquet"
    assert files(first).keys() == files(second).keys()
    assert (first / day).stat().st_ino == (second / day).stat().st_ino != (data_dir / day).stat().st_ino
    assert (first / day).read_bytes() == (data_dir / day).read_bytes()


def test_what_is_in_a_backup(data_dir: Path, tmp_path: Path) -> None:
    days = [f"lake/likes/day=2026-11-0{n}/likes.parquet" for n in (1, 2)]
    kept = {"landing.sqlite", "activity.sqlite", "cursor.key", *days, *KEPT}
    nightly, for_a_move = (
        take(data_dir, tmp_path / name, lists=lists) for name, lists in (("nightly", False), ("move", True))
    )
    assert files(nightly).keys() == kept
    assert files(for_a_move).keys() == {*kept, "serving.sqlite", *FOR_A_MOVE}
    for name in days + KEPT:
        assert (nightly / name).read_bytes() == (data_dir / name).read_bytes()
    for store, query in [("landing", "SELECT * FROM like_words"), ("activity", "SELECT * FROM visits")]:
        rows = [
            connect(folder / f"{store}.sqlite", read_only=True).execute(query).fetchall()
            for folder in (data_dir, nightly)
        ]
        assert rows[0] == rows[1] != []


def test_a_damaged_day_is_not_taken_for_a_backup(data_dir: Path, tmp_path: Path) -> None:
    day = data_dir / "lake" / "likes" / "day=2026-11-02" / "likes.parquet"
    whole = take(data_dir, tmp_path / "backups")
    damaged = bytearray(day.read_bytes())
    damaged[damaged.index(b"2026-11-02")] ^= 1
    day.unlink()  # a backup's files are links to the lake's
    day.write_bytes(damaged)
    with pytest.raises(BackupError, match=r"likes\.parquet is damaged"):
        take(data_dir, tmp_path / "backups")
    assert [path.name for path in (tmp_path / "backups").iterdir() if not path.name.startswith(".")] == [
        whole.name
    ]


def test_impressions_that_move_into_the_lake_meanwhile_are_in_the_backup(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = "lake/impressions/day=2026-11-03/impressions.parquet"
    copy_store = take_module._copy_store

    def copy(source: sqlite3.Connection, goal: Path) -> int:
        """By the time the stores are copied, a day has gone into the lake and out of activity.sqlite."""
        if not (data_dir / moved).exists():
            (data_dir / moved).parent.mkdir()
            (data_dir / moved).write_bytes(b"day")
            with closing(connect(data_dir / "activity.sqlite")) as store:
                store.execute("DELETE FROM visits")
        return copy_store(source, goal)

    monkeypatch.setattr(take_module, "_copy_store", copy)
    backup = take(data_dir, tmp_path / "backups")
    assert (moved in files(backup), viewers(backup)) == (False, {"did:plc:a"})
    assert viewers(data_dir) == set()


def test_a_restore_gives_back_every_file(data_dir: Path, tmp_path: Path) -> None:
    backup = take(data_dir, tmp_path / "backups", lists=True)
    assert backup.stat().st_mode & 0o077 == 0
    restore(backup, tmp_path / "elsewhere")
    assert files(tmp_path / "elsewhere") == files(backup)


def test_a_restore_refuses_what_would_do_harm(data_dir: Path, tmp_path: Path) -> None:
    backup = take(data_dir, tmp_path / "backups")
    manifest = json.loads((backup / "backup.json").read_text())

    def refused(goal: Path = tmp_path / "elsewhere", source: Path = backup) -> str:
        with pytest.raises(BackupError) as caught:
            restore(source, goal)
        if goal != data_dir:
            assert not any(goal.glob("[!.]*"))  # nothing was written
        return str(caught.value)

    before = files(data_dir)
    assert "is not empty" in refused(data_dir)
    assert files(data_dir) == before
    assert "is not a backup" in refused(source=tmp_path)
    newer = manifest | {"schemas": {"landing": 99}}
    (backup / "backup.json").write_text(json.dumps(newer))
    assert "landing.sqlite has schema version 99" in refused()
    (backup / "backup.json").write_text(json.dumps(manifest | {"files": {"../outside": 3}}))
    assert "outside the backup" in refused()
    (backup / "backup.json").write_text(json.dumps(manifest | {"format": 2}))
    assert "format 2" in refused()
    (backup / "backup.json").write_text("{")
    assert "does not list" in refused()
    (backup / "backup.json").write_text(json.dumps(manifest))
    with (backup / "cursor.key").open("ab") as key:
        key.write(b"x")
    assert "damaged: cursor.key has 33 bytes instead of 32" in refused()
    (backup / "cursor.key").unlink()
    assert "cursor.key is missing" in refused()


def test_a_restore_while_foryou_runs_there_is_refused(data_dir: Path, tmp_path: Path) -> None:
    backup = take(data_dir, tmp_path / "backups")
    env = commands.environment(tmp_path / "used", stream_url=f"ws://127.0.0.1:{free_port()}/subscribe")
    with commands.running("ingest", env=env):
        wait_until(lambda: (tmp_path / "used" / "landing.sqlite").exists())
        result = commands.run("restore", str(backup), env=env)
    assert result.returncode == 1
    assert "another ingest" in result.stderr


def test_what_cannot_be_backed_up(data_dir: Path, tmp_path: Path) -> None:
    for source, folder, said in [
        (tmp_path / "nothing", tmp_path / "b", "nothing to back up"),
        (data_dir, data_dir / "lake" / "b", "inside the lake"),
        (data_dir, data_dir / "cursor.key", "can't write"),
    ]:
        env = commands.environment(source)
        result = commands.run("backup", str(folder), env=env)
        assert (result.returncode, said in result.stderr) == (1, True), result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_two_backups_at_once(data_dir: Path, tmp_path: Path) -> None:
    from pipeline.store.locks import exclusive

    with ExitStack() as stack:
        stack.enter_context(exclusive(tmp_path / "b", "backup"))
        result = commands.run("backup", str(tmp_path / "b"), env=commands.environment(data_dir))
    assert result.returncode == 1
    assert "another backup" in result.stderr
