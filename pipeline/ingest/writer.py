"""The thread that decodes and commits: chunks of messages in, transactions out.

Owns: the size of a batch, noticing gaps. Leaves to others: what waits (``chunk_queue``), what a commit does
(``store.landing``), what is removed between two commits (``store.landing_retention``).

Invariant: only the commit of a batch, with the stream cursor after it, acknowledges a message.
"""

import logging
import math
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

from pipeline.blocking.watched_rules import WatchedRules
from pipeline.clock import AHEAD_US, StreamClock
from pipeline.ingest.chunk_queue import ChunkQueue
from pipeline.ingest.follow import Chunk
from pipeline.ingest.stream_metrics import Metrics
from pipeline.ingest.wires import Subscription
from pipeline.notify import service_manager
from pipeline.store.events import EventBatch, Gap, StreamPosition
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import utc

log = logging.getLogger("foryou.ingest")

QUEUE_CHUNKS = 64  # of about a megabyte each: a minute of a busy stream, should the disk hang
BATCH_MESSAGES = 40_000  # a commit costs the same for one event and for thousands
BATCH_SECONDS = 1.0
REPORT_SECONDS = 60.0
# A gap: the first event after a reconnect is this much later than the last one stored, and at the stream's pace this
# many events would have come meanwhile.
GAP_SECONDS = 60.0
GAP_EVENTS = 50.0
# Messages that are decoded together, at most: enough for the clock to compare each with its neighbours, and so few that
# what was decoded is still in the processor's caches when it is added. Twice as many take a tenth longer to decode when
# other processes use the caches too.
GROUP_MESSAGES = 1_500
GROUP_BYTES = 8 << 20
HOLDING = (
    f"the stream is more than {AHEAD_US / 6e7:g} minutes ahead of this machine's clock: nothing is stored until they "
    "agree; is this machine's time right ('timedatectl')?"
)


