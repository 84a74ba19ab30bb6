"""Bringing a store to a new schema: killed at any moment it is old or new, and an older program refuses a newer
one."""

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import commands
import pytest
from serving_worlds import ServingStore
from streams import free_port, wait_until

from pipeline.store.landing import Landing
from serving.viewers.activity_queue import Visit
from serving.viewers.activity_writer import ActivityWriter
from sql.sqlite import connect, current_version, migrate, migrations_of

PROJECT = Path(__file__).resolve().parents[1]
ROWS = 60_000
KILLS = 5
# A migration of the next version that takes a while: it rebuilds a table and its index, and fills a new one.
NEXT = f"""-- Writes: actors as another table.
CREATE TABLE actors_new (actor_id INTEGER PRIMARY KEY, did TEXT NOT NULL UNIQUE, extra TEXT NOT NULL);
INSERT INTO actors_new SELECT actor_id, did, 'extra' || did FROM actors;
DROP TABLE actors;
ALTER TABLE actors_new RENAME TO actors;
CREATE TABLE numbers AS
  WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {ROWS}) SELECT n FROM counted;
"""


@pytest.fixture
def next_version(tmp_path: Path) -> tuple[int, Path]:
    """A copy of the package sql with one more migration of landing.sqlite: its number, and the folder it is in."""
    folder = tmp_path / "next"
    shutil.copytree(PROJECT / "sql", folder / "sql", ignore=shutil.ignore_patterns("__pycache__"))
    number = max(migrations_of("landing")) + 1
    (folder / "sql" / "landing" / f"{number:04}_next.sql").write_text(NEXT)
    return number, folder


def filled(data_dir: Path) -> Path:
    """A landing store with so many actors."""
    data_dir.mkdir(parents=True)
    Landing(data_dir).close()
    path = data_dir / "landing.sqlite"
    with closing(connect(path)) as store:
        store.execute("BEGIN")
        store.executemany(
            "INSERT INTO actors (actor_id, did) VALUES (?, ?)",
            ((n, f"did:plc:{n:024}") for n in range(1, ROWS + 1)),
        )
        store.execute("COMMIT")
    return path


def migrating(path: Path, folder: Path) -> subprocess.Popen[bytes]:
    program = (
        "import sys; from pathlib import Path; from sql.sqlite import connect, migrate; "
        "migrate(connect(Path(sys.argv[1])), 'landing')"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=folder, env={"PYTHONPATH": str(folder)}
    )


def test_kill_9_during_a_migration_leaves_the_old_schema_or_the_new_one(
    next_version: tuple[int, Path], tmp_path: Path
) -> None:
    number, folder = next_version
    path = filled(tmp_path / "data")
    spare = tmp_path / "spare.sqlite"
    shutil.copy(path, spare)
    whole = 60.0
    for _ in range(2):  # the first takes longer: nothing is in the file cache yet
        shutil.copy(spare, path)
        began = time.monotonic()
        assert migrating(path, folder).wait(60) == 0
        whole = min(whole, time.monotonic() - began)
    choose = random.Random(5)
    seen = set()
    for kill in range(KILLS):
        shutil.copy(spare, path)
        for rest in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            rest.unlink(missing_ok=True)
        process = migrating(path, folder)
        time.sleep(whole * (kill + choose.random()) / KILLS)
        process.kill()
        process.wait()
        with closing(connect(path, read_only=True)) as store:
            version = current_version(store)
            columns = [row[1] for row in store.execute("PRAGMA table_info(actors)")]
            tables = {row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            assert store.execute("PRAGMA quick_check").fetchone() == ("ok",)
            assert store.execute("SELECT count(*) FROM actors").fetchone() == (ROWS,)
            if "numbers" in tables:
                assert store.execute("SELECT count(*) FROM numbers").fetchone() == (ROWS,)
        is_new = version == number
        assert (version == number - 1) != is_new
        assert ("extra" in columns, "numbers" in tables, "actors_new" in tables) == (is_new, is_new, False)
        seen.add(is_new)
        assert migrating(path, folder).wait(60) == 0  # the next start goes on
        with closing(connect(path, read_only=True)) as store:
            assert current_version(store) == number
    assert False in seen  # some were killed in the middle


def newer(path: Path) -> None:
    """Write a store as a later program would."""
    with closing(connect(path)) as store:
        store.execute("INSERT INTO _migrations VALUES (99, 'of the future')")


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as store:
        return list(store.iterdump())


@pytest.mark.parametrize("part", ["ingest", "batch"])
def test_an_older_program_refuses_a_newer_store_and_touches_nothing(part: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    path = filled(data_dir)
    if part == "batch":
        with closing(connect(path)) as store:
            columns = [row[1] for row in store.execute("PRAGMA table_info(like_words)")]
            row = dict.fromkeys(columns, 1) | {"seen_us": time.time_ns() // 1000}
            marks = ", ".join("?" * len(row))
            store.execute(f"INSERT INTO like_words ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        path = data_dir / "serving.sqlite"
        ServingStore(path).close()
    newer(path)
    before = content(path)
    env = commands.environment(data_dir, stream_url=f"ws://127.0.0.1:{free_port()}/subscribe")
    result = commands.run(part, env=env)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert path.name in line
    assert "schema is version 99, this program knows" in line
    assert "restore the backup made before the upgrade" in line
    assert "Traceback" not in result.stderr
    assert content(path) == before


def test_the_web_app_serves_on_and_says_that_it_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "activity.sqlite"
    writer = ActivityWriter(path)
    writer.record([Visit("did:plc:a", "for-you", "en", time.time_ns() // 1000)])
    assert writer.close()
    newer(path)
    writer = ActivityWriter(path)
    writer.record([Visit("did:plc:b", "for-you", "en", time.time_ns() // 1000)])
    wait_until(lambda: not writer.state()["ok"])
    assert "schema is version 99" in writer.failure
    assert not writer.close()
    with closing(connect(path, read_only=True)) as store:
        assert store.execute("SELECT viewer_did FROM visits").fetchall() == [("did:plc:a",)]


@pytest.mark.parametrize("part", ["landing", "serving", "activity", "keys"])
def test_keys_come_first_in_tables_without_rowid(part: str, tmp_path: Path) -> None:
    """Else SQLite 3.40 finds NULLs that are not there when it checks a backup."""
    with closing(connect(tmp_path / f"{part}.sqlite")) as store:
        migrate(store, part)
        made = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%WITHOUT ROWID%'"
        for (table,) in store.execute(made).fetchall():
            places = [
                row[5] for row in store.execute(f"PRAGMA table_info({table})")
            ]  # in the key, 0 for none
            keys = [place for place in places if place]
            assert places[: len(keys)] == list(range(1, len(keys) + 1)), table
