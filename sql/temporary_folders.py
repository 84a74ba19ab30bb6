"""Folders that are there as long as their process: for what it spills, its sockets, its shared counts.

Owns: making them, removing them, and removing those of processes that were killed. Leaves to others: what is in them.

A folder is locked as long as its process lives, however that ends. Whoever makes one removes those beside it that
nobody has locked, so what killed processes leave never piles up.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

DISK = Path("/var/tmp")
TRIES = 100  # of which all but one are removed by others, who begin at the same moment


class TemporaryFolder:
    """A new folder, ``path``, until ``close``, which may be called twice.

    It lies in ``root``, where no folders but such may have names of this beginning: those that nobody has locked are
    removed. Raises OSError when none can be made.
    """

    def __init__(self, beginning: str, root: Path) -> None:
        remove_left(root, beginning)
        for _ in range(TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=beginning, dir=root))
            self._lock = _locked(self.path)
            if self._lock is not None:  # else somebody removed it before it was locked
                return
        raise OSError(f"no folder stays in {root} until it is locked")

    def close(self) -> None:
        """Remove the folder with all that is in it; what can't be removed, the next one removes."""
        if self._lock is None:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def temporary_folder(purpose: str, root: Path | None = None) -> TemporaryFolder:
    """Return one where others have files, too: in ``root``, or else where TMPDIR says or on the system's disk."""
    return TemporaryFolder(f"foryou-temporary-{purpose}-", _for_large_files() if root is None else root)


def remove_left(root: Path, beginning: str) -> None:
    """Remove the folders in ``root`` whose names begin so and whose process has ended; other users' stay."""
    with os.scandir(root) as entries:
        left = [
            Path(entry.path)
            for entry in entries
            if entry.name.startswith(beginning) and entry.is_dir(follow_symlinks=False)
        ]
    for folder in left:
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # it has just been removed, or is another user's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _for_large_files() -> Path:
    # /tmp is memory on many systems (Debian 13 among them): what is spilled there relieves nothing.
    if not os.environ.get("TMPDIR") and os.access(DISK, os.W_OK | os.X_OK):
        return DISK
    return Path(tempfile.gettempdir())


def _locked(folder: Path) -> int | None:
    """Lock a folder; return its descriptor, None when it is not there any more."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.samestat(folder.stat(), os.fstat(lock)):
            return lock
    except FileNotFoundError:
        pass
    os.close(lock)
    return None
