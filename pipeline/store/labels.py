"""What labelers say of posts and accounts: in landing.sqlite, and at once in removals.sqlite.

Owns: the tables of labels and labelers, their bounds, and what all labels of a post or an author withhold together.
Leaves to others: the stream (``ingest.labels``), which values withhold what (``label_levels``), the profile records of
authors (``self_labels``), lists without what is withheld (``batch``).

Invariants:
- The labels of some messages and the cursor after them are one transaction. A message that comes again changes
  nothing: what its labeler said later is stored already.
- Of what one labeler says of one subject with one value, the last statement counts. One that a negation or its expiry
  ended is deleted.
- removals.sqlite is written within that transaction and commits first, as ``removals`` says.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import sql
from pipeline.errors import StoreError
from pipeline.identifiers import tid_at
from pipeline.store.actors import ActorIds
from pipeline.store.model import DAY_US, POST_DAYS, WithheldBy
from pipeline.store.removals import Removals
from sql import places
from sql.sqlite import SchemaError, open_migrated, transaction

# Some 87 bytes each with its row in removals.sqlite (bench_labels.py): 350 MB at most.
LABELS_MAX, LABELS_OF_ONE_MAX = 4_000_000, 3_000_000
# A number is never taken back (ARCHITECTURE.md), so what a labeler may add is bounded over all time: 300 MB.
NEW_ACTORS_MAX = 3_000_000
ACCOUNT, PROFILE = -1, -2  # in the place of a post's record key
EXPIRED_AT_ONCE = 1_000
PRUNE_SECONDS = 600.0
BUSY_SECONDS = 120.0  # ingest's own commits come first
_CACHE_BYTES = 16 << 20

_Key = tuple[int, int, int, str]  # rkey, actor, labeler, value


class LabelStatement(NamedTuple):
    """A labeler's word: a subject, a value, and from whom it withholds the subject; level 0 ends an earlier word.

    ``rkey`` is a post's, or ACCOUNT or PROFILE. It holds until ``until_us`` by this machine's clock, None for ever.
    """

    did: str
    rkey: int
    val: str
    level: int
    until_us: int | None


@dataclass(slots=True)
class LabelBatch:
    """Decoded messages of one labeler, in their order, and the cursor after them."""

    statements: list[LabelStatement] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seq: int = 0  # of the last message; 0 when none had one
    first_seq: int = 0
    stated_us: int = 0  # the latest time that a label claims
    messages: int = 0
    reached: int = 0  # messages that had a seq
    outdated: bool = False  # the host keeps nothing so old as our cursor
    cursor_is_void: bool = False  # the host never gave our cursor


class LabelStore:
    """The labels of a data directory, opened for writing by the one process that follows labelers."""

    def __init__(self, data_dir: Path, levels: Mapping[str, int], dids: Sequence[str]) -> None:
        """Keep labels of these labelers, with these values; forget all others."""
        path = places.landing(data_dir)
        try:
            self._connection = open_migrated(path, "landing", busy_seconds=BUSY_SECONDS)
            self._actors = ActorIds(self._connection, _CACHE_BYTES)
            self._removals = Removals(data_dir)
            with transaction(self._connection):
                self._adopt(dict(levels), dids)
        except (sqlite3.Error, SchemaError) as error:
            raise StoreError(f"can't open {path}: {error}") from error
        query = "SELECT did, labeler_id, seq FROM labelers"
        rows = self._connection.execute(query).fetchall()
        self._ids = {did: labeler for did, labeler, _ in rows}
        self._seqs: dict[str, int] = {did: seq for did, _, seq in rows}
        self._prune_at = 0.0

    def cursor(self, did: str) -> int:
        """Return the seq up to which a labeler's stream is stored; 0 is before its beginning."""
        return self._seqs[did]

    def bounds(self) -> tuple[int, int]:
        """Return the least and the greatest key of the posts that lists may name."""
        query = "SELECT seen_us, low_us FROM watermark"
        seen_us, low_us = self._connection.execute(query).fetchone()
        latest_us = max(seen_us, time.time_ns() // 1000) + DAY_US
        return tid_at(max(low_us - POST_DAYS * DAY_US, 0)), tid_at(latest_us)

    def append(self, did: str, batch: LabelBatch) -> None:
        """Store what a labeler said, with the cursor after it; what there is no room for is counted."""
        now_us = time.time_ns() // 1000
        try:
            with transaction(self._connection):
                stored, new_actors = self._store(self._ids[did], batch)
                parameters = {
                    "labeler_id": self._ids[did], "seq": batch.seq, "received_us": now_us,
                    "stated_us": min(batch.stated_us, now_us), "labels": stored, "new_actors": new_actors,
                }  # fmt: skip
                if batch.reached:
                    self._connection.execute(sql.load("landing/move_label_cursor"), parameters)
                if batch.outdated and batch.first_seq > self._seqs[did] + 1:
                    gap = (self._ids[did], self._seqs[did], batch.first_seq, now_us)
                    self._connection.execute("INSERT OR REPLACE INTO label_gaps VALUES (?, ?, ?, ?)", gap)
                self._count(batch.counts)
        except BaseException:
            self._actors.forget()
            raise
        self._seqs[did] = max(self._seqs[did], batch.seq)

    def start_again(self, did: str) -> None:
        """Read a labeler's stream from its beginning: its host does not know our cursor, so it counts anew."""
        with transaction(self._connection):
            self._connection.execute("UPDATE labelers SET seq = 0 WHERE did = ?", (did,))
        self._seqs[did] = 0

    def count(self, counts: Counter[tuple[str, str]]) -> None:
        """Store counts that belong to no message."""
        with transaction(self._connection):
            self._count(counts)

    def tidy(self) -> int:
        """End labels that have expired, and forget now and then those of posts that are too old; return how many."""
        due = {"now_us": time.time_ns() // 1000, "rows": EXPIRED_AT_ONCE}
        expired = self._connection.execute(sql.load("landing/expired_labels"), due).fetchall()
        if expired:
            with transaction(self._connection):
                ended = self._delete(expired)
                self._withhold((rkey, actor) for rkey, actor, _, _ in expired)
                self._count(Counter({("event", "label_expired"): ended}))
        if time.monotonic() < self._prune_at:
            return len(expired)
        self._prune_at = time.monotonic() + PRUNE_SECONDS
        with transaction(self._connection):
            query = "DELETE FROM labels WHERE rkey >= 0 AND rkey < ?"
            removed = self._connection.execute(query, (self.bounds()[0],)).rowcount
            for labeler in self._ids.values() if removed or expired else ():
                self._recount(labeler)
        return len(expired) + removed

    def close(self) -> None:
        """Close the store; everything appended is already committed."""
        self._removals.close()
        self._connection.close()

    def _adopt(self, levels: dict[str, int], dids: Sequence[str]) -> None:
        """Make the labels agree with the settings; a value that is new is read from the beginning of the streams."""
        execute, changed = self._connection.execute, 0
        before = dict(execute("SELECT val, level FROM label_levels").fetchall())
        for val, level in before.items():
            if val not in levels:
                changed += execute("DELETE FROM labels WHERE val = ?", (val,)).rowcount
            elif level != levels[val]:
                changed += execute("UPDATE labels SET level = ? WHERE val = ?", (levels[val], val)).rowcount
        if levels.keys() - before.keys():
            execute("UPDATE labelers SET seq = 0")
        if levels != before:
            execute("DELETE FROM label_levels")
            self._connection.executemany("INSERT INTO label_levels VALUES (?, ?)", levels.items())
        for did, labeler in execute("SELECT did, labeler_id FROM labelers").fetchall():
            if did not in dids:
                changed += execute("DELETE FROM labels WHERE labeler_id = ?", (labeler,)).rowcount
                execute("DELETE FROM label_gaps WHERE labeler_id = ?", (labeler,))
                execute("DELETE FROM labelers WHERE labeler_id = ?", (labeler,))
        self._connection.executemany(
            "INSERT OR IGNORE INTO labelers (did) VALUES (?)", [(did,) for did in dids]
        )
        if changed:
            posts = execute(sql.load("landing/labels_of_posts"))
            self._removals.end(WithheldBy.LABELER)
            self._removals.withhold(WithheldBy.LABELER, posts, execute(sql.load("landing/labels_of_authors")))

    def _store(self, labeler: int, batch: LabelBatch) -> tuple[int, int]:
        """Store statements; return how many labels that may be more, and how many actors are new."""
        last = {(word.did, word.rkey, word.val): word for word in batch.statements}
        if not last:
            return 0, 0
        dids = {did for did, _, _ in last}
        known = self._actors.known(dids)
        wanted = {word.did for word in last.values() if word.level and word.did not in known}
        labels, of_one, new_actors = self._sizes(labeler)
        ids, room = dict(known), max(NEW_ACTORS_MAX - new_actors, 0)
        admitted = sorted(wanted)[:room]
        numbers = self._actors.intern(admitted)
        ids |= {did: numbers[did] for did in admitted}
        stored: list[tuple[int, int, int, str, int, int | None]] = []
        ended: list[_Key] = []
        for (did, rkey, val), word in last.items():
            actor = ids.get(did)
            if actor is not None and word.level:
                stored.append((rkey, actor, labeler, val, word.level, word.until_us))
            elif actor is not None:
                ended.append((rkey, actor, labeler, val))
            elif word.level:
                batch.counts["drop", "label_no_room"] += 1
        fewer = self._delete(ended)  # first, for it makes room
        if stored and (labels + len(stored) > LABELS_MAX or of_one + len(stored) > LABELS_OF_ONE_MAX):
            self._recount(labeler)
            labels, of_one, _ = self._sizes(labeler)
            left = max(min(LABELS_MAX - labels, LABELS_OF_ONE_MAX - of_one), 0)
            batch.counts["drop", "label_no_room"] += len(stored[left:])
            stored = stored[:left]
        self._connection.executemany(sql.load("landing/store_label"), stored)
        self._withhold([*((row[0], row[1]) for row in stored), *((key[0], key[1]) for key in ended)])
        return len(stored) - fewer, len(admitted)

    def _sizes(self, labeler: int) -> tuple[int, int, int]:
        """Return how many labels there are at most, how many of one labeler, and how many actors it brought."""
        query = (
            "SELECT (SELECT sum(labels) FROM labelers), labels, new_actors FROM labelers WHERE labeler_id = ?"
        )
        labels, of_one, new_actors = self._connection.execute(query, (labeler,)).fetchone()
        return int(labels), int(of_one), int(new_actors)

    def _recount(self, labeler: int) -> None:
        """Count a labeler's labels: what was said again was added twice."""
        counted = "(SELECT count(*) FROM labels AS l WHERE l.labeler_id = labelers.labeler_id)"
        self._connection.execute(f"UPDATE labelers SET labels = {counted} WHERE labeler_id = ?", (labeler,))

    def _delete(self, keys: Iterable[_Key]) -> int:
        query = "DELETE FROM labels WHERE rkey = ? AND actor_id = ? AND labeler_id = ? AND val = ?"
        return self._connection.executemany(query, keys).rowcount

    def _withhold(self, subjects: Iterable[tuple[int, int]]) -> None:
        """Let pages do what all labels on some subjects (rkey, actor) say together."""
        execute, subjects = self._connection.execute, set(subjects)
        posts = json.dumps(sorted(key for key in subjects if key[0] >= 0))
        authors = json.dumps(sorted({actor for rkey, actor in subjects if rkey < 0}))
        self._removals.withhold(
            WithheldBy.LABELER,
            execute(sql.load("landing/levels_of_posts"), {"subjects": posts}).fetchall(),
            execute(sql.load("landing/levels_of_authors"), {"actors": authors}).fetchall(),
        )

    def _count(self, counts: Counter[tuple[str, str]]) -> None:
        rows = [(kind, name, count) for (kind, name), count in counts.items() if count]
        self._connection.executemany(sql.load("landing/add_counter"), rows)
