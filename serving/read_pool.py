"""Reading a SQLite store that another process writes, from any thread.

Owns: read-only connections, one consistent snapshot for each reading, and what happens when the file does not exist
yet, is replaced, or can't be read. Leaves to others: what is read (``list_store``, ``recall``).

A store that is absent or empty is not an error: the first reading after it appears finds it. A store that exists
and can't be read is an error: StoreUnreadableError, logged once a minute.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from serving.log_throttle import LogThrottle
from sql import sqlite

log = logging.getLogger(__name__)


IDLE_MAX = 24  # each keeps up to 2 MB of pages; more are open only while so many requests read at once


class StoreUnreadableError(Exception):
    """The store exists, but can't be read."""


class ReadPool:
    """The connections to one store; ``folder`` is that of its migrations in ``sql``."""

    def __init__(self, path: Path, folder: str, *, busy_seconds: float) -> None:
        self._path = path
        self._folder = folder
        self._busy_seconds = busy_seconds
        # The one used last is taken first. There are many threads, but few read at once, and the connections that are
        # used keep their pages in memory.
        self._idle: list[_Open] = []
        self._complaints = LogThrottle(60.0)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection in a transaction, None while there is no store; raise StoreUnreadableError.

        A sqlite3.Error inside the block becomes a StoreUnreadableError, too.
        """
        try:
            opened = self._take()
        except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
            raise self._unreadable(error) from error
        if opened is None:
            yield None
            return
        try:
            opened.connection.execute("BEGIN")
            yield opened.connection
            opened.connection.execute("COMMIT")
        except sqlite3.Error as error:
            opened.connection.close()
            raise self._unreadable(error) from error
        except BaseException:
            opened.connection.execute("ROLLBACK")
            self._give_back(opened)
            raise
        self._give_back(opened)

    def _give_back(self, opened: "_Open") -> None:
        if len(self._idle) < IDLE_MAX:
            self._idle.append(opened)
        else:
            opened.connection.close()

    def _take(self) -> "_Open | None":
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            while self._idle:
                self._idle.pop().connection.close()
            return None
        identity = (status.st_dev, status.st_ino)
        while True:
            try:
                opened = self._idle.pop()
            except IndexError:
                break
            if opened.identity == identity:
                return opened
            opened.connection.close()  # of a file that was replaced
        connection = sqlite.connect(self._path, read_only=True, busy_seconds=self._busy_seconds)
        try:
            version, newest = sqlite.current_version(connection), max(sqlite.migrations_of(self._folder))
            if version > newest:
                raise sqlite.SchemaError(f"it has schema {version}, this program knows {newest}")
        except BaseException:
            connection.close()
            raise
        if version == 0:  # made a moment ago; its writer has not made the tables yet
            connection.close()
            return None
        return _Open(connection, identity)

    def _unreadable(self, error: Exception) -> StoreUnreadableError:
        if self._complaints.allows("store"):
            log.error("%s can't be read: %s", self._path, error)
        return StoreUnreadableError(str(error))


class _Open(NamedTuple):
    """A connection, and the device and inode of its file."""

    connection: sqlite3.Connection
    identity: tuple[int, int]
