"""landing.sqlite: what the stream has told, for the days that are not in the lake yet.

Owns: writing it, one batch a transaction, events and stream cursor together. Leaves to others: decoding
(``ingest``), reading it for the batch (``batch.snapshot``), the lake's files (``batch.compact``).

Invariants:
- Appending any stretch of the stream again, in any order, changes nothing: the later time wins for every
  like, unlike, post, deletion and account status.
- A day that the watermark has passed by CLOSE_GRACE_US takes no more likes, so what compaction reads of it
  is final. A day's likes are read from the lake once its file exists; then they are deleted here.
"""

import sqlite3
import time
from pathlib import Path

import sql
from pipeline.errors import StoreError
from pipeline.store.actors import ActorIds
from pipeline.store.events import AccountChange, EventBatch, StreamPosition, Unlike
from pipeline.store.model import AccountStatus, day_of, first_open_day
from sql.sqlite import SchemaError, connect, migrate

FILE_NAME = "landing.sqlite"


class Landing:
    """A landing store opened for writing; one a data directory at a time (``store.locks``)."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / FILE_NAME
        try:
            self._connection = connect(path)
            migrate(self._connection, "landing")
            self._connection.executescript(sql.load("landing/stage"))
        except (sqlite3.Error, SchemaError) as error:
            raise StoreError(f"can't open {path}: {error}") from error
        self._actors = ActorIds(self._connection)
        self._days = {row[0] for row in self._connection.execute(sql.load("landing/days"))}
        self._deleted = dict(
            self._connection.execute(
                "SELECT actor_id, status_us FROM actors WHERE status = ?", (AccountStatus.DELETED,)
            )
        )

    @property
    def days(self) -> set[int]:
        """The days that have likes here, in days since 1970."""
        return set(self._days)

    @property
    def watermark_us(self) -> int:
        """The newest stream time stored, 0 in an empty store."""
        row = self._connection.execute("SELECT seen_us FROM watermark").fetchone()
        return int(row[0])

    def position(self) -> StreamPosition | None:
        """Return where the stream stood at the last commit, on whichever host that was."""
        row = self._connection.execute(
            "SELECT host, wire, value, event_us FROM stream_cursors ORDER BY committed_us DESC LIMIT 1"
        ).fetchone()
        return None if row is None else StreamPosition(*row)

    def append(self, batch: EventBatch, host: str, wire: str) -> None:
        """Store a batch and the stream cursor after it in one transaction.

        Counts what of it comes too late or is of unknown posts in ``batch.counts``. Raises sqlite3.Error
        with nothing of the batch stored (a full disk, for instance).
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            ids = self._actors.intern(_dids_of(batch))
            self._stage(batch, ids)
            self._merge(batch, ids)
            self._set_position(batch, host, wire)
            self._count(batch)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._actors.forget()
            raise

    def purge(self, day: int, rows: int) -> int:
        """Delete about ``rows`` likes of a day that is in the lake; return how many went, 0 once none is left."""
        deleted = self._connection.execute(sql.load("landing/purge_day"), {"day": day, "rows": rows}).rowcount
        if deleted == 0:
            self._days.discard(day)
        return deleted

    def close(self) -> None:
        """Close the store; everything appended is already committed."""
        self._connection.close()

    def _stage(self, batch: EventBatch, ids: dict[str, int]) -> None:
        first_day = first_open_day(self.watermark_us)
        likes = []
        for like in batch.likes:
            liker = ids[like.liker]
            if day_of(like.seen_us) < first_day:
                batch.drop("like_of_closed_day")
            elif like.seen_us <= self._deleted.get(liker, 0):
                batch.drop("like_of_deleted_account")
            else:
                likes.append((liker, like.rkey, ids[like.author], like.post_rkey, like.seen_us))
        self._days.update({day_of(like[4]) for like in likes})
        execute_many = self._connection.executemany
        execute_many("INSERT INTO staged_likes VALUES (?, ?, ?, ?, ?)", likes)
        execute_many(
            "INSERT INTO staged_unlikes VALUES (?, ?, ?)",
            [(ids[unlike.liker], unlike.rkey, unlike.seen_us) for unlike in batch.unlikes],
        )
        execute_many(
            "INSERT INTO staged_posts VALUES (?, ?, ?, ?, ?, ?)",
            [(ids[post.author], *post[1:]) for post in batch.posts],
        )
        execute_many(
            "INSERT INTO staged_deletions VALUES (?, ?, ?)",
            [(ids[deletion.author], deletion.rkey, deletion.seen_us) for deletion in batch.post_deletions],
        )

    def _merge(self, batch: EventBatch, ids: dict[str, int]) -> None:
        execute = self._connection.execute
        execute(sql.load("landing/merge_unlikes"))
        execute(sql.load("landing/merge_likes"))
        execute(sql.load("landing/merge_posts"))
        execute(sql.load("landing/merge_deletions"))
        for unlike in batch.unlikes:
            self._remove_like(ids[unlike.liker], unlike)
        for change in batch.accounts:
            self._set_status(ids[change.did], change)
        unknown = execute(sql.load("landing/count_unknown_posts")).fetchone()[0]
        if unknown:
            batch.counts["event", "like_of_unknown_post"] += unknown
        for table in ("staged_likes", "staged_unlikes", "staged_posts", "staged_deletions"):
            execute(f"DELETE FROM {table}")

    def _remove_like(self, liker: int, unlike: Unlike) -> None:
        # A like record may be of any day still held here; two or three of them, as a rule.
        self._connection.executemany(
            "DELETE FROM likes WHERE day = ? AND liker_id = ? AND rkey = ? AND seen_us <= ?",
            [
                (day, liker, unlike.rkey, unlike.seen_us)
                for day in self._days
                if day <= day_of(unlike.seen_us)
            ],
        )

    def _set_status(self, actor: int, change: AccountChange) -> None:
        changed = self._connection.execute(
            sql.load("landing/set_status"),
            {"actor": actor, "status": int(change.status), "seen_us": change.seen_us},
        ).rowcount
        if changed and change.status is AccountStatus.DELETED:
            # No deletion of their records follows on the stream, so they are removed here.
            self._deleted[actor] = change.seen_us
            self._connection.executemany(
                "DELETE FROM likes WHERE day = ? AND liker_id = ? AND seen_us <= ?",
                [(day, actor, change.seen_us) for day in self._days],
            )

    def _set_position(self, batch: EventBatch, host: str, wire: str) -> None:
        if batch.value:
            self._connection.execute(
                sql.load("landing/set_cursor"),
                {
                    "host": host,
                    "wire": wire,
                    "value": batch.value,
                    "event_us": batch.event_us,
                    "committed_us": time.time_ns() // 1000,
                },
            )
        self._connection.execute("UPDATE watermark SET seen_us = max(seen_us, ?)", (batch.newest_us,))

    def _count(self, batch: EventBatch) -> None:
        self._connection.executemany(
            sql.load("landing/add_counter"),
            [(kind, name, count) for (kind, name), count in batch.counts.items()],
        )


def _dids_of(batch: EventBatch) -> set[str]:
    dids = {like.liker for like in batch.likes}
    dids.update(like.author for like in batch.likes)
    dids.update(unlike.liker for unlike in batch.unlikes)
    dids.update(post.author for post in batch.posts)
    dids.update(deletion.author for deletion in batch.post_deletions)
    dids.update(change.did for change in batch.accounts)
    return dids
