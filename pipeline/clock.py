"""What time it is: for this machine, for each event of a stream, and for all that can't be taken back.

Owns: ``MachineClock``, which notices when this machine's clock is set, and ``StreamClock``, which decides when an event
was seen and how far the stream has come. Every wire, the writer, retention, compaction and the timetable ask here.
Leaves to others: reading a time out of a message (the wires), what follows from it (``store.landing``).

Nobody's word about time is believed alone. Each message claims a time, and most claims are honest:

- **A claim ahead of this machine's clock** by more than AHEAD_US is wrong, unless most of the latest messages make it.
  Then the stream and this machine disagree: the clock is ``holding``, and the caller stores nothing and moves no cursor
  until they agree.
- **When an event was seen.** A stream comes in the order of time. So an honest claim is not before most claims that
  came before it, and not after most that come after it. An event whose claim is wrong was seen when its neighbours
  were: it is kept, for somebody honest may use a host whose clock is wrong.
- **The watermark**, how far the stream has come, follows a claim only when it is verified: when later events do not
  contradict it. It bounds nobody's likes.
- **The low watermark** alone closes days and deletes. It is a low quantile over thousands of verified events.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

SKEW_US = 60_000_000  # two honest clocks differ by less
AHEAD_US = 2 * SKEW_US
AROUND = (
    1_001  # claims on each side of an event that are compared with it: no burst of a host is half of them
)
ENOUGH = 15  # with fewer claims than this there is no majority
BLOCK = 64  # events that are compared with the same neighbours
AGREED_BLOCK = 512  # the same where all neighbours agree
QUIET_SECONDS = 3.0  # a stream that has more to send does not pause so long
EVIDENCE_SECONDS = 60.0
LOW_EVENTS = 2_000
LOW_SHARE = 0.1
STEP_SECONDS = AHEAD_US / 1e6

Times = NDArray[np.int64]
WhenSeen = Callable[
    [Sequence[int]], Sequence[int]
]  # from the times that events claim to those when they were seen
_NONE: Times = np.zeros(0, np.int64)


def _middle(times: Times) -> int:
    """Return the median, of two in the middle the earlier; np.median takes three times as long."""
    middle = (len(times) - 1) // 2
    return int(np.partition(times, middle)[middle])


def as_claimed(claims: Sequence[int]) -> Sequence[int]:
    """Believe every claim: the ``WhenSeen`` of events that are not of a stream."""
    return claims


def steady_seconds() -> float:
    """Return seconds on a clock that nobody sets; where the system has one, it also counts sleep."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class MachineClock:
    """This machine's clock, and whether it was set since somebody last looked."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady_seconds
    ) -> None:
        self.wall, self.steady = wall, steady
        self._offset = wall() - steady()

    def now_us(self) -> int:
        """Return this machine's time in microseconds since 1970."""
        return int(self.wall() * 1e6)

    def step_seconds(self) -> float:
        """Return by how much the clock was set since the last call; 0.0 for less than STEP_SECONDS."""
        offset = self.wall() - self.steady()
        step = offset - self._offset
        if abs(step) < STEP_SECONDS:
            return 0.0  # slewed by NTP: many small steps count together
        self._offset = offset
        return step


