"""What ingest tells about itself: Prometheus metrics, and the gauges of ``foryou status``.

Owns: the names and units of both. Leaves to others: counting (``EventBatch.counts``), storing gauges
(``Landing``).
"""

import time
from collections import Counter
from typing import Any

import prometheus_client as prometheus

from pipeline.errors import StoreError
from pipeline.store.events import EventBatch

GAUGE_SECONDS = 10.0


class Metrics:
    """Counts of one ingest process since it started."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._events = self._counter("foryou_events", "Events stored, by kind.", "kind")
        self._drops = self._counter("foryou_dropped", "What was left out of the stream, by reason.", "reason")
        self._ends = self._counter(
            "foryou_connection_ends", "What happened to connections, by reason.", "reason"
        )
        self._bytes = prometheus.Counter(
            "foryou_received_bytes", "Bytes of messages received, as sent.", registry=self.registry
        )
        # It has no value before the first event, and is registered with it.
        self._lag = prometheus.Gauge(
            "foryou_stream_lag_seconds", "Now minus the newest event's time.", registry=None
        )
        self._knows_lag = False
        self._queue = prometheus.Gauge(
            "foryou_queue_chunks", "Chunks of messages waiting for the writer.", registry=self.registry
        )
        self._holding = prometheus.Gauge(
            "foryou_holding",
            "1 while the stream is ahead of this machine's clock, so that nothing is stored.",
            registry=self.registry,
        )
        self._label_lag = prometheus.Gauge(
            "foryou_label_lag_seconds",
            "Now minus the time of a labeler's newest label, when that came.",
            ("labeler",),
            registry=self.registry,
        )
        self._holds = False
        self._commits = prometheus.Histogram(
            "foryou_commit_seconds",
            "Seconds to store a batch.",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=self.registry,
        )
        self._measured_at = time.monotonic()
        self._stored = self._received = 0
        self._commit_seconds = 0.0
        self._commits_made = 0

    def serve(self, address: tuple[str, int]) -> None:
        """Answer Prometheus on HOST:PORT; StoreError when the port is taken."""
        try:
            prometheus.start_http_server(address[1], address[0], registry=self.registry)
        except OSError as error:
            raise StoreError(
                f"can't listen on FORYOU_METRICS_LISTEN {address[0]}:{address[1]}: {error}"
            ) from error

    def committed(
        self, batch: EventBatch, size: int, seconds: float, lag_seconds: float | None, queued: int
    ) -> None:
        """Note a batch of so many bytes that was stored."""
        self.counted(batch.counts)
        self._bytes.inc(size)
        self._commits.observe(seconds)
        self._set_lag(lag_seconds)
        self._queue.set(queued)
        self._stored += batch.messages
        self._received += size
        self._commit_seconds += seconds
        self._commits_made += 1

    def set_holding(self, holding: bool) -> None:
        """Note whether ingest waits for the stream and this machine's clock to agree."""
        self._holding.set(holding)
        self._holds = holding

    def gauges(self, lag_seconds: float | None, queued: int) -> dict[str, float] | None:
        """Return the means since the last time, for the store; None before GAUGE_SECONDS have passed."""
        now = time.monotonic()
        seconds = now - self._measured_at
        if seconds < GAUGE_SECONDS:
            return None
        values = {
            "messages_per_second": self._stored / seconds,
            "received_bytes_per_second": self._received / seconds,
            "commit_seconds": self._commit_seconds / max(self._commits_made, 1),
            "queue_chunks": float(queued),
            "holding": float(self._holds),
        }
        if lag_seconds is not None:
            values["lag_seconds"] = lag_seconds
        self._measured_at, self._stored, self._received = now, 0, 0
        self._commit_seconds, self._commits_made = 0.0, 0
        self._set_lag(lag_seconds)
        self._queue.set(queued)
        return values

    def _set_lag(self, seconds: float | None) -> None:
        if seconds is None:
            return
        self._lag.set(seconds)
        if not self._knows_lag:
            self._knows_lag = True
            self.registry.register(self._lag)

    def labels_of(self, labeler: str, lag_seconds: float) -> None:
        """Note how late the newest of some labels came."""
        self._label_lag.labels(labeler).set(lag_seconds)

    def counted(self, counts: Counter[tuple[str, str]]) -> None:
        """Add counts, as they were stored."""
        by_kind = {"event": self._events, "drop": self._drops, "connection": self._ends}
        for (kind, name), value in counts.items():
            by_kind[kind].labels(name).inc(value)

    def _counter(self, name: str, text: str, label: str) -> Any:
        return prometheus.Counter(name, text, (label,), registry=self.registry)
