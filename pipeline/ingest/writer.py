"""The thread that decodes and commits: chunks of messages in, transactions out.

Owns: the queue between reading and writing, the size of a batch, the purge of days that are in the lake.
Invariant: a message is acknowledged by nothing but the commit of its batch with the stream cursor after it.
"""

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pipeline.ingest.follow import Chunk
from pipeline.ingest.wires import host_of, wire_of
from pipeline.store.events import EventBatch, StreamPosition
from pipeline.store.lake import closed_days
from pipeline.store.landing import Landing

log = logging.getLogger("foryou.ingest")

QUEUE_CHUNKS = 16  # of about a megabyte each
BATCH_MESSAGES = 20_000  # a commit costs the same for one event and for thousands
BATCH_SECONDS = 1.0
PURGE_ROWS = 20_000
PURGE_LOOK_SECONDS = 10.0
REPORT_SECONDS = 60.0


class Writer:
    """Decodes and stores what ``offer`` is given, in its own thread, in the order given."""

    def __init__(self, landing: Landing, data_dir: Path, on_failure: Callable[[BaseException], None]) -> None:
        self._landing = landing
        self._data_dir = data_dir
        self._on_failure = on_failure
        self._queue: queue.Queue[Chunk | None] = queue.Queue(QUEUE_CHUNKS)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._counts_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="writer")
        self._purge_days: set[int] = set()
        self._look_at = 0.0
        self._report_at = time.monotonic() + REPORT_SECONDS
        self._events = 0
        self._offered = self._stored = 0  # chunks
        # Where the stream stands in the store: read by the follower's thread, set after each commit.
        self.position: StreamPosition | None = landing.position()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, chunk: Chunk) -> bool:
        """Take a chunk if there is room; False when the queue is full, to be offered again."""
        try:
            self._queue.put_nowait(chunk)
        except queue.Full:
            return False
        self._offered += 1
        return True

    @property
    def alive(self) -> bool:
        """Whether the thread still takes chunks; it ends when the store breaks."""
        return self._thread.is_alive()

    @property
    def settled(self) -> bool:
        """Whether everything taken is stored, and ``position`` is where the stream stands."""
        return self._stored == self._offered

    def count(self, kind: str, name: str) -> None:
        """Count something that happened to the connection, in the next commit."""
        with self._counts_lock:
            self._counts[kind, name] += 1

    def stop(self) -> None:
        """Store what was taken, then end the thread."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._write_next():
                self._purge()
                self._report()
        except BaseException as error:
            self._on_failure(error)

    def _write_next(self) -> bool:
        """Commit the next batch; False when the last one is done."""
        chunks, more = self._take()
        with self._counts_lock:
            counts, self._counts = self._counts, Counter()
        start = 0
        while start < len(chunks):
            # One batch has one address: its position is that host's, on that wire.
            url, batch = chunks[start].url, EventBatch()
            wire = wire_of(url)
            while start < len(chunks) and chunks[start].url == url:
                for message in chunks[start].messages:
                    wire.decode(message, batch)
                start += 1
            batch.counts += counts
            counts = Counter()
            self._events += sum(n for (kind, _), n in batch.counts.items() if kind == "event")
            self._landing.append(batch, host_of(url), wire.name)
            if batch.value:
                self.position = StreamPosition(host_of(url), wire.name, batch.value, batch.event_us)
            if batch.cursor_is_void:
                self.position = None
        if counts:
            self._landing.append(EventBatch(counts=counts), "", "")
        self._stored += len(chunks)
        return more

    def _take(self) -> tuple[list[Chunk], bool]:
        """Wait for chunks; return those at hand up to a batch, and whether more may come."""
        chunks: list[Chunk] = []
        messages = 0
        until = time.monotonic() + BATCH_SECONDS
        while messages < BATCH_MESSAGES:
            try:
                chunk = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if chunk is None:
                return chunks, False
            chunks.append(chunk)
            messages += len(chunk.messages)
        return chunks, True

    def _purge(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + PURGE_LOOK_SECONDS
            self._purge_days = self._landing.days & closed_days(self._data_dir)
        for day in sorted(self._purge_days):
            # A little each time round, so that the stream never waits for it.
            if self._landing.purge(day, PURGE_ROWS) == 0:
                self._purge_days.discard(day)
            return

    def _report(self) -> None:
        if time.monotonic() >= self._report_at:
            lag = time.time() - self._landing.watermark_us / 1e6
            rate = self._events / REPORT_SECONDS
            log.info("%.0f events/s, %.1f s behind, %d chunks waiting", rate, lag, self._queue.qsize())
            self._report_at, self._events = time.monotonic() + REPORT_SECONDS, 0
