"""Leaving no byte of what was deleted in a SQLite file: not in its free pages, not in its log.

Owns: ``deleting``, whose connection overwrites what it deletes, and ``erase``, which looks at the bytes. Leaves to
others: which rows are deleted. ``connect`` alone is not enough: its pages that become free keep their content, and the
write-ahead log has it too until it is overwritten.

Invariant: this process has no other connection to the file. Reading a file in the usual way and closing it would drop
the locks of such a connection (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sql.sqlite import connect, transaction

CHUNK_BYTES = 1 << 20


@contextmanager
def deleting(path: Path, *, busy_seconds: float = 60.0) -> Iterator[sqlite3.Connection]:
    """Give a connection in a transaction, in which what is deleted is overwritten with zeros."""
    with closing(connect(path, busy_seconds=busy_seconds)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        with transaction(connection):
            yield connection


def erase(path: Path, text: str, *, busy_seconds: float = 60.0) -> bool:
    """Empty a store's log, and rewrite the store if a text is still in it; tell whether the log could be emptied.

    Readers of an old state keep the log as long as they read. Pages that became free before may hold the text, so may
    rows that are to stay.
    """
    is_empty = _empty_log(path, busy_seconds)
    if not contains(path, text):
        return is_empty
    with closing(connect(path, busy_seconds=busy_seconds)) as connection:
        connection.execute("PRAGMA temp_store = FILE")  # it is as large as the store
        connection.execute("VACUUM")
    return _empty_log(path, busy_seconds)


def contains(path: Path, text: str) -> bool:
    """Tell whether a file has a text anywhere in its bytes."""
    wanted, before = text.encode(), b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if wanted in before + chunk:
                return True
            before = chunk[-len(wanted) :]
    return False


def _empty_log(path: Path, busy_seconds: float) -> bool:
    with closing(connect(path, busy_seconds=busy_seconds)) as connection:
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy
