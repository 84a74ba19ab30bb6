"""Files that are replaced while others read them: written beside their place, then given their name.

Owns: ``whole``, for who writes; ``kept`` and ``read``, for who reads. Leaves to others: what is written; the lake's
days, whose drafts wait for one another (``lake.day_files``) and which are kept together (``lake.held``); parts that
several workers make (``batch.inputs.part_files``).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.fsync import sync

TRIES = 100


@contextmanager
def whole(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Give the place of a draft, which takes the file's name at the end; when something fails it is removed.

    The draft is named for this process, so two processes may make a file at once: the later one's counts. Without
    ``synced``, a power cut may leave a file of nothing: for what can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        if synced:
            sync(draft)
        os.replace(draft, path)
        if synced:
            sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def kept(path: Path, folder: Path) -> Path:
    """Give what a file is now a second name in a folder of one's own, and return it.

    DuckDB opens a file when it plans a query and again when it runs it. Of a file that was replaced in between, it
    reads places that the former one named. FileNotFoundError when the file is not there. A file system without links
    has no second names: then it is the file itself, and who reads it while it is replaced fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / path.name
    name.unlink(missing_ok=True)
    for _ in range(TRIES):
        try:
            os.link(path, name)
        except FileNotFoundError:
            path.stat()  # else the file that was found had lost its name a moment later
        except OSError:
            return path
        else:
            return name
    raise FileNotFoundError(f"{path} is replaced without end")


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a Parquet file, which is opened once; ``pq.read_table`` opens it for its columns and again.

    Raises OSError, or ArrowException when it is no Parquet file.
    """
    with pq.ParquetFile(path) as file:
        return file.read(columns=None if columns is None else list(columns))
