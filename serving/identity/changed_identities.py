"""When identities changed, as the stream said: keys that were read before are out of date.

Owns: the query on removals.sqlite about identities. Leaves to others: writing it, which is ingest's, and what follows
(``resolver``). A store that is absent or can't be read says nothing.
"""

from pathlib import Path

from serving.read_pool import ReadPool, StoreUnreadableError


class ChangedIdentities:
    """The identities of removals.sqlite, read from any thread."""

    def __init__(self, path: Path) -> None:
        self._pool = ReadPool(path, "removals", busy_seconds=0.2)

    def changed(self, did: str) -> float:
        """Return when a DID's document last changed, in seconds since 1970; 0 when that is not known."""
        try:
            with self._pool.snapshot() as connection:
                if connection is None:
                    return 0.0
                query = "SELECT changed_us FROM changed_identities WHERE did = ?"
                row = connection.execute(query, (did,)).fetchone()
        except StoreUnreadableError:
            return 0.0
        return row[0] / 1_000_000 if row else 0.0
