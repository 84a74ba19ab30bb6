"""What backfill writes into landing.sqlite: actors, likes of closed days, and which viewers were fetched.

Owns: ``fetched_viewers``, what a repository lists as words about likes, and assigning actor ids beside a running
ingest. Leaves to others: everything else in the store, which is ingest's; where the likes come from (``backfill``);
which likes of a repository count (``fetch_admission``).

Invariants: every write is a short transaction of its own, so that ingest never waits long. Ids come from ``ActorIds``,
which two processes may use at once. Storing a viewer's likes and recording that is one transaction.

A repository that was read is a statement at its rev: what it lists exists, everything else of its owner up to that rev
is deleted, as far as it was read. So what it lists is reported as words of that rev, and earlier words about that part
are void (``statements``). An account that was deleted and has a later rev is back, with what its repository lists.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import sql
from pipeline.errors import StoreError
from pipeline.identifiers import tid_at
from pipeline.store.actors import ActorIds
from pipeline.store.fetch_admission import Admission, HistoryLike, Statement, admit
from pipeline.store.like_words import next_commit, settle, state_void
from pipeline.store.model import DAY_US, WordMark
from pipeline.store.removals import show_again
from sql import places
from sql.sqlite import SchemaError, has_tables, open_migrated, transaction

DIDS_A_COMMIT = 20_000  # a fifth of a second when all are new
BUSY_SECONDS = 120.0

DONE = "done"  # everything in the window was fetched
ENOUGH = "enough"  # the store has likes of this viewer
ABSENT = "absent"  # no such account, or no repository that can be read
# 'reset': the repository was replaced since, or never fetched: fetch it, whatever the store has.
# Any other outcome is '2 failures: why'.


class Waiting(NamedTuple):
    """How long until a viewer is fetched again, in microseconds."""

    again_us: int  # after a fetch that succeeded
    first_us: int  # after one failure; it doubles with each
    most_us: int
    inactive_us: int = (
        600_000_000  # of one whose account is said to be deactivated, though they open the feed
    )


class DueViewer(NamedTuple):
    """A viewer to be fetched: how often that failed in a row, and whether they have a list.

    ``certainly`` says that they are fetched whatever the store has: their account is said to be deactivated.
    """

    did: str
    failures: int
    has_list: bool
    certainly: bool


class FetchedFrom(NamedTuple):
    """The host of a repository, and how long it wants to be left alone."""

    host: str = ""
    retry_us: int = 0


NO_HOST = FetchedFrom()


class HostRecord(NamedTuple):
    """What fetches of the last day say of a host; until ``retry_us`` it wants to be left alone."""

    host: str
    is_good: bool  # the last fetch succeeded
    retry_us: int


class HistoryStore:
    """A connection of backfill to landing.sqlite; ingest may write to it at the same time."""

    def __init__(self, data_dir: Path, cache_bytes: int = 256 << 20) -> None:
        """Open the store, or make it; StoreError when that fails."""
        self._data_dir, self._cache_bytes = data_dir, cache_bytes
        self._open()

    def _open(self) -> None:
        path = places.landing(self._data_dir)
        try:
            self._connection = open_migrated(path, "landing", busy_seconds=BUSY_SECONDS)
        except (OSError, sqlite3.Error, SchemaError) as error:
            raise StoreError(f"can't open {path}: {error}") from error
        self._connection.executescript(sql.load("landing/staging_tables"))
        self._actors = ActorIds(self._connection, self._cache_bytes)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Close the store while the block lasts: a merge reads it by another SQLite, which would drop its locks.

        With two in one process, another process may shorten the log that this one has mapped (``store.arrow``).
        """
        self._connection.close()
        try:
            yield
        finally:
            self._open()

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

    def actor_id(self, did: str) -> int | None:
        """Return the id of a DID, None when it was never seen."""
        row = self._connection.execute("SELECT actor_id FROM actors WHERE did = ?", (did,)).fetchone()
        return None if row is None else int(row[0])

    def store_viewer(
        self,
        did: str,
        likes: Sequence[HistoryLike],
        now_us: int,
        outcome: str,
        *,
        stream_us: int = 0,
        count: int | None = None,
        statement: Statement | None = None,
        reset_no: int = 0,
        where: FetchedFrom = NO_HOST,
        is_stranger: bool = False,
    ) -> Counter[str]:
        """Store what counts of an actor's repository and record the outcome; return what was left out, by reason.

        Without a statement its likes are only added: nothing is known of what it does not list. ``now_us`` is this
        machine's time, ``stream_us`` that of the stream where there is one, ``reset_no`` the reset that this answers.
        ``count`` replaces the number of likes. Where much was left out, the outcome says that they are to be fetched
        again.
        """
        execute = self._connection.execute
        with self._transaction():
            commit_no = next_commit(self._connection)
            time_us = stream_us or now_us
            admitted = admit(self._connection, likes, statement, time_us, is_stranger=is_stranger)
            was_read = outcome == DONE
            if admitted.again and was_read:
                outcome, reset_no = f"{self.failures(did) + 1} failures: {admitted.again}", 0
            if admitted.likes or (statement is not None and self.actor_id(did) is not None):
                self._tell(did, admitted, commit_no, time_us)
            self._connection.executemany(
                sql.load("landing/add_counter"),
                [("drop", reason, dropped) for reason, dropped in admitted.left_out.items()],
            )
            if statement is not None and was_read:
                execute(sql.load("landing/activate_account"), {"did": did, "rev": statement.rev})
            execute(
                sql.load("landing/record_fetch"),
                {
                    "did": did,
                    "fetched_us": now_us,
                    "stream_us": time_us,
                    "likes": len(admitted.likes) if count is None else count,
                    "outcome": outcome,
                    "commit_no": commit_no,
                    "reset_no": reset_no,
                    "host": where.host,
                    "retry_us": where.retry_us,
                },
            )
        return admitted.left_out

    def _tell(self, did: str, admitted: Admission, commit_no: int, now_us: int) -> None:
        execute, authors, statement = self._connection.execute, admitted.authors, admitted.statement
        liker = self._actors.intern([did])[did]
        rows = [
            (liker, like.rkey, authors[like.author], like.post_rkey, like.seen_us,
             min(like.rkey, tid_at(now_us)) if statement is None else statement.rev, int(WordMark.FETCHED))
            for like in admitted.likes
        ]  # fmt: skip
        settle(self._connection, rows, commit_no)
        if statement is not None and statement.from_rkey is not None:
            state_void(self._connection, liker, statement.rev, statement.from_rkey)
            undeleted = {"actor": liker, "rev": statement.rev}
            if execute(sql.load("landing/undelete_account"), undeleted).rowcount:
                show_again(self._data_dir, liker)

    def reset_no(self, did: str) -> int:
        """Return the number of the reset that waits for a fetch of this repository, 0 when none does."""
        row = self._connection.execute(
            "SELECT reset_no FROM fetched_viewers WHERE did = ?", (did,)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def resets(self, now_us: int, pauses: Waiting, limit: int) -> list[str]:
        """Return the actors whose repository was replaced and not fetched since, the longest waiting first."""
        parameters = {
            "now_us": now_us,
            "limit": limit,
            "first_us": pauses.first_us,
            "most_us": pauses.most_us,
        }
        return [row[0] for row in self._connection.execute(sql.load("landing/resets_to_fetch"), parameters)]

    def failures(self, did: str) -> int:
        """Return how often in a row fetching a viewer's likes failed."""
        row = self._connection.execute(
            "SELECT CAST(outcome AS INTEGER) FROM fetched_viewers WHERE did = ?", (did,)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def waiting(
        self, data_dir: Path, now_us: int, pauses: Waiting, limit: int, machine_us: int = 0
    ) -> list[DueViewer]:
        """Return viewers who opened the feed and were not fetched lately, the longest waiting first.

        When there are more than ``limit``, those with a list go first, then those who never failed. Of the others it is
        half the first to come and half the last. ``machine_us`` is this machine's time, as in visits.
        """
        activity, serving = places.activity(data_dir), places.serving(data_dir)
        if not has_tables(activity, "visits"):
            return []
        execute = self._connection.execute
        execute("ATTACH ? AS activity", (f"{activity.absolute().as_uri()}?mode=ro",))
        try:
            if has_tables(serving, "viewers"):
                execute("ATTACH ? AS serving", (f"{serving.absolute().as_uri()}?mode=ro",))
            else:
                execute("ATTACH ':memory:' AS serving")
                execute("CREATE TABLE serving.viewers (did TEXT PRIMARY KEY)")
            try:
                parameters = {"now_us": now_us, "limit": limit, "lately_us": machine_us - DAY_US}
                found = execute(
                    sql.load("landing/viewers_to_fetch"), {**parameters, **pauses._asdict()}
                ).fetchall()
            finally:
                execute("DETACH serving")
        finally:
            execute("DETACH activity")
        return [
            DueViewer(did, failures, bool(has_list), bool(certainly))
            for did, failures, has_list, certainly in found
        ]

    def hosts(self, now_us: int) -> list[HostRecord]:
        """Return what is known of the hosts of repositories that were read on the stream's last day."""
        rows = self._connection.execute(sql.load("landing/hosts_of_fetches"), {"since_us": now_us - DAY_US})
        return [HostRecord(host, bool(is_good), int(retry_us)) for host, is_good, retry_us in rows]

    def count_likes(self, likers: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Return how many likes of each liker are in landing.sqlite, and how many of them a stream reported."""
        rows = self._connection.execute(
            sql.load("landing/likes_per_liker"), {"likers": json.dumps(list(likers))}
        )
        return {liker: (likes, streamed) for liker, likes, streamed in rows}

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
