"""One holder a duty, in real processes, whatever happens to the lock's file."""

import ast
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import commands
import pytest
from streams import LineStream, wait_until
from test_ingest import LIKES

from pipeline.errors import StoreError
from pipeline.store import locks
from pipeline.store.lock_holders import process_of
from pipeline.store.locks import DUTIES, exclusive, holder
from sql import places

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 400
HOLD = """
import sys
from pathlib import Path
from pipeline.errors import StoreError
from pipeline.store.locks import exclusive
try:
    with exclusive(Path(sys.argv[1]), sys.argv[2], wait=len(sys.argv) > 3):
        print("held", flush=True)
        sys.stdin.read()
except StoreError as error:
    print(error, flush=True)
"""


def begin(folder: Path, duty: str, *wait: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder), duty, *wait]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def holding(folder: Path, duty: str) -> Iterator[subprocess.Popen[str]]:
    process = begin(folder, duty)
    try:
        assert said(process) == "held"
        yield process
    finally:
        process.kill()
        process.communicate()


def remove(path: Path) -> None:
    path.unlink()


def make_anew(path: Path) -> None:
    path.unlink()
    path.touch()


def copy(path: Path) -> None:
    aside = path.with_suffix(".aside")
    shutil.copy2(path, aside)
    aside.rename(path)


@pytest.mark.parametrize("change", [remove, make_anew, copy])
@pytest.mark.parametrize("duty", [*DUTIES, "backup"])
def test_a_removed_file_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, duty: str, change: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(locks, "MARK_SECONDS", 0.1)
    path = places.lock(tmp_path, duty)
    with holding(tmp_path, duty) as first:
        assert holder(path) == first.pid
        with pytest.raises(StoreError, match=rf"another {duty} \(process {first.pid}\) is running on"):
            exclusive(tmp_path, duty).__enter__()
        change(path)
        for _ in range(2):
            with pytest.raises(StoreError, match=f"another {duty} may still be running; stop all of foryou"):
                exclusive(tmp_path, duty).__enter__()
        first.kill()  # as kill -9 does it
        first.wait()
        with exclusive(tmp_path, duty):  # and nothing is to be cleaned up
            assert holder(path) == os.getpid()


def test_another_process_waits_for_a_short_duty(tmp_path: Path) -> None:
    with holding(tmp_path, "newer-neighbours") as first:
        second = begin(tmp_path, "newer-neighbours", "wait")
        time.sleep(1)
        assert second.poll() is None
        first.communicate("")
        assert said(second) == "held"
        second.communicate("")


def test_duties_do_not_hinder_each_other(tmp_path: Path) -> None:
    """Also where all begin at once in a new directory, and where one process has several."""
    processes = [begin(tmp_path / "new", duty) for duty in DUTIES]
    assert [said(process) for process in processes] == ["held"] * len(DUTIES)
    for process in processes:
        process.communicate("")
    with ExitStack() as stack:
        for duty in DUTIES:
            stack.enter_context(exclusive(tmp_path / "new", duty))


def test_files_that_are_removed_while_nobody_runs_come_again(tmp_path: Path) -> None:
    for _ in range(2):
        with holding(tmp_path, "ingest"), holding(tmp_path, "batch"):
            pass
        for duty in DUTIES:
            places.lock(tmp_path, duty).unlink()


def test_the_lock_of_an_earlier_version_counts(tmp_path: Path) -> None:
    """It locked a file without a mark, and nothing else."""
    path = places.lock(tmp_path, "ingest")
    path.write_text("123\n")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"another ingest \(process unknown\)"):
            exclusive(tmp_path, "ingest").__enter__()
    with exclusive(tmp_path, "ingest"):
        assert holder(path) == os.getpid()


def test_two_never_hold_one_duty_while_files_vanish(tmp_path: Path) -> None:
    """Eight processes try all the time, and the files are removed all the time. Whoever holds makes a file of its own,
    which fails where there is one."""
    script = """
import os, sys, time
from pathlib import Path
from pipeline.errors import StoreError
from pipeline.store import locks
locks.MARK_SECONDS = 0.02
folder = Path(sys.argv[1])
held = open(folder / "held", "ab", buffering=0)
while not (folder / "enough").exists():
    try:
        with locks.exclusive(folder, "ingest"):
            os.close(os.open(folder / "here", os.O_CREAT | os.O_EXCL))
            time.sleep(0.002)
            os.unlink(folder / "here")
            held.write(b".")
    except StoreError:
        time.sleep(0.001)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(8)]
    choose = random.Random(1)
    removed, held = 0, tmp_path / "held"
    while all(process.poll() is None for process in processes):
        time.sleep(choose.random() * 0.004)
        try:
            places.lock(tmp_path, "ingest").unlink()
            removed += 1
        except FileNotFoundError:
            continue
        if removed > ROUNDS and held.stat().st_size > ROUNDS:
            break
    (tmp_path / "enough").touch()
    assert [process.wait() for process in processes] == [0] * 8


def test_a_second_ingest_after_rm(tmp_path: Path) -> None:
    with LineStream(LIKES) as stream:
        env = commands.environment(tmp_path, stream_url=stream.url, stream_start_hours="1000000")
        with commands.running("ingest", env=env) as first:
            wait_until(lambda: process_of(tmp_path, "ingest") == first.pid)
            places.lock(tmp_path, "ingest").unlink()
            second = commands.run("ingest", env=env)
            assert second.returncode == 1
            assert "another ingest may still be running" in second.stderr.splitlines()[-1]
            assert first.poll() is None
            assert commands.stop(first) == 0
        with commands.running("ingest", env=env) as third:
            wait_until(lambda: process_of(tmp_path, "ingest") == third.pid)
            assert commands.stop(third) in (0, -signal.SIGTERM)  # it may be at its start


def test_every_duty_is_listed() -> None:
    """A duty that is not would be refused while others run."""
    named = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "exclusive":
                named |= {part.value for part in ast.walk(node.args[1]) if isinstance(part, ast.Constant)}
    from pipeline.batch.tiers import BESIDE
    from pipeline.operate.backup.restore import DUTIES as RESTORED

    assert named | set(BESIDE) | set(RESTORED) == {*DUTIES, "backup"}
