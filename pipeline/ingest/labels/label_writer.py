"""The thread that decodes and commits what labelers send.

Owns: the order of reading and storing, and when labels end that expire. Leaves to others: what waits
(``chunk_queue``), what a commit does (``store.labels``), messages (``label_frames``), connections (``label_streams``).

It is not the thread of the main stream: a million labels that come at once, each with a signature, hold up no like.
Invariant: only the commit of a batch, with the cursor after it, acknowledges a message.
"""

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from pipeline.ingest.chunk_queue import ChunkQueue
from pipeline.ingest.follow import Chunk
from pipeline.ingest.labels.label_frames import WantedLabels, decode
from pipeline.ingest.stream_metrics import Metrics
from pipeline.ingest.wires import Subscription
from pipeline.store.labels import LabelBatch, LabelStore

log = logging.getLogger("foryou.ingest")

QUEUE_CHUNKS = 8  # of about a megabyte each
# A commit waits for the main stream's. So few messages at once that what is new is on pages within a second or two.
GROUP_MESSAGES = 5_000
TIDY_SECONDS = 1.0
KEY_SECONDS = 60.0  # between two looks at a labeler's key because signatures are wrong


class FoundLabeler(Protocol):
    """Where a labeler's stream is, or why it can't be had, and its key."""

    @property
    def url(self) -> str:
        """The address without a cursor, empty when it can't be had."""

    @property
    def reason(self) -> str:
        """Why not."""

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether the labeler signed a message."""


class LabelerDirectory(Protocol):
    """Where labelers are found by their DIDs; may be called from any thread."""

    def find(self, did: str) -> FoundLabeler:
        """Return what a labeler's DID document says now."""


class LabelWriter:
    """Decodes and stores what ``offer`` is given, in its own thread, in the order given."""

    def __init__(
        self,
        store: LabelStore,
        directory: LabelerDirectory,
        levels: Mapping[str, int],
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._directory = directory
        self._levels = levels
        self._metrics = metrics
        self._on_failure = on_failure
        self._queue = ChunkQueue(QUEUE_CHUNKS, self._run, "label-writer")
        self._identities: dict[str, FoundLabeler] = {}
        self._looked_at: dict[str, float] = {}
        self._offered: Counter[str] = Counter()  # chunks, by labeler
        self._stored: Counter[str] = Counter()

    def start(self) -> None:
        """Start the thread."""
        self._queue.start()

    def find(self, did: str) -> FoundLabeler:
        """Look up where a labeler is, and believe the key that its document has now."""
        found = self._directory.find(did)
        if found.url:
            self._identities[did] = found
        return found

    def cursor(self, did: str) -> int:
        """Return the seq after which a labeler's stream goes on, once all is settled."""
        return self._store.cursor(did)

    def offer(self, chunk: Chunk) -> bool:
        """Take a chunk if there is room; False when the queue is full, to be offered again."""
        if not self._queue.is_alive:
            return True  # nothing is acknowledged any more
        taken = self._queue.put(chunk)
        self._offered[chunk.subscription.host] += taken
        return taken

    def settled(self, did: str) -> bool:
        """Tell whether everything taken of a labeler is stored."""
        return self._stored[did] == self._offered[did]

    def count(self, name: str) -> None:
        """Count something that happened to a connection, in the next commit."""
        self._queue.count("connection", f"label_{name}")

    def stop(self) -> None:
        """Store what was taken, then end the thread."""
        self._queue.stop()

    def _run(self) -> None:
        tidy_at = 0.0
        try:
            while True:
                try:
                    chunk = self._queue.get(TIDY_SECONDS)
                except queue.Empty:
                    pass
                else:
                    if chunk is None:
                        return
                    self._write(chunk)
                    self._stored[chunk.subscription.host] += 1
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + TIDY_SECONDS
                    self._store.tidy()
                    if counts := self._queue.take_counts():
                        self._store.count(counts)
                        self._metrics.counted(counts)
        except BaseException as error:
            self._on_failure(error)

    def _write(self, chunk: Chunk) -> None:
        subscription, did = chunk.subscription, chunk.subscription.host
        for start in range(0, max(len(chunk.messages), 1), GROUP_MESSAGES):
            if subscription.void:
                return
            messages = chunk.messages[start : start + GROUP_MESSAGES]
            batch = self._decode(did, messages)
            subscription.events += batch.reached
            subscription.unreadable += batch.messages - batch.reached
            batch.counts += self._queue.take_counts()
            self._store.append(did, batch)
            self._metrics.counted(batch.counts)
            if batch.stated_us:
                self._metrics.labels_of(did, time.time() - batch.stated_us / 1e6)
            if batch.cursor_is_void:
                self._begin_again(subscription, did)

    def _decode(self, did: str, messages: list[bytes]) -> LabelBatch:
        first, last = self._store.bounds()

        def decoded() -> LabelBatch:
            verifies = self._identities[did].verifies
            return decode(
                messages, WantedLabels(did, verifies, self._levels, first, last, self._store.cursor(did))
            )

        batch = decoded()
        # A labeler may have a new key since: its document says so, though not on this stream.
        if batch.counts["drop", "label_bad_signature"] and self._may_look(did):
            before = self._identities[did]
            if self.find(did) != before:
                batch = decoded()
        return batch

    def _may_look(self, did: str) -> bool:
        now = time.monotonic()
        if now < self._looked_at.get(did, 0.0):
            return False
        self._looked_at[did] = now + KEY_SECONDS
        return True

    def _begin_again(self, subscription: Subscription, did: str) -> None:
        log.warning(
            "%s does not know seq %d: its labels are read again from the first", did, self.cursor(did)
        )
        self._store.start_again(did)
        subscription.void = True
