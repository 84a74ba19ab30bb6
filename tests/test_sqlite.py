"""Making and opening stores (``sql.sqlite``), with kills in between."""

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from sql.sqlite import connect, current_version, migrate

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
    left = [tmp_path / f".landing.sqlite.{name}" for name in ("12-34.new", "12-34.new-journal", "56-78.new")]
    for path in left:
        path.touch()
    for path in left[:2]:
        os.utime(path, (1, 1))
    with closing(connect(tmp_path / "landing.sqlite")) as store:
        migrate(store, "landing")
    assert [path for path in left if path.exists()] == left[2:]  # who makes one now is left alone
    left[2].unlink()
    assert {path.name for path in tmp_path.iterdir()} == {"landing.sqlite"}


def test_a_store_is_made_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    with closing(connect(tmp_path / "landing.sqlite")) as store:
        assert migrate(store, "landing") == current_version(store) > 0
    assert {path.name for path in tmp_path.iterdir()} == {"landing.sqlite"}
