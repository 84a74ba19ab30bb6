"""Writing activity.sqlite: visits, interactions and impressions, by one thread behind a bounded queue.

Owns: the queue, the batched commits, and counting what was lost. Leaves to others: which requests count
(``get_feed_skeleton``, ``send_interactions``), how long it is kept (``activity_retention``), and reading
(``recall``, and the batch).

Invariants: no request waits for the disk. A full queue drops and counts. A batch that can't be written is
kept and tried again each second, meanwhile the queue fills; the complaint is logged once a minute and shown
by /health. ``close`` writes what is queued before it returns. Each worker of the web app writes in transactions
of its own, short ones, twice a second at most; SQLite's lock lets one in at a time.
"""

import json
import logging
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import sql
from serving.throttle import Throttle
from serving.viewers.activity_retention import Retention
from sql import sqlite

log = logging.getLogger(__name__)

QUEUE_MAX = 20_000
BATCH_MAX = 5_000
GATHER_SECONDS = 0.5  # a commit waits this long for company
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Interaction:
    """A viewer's event on a post, as the table interactions holds it."""

    viewer_did: str
    post_uri: str
    event: str
    feed_rkey: str
    feed_context: str
    req_id: str
    received_us: int


@dataclass(frozen=True, slots=True)
class Visit:
    """A page served to a viewer at a time in microseconds since 1970."""

    viewer_did: str
    feed_rkey: str
    languages: str
    at_us: int


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A page as it was shown: at-uris and their sources, in order; ``start`` is the first one's position, from 1."""

    viewer_did: str
    feed_rkey: str
    generation: int
    start: int
    post_uris: Sequence[str]
    sources: Sequence[int]
    served_us: int
    variant: str = ""  # of an experiment, whose list the page came from


Event = Interaction | Visit | ShownPage


class ActivityWriter:
    """Takes events from any thread and writes them; its thread starts with the first one, or before."""

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        queue_max: int = QUEUE_MAX,
        lost: Callable[[int], None] = lambda _events: None,
    ) -> None:
        self._path = path
        self._lost = lost
        self._queue: deque[Event] = deque()
        self._queue_max = queue_max
        self._lock = threading.Lock()
        self._settled_more = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wake = threading.Event()
        self._accepted = self._settled = 0
        self._connection: sqlite3.Connection | None = None
        self._retention = Retention(path.parent, now)
        self._complaints = Throttle(60.0)
        self.written = self.dropped = self.failures = 0
        self.failure = ""

    def start(self) -> None:
        """Start the thread, and open the file if there is one; without this the first event does both."""
        try:
            if self._path.exists():
                self._open()
        except (sqlite3.Error, sqlite.SchemaError, OSError):
            pass  # the first batch is tried again and again, and says so
        with self._lock:
            self._start()

    def record(self, events: Sequence[Event]) -> int:
        """Queue events and return how many found room; the rest are dropped and counted."""
        with self._lock:
            taken = 0 if self._stopping else min(len(events), self._queue_max - len(self._queue))
            self._queue.extend(events[:taken])
            self._accepted += taken
            if taken < len(events):
                self.dropped += len(events) - taken
                self._lost(len(events) - taken)
            if taken:
                self._start()
        return taken

    def _start(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
            self._thread.start()

    def flush(self, seconds: float = 5.0) -> bool:
        """Wait until all that was recorded before is written; False when that takes longer."""
        with self._settled_more:
            goal = self._accepted
            self._wake.set()
            return self._settled_more.wait_for(lambda: self._settled >= goal, seconds)

    def close(self, seconds: float = 2.0) -> bool:
        """Write what is queued, and stop; False when the disk does not let it within that time."""
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
        return {
            "ok": not self.failure,
            "written": self.written,
            "dropped": self.dropped,
            "failures": self.failures,
            "queued": len(self._queue),
        }

    def _run(self) -> None:
        pending: list[Event] = []
        while True:
            # Nobody wakes this thread for one event: events gather while it sleeps.
            self._wake.wait(RETRY_SECONDS if pending else GATHER_SECONDS)
            with self._lock:
                self._wake.clear()
                stopping = self._stopping
                while self._queue and len(pending) < BATCH_MAX:
                    pending.append(self._queue.popleft())
                more = bool(self._queue)
            if pending and self._write(pending):
                with self._settled_more:
                    self._settled += len(pending)
                    self._settled_more.notify_all()
                pending = []
            if more and not pending:
                self._wake.set()
            elif stopping:
                break
        lost = len(pending) + len(self._queue)
        if lost:
            self.dropped += lost
            self._lost(lost)
            log.error("%d events are lost: %s", lost, self.failure)
        self._reset()

    def _write(self, batch: list[Event]) -> bool:
        """Commit a batch and whatever retention asks for; False when it is to be tried again."""
        try:
            connection = self._open()
            with sqlite.transaction(connection):
                interactions = [event for event in batch if isinstance(event, Interaction)]
                connection.executemany(
                    sql.load("activity/record_interaction"), (asdict(event) for event in interactions)
                )
                visits = _visits(event for event in batch if isinstance(event, Visit))
                connection.executemany(sql.load("activity/record_visit"), visits)
                pages = (_page(event) for event in batch if isinstance(event, ShownPage))
                connection.executemany(sql.load("activity/record_page"), pages)
                self._retention.prune(connection, [event.viewer_did for event in interactions])
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

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite.connect(self._path, busy_seconds=1.0)
            try:
                sqlite.migrate(connection, "activity")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        elif not self._path.exists():
            self._reset()  # somebody removed the file: its successor starts empty
            return self._open()
        return self._connection

    def _reset(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _page(event: ShownPage) -> dict[str, str | int]:
    posts = [uri.removeprefix("at://").replace("/app.bsky.feed.post/", "/") for uri in event.post_uris]
    return {
        "viewer_did": event.viewer_did,
        "feed_rkey": event.feed_rkey,
        "generation": event.generation,
        "start": event.start,
        "posts": json.dumps(posts, separators=(",", ":")),
        # Others than one digit can't be told apart in the row, and are nobody's source.
        "sources": "".join(str(source) if 0 <= source <= 9 else "0" for source in event.sources),
        "variant": event.variant,
        "served_us": event.served_us,
    }


def _visits(events: Iterable[Visit]) -> list[dict[str, str | int]]:
    rows: dict[tuple[str, str], dict[str, str | int]] = {}
    pages: Counter[tuple[str, str]] = Counter()
    for event in events:
        pages[event.viewer_did, event.feed_rkey] += 1
        row = rows.setdefault(
            (event.viewer_did, event.feed_rkey),
            {
                "viewer_did": event.viewer_did,
                "feed_rkey": event.feed_rkey,
                "first_us": event.at_us,
                "languages": "",
            },
        )
        row["last_us"] = event.at_us
        row["languages"] = event.languages or row["languages"]
    for key, row in rows.items():
        row["pages"] = pages[key]
    return list(rows.values())
