"""Saying the same thing once in a while.

Owns: when a repeated complaint may be made again, and how many were held back. A full disk fails every second; its
log line is wanted once a minute.
"""

import threading
import time
from collections.abc import Callable


class LogThrottle:
    """Allows each of a few fixed subjects once in ``seconds``."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def allows(self, subject: str) -> bool:
        """Tell whether this subject may be logged again, and note the time."""
        now = self._clock()
        with self._lock:
            last = self._last.get(subject)
            if last is not None and now - last < self._seconds:
                return False
            self._last[subject] = now
            return True


class Tally:
    """The first of each subject is logged at once; those that follow within ``seconds`` are counted."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._held: dict[int, int] = {}  # how many of each subject were held back in this span
        self._until = 0.0
        self._lock = threading.Lock()

    def allows(self, subject: int) -> bool:
        """Tell whether a subject is the first of its kind in this span, else count it."""
        with self._lock:
            if not self._held:
                self._until = self._clock() + self._seconds
            elif subject in self._held:
                self._held[subject] += 1
                return False
            self._held[subject] = 0
            return True

    def over(self) -> dict[int, int]:
        """Return how many of each subject were held back and start a new span; {} while the span lasts."""
        with self._lock:
            if not self._held or self._clock() < self._until:
                return {}
            counts, self._held = self._held, {}
        return {subject: count for subject, count in counts.items() if count}
