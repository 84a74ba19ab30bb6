"""Profiles that the stream never reported: whose were asked for, and what the AppView answered.

Owns: the table ``profile_requests``, and what an answer weighs beside the stream's words. Leaves to others: who is due
(``who_is_due``), asking (``backfill.author_profiles``), what a profile says of posts (``self_labels``).

An answer has no rev, and an AppView may be behind. So it counts as a word of a day before it was given: whatever the
stream reported since then wins.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import sql
from pipeline.errors import StoreError
from pipeline.identifiers import tid_at
from pipeline.store.events import ProfileWord
from pipeline.store.model import DAY_US
from pipeline.store.removals import Removals
from pipeline.store.self_labels import SelfLabels
from sql import places
from sql.sqlite import SchemaError, open_migrated, transaction

FORGOTTEN_US = 14 * DAY_US  # they would have been asked for again, did a list still name the author
BEHIND_US = DAY_US
BUSY_SECONDS = 120.0

Author = tuple[int, str]  # number, DID


class ProfileRequests:
    """A connection to landing.sqlite, beside a running ingest; every write is a short transaction."""

    def __init__(self, data_dir: Path) -> None:
        """Open the store; StoreError when that fails."""
        path = places.landing(data_dir)
        try:
            self._connection = open_migrated(path, "landing", busy_seconds=BUSY_SECONDS)
            self._removals = Removals(data_dir)
        except (OSError, sqlite3.Error, SchemaError) as error:
            raise StoreError(f"can't open {path}: {error}") from error
        self._self_labels = SelfLabels(self._connection, self._removals)

    def answered(self, authors: Sequence[Author], levels: Mapping[str, int]) -> None:
        """Store that these authors were asked about, and from whom the profiles of some withhold their posts.

        An author without a level has no profile that can be read: what is known of them stays.
        """
        now_us = time.time_ns() // 1000
        rev = tid_at(now_us - BEHIND_US)
        words = [ProfileWord(did, levels[did], now_us, rev) for _, did in authors if did in levels]
        counts = Counter({("event", "profile_requested"): len(authors)})
        counts["event", "profile_withholds"] = sum(word.level > 0 for word in words)
        with transaction(self._connection):
            self._self_labels.take(words, {did: number for number, did in authors}, counts)
            self._connection.executemany(
                "INSERT OR REPLACE INTO profile_requests VALUES (?, ?)",
                [(number, now_us) for number, _ in authors],
            )
            rows = [(kind, name, count) for (kind, name), count in counts.items() if count]
            self._connection.executemany(sql.load("landing/add_counter"), rows)

    def forget_former(self) -> None:
        """Forget about authors whom no list names any more."""
        before = (time.time_ns() // 1000 - FORGOTTEN_US,)
        with transaction(self._connection):
            self._connection.execute("DELETE FROM profile_requests WHERE requested_us < ?", before)

    def close(self) -> None:
        """Close the store."""
        self._removals.close()
        self._connection.close()
