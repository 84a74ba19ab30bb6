"""How many requests may wait for documents, and how many questions may be put to a source.

Owns: slots of which strangers hold a part only, and the directory's two buckets. Leaves to others: what is fetched
(``resolver``, ``fetch``), and the numbers (``budgets.limits``).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable

from serving.budgets.limits import (
    ABSENT_A_MINUTE,
    ABSENT_TRICKLE_SECONDS,
    DOMAIN_SLOTS,
    SAME_KEYS_A_MINUTE,
    ByClass,
)


class Slots:
    """A number of slots (``most.known``), of which strangers may hold ``most.strangers``."""

    def __init__(self, most: ByClass[int]) -> None:
        self._all = threading.Semaphore(most.known)
        self._strangers = threading.Semaphore(min(most.strangers, most.known))

    def acquire(self, *, known: bool, seconds: float = 0.0) -> bool:
        """Take a slot, waiting for it at most so long; tell whether there was one."""
        deadline = time.monotonic() + seconds
        if not known and not _acquired(self._strangers, seconds):
            return False
        if _acquired(self._all, max(0.0, deadline - time.monotonic())):
            return True
        if not known:
            self._strangers.release()
        return False

    def release(self, *, known: bool) -> None:
        """Give a slot back."""
        self._all.release()
        if not known:
            self._strangers.release()


class DomainSlots:
    """How many of a domain's may be under way at once; may be used from any thread."""

    def __init__(self, most: int = DOMAIN_SLOTS) -> None:
        self._most = most
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def acquire(self, domain: str) -> bool:
        """Take a slot of a domain; tell whether there was one."""
        with self._lock:
            if self._held[domain] >= self._most:
                return False
            self._held[domain] += 1
            return True

    def release(self, domain: str) -> None:
        """Give a slot back."""
        with self._lock:
            self._held[domain] -= 1
            if not self._held[domain]:
                del self._held[domain]


class QuestionBudget:
    """What is requested of the directory in vain in a minute: DIDs that do not exist, and keys that did not change.

    Only what was in vain is charged, so honest newcomers and rotated keys cost nothing.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        *,
        absent: int = ABSENT_A_MINUTE,
        same: ByClass[int] = SAME_KEYS_A_MINUTE,
    ) -> None:
        self._now = now
        self._absent_most, self._same_most = absent, same
        self._minute = 0
        self._absent = 0
        self._same: Counter[bool] = Counter()
        self._trickled = 0.0
        self._lock = threading.Lock()

    def may_look_up(self, *, known: bool) -> bool:
        """Tell whether a DID that is not in memory may be looked up."""
        with self._lock:
            now = self._turn()
            if known or self._absent < self._absent_most:
                return True
            if abs(now - self._trickled) < ABSENT_TRICKLE_SECONDS:
                return False
            self._trickled = now
            return True

    def was_absent(self) -> None:
        """Charge for a stranger's DID that does not exist."""
        with self._lock:
            self._turn()
            self._absent += 1

    def may_refresh(self, *, known: bool) -> bool:
        """Tell whether a key may be read again because a signature does not fit it."""
        with self._lock:
            self._turn()
            return self._same[known] < self._same_most.of(known)

    def was_same(self, *, known: bool) -> None:
        """Charge for a key that was read again and had not changed."""
        with self._lock:
            self._turn()
            self._same[known] += 1

    def _turn(self) -> float:
        now = self._now()
        if int(now // 60) != self._minute:
            self._minute = int(now // 60)
            self._absent = 0
            self._same.clear()
        return now


def _acquired(semaphore: threading.Semaphore, seconds: float) -> bool:
    return semaphore.acquire(timeout=seconds) if seconds > 0 else semaphore.acquire(blocking=False)
