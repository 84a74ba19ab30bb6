"""One writer per store: a lock that a process holds while it lives and the system frees when it dies.

Owns: ``exclusive`` and ``holder``. The lock is flock() on a file of its own beside the store, so kill -9 leaves nothing
to clean up.

Removing such a file lets nobody in. Whoever removes it leaves the holder with a lock that has no name, and a new file
of that name can be locked by others. So each holder of any duty also has a shared lock on the data directory itself,
which can't be removed. A new file counts only once it bears its own mark, and only a process that has the directory
alone writes marks: while nobody holds any duty. It marks the files of all duties, so that this happens once.

Invariant: whoever holds a duty has, at the same time, the shared lock on the directory and the lock on the file that
has the duty's name and its mark.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import StoreError
from sql import places

# Every duty on a data directory.
DUTIES = (
    "up",
    "ingest",
    "schedule",
    "batch",
    "recent",
    "liked",
    "waiting",
    "backfill",
    "viewers",
    "lake",
    "newer-neighbours",
    "sync",
)
MARK_SECONDS = 2.0  # others who begin at the same time have the directory for moments
_MARK_BYTES = 32


@contextmanager
def exclusive(data_dir: Path, duty: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of one duty ('ingest', 'batch', …) on a data directory; StoreError when it is taken.

    ``wait`` waits for it instead, which is for short duties alone. Creates the directory; StoreError when that or
    writing in it fails.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = _taken(folder, data_dir, duty, wait)
        except BaseException:
            os.close(folder)
            raise
    except OSError as error:
        raise StoreError(f"can't write in the data directory {data_dir}: {error.strerror}") from error
    try:
        with suppress(OSError):  # the process id is for people; a full disk must not prevent the lock
            os.pwrite(descriptor, f"{os.getpid():<12}\n".encode(), _MARK_BYTES)
        yield
    finally:
        os.close(descriptor)
        os.close(folder)


def holder(path: Path) -> int | None:
    """Return the process that last held the lock of a file, None when the file does not say."""
    try:
        words = path.read_text(errors="replace").split()
        return int(words[2]) if len(words) > 2 else None  # after the mark's two words
    except (OSError, ValueError):
        return None


def _taken(folder: int, data_dir: Path, duty: str, wait: bool) -> int:
    """Return the descriptor of a duty's file, locked, while the directory's shared lock is held too."""
    path, until = places.lock(data_dir, duty), time.monotonic() + MARK_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            fcntl.flock(folder, fcntl.LOCK_SH)
            if _is_marked(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise StoreError(
                f"another {duty} (process {holder(path) or 'unknown'}) is running on {data_dir}; "
                "stop it first, or set FORYOU_DATA_DIR"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        fcntl.flock(folder, fcntl.LOCK_UN)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise StoreError(
                    f"{path} was removed or replaced while foryou was running on {data_dir}, so another {duty} may "
                    "still be running; stop all of foryou once, and start it again"
                ) from error
            time.sleep(0.02)
            continue
        try:
            for name in {duty} | (set(DUTIES) if duty in DUTIES else set()):
                _mark(places.lock(data_dir, name))
        finally:
            fcntl.flock(folder, fcntl.LOCK_UN)


def _mark(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, _mark_of(descriptor), 0)
    finally:
        os.close(descriptor)


def _is_marked(descriptor: int, path: Path) -> bool:
    """Tell whether an open file bears its mark and still has its name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    mark = os.pread(descriptor, _MARK_BYTES, 0)
    return mark == _mark_of(descriptor) and os.path.samestat(named, os.fstat(descriptor))


def _mark_of(descriptor: int) -> bytes:
    # The inode: a copy of a marked file, and a file made by hand, bear no mark of their own.
    return f"lock {os.fstat(descriptor).st_ino}".ljust(_MARK_BYTES - 1).encode() + b"\n"
