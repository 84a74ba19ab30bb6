"""Starting the process in which an analyst's SQL runs, and taking its rows.

Owns: that process from its start to its end, the file of ``--output``, and saying why it failed. Leaves to others: what
happens inside (``inside``). The rows of a file appear under its name once they are whole.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.explore.box import limits
from pipeline.explore.box.request import BoxRequest
from pipeline.explore.queries import QueryError
from pipeline.store.whole_files import whole
from sql.temporary_folders import temporary_folder

INSIDE = "pipeline.explore.box.inside"

MakeRequest = Callable[[Path], BoxRequest]  # given the folder to spill to


def write(make: MakeRequest, target: BinaryIO) -> None:
    """Run a query; copy its rows to a stream as they come."""

    def copy(process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        shutil.copyfileobj(process.stdout, target)
        target.flush()

    _run(make, subprocess.PIPE, copy)


def write_file(make: MakeRequest, path: Path, data_dir: Path) -> None:
    """Run a query; write its rows to a file, in place of one of that name once they are whole."""
    if path.resolve().is_relative_to(data_dir.resolve()):
        raise QueryError(f"can't write {path}: the data directory belongs to foryou, name a file elsewhere")
    if not path.parent.is_dir():
        raise QueryError(f"can't write {path}: there is no folder {path.parent}")
    try:
        with whole(path, synced=False) as draft, draft.open("wb") as target:
            _run(make, target, lambda _: None)
    except OSError as error:
        raise QueryError(f"can't write {path}: {error.strerror}") from error


def shell(make: MakeRequest) -> None:
    """Give the terminal to a shell inside until that ends."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the shell
    try:
        _run(make, None, lambda _: None)
    finally:
        signal.signal(signal.SIGINT, former)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Remove the temporary folder and end the process inside also when this one is to end."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # no signal comes here
        return
    former = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _run(
    make: MakeRequest, stdout: int | BinaryIO | None, take: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    with _ending_in_order(), temporary_folder("sql") as spill:
        request_read, request_write = os.pipe()
        verdict_read, verdict_write = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", INSIDE, str(request_read), str(verdict_write)],
                stdin=None if stdout is None else subprocess.DEVNULL,
                stdout=stdout,
                env=limits.environment(os.environ) | {"TMPDIR": str(spill)},
                pass_fds=(request_read, verdict_write),
            )
        finally:
            os.close(request_read)
            os.close(verdict_write)
        try:
            with suppress(BrokenPipeError), os.fdopen(request_write, "wb") as request:
                request.write(make(spill).to_json())
            take(process)
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            with os.fdopen(verdict_read, "rb") as verdict:
                complaint = verdict.read().decode(errors="replace")
    if process.returncode == 130:
        raise KeyboardInterrupt
    if complaint:
        raise QueryError(complaint)
    if process.returncode < 0:
        bound = f"{limits.memory_bytes() // 2**20:,} MiB"
        name = signal.Signals(-process.returncode).name
        raise QueryError(f"the query was ended ({name}): most likely it needed far more memory than {bound}")
    if process.returncode:
        raise QueryError("the query's process failed: its message is above")