class Writer:
    """Decodes and stores what ``offer`` is given, in its own thread, in the order given."""

    def __init__(
        self,
        landing: Landing,
        retention: Retention,
        rules: WatchedRules,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._landing = landing
        self._retention = retention
        self._rules = rules
        self._blocks = rules.check()
        self._metrics = metrics
        self._on_failure = on_failure
        self._queue = ChunkQueue(QUEUE_CHUNKS, self._run, "writer")
        self._clock = StreamClock(landing.watermark_us, landing.low_us)
        self._reported = self._clock.progress  # what the store knows of the clock
        self.holding = False  # the stream is ahead of this machine's clock
        self._begun: Subscription | None = None
        self._gap_is_open = False  # whether a gap before this connection is still to be looked for
        self._report_at = time.monotonic() + REPORT_SECONDS
        self._messages = 0
        self._offered = self._stored = 0  # chunks
        # Where the stream stands in the store: read by the follower's thread, set after each commit.
        self.position: StreamPosition | None = landing.position()

    def start(self) -> None:
        """Start the thread."""
        self._queue.start()

    def offer(self, chunk: Chunk) -> bool:
        """Take a chunk if there is room; False when the queue is full, to be offered again."""
        if not self._queue.is_alive:
            return True  # nothing is acknowledged any more
        taken = self._queue.put(chunk)
        self._offered += taken
        return taken

    @property
    def settled(self) -> bool:
        """Whether everything taken is stored, and ``position`` is where the stream stands."""
        return self._stored == self._offered

    def forget_cursor(self) -> None:
        """Go on by time at the next connection: the host no longer knows our cursor."""
        if self.position is not None:
            self.position = replace(self.position, host="", value=0)

    def count(self, kind: str, name: str) -> None:
        """Count something that happened to the connection, in the next commit."""
        self._queue.count(kind, name)

    def stop(self) -> None:
        """Store what was taken, then end the thread."""
        self._queue.stop()

    def _run(self) -> None:
        try:
            while self._write_next():
                self._retention.step()
                self._report()
                service_manager().alive()
            self._clock.ended()
            self._commit_stamped(EventBatch(), self._begun, 0)
        except BaseException as error:
            self._on_failure(error)

    def _write_next(self) -> bool:
        """Commit the next batch; False when the last one is done."""
        chunks, more = self._take()
        self._blocks = self._rules.check()  # also while no event comes: pages wait for it
        counts = self._queue.take_counts()
        start = 0
        while start < len(chunks):
            # One batch is of one connection: its position is that host's, on that wire.
            subscription, first = chunks[start].subscription, start
            while start < len(chunks) and chunks[start].subscription is subscription:
                start += 1
            self._write(subscription, chunks[first:start], counts)
            counts = Counter()
        if not chunks:
            self._clock.rest()
        if counts or self._clock.progress != self._reported:
            self._commit_stamped(EventBatch(counts=counts), self._begun, 0)
        self._stored += len(chunks)
        return more

    def _write(
        self, subscription: Subscription, chunks: list[Chunk], counts: Counter[tuple[str, str]]
    ) -> None:
        clock = self._clock
        if subscription is not self._begun:
            self._begun, self._gap_is_open = subscription, True
            clock.connected(subscription.requested_us, subscription.floor_us)
        batch, corrected = EventBatch(counts=counts, blocks=self._blocks), clock.corrected
        for messages in _groups(chunks):
            if subscription.void or subscription.held:
                break
            subscription.decode(messages, batch, clock.when_seen)
            batch.messages += len(messages)
            subscription.void = batch.cursor_is_void
            subscription.held = clock.holding
        if not chunks[-1].messages:
            clock.ended()
        if batch.messages:
            self._note_agreement(subscription.held)
        subscription.events += batch.reached
        subscription.unreadable += batch.messages - batch.reached
        if subscription.void or subscription.held:
            # Nothing of this connection is the continuation of what is stored, or nothing may be stored now.
            batch = EventBatch(
                counts=Counter({key: n for key, n in batch.counts.items() if key[0] == "connection"})
            )
            if subscription.void:
                self.forget_cursor()
        elif clock.corrected > corrected:
            batch.counts["event", "time_corrected"] += clock.corrected - corrected
        self._commit_stamped(batch, subscription, sum(chunk.size for chunk in chunks))

    def _commit_stamped(self, batch: EventBatch, subscription: Subscription | None, size: int) -> None:
        """Commit a batch with what the clock says of the stream, and move the cursor to what is stored."""
        clock = self._clock
        batch.newest_us, batch.low_us = clock.watermark_us, clock.low_us
        if subscription is None or subscription.void or subscription.held:
            batch.value = 0
        else:
            if batch.reached and self._gap_is_open and clock.first_us:
                self._gap_is_open = False
                batch.gap = self._gap_before(subscription, batch.first_value, clock.first_us)
            batch.first_us, batch.event_us = clock.first_us, clock.reached_us
            before = subscription.resumed_from
            same = before is not None and (before.host, before.wire) == (subscription.host, subscription.wire)
            if before is not None and same:  # it was asked for a little again
                batch.event_us = max(batch.event_us, before.event_us)
            if subscription.counts_time:
                batch.value = (
                    batch.event_us if batch.event_us > subscription.requested_us and clock.first_us else 0
                )
            elif not batch.value and subscription.events and self.position is not None:
                batch.value = self.position.value
        host, wire = ("", "") if subscription is None else (subscription.host, subscription.wire)
        self._commit(batch, host, wire, size)
        self._reported = clock.progress
        if batch.value and subscription is not None:
            self.position = self._landing.position()
            subscription.events_per_second = self.position.events_per_second if self.position else 0.0

    def _note_agreement(self, holding: bool) -> None:
        """Say once when the stream and this machine begin to disagree about the time, and when they agree again."""
        if holding != self.holding:
            self.holding = holding
            self._metrics.set_holding(holding)
            log.warning(
                "%s", HOLDING if holding else "the stream and this machine's clock agree again: going on"
            )

    def _commit(self, batch: EventBatch, host: str, wire: str, size: int) -> None:
        began = time.monotonic()
        self._landing.append(batch, host, wire)
        self._messages += batch.messages
        seconds = time.monotonic() - began
        self._metrics.committed(batch, size, seconds, self._lag_seconds(), self._queue.waiting())

    def _gap_before(self, subscription: Subscription, first_value: int, first_us: int) -> Gap | None:
        before = subscription.resumed_from
        if before is None:
            return None
        same = (before.host, before.wire) == (subscription.host, subscription.wire)
        if same and not subscription.counts_time and first_value <= before.value + 1:
            return None  # the next event of its host, however long it took to come
        seconds = (first_us - before.event_us) / 1e6
        if seconds <= GAP_SECONDS or seconds * before.events_per_second <= GAP_EVENTS:
            return None
        log.warning(
            "%s has nothing from %s to %s (%.0f s): a gap, these days are partial",
            subscription.host,
            utc(before.event_us),
            utc(first_us),
            seconds,
        )
        return Gap(before.event_us, first_us)

    def _take(self) -> tuple[list[Chunk], bool]:
        """Wait for chunks; return those at hand up to a batch, and whether more may come."""
        chunks: list[Chunk] = []
        messages = 0
        until = time.monotonic() + BATCH_SECONDS
        while messages < BATCH_MESSAGES:
            try:
                chunk = self._queue.get(max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if chunk is None:
                return chunks, False
            chunks.append(chunk)
            messages += len(chunk.messages)
        return chunks, True

    def _lag_seconds(self) -> float | None:
        """Return how far the store is behind, None before the first event."""
        watermark_us = self._landing.watermark_us
        return time.time() - watermark_us / 1e6 if watermark_us else None

    def _report(self) -> None:
        gauges = self._metrics.gauges(self._lag_seconds(), self._queue.waiting())
        if gauges is not None:
            self._landing.set_gauges(gauges)
        if time.monotonic() >= self._report_at:
            rate = self._messages / REPORT_SECONDS
            lag = self._lag_seconds()
            behind = "no event yet" if lag is None else f"{lag:.1f} s behind"
            log.info("%.0f events/s, %s, %d chunks waiting", rate, behind, self._queue.waiting())
            self._report_at, self._messages = time.monotonic() + REPORT_SECONDS, 0


def _groups(chunks: list[Chunk]) -> Iterator[list[bytes]]:
    """Yield the messages of chunks in groups of about the same number."""
    messages = [message for chunk in chunks for message in chunk.messages]
    size = sum(chunk.size for chunk in chunks)
    groups = max(math.ceil(len(messages) / GROUP_MESSAGES), math.ceil(size / GROUP_BYTES))
    ends = [len(messages) * number // groups for number in range(groups + 1)] if messages else []
    for first, last in pairwise(ends):
        if first < last:
            yield messages[first:last]
