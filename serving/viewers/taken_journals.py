"""The journals of all machines into this machine's activity.sqlite: each line once, in the order of its file.

Owns: which lines are taken, how far each file was, and removing files that everybody has had time to read. Leaves to
others: writing journals (``journal``), rows (``activity_rows``), bounds of the store (``activity_retention``), and what
``foryou sync`` does besides.

A node takes the lines of its shard's viewers, the head all. What this machine's own web app did comes in the same way:
where there are journals, it writes nothing else.

Invariants: lines and how far they go are one transaction, so a process that is killed neither loses a line nor counts
one twice. In which order files are read decides nothing: an answer that was taken back stays so, settings go by their
time, and what was done before a viewer was forgotten is passed over.
"""

import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import sql
from serving.budgets.takers import taker_of
from serving.log_throttle import LogThrottle
from serving.viewers.activity_queue import Queued
from serving.viewers.activity_retention import ActivityRetention
from serving.viewers.activity_rows import write_events
from serving.viewers.forgotten import forgotten_since, mark_of, remembered
from serving.viewers.journal import (
    FILE_BYTES,
    FILE_SECONDS,
    MACHINE_BYTES,
    SUFFIX,
    OwnWord,
    bucket_of_line,
    read_line,
)
from serving.viewers.recall import SINCE_SECONDS
from sql import places, sqlite
from sql.shards import Shard

log = logging.getLogger("foryou.sync")

CHUNK_BYTES = 1 << 20  # a line has 40 kB at most
KEPT_SECONDS = SINCE_SECONDS  # as long as a viewer's state is read back: what a new node begins with
KEPT_BYTES = MACHINE_BYTES // 2  # of one machine
MARKS_US = int(KEPT_SECONDS * 2e6)  # longer than any line of before
CHANGED_US = 600_000_000  # after which every worker has looked at ``changed_viewers``
CLEAN_SECONDS = 60.0


