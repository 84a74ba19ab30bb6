"""Which process has a duty on a data directory now.

Owns: ``process_of``. Leaves to others: taking locks (``locks``). It only looks, so it is
never in the way of a part that starts at this moment.
"""

import fcntl
from pathlib import Path

from pipeline.store.locks import holder
from sql import places

LOCKS = Path("/proc/locks")  # on Linux only
PROCESSES = Path("/proc/self/ns/pid")
ALL_PROCESSES = "pid:[4026531836]"  # the kernel's name for what lies outside of all containers


def process_of(data_dir: Path, duty: str) -> int | None:
    """Return the process that holds the lock of a duty ('ingest', 'batch', …), None when none does."""
    path = places.lock(data_dir, duty)
    pid = holder(path)
    try:
        return pid if pid is not None and pid > 0 and _holds(pid, path) else None
    except OSError:
        return None


def _holds(pid: int, path: Path) -> bool:
    """Tell whether a process has a lock, if possible without trying it: a part may be starting just now.

    In a container the system's table of locks lacks those of other containers, so that the lock itself must be tried.
    """
    if LOCKS.exists() and str(PROCESSES.readlink()) == ALL_PROCESSES:
        inode = path.stat().st_ino
        words = (line.split() for line in LOCKS.read_text().splitlines())
        return any(
            len(found) > 5
            and found[1] == "FLOCK"
            and found[4] == str(pid)
            and found[5].rpartition(":")[2] == str(inode)
            for found in words
        )
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
