"""DIDs once, as numbers: the ``actors`` table and a bounded cache in front of it.

Owns: giving out actor ids, inside the caller's transaction; an id is never reused. Ingest and backfill may both
give them out: an id that another process gave stays what it is.
"""

import sqlite3
from collections.abc import Iterable

CACHE_MAX = 4_000_000  # DIDs kept in memory: about 150 bytes each


class ActorIds:
    """The ids of DIDs in a landing store.

    ``intern`` runs inside the caller's transaction. When that is rolled back, call ``forget``: ids given out
    in it were never stored.
    """

    def __init__(self, connection: sqlite3.Connection, cache_max: int = CACHE_MAX) -> None:
        self._connection = connection
        self._cache_max = cache_max
        self._ids: dict[str, int] = {}

    def intern(self, dids: Iterable[str]) -> dict[str, int]:
        """Return the id of every DID given, storing the ones never seen; valid until the next call."""
        ids = self._ids
        unknown = [did for did in set(dids) if did not in ids]
        if unknown:
            if len(ids) + len(unknown) > self._cache_max:
                self._evict(len(unknown))
            self._load(unknown)
            new = sorted(did for did in unknown if did not in ids)
            if new:
                self._connection.executemany(
                    "INSERT OR IGNORE INTO actors (did) VALUES (?)", ((did,) for did in new)
                )
                self._load(new)
        return ids

    def forget(self) -> None:
        """Drop the cache, after a transaction that was rolled back."""
        self._ids.clear()

    def _load(self, dids: list[str]) -> None:
        query = "SELECT actor_id FROM actors WHERE did = ?"
        for did in dids:
            row = self._connection.execute(query, (did,)).fetchone()
            if row is not None:
                self._ids[did] = row[0]

    def _evict(self, room: int) -> None:
        # Oldest half first: a dict keeps the order of insertion. DIDs still in use come back from the table.
        for did in list(self._ids)[: max(room, self._cache_max // 2)]:
            del self._ids[did]
