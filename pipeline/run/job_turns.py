"""Whether the jobs of the timetable still get their turns: what systemd's watchdog is fed for.

Owns: when each job began and ended last, on the monotonic clock, and the limits. Leaves to others: running them
(``timetable``).

A job that is due must begin. It may wait for another of its queue, and a run may take long: the first neighbours of a
large store take hours. So a queue in which nothing runs is wrong within minutes, one that runs the same job for days
is wrong too, and all between is as it should be.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

IDLE_SECONDS = 60.0  # of a queue in which a job is due
LATE_INTERVALS = 3
STUCK_INTERVALS = 8  # of the longest: a day, as the settings are


class JobTurns:
    """When the jobs of some queues last had their turns."""

    def __init__(
        self, queues: Mapping[str, str], longest_seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the queue of each job, and the longest interval of any."""
        self._queues, self._now = queues, now
        self._stuck_seconds = STUCK_INTERVALS * longest_seconds
        self._lock = threading.Condition()
        self._began = dict.fromkeys(queues, now())
        self._ended = dict.fromkeys(queues, now())
        self._running: set[str] = set()

    @contextmanager
    def turn(self, job: str) -> Iterator[None]:
        """Note that a job runs while the block does."""
        with self._lock:
            self._began[job] = self._now()
            self._running.add(job)
        try:
            yield
        finally:
            with self._lock:
                self._ended[job] = self._now()
                self._running.discard(job)
                self._lock.notify_all()

    def wait_until_none_runs(self) -> None:
        """Wait until the turns that have begun are over."""
        with self._lock:
            self._lock.wait_for(lambda: not self._running)

    def complaint(self, intervals: Mapping[str, float]) -> str:
        """Return what is wrong, given the seconds between two turns of each job; "" when nothing is."""
        now = self._now()
        with self._lock:
            for job, interval in intervals.items():
                seconds = now - self._began[job]
                beside = [each for each, queue in self._queues.items() if queue == self._queues[job]]
                if job in self._running:
                    if seconds > self._stuck_seconds:
                        return f"{job} has been running for {seconds:.0f} s"
                elif self._running.isdisjoint(beside):
                    idle = now - max(self._ended[each] for each in beside)
                    if idle > IDLE_SECONDS and seconds > LATE_INTERVALS * interval:
                        return (
                            f"{job} last began {seconds:.0f} s ago, although it is due every {interval:.0f} s"
                        )
        return ""
