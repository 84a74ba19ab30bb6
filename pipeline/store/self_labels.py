"""What authors say of all their posts on their profile records: in landing.sqlite, and at once in removals.sqlite.

Owns: the table ``self_labels`` and its bound. Leaves to others: reading a profile record (``ingest.records``), what
labelers say (``labels``), the transaction (``landing``).

Of the words about a profile the one with the greatest rev counts. Only authors who once withheld something have a row,
so a word that is older than the first one that the store saw may withhold posts until the next: that is the safe side.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

import sql
from pipeline.store.events import ProfileWord
from pipeline.store.model import WithheldBy
from pipeline.store.removals import Removals

AUTHORS_MAX = 3_000_000  # some 20 bytes each


class SelfLabels:
    """The self-labels of a landing store; every call is part of the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, removals: Removals) -> None:
        self._connection = connection
        self._removals = removals
        self._authors: int | None = None  # rows at most, counted when the first comes

    def take(
        self, words: Sequence[ProfileWord], ids: Mapping[str, int], counts: Counter[tuple[str, str]]
    ) -> None:
        """Store what profiles say now; ``ids`` has the authors who withhold something."""
        execute, changed = self._connection.execute, []
        newest = {word.did: word for word in sorted(words, key=lambda word: word.rev)}
        for word in newest.values():
            if not word.level:
                ended = {"did": word.did, "rev": word.rev}
                changed += execute(sql.load("landing/end_self_label"), ended).fetchall()
            elif self._has_room():
                row = {"actor_id": ids[word.did], "rev": word.rev, "level": word.level}
                if execute(sql.load("landing/store_self_label"), row).rowcount:
                    changed.append((ids[word.did], word.level))
            else:
                counts["drop", "self_label_no_room"] += 1
        self._removals.withhold(WithheldBy.AUTHOR, (), changed)

    def _has_room(self) -> bool:
        if self._authors is None or self._authors >= AUTHORS_MAX:
            counted = self._connection.execute("SELECT count(*) FROM self_labels").fetchone()
            self._authors = int(counted[0])
        self._authors += 1
        return self._authors <= AUTHORS_MAX
