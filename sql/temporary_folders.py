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
SHARED = "foryou-temporary-"  # how names begin in a folder where others have files, too


class TemporaryFolder:
    """A new folder, ``path``, until ``close``, which may be called twice.

    It lies in ``root``, whose folders with names of this beginning must all be of this kind; without ``root``, where
    TMPDIR says or the system has large temporary files. Raises OSError when none can be made.
    """

    def __init__(self, beginning: str, root: Path | None = None) -> None:
        root = _for_large_files() if root is None else root
        remove_left(root, beginning)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=beginning, dir=root))
            self._lock = _locked(self.path)
            if self._lock is not None:  # else somebody removed it before it was locked
                return

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
