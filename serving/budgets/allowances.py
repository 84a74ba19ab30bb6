"""How much may be taken: by a viewer, by a domain, by a class; of what is there, or in a span of time.

Owns: counting, and who is refused when a class has taken most of what it may. Leaves to others: the numbers
(``limits``), and what is taken.

When half of a class's total is taken, a taker may have an equal part of it only. So the biggest takers are refused
first, and whoever wants little still gets it.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable

from serving.budgets.limits import Bounds, ByClass
from serving.budgets.takers import taker_of


class Taken:
    """What the viewers of each class have taken; its user holds a lock."""

    def __init__(self, bounds: ByClass[Bounds]) -> None:
        self._bounds = bounds
        self._by_viewer: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._by_taker: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._total: Counter[bool] = Counter()

    def room(self, viewer: str, *, known: bool) -> int:
        """Return how much more a viewer may take; 0 or less when nothing."""
        bounds, taker, total = self._bounds.of(known), taker_of(viewer), self._total[known]
        takers = self._by_taker[known]
        mine = takers.get(taker, 0)
        left = bounds.viewer - self._by_viewer[known].get(viewer, 0)
        if taker != viewer:
            left = min(left, bounds.domain - mine)
        if 2 * total >= bounds.total:
            left = min(left, bounds.total // (2 * len(takers) + 2) - mine)
        return min(left, bounds.total - total)

    def add(self, viewer: str, amount: int, *, known: bool) -> None:
        """Count what a viewer takes, or with a negative amount gives back."""
        self._total[known] += amount
        names = ((self._by_viewer, viewer), (self._by_taker, taker_of(viewer)))
        for counts, name in names:
            counts[known][name] += amount
            if not counts[known][name]:
                del counts[known][name]

    def clear(self) -> None:
        """Forget everything."""
        for counts in (*self._by_viewer.values(), *self._by_taker.values()):
            counts.clear()
        self._total.clear()


class Allowance:
    """What may be taken in each span of time; may be used from any thread."""

    def __init__(
        self, bounds: ByClass[Bounds], seconds: float, *, now: Callable[[], float] = time.time
    ) -> None:
        self._seconds = seconds
        self._now = now
        self._span = 0
        self._taken = Taken(bounds)
        self._lock = threading.Lock()

    def is_used_up(self, viewer: str, *, known: bool) -> bool:
        """Tell whether a viewer may take nothing more now."""
        with self._lock:
            self._turn()
            return self._taken.room(viewer, known=known) < 1

    def take_whole(self, viewer: str, wanted: int, *, known: bool) -> bool:
        """Tell whether a viewer may take all they want now, and count it if so."""
        with self._lock:
            self._turn()
            if wanted > self._taken.room(viewer, known=known):
                return False
            if wanted:
                self._taken.add(viewer, wanted, known=known)
            return True

    def _turn(self) -> None:
        span = int(self._now() // self._seconds)
        if span != self._span:
            self._span = span
            self._taken.clear()
