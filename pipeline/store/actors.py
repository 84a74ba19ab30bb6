"""DIDs once, as numbers: the ``actors`` table and a bounded cache in front of it.

Owns: assigning actor ids, inside the caller's transaction; an id is never reused. Ingest and backfill may both assign
them: an id that another process assigned stays as it is.

Invariant: the caller's transaction holds the store's one write lock (BEGIN IMMEDIATE). So nobody else assigns ids
between finding the greatest one and storing the next ones.
"""

import json
import sqlite3
from collections.abc import Collection

import sql

CACHE_MAX = 4_000_000  # DIDs kept in memory: about 170 bytes each


class ActorIds:
    """The ids of DIDs in a landing store.

    ``intern`` runs inside the caller's transaction. When that is rolled back, call ``forget``: the ids assigned in
    it were never stored.
    """

    def __init__(self, connection: sqlite3.Connection, cache_max: int = CACHE_MAX) -> None:
        self._connection = connection
        self._cache_max = cache_max
        self._ids: dict[str, int] = {}

    def intern(self, dids: Collection[str]) -> dict[str, int]:
        """Return the id of every DID given, storing the ones never seen; valid until the next call."""
        ids = self._ids
        unknown = sorted([did for did in set(dids) if did not in ids])
        if unknown:
            if len(ids) + len(unknown) > self._cache_max:
                self._evict(len(unknown))
            # One statement in the order of the index: one per DID took two and a half times as long.
            parameters = {"dids": json.dumps(unknown)}
            ids.update(self._connection.execute(sql.load("landing/actor_ids"), parameters))
            new = [did for did in unknown if did not in ids]
            if new:
                first = self._connection.execute(
                    "SELECT coalesce(max(actor_id), 0) + 1 FROM actors"
                ).fetchone()[0]
                self._connection.execute(
                    sql.load("landing/add_actors"), {"first": first, "dids": json.dumps(new)}
                )
                ids.update(zip(new, range(first, first + len(new)), strict=True))
        return ids

    def forget(self) -> None:
        """Drop the cache, after a transaction that was rolled back."""
        self._ids.clear()

    def _evict(self, room: int) -> None:
        # The oldest half, since a dict keeps the order of insertion. DIDs still in use are read from the table again.
        for did in list(self._ids)[: max(room, self._cache_max // 2)]:
            del self._ids[did]
