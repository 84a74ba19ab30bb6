"""Files in the folder that all machines see: put there whole, and copies of small stores.

Owns: which folder is that one, putting a file, the copy of removals.sqlite and of the key of page cursors, and giving
these back to a node. Leaves to others: lists (``give_lists``), journals, and what is in the stores.

Invariants: a file appears under its name when it is whole and on the disk. Who reads it has the old one or the new one.
The shared folder itself is never made, and its folders by the head alone when it begins (``enter``): while the folder
is away, what is written into one made here, or into an empty mount point, is seen by no other machine.
"""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from pipeline.store.whole_files import whole
from sql import places
from sql.sqlite import connect

REST = 20  # a copy takes at most a twentieth of the time


def enter(shared_dir: Path, *, is_head: bool, is_first: bool) -> None:
    """See that a folder is the one that machines exchange through: that it has the three folders of an exchange.

    The head makes them the first time, and later those that are missing, as long as one is there. Raises
    FileNotFoundError, saying what is missing.
    """
    rooms = (places.list_parts(shared_dir), places.journals(shared_dir), places.machines(shared_dir))
    if not shared_dir.is_dir():
        raise FileNotFoundError(f"there is no folder {shared_dir}")
    if is_head and (is_first or any(room.is_dir() for room in rooms)):
        for room in rooms:
            room.mkdir(exist_ok=True)
    absent = ", ".join(room.name for room in rooms if not room.is_dir())
    if absent:
        raise FileNotFoundError(
            f"{shared_dir} is not the folder that the head exchanges through, or not yet: it has no {absent}"
        )


def put(source: Path, target: Path) -> None:
    """Copy a file into a folder that is there, under its name there, whole or not at all."""
    with whole(target, makes_folder=False) as draft:
        shutil.copyfile(source, draft)


def put_text(text: str, target: Path) -> None:
    """Write a small file into a folder that is there, whole or not at all."""
    with whole(target, makes_folder=False) as draft:
        draft.write_text(text, encoding="utf-8")


class RemovalsGiver:
    """Gives removals.sqlite as a copy whenever it changed, on the head.

    The whole file is copied: it is 200 MB at most, and usually a few. A large one is copied less often.
    """

    def __init__(self, data_dir: Path, shared_dir: Path) -> None:
        self._source = places.removals(data_dir)
        self._draft = places.syncing(data_dir) / "removals"
        self._target = places.removals(shared_dir)
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._version = -1
        self._due = 0.0

    def give(self) -> bool:
        """Give it if it changed; tell whether it did."""
        if time.monotonic() < self._due or not self._source.exists():
            return False
        inode = self._source.stat().st_ino
        if self._connection is None or inode != self._inode:
            self.close()
            self._connection, self._inode = connect(self._source, read_only=True), inode
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version and self._target.exists():
            return False
        began = time.monotonic()
        self._draft.parent.mkdir(parents=True, exist_ok=True)
        self._draft.unlink(missing_ok=True)
        self._connection.execute("VACUUM INTO ?", (str(self._draft),))
        put(self._draft, self._target)
        self._draft.unlink()
        self._version, now = version, time.monotonic()
        self._due = now + REST * (now - began)
        return True

    def close(self) -> None:
        """Close the store."""
        if self._connection is not None:
            self._connection.close()
            self._connection, self._version = None, -1


def give_key(data_dir: Path, shared_dir: Path) -> None:
    """Give the key of page cursors, once the web app has made it."""
    source, target = places.cursor_key(data_dir), places.cursor_key(shared_dir)
    if source.exists() and (not target.exists() or target.read_bytes() != source.read_bytes()):
        put(source, target)


def take_key(data_dir: Path, shared_dir: Path) -> bool:
    """Take the key of page cursors; False while the head has not given it."""
    source, target = places.cursor_key(shared_dir), places.cursor_key(data_dir)
    if not source.exists():
        return False
    if not target.exists() or target.read_bytes() != source.read_bytes():
        put(source, target)
    return True


def take_removals(data_dir: Path, shared_dir: Path, before: tuple[int, int] | None) -> tuple[int, int] | None:
    """Take removals.sqlite unless it is the copy that ``before`` names; return what names it."""
    source = places.removals(shared_dir)
    try:
        status = source.stat()
    except FileNotFoundError:
        return before
    named = (status.st_ino, status.st_mtime_ns)
    if named != before:
        draft = places.syncing(data_dir) / "removals"
        draft.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, draft)
        with closing(sqlite3.connect(draft)) as connection:  # a copy of half a file must not be served
            connection.execute("SELECT count(*) FROM removed_posts").fetchone()
        os.replace(draft, places.removals(data_dir))
    return named
