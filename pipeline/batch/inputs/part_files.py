"""Parts: what a task leaves for others, as files under one name that stands for all of it.

Owns: writing a part so that it is whole or not there, and reading its arrays. Leaves to others: what is in it.

A part is written under a name of its own and renamed. Two attempts at a task make the same, so the first one to be
renamed stays, and the other is dropped. What a killed task has begun has a hidden name and is removed with the run's
folder.
"""

import mmap
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.store.fsync import sync


def put_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Make a part of arrays, unless it is there."""

    def write(draft: Path) -> None:
        draft.mkdir()
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array)
            sync(draft / f"{name}.npy")

    put(path, write)


def put(path: Path, write: Callable[[Path], Any]) -> None:
    """Make a part of what ``write`` makes under the name that it is given, a file or a folder, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    write(draft)
    sync(draft)
    try:
        os.rename(draft, path)
    except OSError:
        if not path.exists():
            raise
        shutil.rmtree(draft, ignore_errors=True)  # another attempt was first
    sync(path.parent)


def array(path: Path, name: str) -> NDArray[Any]:
    """Return an array of a part, mapped where it has anything.

    A task opens thousands of small ones, and ``np.load`` takes three times as long to map a file. What is written to
    it stays in memory; for an array that can't be written, loops would be compiled once more.
    """
    with open(f"{path}/{name}.npy", "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        if 0 in shape or not kind.itemsize:
            return np.zeros(shape, kind)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, kind, offset=file.tell()).reshape(shape)


def arrays(path: Path, *names: str) -> list[NDArray[Any]]:
    """Return arrays of a part."""
    return [array(path, name) for name in names]
