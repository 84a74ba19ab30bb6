"""Making and opening stores (``sql.sqlite``), with kills in between."""

import os
import random
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sql.sqlite import SchemaError, connect, current_version, migrate, rows_of

KILLS = 25
MAKING = """
import sys
from pathlib import Path
from sql.sqlite import connect
for number in range(100_000):
    connect(Path(sys.argv[1]) / f"{number}.sqlite").close()
    print(number, flush=True)
"""


def test_readers_can_open_what_a_process_left_that_was_killed_while_it_made_a_store(tmp_path: Path) -> None:
    choose = random.Random(3)
    for kill in range(KILLS):
        folder = tmp_path / str(kill)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", MAKING, str(folder)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(choose.uniform(0, 0.03))
            process.kill()
        made = list(folder.glob("[0-9]*.sqlite"))
        assert made
        for path in made:
            with closing(connect(path, read_only=True)) as store:
                assert current_version(store) == 0
                assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".landing.sqlite.new").write_bytes(b"half")
    with closing(connect(tmp_path / "landing.sqlite")) as store:
        migrate(store, "landing")
    left = {"landing.sqlite", "landing.sqlite-shm", "landing.sqlite-wal"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_what_was_written_is_in_the_file_itself_when_its_writer_has_closed_it(tmp_path: Path) -> None:
    """The log that stays beside it adds nothing: a copy of the file alone is whole."""
    path = tmp_path / "serving.sqlite"
    with closing(connect(path)) as store:
        store.execute("CREATE TABLE numbers (number)")
        store.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in range(5_000)])
    store.close()  # again, as others may
    with closing(connect(path)) as first, closing(connect(path)) as second:
        first.execute("INSERT INTO numbers VALUES (-1)")
        second.execute("BEGIN IMMEDIATE")
        second.execute("INSERT INTO numbers VALUES (-2)")  # is taken back, as its connection is closed
    assert path.with_name("serving.sqlite-wal").stat().st_size == 0
    copied = tmp_path / "copy.sqlite"
    copied.write_bytes(path.read_bytes())
    with closing(connect(copied)) as store:
        assert store.execute("SELECT count(*), min(number) FROM numbers").fetchone() == (5_001, -1)


@pytest.mark.parametrize("is_read", [False, True])
def test_a_store_that_was_deleted_leaves_nothing_to_its_successor(tmp_path: Path, is_read: bool) -> None:
    """Readers are read-only: the last to close leaves the WAL, and it must not become part of a new store."""
    path = tmp_path / "serving.sqlite"
    fill = (
        "import os, sys; from pathlib import Path; from sql.sqlite import connect; store = connect(Path(sys.argv[1])); "
        "store.execute('CREATE TABLE old (x)'); "
        "store.executemany('INSERT INTO old VALUES (?)', [('x' * 1000,)] * 500); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", fill, str(path)], check=True)
    assert path.with_name("serving.sqlite-wal").stat().st_size > 500_000
    reader = connect(path, read_only=True) if is_read else None
    if reader is not None:
        assert reader.execute("SELECT count(*) FROM old").fetchone() == (500,)
    path.unlink()
    with closing(connect(path)) as store:
        migrate(store, "serving")
    with closing(connect(path, read_only=True)) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.execute("SELECT count(*) FROM sqlite_master WHERE name = 'old'").fetchone() == (0,)
        assert current_version(store) > 0
    if reader is not None:
        reader.close()
    with closing(connect(path)) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_many_that_make_a_store_at_once_get_the_same(tmp_path: Path) -> None:
    add = (
        "import sys; from pathlib import Path; from sql.sqlite import connect; store = connect(Path(sys.argv[1])); "
        "store.execute('CREATE TABLE IF NOT EXISTS t (x)'); store.execute('INSERT INTO t VALUES (1)')"
    )
    for number in range(5):
        path = tmp_path / f"{number}.sqlite"
        makers = [subprocess.Popen([sys.executable, "-c", add, str(path)]) for _ in range(4)]
        assert [maker.wait(60) for maker in makers] == [0] * 4
        with closing(connect(path, read_only=True)) as store:
            assert store.execute("SELECT count(*) FROM t").fetchone() == (4,)


def test_a_store_whose_schema_has_another_history_is_refused_and_not_changed(tmp_path: Path) -> None:
    """That of foryou 0.1 had other first migrations: with as many of ours it would pass for one of ours."""
    with closing(connect(tmp_path / "landing.sqlite")) as store:
        store.execute("CREATE TABLE _migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        store.execute("INSERT INTO _migrations VALUES (1, 'landing/0001_landing')")
        with pytest.raises(SchemaError, match=r"made by a foryou that this one can't read: CHANGELOG\.md"):
            migrate(store, "landing")
        assert store.execute("SELECT name FROM sqlite_master").fetchall() == [("_migrations",)]


def test_a_store_is_private_from_the_start_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        with closing(connect(tmp_path / "activity.sqlite")) as store:
            store.execute("CREATE TABLE visits (viewer_did TEXT)")
            made = {path.name: stat.filemode(path.stat().st_mode) for path in tmp_path.glob("activity*")}
    finally:
        os.umask(former)
    assert made == dict.fromkeys(
        ("activity.sqlite", "activity.sqlite-wal", "activity.sqlite-shm"), "-rw-------"
    )


def test_an_absent_store_or_table_has_no_rows_and_what_is_broken_is_an_error(tmp_path: Path) -> None:
    store, other = tmp_path / "serving.sqlite", tmp_path / "activity.sqlite"
    query = "SELECT v.did FROM viewers AS v, visits AS w WHERE w.viewer_did = v.did AND v.did = :did"
    wanted = partial(rows_of, store, query, {"did": "d"}, {"other": other})
    assert wanted() == []  # no store
    for path, table in ((store, "viewers (did)"), (other, "visits (viewer_did)")):
        with closing(connect(path)) as connection:
            assert wanted() == []  # not all stores and tables
            connection.execute(f"CREATE TABLE {table}")
            connection.execute(f"INSERT INTO {table} VALUES ('d')")
    assert wanted() == [("d",)]
    assert [row["did"] for row in rows_of(store, "SELECT did FROM viewers", by_name=True)] == ["d"]
    log = store.with_name(store.name + "-wal")
    log.unlink()
    log.mkdir()  # as a disk that can't be read
    with pytest.raises(sqlite3.OperationalError):
        wanted()
