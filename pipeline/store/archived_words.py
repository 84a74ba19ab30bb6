"""What a backfill from an archive writes into landing.sqlite: words, statements, and which stretches it brought.

Owns: what is stored, what is missing of it (``gaps``, ``began``), and noting that a stretch was brought. Leaves to
others: assigning actor ids (``fetched_likes``), fetching (``backfill``), words about closed days (``lake.merge``).

Invariant: every write is a short transaction of its own, so that ingest never waits long.
"""

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

import sql
from pipeline.store.fetched_likes import HistoryStore
from pipeline.store.like_words import STAGE_WORD, count_likes, next_commit, settle, state_void

WORDS_A_COMMIT = 20_000
STATEMENTS_A_COMMIT = 2_000
REST_SHARE = 0.5  # of a commit's time, in which ingest gets its turn
ARCHIVE_WIRE = "archive"  # of the gap between an archive's history and the first event of the stream


class StoredGap(NamedTuple):
    """A stretch of the stream that is missing."""

    gap_id: int
    from_us: int
    to_us: int
    wire: str


class StoredPart(NamedTuple):
    """From when on the store is whole, but for its gaps (0: it is empty), and what it has."""

    began_us: int
    watermark_us: int  # 0: no stream was followed
    low_us: int
    gaps: list[StoredGap]  # the newest first
    landed_days: set[int]  # of which landing.sqlite has words


class ArchiveStore(HistoryStore):
    """A connection of a backfill from an archive to landing.sqlite."""

    def stored(self) -> StoredPart:
        """Return what the store has and lacks."""
        execute = self._connection.execute
        return StoredPart(
            self._number("SELECT seen_us FROM began"),
            self.watermark_us(),
            self._number("SELECT low_us FROM watermark"),
            [StoredGap(*row) for row in execute(sql.load("landing/missing_gaps"))],
            {int(row[0]) for row in execute(sql.load("landing/word_days"))},
        )

    def tell(self, words: Iterable[pa.RecordBatch]) -> None:
        """Store words about likes (``lake.reader.WORD_SCHEMA``), some a transaction."""
        for batch in words:
            for start in range(0, len(batch), WORDS_A_COMMIT):
                began = time.monotonic()
                self._store(batch.slice(start, WORDS_A_COMMIT).to_pydict())
                time.sleep((time.monotonic() - began) * REST_SHARE)

    def state(self, void: Mapping[int, int]) -> None:
        """Make earlier words of actors void, up to a rev each."""
        stated = sorted(void.items())
        for start in range(0, len(stated), STATEMENTS_A_COMMIT):
            with self._transaction():
                for actor, rev in stated[start : start + STATEMENTS_A_COMMIT]:
                    state_void(self._connection, actor, rev)

    def healed(self, gap_ids: Iterable[int], began_us: int, now_us: int) -> None:
        """Note that all of these gaps was reported, and all from ``began_us`` on; 0 changes nothing of that."""
        with self._transaction():
            execute = self._connection.execute
            for gap_id in gap_ids:
                execute("UPDATE gaps SET healed_us = ? WHERE gap_id = ?", (now_us, gap_id))
            if began_us:
                execute(sql.load("landing/begin_earlier"), {"began_us": began_us})

    def wait_for_stream(self, reach_us: int, now_us: int, host: str) -> None:
        """Note how far an archive's history reaches: the stream's first event will end the gap (``landing``)."""
        gap = {"from_us": reach_us, "to_us": max(reach_us, now_us), "host": host, "wire": ARCHIVE_WIRE}
        with self._transaction():
            self._connection.execute(sql.load("landing/add_gap"), {**gap, "noted_us": now_us})

    def _store(self, words: dict[str, list[int]]) -> None:
        names = ("liker_id", "rkey", "author_id", "post_rkey", "seen_us", "rev", "marks")
        rows = list(zip(*(words[name] for name in names), strict=True))
        likes = [row[1] for row in rows if row[2] is not None]
        with self._transaction():
            self._connection.executemany(STAGE_WORD, rows)
            commit_no = next_commit(self._connection)
            added = self._connection.execute(sql.load("landing/add_words"), {"commit_no": commit_no}).rowcount
            settle(self._connection, (), commit_no)
            count_likes(self._connection, likes, len(likes) - added)
