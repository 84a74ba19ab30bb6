"""How many feed pages the web app answered in the last minutes, and how fast.

Owns: which counts are of feed pages, and the samples between which they are compared. Leaves to others: counting
(``web_metrics``), when a sample is due (``process.web_server``), and the words (``foryou status``, the dashboard).

Each worker takes samples of the sum over all workers, so whichever answers says nearly the same. After a start the
window is as short as the worker is old.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serving.http.web_metrics import WebMetrics

FEED_ADDRESS = "/xrpc/app.bsky.feed.getFeedSkeleton"
WINDOW_SECONDS = 300.0
SAMPLE_SECONDS = 15.0
P99 = 0.99


@dataclass(slots=True)
class _Counts:
    """What was counted up to a moment; ``within`` has the pages answered within each bound, in seconds."""

    at: float
    failed: float = 0.0
    refused: float = 0.0
    within: dict[float, float] = field(default_factory=dict)


class RecentPages:
    """The feed pages of the last minutes; every method may be called from any thread."""

    def __init__(self, metrics: WebMetrics, now: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._now = metrics, now
        self._lock = threading.Lock()
        self._samples = deque([self._count()])

    def sample(self) -> None:
        """Remember the counts of this moment, and forget those from before the window."""
        counts = self._count()
        with self._lock:
            self._samples.append(counts)
            while len(self._samples) > 1 and counts.at - self._samples[1].at >= WINDOW_SECONDS:
                self._samples.popleft()

    def figures(self) -> dict[str, Any]:
        """Return {seconds, pages, failed, refused, p99_ms, slower_than_ms} of the window.

        ``p99_ms`` is the bound that 99 of 100 pages kept. It is None without a page, and when they kept none: then
        ``slower_than_ms`` is the longest bound there is. ``refused`` counts requests of any kind, answered 429.
        """
        counts = self._count()
        with self._lock:
            before = self._samples[0]
        within = {
            bound: max(0.0, count - before.within.get(bound, 0.0)) for bound, count in counts.within.items()
        }
        pages = max(within.values(), default=0.0)
        kept = [bound for bound, count in within.items() if pages and count >= P99 * pages]
        finite = [bound for bound in within if bound != float("inf")]
        p99 = min(kept, default=float("inf"))
        slow = bool(pages) and p99 == float("inf")
        return {
            "seconds": round(counts.at - before.at, 1),
            "pages": int(pages),
            "failed": int(max(0.0, counts.failed - before.failed)),
            "refused": int(max(0.0, counts.refused - before.refused)),
            "p99_ms": round(p99 * 1000, 1) if pages and not slow else None,
            "slower_than_ms": round(max(finite, default=0.0) * 1000, 1) if slow else None,
        }

    def _count(self) -> _Counts:
        counts = _Counts(self._now())
        for family in self._metrics.families():
            for sample in family.samples:
                if sample.name == "foryou_refused_requests_total":
                    counts.refused += sample.value
                elif sample.labels.get("address") != FEED_ADDRESS:
                    continue
                elif sample.name == "foryou_request_seconds_bucket":
                    bound = float(sample.labels["le"])
                    counts.within[bound] = counts.within.get(bound, 0.0) + sample.value
                elif sample.name == "foryou_requests_total" and sample.labels["status"].startswith("5"):
                    counts.failed += sample.value
        return counts
