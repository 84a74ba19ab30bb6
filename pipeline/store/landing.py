"""landing.sqlite: what the stream reported, for the days that are not in the lake yet.

Owns: writing it, one batch a transaction, events and stream cursor together. Leaves to others: decoding (``ingest``),
what is removed later (``landing_retention``), reading it for the batch (``batch.inputs.snapshot``), the lake's files
(``lake.compact``).

Invariants:
- Appending any stretch of the stream again, from any host, in any order, changes nothing. For every like, unlike, post
  and deletion the greater rev wins, for an account's status the later event.
- Once the watermark has passed a day's end by CLOSE_GRACE_US, the day takes no more likes and no more tombstones. So
  what compaction reads of it is final. When its file exists, a day's likes are read from the lake and deleted here.
"""

import sqlite3
import time
from collections import Counter
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Literal

import sql
from pipeline.clock import SKEW_US
from pipeline.errors import StoreError
from pipeline.store.actors import ActorIds
from pipeline.store.events import AccountChange, EventBatch, StreamPosition
from pipeline.store.model import DAY_US, AccountStatus, first_open_day
from sql import places
from sql.sqlite import SchemaError, open_migrated, transaction

PACE_SECONDS = 600.0  # of stream time, over which the stream's pace is averaged

STAGED_AT_ONCE = 50  # likes per statement: one each took twice as long

# A row of staged_likes: day, liker, rkey, author, post_rkey, seen_us, rev.
LikeRow = tuple[int, int, int, int, int, int, int]

_STAGED = ("staged_likes", "staged_unlikes", "staged_posts", "staged_deletions")


