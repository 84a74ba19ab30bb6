"""Reading a store as Arrow rows: one that another process has locked is waited for, one that is not there is
named."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import StoreError
from pipeline.store import arrow
from sql.sqlite import connect

HOLD = """
import sqlite3, sys, time
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("PRAGMA locking_mode = EXCLUSIVE")  # as while a log is recovered: nobody may read
store.execute("BEGIN IMMEDIATE")
store.execute("INSERT INTO numbers VALUES (2)")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
store.execute("COMMIT")
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.sqlite"
    with connect(path) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        connection.execute("INSERT INTO numbers VALUES (1)")
    connection.close()
    return path


def held(path: Path, seconds: float) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_locked_store_is_waited_for(store: Path) -> None:
    with held(store, 0.5) as holder:
        began = time.monotonic()
        with arrow.reading(store) as reader:
            assert reader.number("SELECT count(*) FROM numbers") == 2
        assert time.monotonic() - began > 0.3
        assert holder.wait() == 0


def test_one_that_stays_locked_is_an_error_that_names_it(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "BUSY_SECONDS", 0)
    with held(store, 1.0), pytest.raises(StoreError, match=r"can't read .*numbers.sqlite: .*locked"):  # noqa: SIM117
        with arrow.reading(store) as reader:
            reader.number("SELECT count(*) FROM numbers")


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"), arrow.reading(tmp_path / "none.sqlite"):
        pass


def test_wanted_rows_are_looked_up_in_the_transaction_that_began(store: Path) -> None:
    """Other processes write meanwhile; the store never has the temporary table."""
    write = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 60, isolation_level=None).execute(sys.argv[2])"
    writing = [sys.executable, "-c", write, str(store), "INSERT INTO numbers VALUES (3)"]
    looked_up = "SELECT count(*) FROM temp.wanted AS w CROSS JOIN numbers AS n WHERE n.number = w.number"
    with arrow.reading(store) as reader:
        assert reader.number("SELECT count(*) FROM numbers") == 1
        subprocess.run(writing, check=True)
        reader.put("wanted", pa.table({"number": [1, 3, 4]}))
        assert reader.number(looked_up) == 1
        subprocess.run(writing, check=True)
        reader.put("wanted", pa.table({"number": [3]}))  # in the place of the former
        assert reader.number(looked_up) == 0
    with arrow.reading(store) as reader:
        assert reader.number("SELECT count(*) FROM numbers") == 3
        assert reader.number("SELECT count(*) FROM sqlite_schema WHERE name = 'wanted'") == 0


def too_much(store: Path) -> None:
    with arrow.reading(store) as reader:
        reader.table("PRAGMA temp.max_page_count = 4")
        reader.put("wanted", pa.table({"number": range(100_000)}))


def test_the_first_error_is_the_one_that_is_named(store: Path) -> None:
    """SQLite may end a transaction by itself, as on a full disk; then there is none to take back."""
    with pytest.raises(StoreError, match=r"can't read .*numbers.sqlite: .*full"):
        too_much(store)


def broken_off(store: Path) -> None:
    with arrow.reading(store) as reader:
        next(iter(reader.stream("SELECT * FROM numbers")))
        raise KeyError


def test_nothing_is_held_after_a_block_that_broke_off(store: Path) -> None:
    with pytest.raises(KeyError):
        broken_off(store)
    with connect(store) as connection:
        connection.execute("INSERT INTO numbers VALUES (2)")
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()
