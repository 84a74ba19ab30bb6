"""landing.sqlite: what the stream reported, until it is in the lake.

Owns: writing it, one batch a transaction, events and stream cursor together. Leaves to others: decoding (``ingest``),
what is removed later (``landing_retention``), what pages do without at once (``removals``), reading it together with
the lake (``lake.reader``), the lake's files (``lake.merge``).

Invariants:
- Of the words about a record (a like, a post) the one with the greatest rev wins, whoever reported it and when;
  of those about an account's status the later one. Appending any stretch of the stream again, from any host, in any
  order, changes nothing.
- Every commit that tells of likes has a number, greater than any that a file of the lake names.
"""

import sqlite3
import time
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import sql
from pipeline.clock import SKEW_US
from pipeline.errors import StoreError
from pipeline.identifiers import tid_at
from pipeline.store.actors import ActorIds
from pipeline.store.events import AccountChange, EventBatch, StreamPosition
from pipeline.store.former_unlikes import take_former_unlikes
from pipeline.store.like_words import STAGE_WORD, WordRow, count_likes, next_commit, state_void
from pipeline.store.model import AccountStatus
from pipeline.store.removals import Removals
from pipeline.store.self_labels import SelfLabels
from sql import places
from sql.sqlite import SchemaError, open_migrated, transaction

PACE_SECONDS = 600.0  # of stream time, over which the stream's pace is averaged

RESETS_MAX = 100_000  # repositories that wait to be fetched, since the stream could not tell what is in them

STAGED_AT_ONCE = 50  # likes per statement: one each took twice as long

_STAGED = ("staged_words", "staged_posts", "staged_deletions")


