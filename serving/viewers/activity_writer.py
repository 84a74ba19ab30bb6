"""Writing activity.sqlite: visits, interactions and impressions, by one thread behind a bounded queue.

Owns: the thread, the batched commits, and counting what was lost. Leaves to others: which requests count
(``get_feed_skeleton``, ``send_interactions``), what finds room (``activity_queue``), how long activity is kept
(``activity_retention``), and reading (``recall``, and the batch).

Invariants: no request waits for the disk. What finds no room is refused at once: the sender of interactions gets an
error, pages and visits are counted as lost. A batch that can't be written is tried again each second while the
queue fills. The complaint is logged once a minute, and /health shows it. ``close`` writes what is queued before it
returns. Each worker of the web app writes in short transactions of its own, two a second at most; SQLite's lock
lets one in at a time. What was queued of a viewer before they were forgotten is not written (``forgotten``).

Where several machines serve, events go into a ``journal`` instead, from which each machine takes them. Interactions
then wait for its disk: what was answered 200 outlasts this machine.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from serving.budgets.allowances import Allowance
from serving.budgets.limits import (
    IMPRESSIONS_AN_HOUR,
    QUEUE_BYTES,
    VISITS_A_MINUTE,
    Bounds,
    ByClass,
)
from serving.log_throttle import LogThrottle
from serving.viewers.activity_queue import (
    ActivityEvent,
    ActivityQueue,
    Interaction,
    Queued,
    ShownPage,
    Visit,
)
from serving.viewers.activity_retention import ActivityRetention
from serving.viewers.activity_rows import write_events
from serving.viewers.forgotten import forgotten_since, remembered
from serving.viewers.journal import WAIT_SECONDS, Journal, lines_of
from sql import sqlite

log = logging.getLogger(__name__)

BATCH_MAX = 5_000
GATHER_SECONDS = 0.5  # a commit waits so long for further events
RETRY_SECONDS = 1.0


class ActivityWriter:
    """Takes events from any thread and writes them; its thread starts with the first one, or before."""

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        queue_bytes: ByClass[Bounds] = QUEUE_BYTES,
        lost: Callable[[int], None] = lambda _events: None,
        journal: Journal | None = None,
        data_dir: Path | None = None,
    ) -> None:
        """Write the store at ``path``; the other stores are in ``data_dir``, or beside it."""
        self._path = path
        self._journal = journal
        self._lost = lost
        self._queue = ActivityQueue(queue_bytes)
        self._impressions = Allowance(IMPRESSIONS_AN_HOUR, 3600.0, now=now)
        self._visits = Allowance(VISITS_A_MINUTE, 60.0, now=now)
        self._pending: list[Queued] = []  # the batch that is being written
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wake = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._forgotten_us = int(now() * 1_000_000)  # of the last viewer who is known to be forgotten
        self._forget: Callable[[Collection[bytes]], None] = lambda _marks: None
        self._changed_us = self._forgotten_us  # of the last viewer who is known to have been elsewhere
        self._read_again: Callable[[Collection[str]], None] = lambda _viewers: None
        self._retention = ActivityRetention(path.parent if data_dir is None else data_dir, now)
        self._complaints = LogThrottle(60.0)
        self.written = self.dropped = self.failures = 0
        self.failure = ""

    def tell_forgotten(self, forget: Callable[[Collection[bytes]], None]) -> None:
        """Give the marks of viewers who were forgotten to ``forget``, within a second."""
        self._forget = forget

    def tell_changed(self, read_again: Callable[[Collection[str]], None]) -> None:
        """Give viewers of whom another machine reported something to ``read_again``, within a second."""
        self._read_again = read_again

    def start(self) -> None:
        """Start the thread, and open the file if there is one; without this the first event does both."""
        try:
            if self._path.exists():
                self._open()
        except (sqlite3.Error, sqlite.SchemaError, OSError):
            pass  # the first batch is tried until it succeeds, and complains
        with self._lock:
            self._start()

    def record(self, events: Sequence[ActivityEvent], *, known: bool = True) -> int:
        """Queue events of viewers of one class and return how many found room; the rest are dropped and counted."""
        wanted = [event for event in events if self._is_allowed(event, known)]
        with self._lock:
            taken = 0 if self._stopping else self._queue.put(wanted, known=known)
            if taken < len(events):
                self.dropped += len(events) - taken
                self._lost(len(events) - taken)
            if taken:
                self._start()
        return taken

    def record_whole(self, events: Sequence[Interaction], *, known: bool) -> bool:
        """Queue all of one viewer's interactions or none; tell whether they found room.

        With a journal they are on its disk, or it is as if they had found none.
        """
        if self._journal is not None:
            return self._record_in_journal(self._journal, [Queued(event, known) for event in events])
        with self._lock:
            if self._stopping or not self._queue.put_whole(events, known=known):
                return False
            if events:
                self._start()
        return True

    def _record_in_journal(self, journal: Journal, batch: Sequence[Queued]) -> bool:
        try:
            is_written = not batch or journal.append(lines_of(batch), WAIT_SECONDS)
        except OSError as error:
            self._fail(f"{error}")
            is_written = False
        if is_written:
            self.written += len(batch)
        return is_written

    def _is_allowed(self, event: ActivityEvent, known: bool) -> bool:
        """Tell whether a page or a visit is within its viewer's allowance, and count it."""
        if isinstance(event, ShownPage):
            return self._impressions.take_whole(event.viewer_did, len(event.post_uris), known=known)
        if isinstance(event, Visit):
            return self._visits.take_whole(event.viewer_did, 1, known=known)
        return True

    def _start(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
            self._thread.start()

    def close(self, seconds: float = 2.0) -> bool:
        """Write what is queued, and stop; False when the disk does not allow it within that time."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        self._wake.set()
        if thread is None:
            return True
        thread.join(seconds)
        return not thread.is_alive() and not self.failure

    def state(self) -> dict[str, int | str | bool]:
        """Return whether writes work, and the counts, for /health."""
        with self._lock:
            queued = len(self._queue) + len(self._pending)
        return {
            "ok": not self.failure,
            "written": self.written,
            "dropped": self.dropped,
            "failures": self.failures,
            "queued": queued,
        }

    def _run(self) -> None:
        while True:
            # No event wakes this thread: events gather while it sleeps.
            self._wake.wait(RETRY_SECONDS if self._pending else GATHER_SECONDS)
            with self._lock:
                self._wake.clear()
                stopping = self._stopping
                if not self._pending or self._journal is None:
                    self._pending += self._queue.take(BATCH_MAX - len(self._pending))
                more = bool(self._queue)
            self._look_for_forgotten()
            if self._pending and self._write(self._pending):
                self._pending = []
            elif self._journal is not None and self.failure:
                self._flush(self._journal)
            if more and not self._pending:
                self._wake.set()
            elif stopping:
                break
        lost = len(self._pending) + len(self._queue)
        if lost:
            self.dropped += lost
            self._lost(lost)
            log.error("%d events are lost: %s", lost, self.failure)
        self._reset()

    def _write(self, batch: list[Queued]) -> bool:
        """Commit a batch and what retention removes; False when it must be tried again."""
        if self._journal is not None:
            return self._write_in_journal(self._journal, batch)
        try:
            connection = self._open()
            with sqlite.transaction(connection):
                batch = remembered(batch, forgotten_since(connection, 0))
                takers = write_events(connection, batch)
                strangers = sum(not queued.known for queued in batch)
                self._retention.prune(connection, takers, strangers)
        except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
            self.failures += 1
            self.failure = f"activity.sqlite can't be written: {error}"
            if self._complaints.allows("write"):
                log.error("%s: %s", self._path, error)  # noqa: TRY400 - a full disk needs no traceback
            self._reset()
            return False
        self.written += len(batch)
        self.failure = ""
        return True

    def _write_in_journal(self, journal: Journal, batch: list[Queued]) -> bool:
        """Append a batch; False when it must be tried again. What the journal took is in its hands, written or not."""
        try:
            is_written = journal.append(lines_of(batch))
        except OSError as error:
            self._fail(f"{error}")
            return False
        if is_written:
            self.failure = ""
        else:
            self._fail("the shared folder does not write")
        self.written += len(batch)
        return True

    def _flush(self, journal: Journal) -> None:
        try:
            journal.append(b"")
        except OSError as error:
            self._fail(f"{error}")
        else:
            self.failure = ""

    def _fail(self, failure: str) -> None:
        self.failures += 1
        self.failure = f"the journal can't be written: {failure}"
        if self._complaints.allows("write"):
            log.error("%s", self.failure)

    def _look_for_forgotten(self) -> None:
        if not self._path.exists():
            return
        try:
            marks = forgotten_since(self._open(), self._forgotten_us)
            self._look_for_changed(self._open())
        except (sqlite3.Error, sqlite.SchemaError, OSError):
            return  # locked or damaged: the next batch complains, and the next look finds the same
        if marks:
            self._forgotten_us = max(marks.values())
            self._forget(marks.keys())

    def _look_for_changed(self, connection: sqlite3.Connection) -> None:
        if self._journal is None:
            return
        query = "SELECT viewer_did, at_us FROM changed_viewers WHERE at_us > ?"
        changed = dict(connection.execute(query, (self._changed_us,)))
        if changed:
            self._changed_us = max(changed.values())
            self._read_again(changed.keys())

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and not self._path.exists():
            self._reset()  # somebody removed the file: its successor starts empty
        if self._connection is None:
            self._connection = sqlite.open_migrated(self._path, "activity", busy_seconds=1.0)
        return self._connection

    def _reset(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