class JournalTaker:
    """Takes the lines that are new, whenever ``take`` is called."""

    def __init__(
        self,
        data_dir: Path,
        journals: Path,
        machine: str,
        shard: Shard | None,
        forget: Callable[[str, int], None],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take from ``journals``; ``forget`` deletes a viewer who wants it, up to a time, from all stores here."""
        self._data_dir, self._journals, self._machine, self._shard = data_dir, journals, machine, shard
        self._forget, self._now = forget, now
        self._retention = ActivityRetention(data_dir, now, marks_us=MARKS_US)
        self._complaints = LogThrottle(60.0)
        self._clean_at = 0.0

    def take(self) -> int:
        """Take every line that is there and new; return how many were this machine's to take."""
        files = self._files()
        if not files:
            return 0
        with closing(sqlite.open_migrated(places.activity(self._data_dir), "activity")) as connection:
            positions: dict[str, int] = dict(connection.execute("SELECT file, bytes FROM journal_positions"))
            taken = sum(
                self._take_file(connection, name, path, positions.get(name, 0))
                for name, path in files.items()
                if path.stat().st_size > positions.get(name, 0)
            )
            left = [(name,) for name in positions if name not in files]
            if left:
                connection.executemany("DELETE FROM journal_positions WHERE file = ?", left)
            if self._shard is None and self._now() >= self._clean_at:
                self._clean_at = self._now() + CLEAN_SECONDS
                self._clean(dict(connection.execute("SELECT file, bytes FROM journal_positions")))
        return taken

    def _files(self) -> dict[str, Path]:
        """Return all files, the oldest first: by MACHINE/FILE."""
        found = sorted(self._journals.glob(f"*/*{SUFFIX}"), key=lambda path: path.name)
        return {f"{path.parent.name}/{path.name}": path for path in found}

    def _take_file(self, connection: sqlite3.Connection, name: str, path: Path, start: int) -> int:
        taken = 0
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                end = chunk.rfind(b"\n") + 1
                if not end:
                    break  # a line that is being written, or that its writer was killed in
                said = [*self._said(chunk[:end].splitlines())]
                words = [word for word in said if isinstance(word, OwnWord)]
                self._forget_some(words, name)
                with sqlite.transaction(connection):
                    self._write(connection, [each for each in said if isinstance(each, Queued)], words, name)
                    query = "INSERT OR REPLACE INTO journal_positions VALUES (?, ?)"
                    connection.execute(query, (name, start + end))
                start, taken = start + end, taken + len(said)
                file.seek(start)
        return taken

    def _said(self, lines: list[bytes]) -> Iterator[Queued | OwnWord]:
        for line in lines:
            try:
                if self._shard is None or self._shard.has(bucket_of_line(line)):
                    yield read_line(line)
            except (ValueError, KeyError, TypeError):
                if self._complaints.allows("line"):
                    log.warning("a line of a journal can't be read; do all machines run the same version?")

    def _write(
        self, connection: sqlite3.Connection, events: list[Queued], words: list[OwnWord], name: str
    ) -> None:
        events = remembered(events, forgotten_since(connection, 0))
        takers = write_events(connection, events)
        is_own = self._is_own(name)
        if not is_own:  # the page that they come from wrote its own rows
            for word in words:
                _write_word(connection, word)
        dids = [*takers, *(word.viewer_did for word in words)]
        connection.execute(sql.load("activity/drop_taken_back"), {"dids": json.dumps(dids)})
        now_us = int(self._now() * 1e6)
        if is_own:  # who was elsewhere a moment ago may have been read again without these lines
            query = (
                "UPDATE changed_viewers SET at_us = ? WHERE viewer_did IN (SELECT value FROM json_each(?))"
            )
            connection.execute(query, (now_us, json.dumps(dids)))
        else:
            changed = [{"viewer_did": did, "at_us": now_us} for did in dict.fromkeys(dids)]
            connection.executemany(sql.load("activity/note_changed_viewer"), changed)
        connection.execute("DELETE FROM changed_viewers WHERE at_us < ?", (now_us - CHANGED_US,))
        connection.execute("DELETE FROM taken_back_posts WHERE at_us < ?", (now_us - MARKS_US,))
        self._retention.prune(connection, takers, sum(not queued.known for queued in events))

    def _forget_some(self, words: list[OwnWord], name: str) -> None:
        for word in words:
            if word.kind == "forget" and not self._is_own(name):
                self._forget(word.viewer_did, word.at_us)

    def _is_own(self, name: str) -> bool:
        return name.partition("/")[0] == self._machine

    def _clean(self, positions: dict[str, int]) -> None:
        """Remove files after days, and of a machine that has too many bytes the oldest that the head has taken.

        A file that may still be written to stays: its writer has begun another where it is full, or a day old.
        """
        of_machines: Counter[str] = Counter()
        for name, path in reversed(self._files().items()):
            status = path.stat()
            machine = name.partition("/")[0]
            of_machines[machine] += status.st_size
            age = self._now() - status.st_mtime
            is_closed = status.st_size >= FILE_BYTES or age > FILE_SECONDS * 1.1
            is_taken = positions.get(name, 0) >= status.st_size
            is_surplus = of_machines[machine] > KEPT_BYTES and is_closed and is_taken
            if age > KEPT_SECONDS or is_surplus:  # what is not taken of an old one is a line without an end
                path.unlink(missing_ok=True)


def _write_word(connection: sqlite3.Connection, word: OwnWord) -> None:
    """Write what a viewer did at a page of another machine."""
    if word.at_us <= forgotten_since(connection, 0).get(mark_of(word.viewer_did), -1):
        return
    if word.kind == "settings":
        if word.values:
            row = {
                "viewer_did": word.viewer_did,
                "taker": taker_of(word.viewer_did),
                "changed_us": word.at_us,
            }
            connection.execute(sql.load("activity/take_settings"), row | word.values)
        else:
            usual = "DELETE FROM viewer_settings WHERE viewer_did = ? AND changed_us <= ?"
            connection.execute(usual, (word.viewer_did, word.at_us))
    elif word.kind == "taken back":
        noted = {"viewer_did": word.viewer_did, "at_us": word.at_us}
        connection.execute(
            sql.load("activity/note_taken_back_post"), noted | {"post_uri": word.values["post_uri"]}
        )
