"""Parts: what a task leaves for others, as files under one name that stands for all of it.

Owns: writing a part so that it is whole or not there, and the form of one that is arrays. Leaves to others: what is in
it.

A part is written under a name of its own and renamed. Two attempts at a task make the same, so which of them stays does
not matter. What a killed task has begun has a hidden name and is removed with the run's folder.

Arrays are one file: a line of JSON that names them, and then each of them as it is in memory, on a boundary of
``ALIGNED`` bytes. A task reads a few of thousands, so to open a part takes one look, and nothing is copied.
"""

import json
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

ALIGNED = 64


def put_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Make a part of arrays, unless it is there."""
    put(path, lambda draft: write_arrays(draft, **arrays))


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write a file of arrays."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    said, end = {}, 0
    for name, array in whole.items():
        said[name] = (np.lib.format.dtype_to_descr(array.dtype), array.shape, end)
        end = _aligned(end + array.nbytes)
    line = json.dumps(said).encode()
    with open(path, "wb", buffering=0) as file:
        file.write(line.ljust(_aligned(len(line) + 1) - 1) + b"\n")
        for array in whole.values():
            array.tofile(file)
            file.seek(_aligned(file.tell()))
        file.truncate()


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
    """Return an array of a part."""
    return arrays(path, name)[0]


def arrays(path: Path, *names: str) -> list[NDArray[Any]]:
    """Return arrays of a part, mapped.

    What is written to them stays in memory; for arrays that can't be written, loops would be compiled once more.
    """
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    line = mapped.readline()
    said = json.loads(line)
    return [_array(mapped, len(line), *said[name]) for name in names]


def _array(mapped: mmap.mmap, first: int, kind: Any, shape: list[int], offset: int) -> NDArray[Any]:
    dtype = np.dtype([tuple(field) for field in kind] if isinstance(kind, list) else kind)
    if 0 in shape or not dtype.itemsize:
        return np.zeros(shape, dtype)
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(mapped, dtype, count, first + offset).reshape(shape)


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
