"""One writer per store: a lock that a process holds while it lives and the system frees when it dies.

Owns: ``exclusive``. The lock is flock() on a file of its own beside the store, so kill -9 leaves nothing to clean up.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import StoreError
from sql import places


@contextmanager
def exclusive(data_dir: Path, duty: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of one duty ('ingest', 'batch', …) on a data directory; StoreError when it is taken.

    ``wait`` waits for it instead, which is for short duties alone. Creates the directory; StoreError when that or
    writing in it fails.
    """
    path = places.lock(data_dir, duty)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"can't write in the data directory {data_dir}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise StoreError(
                f"another {duty} (process {holder}) is running on {data_dir}; "
                "stop it first, or set FORYOU_DATA_DIR"
            ) from error
        with suppress(OSError):  # the process id is for people; a full disk must not prevent the lock
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