class StreamClock:
    """The time of one installation's stream, over all its connections.

    ``watermark_us`` and ``low_us`` are what is stored; both only rise.
    """

    def __init__(self, watermark_us: int = 0, low_us: int = 0, machine: MachineClock | None = None) -> None:
        self.machine = machine or MachineClock()
        self.watermark_us, self.low_us = watermark_us, low_us
        self.holding = False
        self.corrected = 0  # events so far whose claims were wrong
        self.reached_us = 0  # verified time of the connection's events, for going on by time
        self.first_us = 0  # when the connection's first events were seen; 0 before them
        self._floor_us = 0
        self._evidence: deque[tuple[float, int, int]] = deque()  # when, messages, how many were ahead
        self._claims = self._read_at = _NONE  # of this connection, the latest 2 * AROUND
        self._claimed = 0  # how many in all
        self._near: deque[int] = deque(maxlen=ENOUGH)  # the latest times that nothing contradicted
        # Blocks that later events have not confirmed yet: when they were read, claims up to their end, their times.
        self._unverified: deque[tuple[float, int, Times]] = deque()
        self._verified = _NONE  # the latest LOW_EVENTS

    @property
    def progress(self) -> tuple[int, int, int]:
        """How far the stream, what is certain of it, and this connection have come."""
        return self.watermark_us, self.low_us, self.reached_us

    def connected(self, requested_us: int, floor_us: int) -> None:
        """Begin a connection that was to go on from a time; its events are not from before ``floor_us``."""
        self._unverified.clear()
        self._floor_us, self.reached_us, self.first_us = floor_us, requested_us, 0
        self._claims = self._read_at = _NONE
        self._claimed = 0
        self._near.clear()

    def when_seen(self, claims: Sequence[int]) -> list[int]:
        """Return when events were seen that claim these times (microseconds since 1970), in the order of the stream.

        When the clock is ``holding`` afterwards, nothing of these events may be stored.
        """
        now_us, moment = self.machine.now_us(), self.machine.steady()
        claimed = np.asarray(claims, np.int64)
        ahead = claimed > now_us + AHEAD_US
        self._weigh_evidence(moment, len(claimed), int(np.count_nonzero(ahead)))
        if self.holding:
            return list(claims)
        seen = self._seen(claimed, ahead, now_us, moment)
        self.corrected += int(np.count_nonzero(seen != claimed))
        self._verify(now_us, moment)
        result: list[int] = seen.tolist()
        return result

    def rest(self) -> None:
        """Let time pass without an event."""
        self._verify(self.machine.now_us(), self.machine.steady())

    def ended(self) -> None:
        """End a connection: nothing comes any more that could verify its last events, so most of them decide."""
        self.rest()
        if self._unverified:
            now_us, middle_us = self.machine.now_us(), _middle(self._claims[-AROUND:])
            newest_us = max((int(times.max()) for *_, times in self._unverified if len(times)), default=0)
            is_current = middle_us > now_us - AHEAD_US  # then a claim of now is no lie
            self._reach(min(newest_us, now_us + AHEAD_US) if is_current else middle_us)
        self._unverified.clear()

    def _weigh_evidence(self, moment: float, messages: int, ahead: int) -> None:
        evidence = self._evidence
        if self.machine.step_seconds():
            evidence.clear()  # what agreed with the clock as it was says nothing of the clock as it is
        evidence.append((moment, messages, ahead))
        while evidence[0][0] < moment - EVIDENCE_SECONDS:
            evidence.popleft()
        self.holding = 2 * sum(row[2] for row in evidence) > sum(row[1] for row in evidence)
        if self.holding:
            evidence.clear()  # the next look is at what comes then

    def _seen(self, claims: Times, ahead: NDArray[np.bool_], now_us: int, moment: float) -> Times:
        seen, before = claims.copy(), self._claims
        around = np.concatenate([before, np.minimum(claims, now_us + AHEAD_US)])
        agreed = self._all_agree(around, claims, ahead)
        size = AGREED_BLOCK if agreed else BLOCK
        for first in range(0, len(claims), size):
            last = min(first + size, len(claims))
            even = block = seen[first:last]
            if not agreed:
                odd = ahead[first:last] | self._contradicted(block, around, len(before) + first)
                if odd.any():
                    even = block[~odd]
                    near = [*self._near, *even[:ENOUGH].tolist()]
                    block[odd] = _middle(np.array(near)) if near else self._floor_us or now_us
            if not self.first_us and len(even):
                self.first_us = _middle(even[:ENOUGH])
            self._near.extend(even[-ENOUGH:].tolist())
            self._unverified.append((moment, self._claimed + last, even))
        self._claimed += len(claims)
        self._claims = around[-2 * AROUND :]
        self._read_at = np.concatenate([self._read_at, np.full(len(claims), now_us)])[-2 * AROUND :]
        return seen

    def _all_agree(self, around: Times, claims: Times, ahead: NDArray[np.bool_]) -> bool:
        """Tell whether no claim can contradict another, as in nearly all of a stream: that is known at once."""
        if ahead.any() or not len(claims) or int(around.max()) - int(around.min()) > SKEW_US:
            return False
        return len(around) - len(claims) >= ENOUGH or int(claims.min()) >= self._floor_us - SKEW_US

    def _contradicted(self, block: Times, around: Times, place: int) -> NDArray[np.bool_]:
        """Tell which claims of a block, which stands at this place among its neighbours, most of those contradict."""
        earlier = around[max(0, place - AROUND) : place]
        later = around[place + len(block) :][:AROUND]
        odd = block < (_middle(earlier) if len(earlier) >= ENOUGH else self._floor_us) - SKEW_US
        if len(later) >= ENOUGH:
            odd |= block > _middle(later) + SKEW_US
        return odd

    def _verify(self, now_us: int, moment: float) -> None:
        """Follow the times that later events did not contradict, of those that had the time to."""
        if not self._unverified:
            return
        verified = []
        current = self._is_current()
        first = self._claimed - len(self._claims)  # the number of the oldest claim at hand
        while self._unverified:
            read_at_seconds, upto, times = self._unverified[0]
            waited = self._claimed - upto >= AROUND or moment - read_at_seconds >= QUIET_SECONDS
            if not (waited or current):
                break
            self._unverified.popleft()
            later = self._claims[max(0, upto - first) :][:AROUND]
            if len(later) >= ENOUGH:
                times = times[times <= _middle(later) + SKEW_US]
            if len(times):
                verified.append(times)
        if not verified:
            return
        self._reach(min(max(int(times.max()) for times in verified), now_us + AHEAD_US))
        self._verified = np.concatenate([self._verified, *verified])[-LOW_EVENTS:]
        if len(self._verified) == LOW_EVENTS:
            place = int(LOW_EVENTS * LOW_SHARE)
            self.low_us = max(self.low_us, int(np.partition(self._verified, place)[place]))

    def _reach(self, time_us: int) -> None:
        self.reached_us = max(self.reached_us, time_us)
        self.watermark_us = max(self.watermark_us, time_us)

    def _is_current(self) -> bool:
        """Tell whether the latest events are of now: then a claim of now is no lie."""
        claims, read_at = self._claims[-AROUND:], self._read_at[-AROUND:]
        return len(claims) > AROUND // 2 and _middle(claims - read_at) > -AHEAD_US
