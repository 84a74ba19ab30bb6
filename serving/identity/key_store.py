"""Signing keys that outlive the process: keys.sqlite.

Owns: storing keys on disk, so that after a restart viewers of the last day need no directory. Leaves to others: how
old a key may be (``resolver``). The file is a cache: whatever goes wrong with it is logged once a minute and means
"not stored"; no request fails for it. Writes are not synced to the disk, so no request waits for them.
"""

import logging
import sqlite3
import threading
from pathlib import Path
from typing import Any

import sql
from serving.budgets.limits import KEYS_KEPT
from serving.identity.keys import SigningKey
from serving.log_throttle import LogThrottle
from sql import erasing, sqlite

log = logging.getLogger(__name__)

PRUNE_EVERY = 5_000  # stored keys between two removals of those too old to be of use


class KeyStore:
    """Keys by DID; may be called from any thread, and opens its file at the first call."""

    def __init__(self, path: Path, keep_seconds: float) -> None:
        self._path = path
        self._keep_us = int(keep_seconds * 1_000_000)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._until_prune = 0
        self._complaints = LogThrottle(60.0)

    def key_of(self, did: str) -> tuple[SigningKey, float] | None:
        """Return a DID's key and when it was fetched (seconds since 1970), None when it is not stored."""
        with self._lock:
            rows = self._rows("SELECT algorithm, point, fetched_us FROM keys WHERE did = ?", (did,))
        return (SigningKey(*rows[0][:2]), rows[0][2] / 1_000_000) if rows else None

    def keep(self, did: str, key: SigningKey, fetched: float) -> None:
        """Store a DID's key, fetched at a time in seconds since 1970."""
        fetched_us = int(fetched * 1_000_000)
        row = {"did": did, "algorithm": key.algorithm, "point": key.point, "fetched_us": fetched_us}
        with self._lock:
            self._rows(sql.load("keys/keep_key"), row)
            self._until_prune -= 1
            if self._until_prune < 0:
                self._until_prune = PRUNE_EVERY
                self._rows("DELETE FROM keys WHERE fetched_us < ?", (fetched_us - self._keep_us,))
                self._rows(sql.load("keys/prune_keys"), {"kept": KEYS_KEPT})

    def forget(self, did: str) -> None:
        """Remove a DID's key."""
        with self._lock:
            self._rows("DELETE FROM keys WHERE did = ?", (did,))

    def _rows(self, query: str, parameters: Any) -> list[Any]:
        try:
            return self._open().execute(query, parameters).fetchall()
        except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._complaints.allows("keys"):
                log.warning("%s can't be used: %s; it is a cache and may be deleted", self._path, error)
            return []

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite.open_migrated(self._path, "keys", busy_seconds=0.2)
            self._connection.execute("PRAGMA synchronous = OFF")
        return self._connection


def forget_stored_key(path: Path, did: str) -> int:
    """Delete a DID's key from the file, if it exists, and overwrite it; return how many rows that were."""
    if not sqlite.has_tables(path, "keys"):
        return 0
    with erasing.deleting(path) as connection:
        return connection.execute("DELETE FROM keys WHERE did = ?", (did,)).rowcount
