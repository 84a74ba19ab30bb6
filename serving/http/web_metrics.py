"""What the web app tells Prometheus, summed over its workers.

Owns: the names and units, and GET /metrics, which answers this machine alone. Leaves to others: counting.

Each worker counts in the files of its slot, in a folder that the parent makes and names in COUNTS_VARIABLE.
The worker that answers adds the files up. A worker that takes over a slot goes on from the counts of its
predecessor. So a count never falls, and restarts add no files. Without that folder (an app that is alone) the
figures are the process's own.
"""

import glob
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import falcon
import prometheus_client
from prometheus_client import Counter, Histogram, Metric, multiprocess, values

from serving.config import COUNTS_VARIABLE, ServingConfig
from serving.http.clients import require_local
from serving.http.exchange_metrics import exchange_text

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def count_in_files_of(slot: int) -> None:
    """Count in the files of a slot instead of a process; call it before the first ``WebMetrics`` is made."""
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]


class WebMetrics:
    """The counts of one worker; every method may be called from any thread."""

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "foryou_requests",
            "Answers, by address and status.",
            ("address", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "foryou_request_seconds",
            "Seconds from a request's first thread to its answer.",
            ("address",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.refused = Counter(
            "foryou_refused_requests",
            "Requests answered 429 because too many waited.",
            registry=self._registry,
        )
        self.lost = Counter(
            "foryou_lost_activity",
            "Visits, pages and interactions that found no room or no disk.",
            registry=self._registry,
        )

    def answered(self, address: str, status: int, seconds: float) -> None:
        """Count an answer; ``address`` is the template of a route."""
        # Looking them up by their labels takes as long as counting.
        children = self._children.get((address, status)) or self.expect(address, status)
        children[0].inc()
        children[1].observe(seconds)

    def expect(self, address: str, status: int) -> tuple[Counter, Histogram]:
        """Start counting one kind of answer at 0; the first one makes files."""
        found = self._requests.labels(address, str(status)), self._seconds.labels(address)
        self._children[address, status] = found
        return found

    def text(self) -> bytes:
        """Return the figures in Prometheus's text form."""
        return prometheus_client.generate_latest(self._summed())

    def families(self) -> Iterable[Metric]:
        """Return the same as objects."""
        return self._summed().collect()

    def _summed(self) -> prometheus_client.CollectorRegistry:
        if COUNTS_VARIABLE not in os.environ:
            return self._registry
        summed = prometheus_client.CollectorRegistry()
        _CountsOfWorkers(summed)  # type: ignore[no-untyped-call]
        return summed


class _CountsOfWorkers(multiprocess.MultiProcessCollector):
    """The sum of all workers' files, without those that a worker is making just now: these are empty for a moment."""

    def collect(self) -> Iterable[Metric]:
        files = glob.glob(os.path.join(self._path, "*.db"))
        made = [file for file in files if os.path.getsize(file)]
        found: Iterable[Metric] = self.merge(made, accumulate=True)  # type: ignore[no-untyped-call]
        return found


@dataclass(slots=True)
class MetricsPage:
    """GET /metrics."""

    config: ServingConfig
    metrics: WebMetrics

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the figures to this machine, 404 to others."""
        require_local(request, self.config)
        response.content_type = prometheus_client.CONTENT_TYPE_LATEST
        response.data = self.metrics.text() + exchange_text(self.config.data_dir, time.time())
        response.set_header("Cache-Control", "no-store")
