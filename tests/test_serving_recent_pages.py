"""The feed pages of the last minutes, from counts that begin with the process."""

from serving.http.recent_pages import FEED_ADDRESS, WINDOW_SECONDS, RecentPages
from serving.http.web_metrics import WebMetrics


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_feed_pages_of_the_window_count() -> None:
    metrics, clock = WebMetrics(), Clock()
    recent = RecentPages(metrics, clock)
    for _ in range(50):
        metrics.answered(FEED_ADDRESS, 200, 4.0)  # slow, but long ago
    clock.now += 10
    assert recent.figures()["p99_ms"] == 5000.0
    recent.sample()
    for _ in range(40):
        clock.now += WINDOW_SECONDS / 40
        metrics.answered(FEED_ADDRESS, 200, 0.004)
        metrics.answered("/health", 200, 3.0)
        metrics.answered("/metrics", 503, 3.0)
        recent.sample()
    found = recent.figures()
    assert found == {
        "seconds": WINDOW_SECONDS, "pages": 40, "failed": 0, "refused": 0, "p99_ms": 5.0, "slower_than_ms": None
    }  # fmt: skip


def test_pages_beyond_every_bound_are_said_and_failures_too() -> None:
    metrics, clock = WebMetrics(), Clock()
    recent = RecentPages(metrics, clock)
    clock.now += 60
    assert recent.figures()["p99_ms"] is None
    assert recent.figures()["slower_than_ms"] is None
    metrics.answered(FEED_ADDRESS, 500, 9.0)
    metrics.answered(FEED_ADDRESS, 200, 0.001)
    metrics.refused.inc(3)
    found = recent.figures()
    assert (found["pages"], found["failed"], found["refused"]) == (2, 1, 3)
    assert (found["p99_ms"], found["slower_than_ms"]) == (None, 5000.0)
