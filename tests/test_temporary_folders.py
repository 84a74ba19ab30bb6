"""Folders that are there as long as their process leave nothing behind, however it ends."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from sql import temporary_folders
from sql.temporary_folders import TemporaryFolder, temporary_folder

KILLED = """
    import sys, time
    from pathlib import Path
    from sql.temporary_folders import TemporaryFolder

    folder = TemporaryFolder(sys.argv[1], Path(sys.argv[2]))
    (folder.path / "spilled").mkdir()
    (folder.path / "spilled" / "rows").write_bytes(bytes(1000))
    print(folder.path, flush=True)
    time.sleep(600)
"""
BUSY = """
    import os, sys
    from pathlib import Path
    from sql.temporary_folders import TemporaryFolder

    for _ in range(200):
        with TemporaryFolder("", Path(sys.argv[1])) as folder:
            (folder / "one").touch()
            (folder / "one").unlink()
            assert folder.is_dir()
"""


def started(script: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])


def made_by(process: "subprocess.Popen[str]") -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    killed, living = started(KILLED, "ours-", str(tmp_path)), started(KILLED, "ours-", str(tmp_path))
    try:
        left, used = made_by(killed), made_by(living)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        others = tmp_path / "mine"
        others.mkdir()
        (others / "file").touch()
        (tmp_path / "ours-file").touch()
        (tmp_path / "ours-link").symlink_to(others, target_is_directory=True)
        with TemporaryFolder("ours-", tmp_path) as folder:
            assert not left.exists()
            names = {"mine", "ours-file", "ours-link", used.name, folder.name}
            assert set(os.listdir(tmp_path)) == names
            assert (used / "spilled" / "rows").stat().st_size == 1000
            with TemporaryFolder("ours-", tmp_path):
                assert folder.is_dir(), "one process may have several"
        assert set(os.listdir(tmp_path)) == names - {folder.name}
        assert (others / "file").exists()
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate()


def test_processes_that_begin_at_once_do_not_remove_each_others(tmp_path: Path) -> None:
    processes = [started(BUSY, str(tmp_path)) for _ in range(4)]
    try:
        assert [process.wait(600) for process in processes] == [0] * 4
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["opened", "locked"])
def test_one_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """As another process does that begins at the same moment."""
    made: list[Path] = []
    make, lock = tempfile.mkdtemp, fcntl.flock

    def remove(moment: str) -> None:
        if moment == step and len(made) == 1:
            made[0].rmdir()

    def make_and_remove(prefix: str, dir: Path) -> str:
        made.append(Path(make(prefix=prefix, dir=dir)))
        remove("opened")
        return str(made[-1])

    def remove_and_lock(descriptor: int, operation: int) -> None:
        remove("locked")
        lock(descriptor, operation)

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_remove)
    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    descriptors = len(os.listdir("/dev/fd"))
    with TemporaryFolder("", tmp_path) as folder:
        assert folder == made[1]
        assert folder.is_dir()
    assert len(os.listdir("/dev/fd")) == descriptors


def test_where_none_stays_it_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_folders, "_locked", lambda folder: folder.rmdir())
    with pytest.raises(OSError, match="no folder stays in"):
        TemporaryFolder("", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        TemporaryFolder("", tmp_path / "absent")


def test_unless_told_otherwise_it_is_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, disk = tmp_path / "named", tmp_path / "disk"
    monkeypatch.setattr(temporary_folders, "DISK", disk)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(named))
    named.mkdir()
    with temporary_folder("ours") as folder:
        assert folder.parent == named
    monkeypatch.delenv("TMPDIR")
    with temporary_folder("ours") as folder:  # where there is no such place
        assert folder.parent == Path(tempfile.gettempdir())
    disk.mkdir()
    with temporary_folder("ours") as folder:
        assert folder.parent == disk
