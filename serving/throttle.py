"""Saying the same thing once in a while.

Owns: when a repeated complaint may be made again. A disk that is full fails every second; its log line is
wanted once a minute.
"""

import threading
import time
from collections.abc import Callable


class Throttle:
    """Allows each of a few fixed subjects once in ``seconds``."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def allows(self, subject: str) -> bool:
        """Tell whether it is time to speak of this subject again, and remember that it was."""
        now = self._clock()
        with self._lock:
            last = self._last.get(subject)
            if last is not None and now - last < self._seconds:
                return False
            self._last[subject] = now
            return True
