"""Signing keys that outlive the process: keys.sqlite.

Owns: keeping keys on disk, so that a restart needs no directory for the viewers of the last day. Leaves to
others: how old a key may be (``resolver``). It is a cache: whatever goes wrong with the file is logged once a
minute and means "not kept"; no request fails for it. Writes are not synced to the disk, so no request waits.
"""

import logging
import sqlite3
import threading
from pathlib import Path

import sql
from serving.identity.keys import SigningKey
from serving.throttle import Throttle
from sql import sqlite

log = logging.getLogger(__name__)

PRUNE_EVERY = 5_000  # kept keys between two removals of those too old to be of use


class KeyStore:
    """Keys by DID; may be called from any thread, and opens its file at the first call."""

    def __init__(self, path: Path, keep_seconds: float) -> None:
        self._path = path
        self._keep_us = int(keep_seconds * 1_000_000)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._until_prune = 0
        self._complaints = Throttle(60.0)

    def key_of(self, did: str) -> tuple[SigningKey, float] | None:
        """Return a DID's key and when it was fetched (seconds since 1970), None when it is not kept."""
        query = "SELECT algorithm, point, fetched_us FROM keys WHERE did = ?"
        with self._lock:
            try:
                row = self._open().execute(query, (did,)).fetchone()
            except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
                self._failed(error)
                return None
        return None if row is None else (SigningKey(row[0], row[1]), row[2] / 1_000_000)

    def keep(self, did: str, key: SigningKey, fetched: float) -> None:
        """Keep a DID's key, fetched at a time in seconds since 1970."""
        fetched_us = int(fetched * 1_000_000)
        row = {"did": did, "algorithm": key.algorithm, "point": key.point, "fetched_us": fetched_us}
        with self._lock:
            try:
                connection = self._open()
                connection.execute(sql.load("keys/keep_key"), row)
                self._until_prune -= 1
                if self._until_prune < 0:
                    self._until_prune = PRUNE_EVERY
                    connection.execute("DELETE FROM keys WHERE fetched_us < ?", (fetched_us - self._keep_us,))
            except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
                self._failed(error)

    def forget(self, did: str) -> None:
        """Remove a DID's key."""
        with self._lock:
            try:
                self._open().execute("DELETE FROM keys WHERE did = ?", (did,))
            except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
                self._failed(error)

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite.connect(self._path, busy_seconds=0.2)
            try:
                sqlite.migrate(connection, "keys")
                connection.execute("PRAGMA synchronous = OFF")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _failed(self, error: Exception) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._complaints.allows("keys"):
            log.warning("%s can't be used: %s; it is a cache and may be deleted", self._path, error)
