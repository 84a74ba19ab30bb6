"""Files that are replaced while others read them: written beside their place, then given their name.

Owns: ``whole``, for who writes, and ``read``, for who reads them once; who reads more than once gives them a second
name (``linked_files``). Leaves to others: what is written; the lake's days, whose drafts wait for one another
(``lake.day_files``); parts that several workers make (``batch.inputs.part_files``).
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.fsync import sync

LEFT_SECONDS = 86_400.0  # a draft that nobody has written to for so long is a killed process's


@contextmanager
def whole(path: Path, *, synced: bool = True, makes_folder: bool = True) -> Iterator[Path]:
    """Give the place of a draft, which takes the file's name at the end; when something fails it is removed.

    The draft is named for this process, so two processes may make a file at once: the later one's counts. Drafts of
    the file that killed processes left are removed. Without ``synced``, a power cut may leave a file of nothing: for
    what can be made again. Without ``makes_folder``, a folder that is missing is a FileNotFoundError.
    """
    if makes_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path)
    draft = path.with_name(f"{_beginning(path)}{os.getpid()}")
    try:
        yield draft
        if synced:
            sync(draft)
        os.replace(draft, path)
        if synced:
            sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _beginning(path: Path) -> str:
    return f".{path.name}."


def _remove_left(path: Path) -> None:
    # By their age: in a folder that machines share, the processes may be another's, and not every one has locks.
    oldest = time.time() - LEFT_SECONDS
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(_beginning(path)) and entry.name[len(_beginning(path)) :].isdecimal():
                with suppress(OSError):  # another process has just removed it
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a Parquet file, which is opened once; ``pq.read_table`` opens it for its columns and again.

    Raises OSError, or ArrowException when it is no Parquet file.
    """
    with pq.ParquetFile(path) as file:
        return file.read(columns=None if columns is None else list(columns))
