"""The time of a stream whose events carry their authors' word for it.

Owns: ``StreamClock``. A relay passes on the time that each PDS wrote in its event. A PDS whose clock is a day
ahead, or that lies, would close days for everybody's likes, and one that comes back after hours would have
its likes refused as too late. So an event counts as seen when the stream is, which is what most of the events
around it say.

Invariants: no event is seen later than now, or far from the median of those around it; an honest event is
seen when it says. Leaves to others: wires whose host writes its own time (both Jetstreams).
"""

import time
from collections import deque
from collections.abc import Callable

from pipeline.store.model import CLOCK_SKEW_US

AROUND = 63  # events that say what time it is: too many for one PDS, whose rate a relay limits
RENEW_EVERY = 8
FEW = 5
# After so long without an event what was said before tells nothing: a quiet PDS, a laptop that slept.
QUIET_SECONDS = 30.0
AHEAD_US = 2 * CLOCK_SKEW_US


class StreamClock:
    """The clock of one connection, which goes on after ``resumed_us`` (0 in an empty store)."""

    def __init__(
        self,
        resumed_us: int,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._resumed_us = resumed_us
        self._monotonic = monotonic
        self._now = now
        self._said: deque[int] = deque(maxlen=AROUND)
        self._since_renewal = 0
        self._median = 0
        self._received_at = monotonic()

    def seen_us(self, claimed_us: int) -> int:
        """Return when an event is seen that claims to be of a time."""
        moment = self._monotonic()
        if moment - self._received_at > QUIET_SECONDS:
            self._said.clear()
        self._received_at = moment
        self._said.append(claimed_us)
        self._since_renewal += 1
        if len(self._said) < FEW:
            if claimed_us < self._resumed_us - CLOCK_SKEW_US:
                return self._resumed_us
            return min(claimed_us, int(self._now() * 1e6) + AHEAD_US)
        if self._since_renewal >= RENEW_EVERY or len(self._said) < AROUND:
            self._since_renewal = 0
            self._median = sorted(self._said)[len(self._said) // 2]
        if abs(claimed_us - self._median) > CLOCK_SKEW_US:
            claimed_us = self._median
        return min(claimed_us, int(self._now() * 1e6) + AHEAD_US)
