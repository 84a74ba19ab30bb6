"""DIDs once, as numbers: the ``actors`` table and a bounded cache in front of it.

Owns: assigning actor ids, inside the caller's transaction; an id is never reused. Ingest and backfill may both assign
them: an id that another process assigned stays as it is.

Invariant: the caller's transaction holds the store's one write lock (BEGIN IMMEDIATE). So nobody else assigns ids
between finding the greatest one and storing the next ones.

The cache has two halves. A call takes what it needs into the newer one, from the older one or the table. Once the newer
half is full, the next call begins with an empty one, and the older half is dropped. So a call never loses what it
needs, whatever it asks for, and actors who come again stay.
"""

import json
import sqlite3
from collections.abc import Collection

import sql

# A DID takes its characters; 64 bytes for being a text, with rounding; 32 for its id; 44 at most in the dict's table.
# A did:plc of 32 characters takes 172, so this has room for 3.1 million. Somebody may like posts of a million DIDs of
# 269 characters each: a limit by number would let them take twice as much.
CACHE_BYTES = 512 << 20
_BYTES_BESIDE_TEXT = 140


class ActorIds:
    """The ids of DIDs in a landing store.

    ``intern`` runs inside the caller's transaction. When that is rolled back, call ``forget``: the ids assigned in
    it were never stored. The cache takes ``cache_bytes``, and in each half what one call brought beyond that.
    """

    def __init__(self, connection: sqlite3.Connection, cache_bytes: int = CACHE_BYTES) -> None:
        self._connection = connection
        self._half_bytes = cache_bytes // 2
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._newer_bytes = 0

    def intern(self, dids: Collection[str]) -> dict[str, int]:
        """Return the id of every DID given, storing the ones never seen; valid until the next call."""
        if self._newer_bytes > self._half_bytes:
            self._newer, self._older, self._newer_bytes = {}, self._newer, 0
        ids, older = self._newer, self._older
        missing = {did for did in dids if did not in ids}
        if missing:
            self._newer_bytes += sum(map(len, missing)) + _BYTES_BESIDE_TEXT * len(missing)
            ids.update((did, older[did]) for did in missing if did in older)
            self._look_up(sorted(did for did in missing if did not in older))
        return ids

    def known(self, dids: Collection[str]) -> dict[str, int]:
        """Return the ids of those DIDs that have one; inside the caller's transaction, too."""
        found: dict[str, int] = {}
        for half in (self._older, self._newer):
            found.update((did, half[did]) for did in dids if did in half)
        others = json.dumps(sorted(did for did in dids if did not in found))
        found.update(self._connection.execute(sql.load("landing/actor_ids"), {"dids": others}))
        return found

    def forget(self) -> None:
        """Drop the cache, after a transaction that was rolled back."""
        self._newer, self._older, self._newer_bytes = {}, {}, 0

    def _look_up(self, dids: list[str]) -> None:
        """Take ids from the table, adding DIDs that it does not have."""
        if not dids:
            return
        ids, execute = self._newer, self._connection.execute
        # One statement in the order of the index: one per DID took two and a half times as long.
        ids.update(execute(sql.load("landing/actor_ids"), {"dids": json.dumps(dids)}))
        new = [did for did in dids if did not in ids]
        if new:
            first = execute("SELECT coalesce(max(actor_id), 0) + 1 FROM actors").fetchone()[0]
            execute(sql.load("landing/add_actors"), {"first": first, "dids": json.dumps(new)})
            ids.update(zip(new, range(first, first + len(new)), strict=True))
