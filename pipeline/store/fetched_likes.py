"""What backfill writes into landing.sqlite: actors, likes of closed days, and which viewers were fetched.

Owns: ``history_likes`` and ``fetched_viewers``, pruning them, and assigning actor ids beside a running ingest. Leaves
to others: everything else in the store, which is ingest's; where the likes come from (``backfill``).

Invariants: every write is a short transaction of its own, so that ingest never waits long. Ids come from ``ActorIds``,
which two processes may use at once. Storing a viewer's likes and recording that is one transaction.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import sql
from pipeline.errors import StoreError
from pipeline.identifiers import tid_at
from pipeline.store.actors import ActorIds
from sql import places
from sql.sqlite import SchemaError, has_tables, open_migrated, transaction

DIDS_A_COMMIT = 20_000  # a fifth of a second when all are new
BUSY_SECONDS = 120.0

DONE = "done"  # everything in the window was fetched
ENOUGH = "enough"  # the store has likes of this viewer
ABSENT = "absent"  # no such account, or no repository that can be read
RESET = "reset"  # the repository was replaced since: fetch it, whatever the store has
# Any other outcome is '2 failures: why'.


class HistoryLike(NamedTuple):
    """A like by its record; seen_us is the time in its rkey."""

    rkey: int
    author: str
    post_rkey: int
    seen_us: int


class Waiting(NamedTuple):
    """How long until a viewer is fetched again, in microseconds."""

    again_us: int  # after a fetch that succeeded
    first_us: int  # after one failure; it doubles with each
    most_us: int


class HistoryStore:
    """A connection of backfill to landing.sqlite; ingest may write to it at the same time."""

    def __init__(self, data_dir: Path, cache_bytes: int = 256 << 20) -> None:
        """Open the store, or make it; StoreError when that fails."""
        path = places.landing(data_dir)
        try:
            self._connection = open_migrated(path, "landing", busy_seconds=BUSY_SECONDS)
        except (OSError, sqlite3.Error, SchemaError) as error:
            raise StoreError(f"can't open {path}: {error}") from error
        self._actors = ActorIds(self._connection, cache_bytes)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def intern(self, dids: Iterable[str]) -> dict[str, int]:
        """Return the actor id of every DID, storing the ones never seen; committed when this returns."""
        ids: dict[str, int] = {}
        wanted = sorted(set(dids))
        for start in range(0, len(wanted), DIDS_A_COMMIT):
            some = wanted[start : start + DIDS_A_COMMIT]
            with self._transaction():
                known = self._actors.intern(some)
                ids.update((did, known[did]) for did in some)
        return ids

    def watermark_us(self) -> int:
        """Return the newest stream time stored, 0 when ingest has not begun."""
        return self._number("SELECT seen_us FROM watermark")

    def first_day(self) -> int | None:
        """Return the first day that has likes here, in days since 1970; None while there is none."""
        row = self._connection.execute("SELECT min(day) FROM likes").fetchone()
        return None if row[0] is None else int(row[0])

    def deleted_accounts(self) -> list[tuple[int, int]]:
        """Return (actor_id, deleted_us) of every deleted account: its likes up to then are void."""
        return self._connection.execute(
            "SELECT actor_id, deleted_us FROM actors WHERE deleted_us > 0"
        ).fetchall()

    def actor_id(self, did: str) -> int | None:
        """Return the id of a DID, None when it was never seen."""
        row = self._connection.execute("SELECT actor_id FROM actors WHERE did = ?", (did,)).fetchone()
        return None if row is None else int(row[0])

    def store_viewer(
        self, did: str, likes: Sequence[HistoryLike], now_us: int, outcome: str, *, count: int | None = None
    ) -> None:
        """Add likes of a viewer and record the outcome; ``count`` replaces len(likes)."""
        with self._transaction():
            if likes:
                ids = self._actors.intern([did, *(like.author for like in likes)])
                self._connection.executemany(
                    sql.load("landing/add_history_like"),
                    [
                        (like.rkey, ids[did], ids[like.author], like.post_rkey, like.seen_us)
                        for like in sorted(likes)
                    ],
                )
            self._connection.execute(
                sql.load("landing/record_fetch"),
                {
                    "did": did,
                    "fetched_us": now_us,
                    "likes": len(likes) if count is None else count,
                    "outcome": outcome,
                },
            )

    def was_reset(self, did: str) -> bool:
        """Tell whether a viewer's repository was replaced since it was fetched."""
        query = "SELECT 1 FROM fetched_viewers WHERE did = ? AND outcome = ?"
        return self._connection.execute(query, (did, RESET)).fetchone() is not None

    def failures(self, did: str) -> int:
        """Return how often in a row fetching a viewer's likes failed."""
        row = self._connection.execute(
            "SELECT CAST(outcome AS INTEGER) FROM fetched_viewers WHERE did = ?", (did,)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def waiting(self, activity: Path, now_us: int, pauses: Waiting, limit: int) -> list[str]:
        """Return viewers who opened the feed and were not fetched lately, the longest waiting first."""
        if not has_tables(activity, "visits"):
            return []
        self._connection.execute("ATTACH ? AS activity", (f"{activity.absolute().as_uri()}?mode=ro",))
        try:
            found = self._connection.execute(
                sql.load("landing/viewers_to_fetch"), {"now_us": now_us, "limit": limit, **pauses._asdict()}
            ).fetchall()
        finally:
            self._connection.execute("DETACH activity")
        return [row[0] for row in found]

    def count_likes(self, likers: Iterable[int]) -> dict[int, int]:
        """Return how many likes of each liker landing.sqlite has; it reads them all."""
        rows = self._connection.execute(
            sql.load("landing/likes_per_liker"), {"likers": json.dumps(list(likers))}
        )
        return dict(rows.fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self._connection):
                yield
        except BaseException as error:
            self._actors.forget()  # ids assigned in it were never stored
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"landing.sqlite is busy, or can't be written: {error}") from error
            raise

    def _number(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        return 0 if row is None else int(row[0])


def prune_history(connection: sqlite3.Connection, before_us: int) -> int:
    """Remove the history likes made before a time; return how many. Runs in the caller's transaction.

    The rkey tells when a like was made. For rkeys in the future seen_us decides; only those are read one by one.
    """
    rkey = tid_at(before_us)
    deleted = connection.execute("DELETE FROM history_likes WHERE rkey < ?", (rkey,)).rowcount
    claims = "DELETE FROM history_likes WHERE rkey >= (SELECT seen_us FROM watermark) * 1024 AND seen_us < ?"
    return deleted + connection.execute(claims, (before_us,)).rowcount
