"""The lake's part of a backup: its files as they were at one moment.

Owns: listing the lake, and copying it. Leaves to others: what the files mean. The days of likes, their changes and
impressions are copied; the neighbours are not, unless lists are wanted, for a batch computes them again.

Invariant: the lake's files never change in place; each is written under another name and renamed. So a hard link is
a copy, and on another disk a file that the last backup has need not be copied again.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.store.fsync import sync
from sql import places


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One file as it was listed. Two are equal when they are the same file, not only the same name."""

    path: str  # below the lake
    inode: int
    size: int
    mtime_ns: int


def listed(data_dir: Path, *, lists: bool = False) -> frozenset[LakeFile]:
    """Return the lake's files, with ``lists`` the neighbours too.

    Files that a run is still writing have hidden names and are left out.
    """
    root = places.lake(data_dir)
    files = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            try:
                found = path.stat()
            except FileNotFoundError:
                continue  # removed just now; the second listing will differ
            is_of_lists = (
                path == places.neighbours(data_dir) or places.neighbour_parts(data_dir) in path.parents
            )
            if not name.startswith(".") and (lists or not is_of_lists):
                below = str(path.relative_to(root))
                files.add(LakeFile(below, found.st_ino, found.st_size, found.st_mtime_ns))
    return frozenset(files)


@contextmanager
def held(data_dir: Path, files: frozenset[LakeFile], target: Path) -> Iterator[list[tuple[LakeFile, int]]]:
    """Link the files into ``target``/lake, and yield (file, open descriptor) for those that can't be linked.

    Either way their content can't disappear. Raises FileNotFoundError when a file no longer exists.
    """
    with ExitStack() as stack:
        to_copy = []
        for file in sorted(files, key=lambda file: file.path):
            source, goal = places.lake(data_dir) / file.path, places.lake(target) / file.path
            goal.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, goal)
            except FileNotFoundError:
                raise
            except OSError:  # another disk, or one without links
                descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                to_copy.append((file, descriptor))
        yield to_copy


def copy_held(files: list[tuple[LakeFile, int]], target: Path, previous: Path | None) -> None:
    """Copy files held open into ``target``/lake, or link them from the previous backup if it has them."""
    for file, descriptor in files:
        goal = places.lake(target) / file.path
        if previous is None or not _link_same(file, places.lake(previous) / file.path, goal):
            with open(descriptor, "rb", closefd=False) as source, goal.open("wb") as copied:
                shutil.copyfileobj(source, copied, 1 << 20)
            os.utime(goal, ns=(file.mtime_ns, file.mtime_ns))
            sync(goal)


def new_likes(target: Path, previous: Path | None) -> list[Path]:
    """Return the copied files of likes and their changes that the previous backup does not have."""
    found = []
    for kind in ("likes", "changes"):
        for path in sorted((places.lake(target) / kind).rglob("*.parquet")):
            earlier = (
                None if previous is None else places.lake(previous) / path.relative_to(places.lake(target))
            )
            if earlier is None or not _is_same(path, earlier):
                found.append(path)
    return found


def _is_same(path: Path, earlier: Path) -> bool:
    try:
        one, other = path.stat(), earlier.stat()
    except FileNotFoundError:
        return False
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _link_same(file: LakeFile, earlier: Path, goal: Path) -> bool:
    try:
        found = earlier.stat()
        if (found.st_size, found.st_mtime_ns) != (file.size, file.mtime_ns):
            return False
        os.link(earlier, goal)
    except OSError:
        return False
    return True
