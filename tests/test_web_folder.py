"""The web app where it may write its own folder alone: mounts of its own, as systemd makes them for its unit.

The rest of the data directory is mounted read-only for its processes; those beside it, which write the stores, see it
as it is.
"""

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import commands
import pytest
from serving_worlds import (
    FEED,
    PUBLISHER_DID,
    SKELETON,
    Account,
    ServingStore,
    bearer,
    blob,
    directory,
    plc_did,
    post_uri,
)
from streams import free_port, wait_until
from worlds import small_town

from pipeline.operate.backup.manifest import BackupError
from pipeline.operate.backup.restore import restore
from sql import places
from sql.sqlite import connect, open_migrated

MOUNTS = """
mount --bind "$1" "$1" && mount --bind "$1/web" "$1/web" && mount -o remount,bind,ro "$1" || exit 99
shift
exec "$@"
"""
POSTS = range(1, 31)
VIEWER = Account(plc_did(1))
NOBODY: Mapping[str, str] = {}


def can_mount(folder: Path) -> bool:
    """Tell whether this user may have mounts of its own here."""
    if shutil.which("unshare") is None:
        return False
    (folder / "web").mkdir()
    script = ["unshare", *user(), "--mount", "sh", "-c", MOUNTS, "sh", str(folder)]
    tried = subprocess.run([*script, "touch", str(folder / "x")], capture_output=True, check=False)
    (folder / "web").rmdir()
    return tried.returncode == 1  # touch could not


def user() -> list[str]:
    return [] if os.geteuid() == 0 else ["--user", "--map-root-user"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with lists, and the web app's folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    if not can_mount(folder):
        pytest.skip("no mounts of one's own here")
    (folder / "web").mkdir()
    publish(folder, 1, POSTS)
    open_migrated(places.removals(folder), "removals").close()
    return folder


def publish(data_dir: Path, generation: int, posts: range) -> None:
    """Publish what is popular as the batch does: a process that ends closes the store."""
    store = ServingStore(places.serving(data_dir))
    store.posts(posts)
    store.publish(generation, {}, {"": blob(posts)}, at=time.time())
    store.close()


class WebApp:
    """The real command in mounts of its own."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.port = data_dir, port

    def get(self, path: str, headers: Mapping[str, str] = NOBODY) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def first_post(self) -> str | None:
        """Return the first post of the list for anybody, None where there is none."""
        status, body = self.get(f"{SKELETON}?feed={FEED}&limit=5")
        return json.loads(body)["feed"][0]["post"] if status == 200 else None


@contextmanager
def web_app(data_dir: Path) -> Iterator[WebApp]:
    """Run it while the block runs."""
    port = free_port()
    with directory() as plc:
        plc.publish(VIEWER)
        env = commands.environment(
            data_dir,
            hostname="feed.example.com",
            publisher_did=PUBLISHER_DID,
            listen=f"127.0.0.1:{port}",
            plc_url=plc.url,
            pages="off",
        )
        script = ["unshare", *user(), "--mount", "sh", "-c", MOUNTS, "sh", str(data_dir)]
        log = data_dir.parent / "log"
        with log.open("ab") as stderr:
            process = subprocess.Popen([*script, *commands.command("serve")], env=env, stderr=stderr)
        try:
            app = WebApp(data_dir, port)
            wait_until(lambda: process.poll() is not None or app.get("/health")[0] in (200, 503))
            assert process.poll() is None, log.read_text()
            yield app
        finally:
            process.terminate()
            process.wait(60)


def outside(data_dir: Path) -> set[str]:
    return {path.name for path in data_dir.iterdir()} - {"web"}


def test_it_reads_what_others_write_and_writes_its_own_folder_alone(data_dir: Path) -> None:
    before = outside(data_dir)
    assert {"serving.sqlite-wal", "serving.sqlite-shm", "removals.sqlite-wal"} <= before
    for generation in (2, 4):  # started again, with nobody who has the store open
        with web_app(data_dir) as app:
            wait_until(lambda: app.first_post() is not None)
            publish(data_dir, generation, range(generation, 30))
            wait_until(lambda: app.first_post() == post_uri(generation))  # noqa: B023
            with closing(open_migrated(places.serving(data_dir), "serving")):  # while its writer has it open
                assert app.first_post() == post_uri(generation)
            assert app.get("/health")[0] == 200
            token = bearer(VIEWER.token(now=time.time()))
            assert app.get(f"{SKELETON}?feed={FEED}", token)[0] == 200
    with closing(connect(places.activity(data_dir), read_only=True)) as activity:
        assert activity.execute("SELECT viewer_did, pages FROM visits").fetchall() == [(VIEWER.did, 2)]
    made = {path.name.partition(".sqlite")[0] for path in (data_dir / "web").iterdir()}
    assert {"activity", "keys", "cursor.key"} <= made
    assert outside(data_dir) == before


def test_a_store_without_its_log_is_read_when_a_writer_has_come(data_dir: Path) -> None:
    for end in ("-wal", "-shm"):  # as after a copy of the file alone
        places.serving(data_dir).with_name(f"serving.sqlite{end}").unlink()
    with web_app(data_dir) as app:
        assert app.first_post() is None
        assert app.get("/health")[0] == 503
        connect(places.serving(data_dir)).close()
        wait_until(lambda: app.first_post() == post_uri(1))


def test_it_refuses_to_start_without_the_files_it_had(tmp_path: Path) -> None:
    """Seen posts and answers would be lost without a word."""
    publish(tmp_path, 1, POSTS)
    open_migrated(places.activity(tmp_path), "activity").close()
    assert places.activity(tmp_path) == tmp_path / "activity.sqlite"
    (tmp_path / "web").mkdir()
    assert places.activity(tmp_path) == tmp_path / "web" / "activity.sqlite"
    env = commands.environment(
        tmp_path, hostname="feed.example.com", publisher_did=PUBLISHER_DID, listen=f"127.0.0.1:{free_port()}"
    )
    done = commands.run("serve", env=env)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"foryou: the web app keeps its files in {tmp_path / 'web'}, but activity.sqlite"
    )


def test_a_backup_is_restored_into_the_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    small_town().visit("ann").write(old)
    places.cursor_key(old).write_text("key")
    assert commands.run("backup", str(tmp_path / "backups"), env=commands.environment(old)).returncode == 0
    (new / "web").mkdir(parents=True)
    restore(tmp_path / "backups", new)
    assert {path.name for path in (new / "web").iterdir()} == {"activity.sqlite", "cursor.key"}
    assert places.outside_web(new) == []
    with pytest.raises(BackupError, match="is not empty"):
        restore(tmp_path / "backups", new)