class Landing:
    """A landing store opened for writing; one a data directory at a time (``store.locks``)."""

    def __init__(self, data_dir: Path) -> None:
        path = places.landing(data_dir)
        try:
            self.connection = open_migrated(path, "landing")
            self.connection.executescript(sql.load("landing/staging_tables"))
            self._actors = ActorIds(self.connection)
            take_former_unlikes(self.connection, data_dir)
            self._refuse_newer_lake(data_dir)
            self._watermark_us, self._low_us = map(
                int, self.connection.execute("SELECT seen_us, low_us FROM watermark").fetchone()
            )
            self._position = self._read_position()
            self.removals = Removals(data_dir)
            self._self_labels = SelfLabels(self.connection, self.removals)
            if not self._watermark_us:  # a new store numbers actors anew
                self.removals.start_anew()
            self._unpaced = 0  # messages since the position's time last moved
        except (sqlite3.Error, SchemaError) as error:
            raise StoreError(f"can't open {path}: {error}") from error

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

    def append(self, batch: EventBatch, host: str, wire: str, *, in_order: bool = True) -> None:
        """Store a batch and the stream cursor after it in one transaction.

        ``in_order`` says that the batch follows the last one on its stream, so that an account's word is later than all
        before it. Likes of unknown posts are counted in ``batch.counts``. When it raises sqlite3.Error (a full disk,
        for instance), nothing of the batch is stored.
        """
        position = self._position
        self._unpaced += batch.messages
        watermark_us, low_us = max(self._watermark_us, batch.newest_us), max(self._low_us, batch.low_us)
        if batch.value:
            position = self._position_after(batch, host, wire)
        try:
            with transaction(self.connection):
                ids = self._actors.intern(_dids_of(batch))
                self._stage(batch, ids)
                self._merge(batch, ids, in_order=in_order)
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
                    self.connection.execute(
                        sql.load("landing/close_archive_gap"), {"first_us": batch.first_us}
                    )
                self.connection.executemany(
                    sql.load("landing/add_counter"),
                    [(kind, name, count) for (kind, name), count in batch.counts.items()],
                )
        except BaseException:
            self._actors.forget()
            raise
        self._position, self._watermark_us, self._low_us = position, watermark_us, low_us

    def set_gauges(self, values: dict[str, float]) -> None:
        """Store the measures of ingest, for ``foryou status``."""
        now_us = time.time_ns() // 1000
        rows = [(name, value, now_us) for name, value in values.items()]
        with transaction(self.connection):
            self.connection.executemany(sql.load("landing/set_gauge"), rows)

    def close(self) -> None:
        """Close the store; everything appended is already committed."""
        self.removals.close()
        self.connection.close()

    def _refuse_newer_lake(self, data_dir: Path) -> None:
        (commit_no,) = self.connection.execute("SELECT commit_no FROM last_commit").fetchone()
        newest = max((file.commit_no for file in places.changes(data_dir).values()), default=0)
        if newest > commit_no:
            raise StoreError(
                f"{places.landing(data_dir)} is older than the lake beside it (commit {commit_no}, the lake's "
                f"{newest}): some actors in the lake have no number here. Restore both from one backup with "
                "'foryou restore'"
            )

    def _stage(self, batch: EventBatch, ids: dict[str, int]) -> None:
        """Fill the temporary tables."""
        words: list[WordRow] = [
            (ids[liker], rkey, ids[author], post_rkey, seen_us, rev, marks)
            for liker, rkey, author, post_rkey, seen_us, rev, marks in batch.likes
        ]
        words += [
            (ids[liker], rkey, None, None, seen_us, rev, 0) for liker, rkey, seen_us, rev in batch.unlikes
        ]
        self._stage_words(words)
        execute_many = self.connection.executemany
        execute_many(
            "INSERT INTO staged_posts VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(ids[post.author], *post[1:]) for post in batch.posts],
        )
        execute_many(
            "INSERT INTO staged_deletions VALUES (?, ?, ?)",
            [(ids[deletion.author], deletion.rkey, deletion.rev) for deletion in batch.post_deletions],
        )

    def _stage_words(self, words: list[WordRow]) -> None:
        row, whole = "(?, ?, ?, ?, ?, ?, ?)", len(words) // STAGED_AT_ONCE * STAGED_AT_ONCE
        many = (
            tuple(chain.from_iterable(words[start : start + STAGED_AT_ONCE]))
            for start in range(0, whole, STAGED_AT_ONCE)
        )
        several = STAGE_WORD.removesuffix(row) + ", ".join([row] * STAGED_AT_ONCE)
        self.connection.executemany(several, many)
        self.connection.executemany(STAGE_WORD, words[whole:])

    def _merge(self, batch: EventBatch, ids: dict[str, int], *, in_order: bool) -> None:
        execute = self.connection.execute
        if batch.likes or batch.unlikes:
            self._merge_words(batch)
        execute(sql.load("landing/merge_posts"))
        execute(sql.load("landing/merge_deletions"))
        for change in batch.accounts:
            self._set_status(ids[change.did], change, in_order=in_order)
        accounts = [ids[change.did] for change in batch.accounts]
        self.removals.note(self.connection, accounts, sorted(set(batch.identities)))
        if batch.profiles:
            self._self_labels.take(batch.profiles, ids, batch.counts)
        if batch.resets:
            add_resets(self.connection, batch)
        unknown = execute(sql.load("landing/unknown_posts")).fetchone()[0]
        if unknown:
            batch.counts["event", "like_of_unknown_post"] += unknown
        for table in _STAGED:
            execute(f"DELETE FROM {table}")

    def _merge_words(self, batch: EventBatch) -> None:
        execute = self.connection.execute
        commit_no = next_commit(self.connection)
        added = execute(sql.load("landing/add_words"), {"commit_no": commit_no}).rowcount
        known = len(batch.likes) - added
        if known or batch.unlikes:
            execute(sql.load("landing/settle_words"), {"commit_no": commit_no, "all": known > 0})
        count_likes(self.connection, [like.rkey for like in batch.likes], known)

    def _set_status(self, actor: int, change: AccountChange, *, in_order: bool) -> None:
        # The stream does not send deletions of an account's records: its earlier words are void from now on.
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
            state_void(self.connection, actor, tid_at(deleted_us))

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


def add_resets(connection: sqlite3.Connection, batch: EventBatch) -> None:
    """Let the repositories that a batch says were replaced be fetched (``fetched_likes``), as far as there is room."""
    connection.executemany(sql.load("landing/add_reset"), [{"did": did} for did in batch.resets])
    dropped = connection.execute(sql.load("landing/drop_resets"), {"most": RESETS_MAX}).rowcount
    if dropped:
        batch.counts["drop", "reset_too_many"] += dropped


def _dids_of(batch: EventBatch) -> set[str]:
    dids = {like[0] for like in batch.likes}  # liker and author, by place: most of a batch is likes
    dids.update([like[2] for like in batch.likes])
    dids.update(unlike.liker for unlike in batch.unlikes)
    dids.update(post.author for post in batch.posts)
    dids.update(deletion.author for deletion in batch.post_deletions)
    dids.update(change.did for change in batch.accounts)
    dids.update(
        word.did for word in batch.profiles if word.level
    )  # what others say of themselves is not stored
    return dids