class Landing:
    """A landing store opened for writing; one a data directory at a time (``store.locks``)."""

    def __init__(self, data_dir: Path) -> None:
        path = places.landing(data_dir)
        try:
            self.connection = open_migrated(path, "landing")
            self.connection.executescript(sql.load("landing/staging_tables"))
            self._actors = ActorIds(self.connection)
            self._days = self._stored_days()
            self._deleted_us: dict[int, int] = dict(
                self.connection.execute("SELECT actor_id, deleted_us FROM actors WHERE deleted_us > 0")
            )
            self._watermark_us, self._low_us = map(
                int, self.connection.execute("SELECT seen_us, low_us FROM watermark").fetchone()
            )
            self._position = self._read_position()
            self._unpaced = 0  # messages since the position's time last moved
        except (sqlite3.Error, SchemaError) as error:
            raise StoreError(f"can't open {path}: {error}") from error

    @property
    def days(self) -> set[int]:
        """The days that have likes here, in days since 1970."""
        return set(self._days)

    @property
    def watermark_us(self) -> int:
        """The newest stream time stored, 0 in an empty store."""
        return self._watermark_us

    @property
    def low_us(self) -> int:
        """The low watermark, which alone closes days and deletes; 0 while too little is known."""
        return self._low_us

    def position(self) -> StreamPosition | None:
        """Return where the stream stood at the last commit, on whichever host that was."""
        return self._position

    def append(
        self, batch: EventBatch, host: str, wire: str, *, late: Literal["drop", "history"] = "drop"
    ) -> None:
        """Store a batch and the stream cursor after it in one transaction.

        Likes of closed days are dropped, or stored as history. Likes that are too late or of unknown posts are counted
        in ``batch.counts``. When it raises sqlite3.Error (a full disk, for instance), nothing of the batch is stored.
        """
        position = self._position
        self._unpaced += batch.messages
        watermark_us, low_us = max(self._watermark_us, batch.newest_us), max(self._low_us, batch.low_us)
        if batch.value:
            position = self._position_after(batch, host, wire)
        try:
            with transaction(self.connection):
                ids = self._actors.intern(_dids_of(batch))
                self._merge(batch, ids, self._stage(batch, ids, late), in_order=late == "drop")
                if position is not None and position is not self._position:
                    self._store_position(position)
                if batch.gap is not None:
                    self._store_gap(batch, host, wire)
                self.connection.execute(
                    "UPDATE watermark SET seen_us = ?1, low_us = ?2, last_us = iif(?3, ?3, last_us)",
                    (watermark_us, low_us, batch.last_us),
                )
                if batch.first_us and not self._watermark_us:
                    self.connection.execute("INSERT OR IGNORE INTO began VALUES (1, ?)", (batch.first_us,))
                self.connection.executemany(
                    sql.load("landing/add_counter"),
                    [(kind, name, count) for (kind, name), count in batch.counts.items()],
                )
        except BaseException:
            self._actors.forget()
            self._days = self._stored_days()
            raise
        self._position, self._watermark_us, self._low_us = position, watermark_us, low_us

    def set_gauges(self, values: dict[str, float]) -> None:
        """Store the measures of ingest, for ``foryou status``."""
        now_us = time.time_ns() // 1000
        rows = [(name, value, now_us) for name, value in values.items()]
        with transaction(self.connection):
            self.connection.executemany(sql.load("landing/set_gauge"), rows)

    def forget_day(self, day: int) -> None:
        """Remove a day without likes from ``days``."""
        self._days.discard(day)

    def close(self) -> None:
        """Close the store; everything appended is already committed."""
        self.connection.close()

    def _stored_days(self) -> set[int]:
        return {row[0] for row in self.connection.execute("SELECT day FROM like_days")}

    def _stage(self, batch: EventBatch, ids: dict[str, int], late: str) -> Counter[int]:
        """Fill the temporary tables; return how many likes of each day are in them."""
        first_day = first_open_day(self._low_us)
        deleted_us = self._deleted_us
        likes: list[LikeRow] = []
        history = []
        for liker_did, rkey, author_did, post_rkey, seen_us, rev in batch.likes:
            liker, author, day = ids[liker_did], ids[author_did], seen_us // DAY_US
            if deleted_us and seen_us <= deleted_us.get(liker, 0):
                batch.drop("like_of_deleted_account")
            elif day >= first_day:
                likes.append((day, liker, rkey, author, post_rkey, seen_us, rev))
            elif late == "history" and rkey >= 0:
                history.append((rkey, liker, author, post_rkey, seen_us))
            else:
                batch.drop("like_of_closed_day")
        execute_many = self.connection.executemany
        self._stage_likes(likes)
        execute_many(sql.load("landing/add_history_like"), history)
        execute_many(
            "INSERT INTO staged_unlikes VALUES (?, ?, ?, ?)",
            [(ids[unlike.liker], *unlike[1:]) for unlike in batch.unlikes],
        )
        execute_many(
            "INSERT INTO staged_posts VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(ids[post.author], *post[1:]) for post in batch.posts],
        )
        execute_many(
            "INSERT INTO staged_deletions VALUES (?, ?, ?)",
            [(ids[deletion.author], deletion.rkey, deletion.rev) for deletion in batch.post_deletions],
        )
        return Counter(like[0] for like in likes)

    def _stage_likes(self, likes: list[LikeRow]) -> None:
        row, whole = "(?, ?, ?, ?, ?, ?, ?)", len(likes) // STAGED_AT_ONCE * STAGED_AT_ONCE
        many = (
            tuple(chain.from_iterable(likes[start : start + STAGED_AT_ONCE]))
            for start in range(0, whole, STAGED_AT_ONCE)
        )
        insert = "INSERT INTO staged_likes VALUES "
        self.connection.executemany(insert + ", ".join([row] * STAGED_AT_ONCE), many)
        self.connection.executemany(insert + row, likes[whole:])

    def _merge(
        self, batch: EventBatch, ids: dict[str, int], likes_by_day: Counter[int], *, in_order: bool
    ) -> None:
        execute = self.connection.execute
        for day, staged in likes_by_day.items():
            added = execute(sql.load("landing/merge_likes"), {"day": day}).rowcount
            if added < staged:
                execute(sql.load("landing/replace_likes"), {"day": day})
            self._count_day(day, added)
        if batch.unlikes:
            self._undo_likes()
        execute(sql.load("landing/merge_posts"))
        execute(sql.load("landing/merge_deletions"))
        for change in batch.accounts:
            self._set_status(ids[change.did], change, in_order=in_order)
        # 'reset' is fetched whatever likes are here; fetched_us 0 makes it due now (``fetched_likes``).
        reset = "UPDATE fetched_viewers SET fetched_us = 0, outcome = 'reset' WHERE did = ?"
        self.connection.executemany(reset, [(did,) for did in batch.resets])
        unknown = execute(sql.load("landing/unknown_posts")).fetchone()[0]
        if unknown:
            batch.counts["event", "like_of_unknown_post"] += unknown
        for table in _STAGED:
            execute(f"DELETE FROM {table}")

    def _undo_likes(self) -> None:
        execute = self.connection.execute
        first_day = first_open_day(self._low_us)
        execute(sql.load("landing/merge_unlikes"), {"first_open_day": first_day})
        for day in list(self._days):
            removed = execute(sql.load("landing/remove_likes"), {"day": day}).fetchall()
            if day >= first_day:  # the lake may already have a like of a closed day
                found = "UPDATE unlikes SET found_open_like = 1 WHERE rkey = ? AND liker_id = ? AND found_open_like = 0"
                self.connection.executemany(found, removed)
            self._count_day(day, -len(removed))
        execute(sql.load("landing/remove_history_likes"))

    def _count_day(self, day: int, change: int) -> None:
        if change:
            self.connection.execute(sql.load("landing/count_day"), {"day": day, "change": change})
            self._days.add(day)

    def _set_status(self, actor: int, change: AccountChange, *, in_order: bool) -> None:
        # The stream does not send deletions of their records. Rows are sorted by time, not by liker: so readers
        # ignore what was seen up to deleted_us, and compaction does not write it to the lake.
        deleted_us = change.seen_us + SKEW_US if change.status is AccountStatus.DELETED else 0
        self.connection.execute(
            sql.load("landing/set_status"),
            {
                "actor": actor,
                "status": int(change.status),
                "seen_us": change.seen_us,
                "in_order": in_order,
                "deleted_us": deleted_us,
            },
        )
        if deleted_us:
            self._deleted_us[actor] = max(deleted_us, self._deleted_us.get(actor, 0))

    def _position_after(self, batch: EventBatch, host: str, wire: str) -> StreamPosition:
        before = self._position
        pace = 0.0 if before is None else before.events_per_second
        # From the connection's first event on: what was missed before it says nothing of the pace.
        since_us = batch.first_us if before is None else max(before.event_us, batch.first_us)
        span = (batch.event_us - since_us) / 1e6
        if span > 0:
            share = min(1.0, span / PACE_SECONDS) if pace else 1.0
            pace += (self._unpaced / span - pace) * share
            self._unpaced = 0
        return StreamPosition(host, wire, batch.value, batch.event_us, pace)

    def _read_position(self) -> StreamPosition | None:
        row = self.connection.execute(sql.load("landing/stream_position")).fetchone()
        return None if row is None else StreamPosition(*row)

    def _store_position(self, position: StreamPosition) -> None:
        self.connection.execute(
            sql.load("landing/set_cursor"), {**asdict(position), "committed_us": time.time_ns() // 1000}
        )

    def _store_gap(self, batch: EventBatch, host: str, wire: str) -> None:
        assert batch.gap is not None
        parameters = {**batch.gap._asdict(), "host": host, "wire": wire, "noted_us": time.time_ns() // 1000}
        self.connection.execute(sql.load("landing/add_gap"), parameters)


def _dids_of(batch: EventBatch) -> set[str]:
    dids = {like[0] for like in batch.likes}  # liker and author, by place: most of a batch is likes
    dids.update([like[2] for like in batch.likes])
    dids.update(unlike.liker for unlike in batch.unlikes)
    dids.update(post.author for post in batch.posts)
    dids.update(deletion.author for deletion in batch.post_deletions)
    dids.update(change.did for change in batch.accounts)
    return dids
