"""Whose repository is read next, when many wait and anybody may choose a host that is slow.

Owns: the order, the slots, and what a run learned of hosts. Leaves to others: who waits (``fetch_waiting``), and the
requests. Its user holds it in one thread.

The order is that of ``Rank``: viewers who have a list, or whose likes the stream reported; strangers, those first whose
host answered lately; repositories that were replaced; and behind all of them whoever was too slow. Within a rank the
first to come and the last to come take turns. So a crowd that came before somebody does not make them wait, and nobody
waits forever.

Slots: strangers hold a part of the threads, the slow a few. A registrable domain has one slot; while its hosts answer
quickly it gets more, one at a time. So a domain with a thousand names and no answers takes one thread.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from pipeline.backfill.viewer_repository import ViewerRepository
from pipeline.store.fetched_likes import HostRecord

# A thousand strangers whose hosts take all of the 5 seconds, each at a domain of its own, are 1,000 × 5 s / 72 = 70 s.
# A thread nearly always waits. It holds one page of 64 kB and what it makes of it, and at most 2 MB of likes.
THREADS = 88
STRANGERS_THREADS = 72
SLOW_THREADS = 12
RESET_THREADS = 4
DIRECTORY_SLOTS = 8  # besides them, DID documents of the operator's directory
DOMAIN_SLOTS_MAX = 4
QUICK_SECONDS = 3.0  # a domain that has read a repository this quickly gets one slot more


class Rank(IntEnum):
    """Who goes first; a smaller number does."""

    KNOWN = 0
    GOOD_HOST = 1
    STRANGER = 2
    RESET = 3
    SLOW = 4


@dataclass(slots=True, eq=False)
class WantedRepository:
    """One repository that is to be read, and how far that has come."""

    did: str
    is_known: bool = False
    is_reset: bool = False
    is_slow: bool = False
    repository: ViewerRepository | None = None
    host: str = ""  # of the next request: at first of the DID document; empty for the operator's directory
    domain: str = ""  # of that host
    not_before: float = 0.0
    tries: int = 0  # after which its host wanted patience


class FetchTurns:
    """Who waits, whose host is answering, and which hosts are good, slow or busy."""

    def __init__(
        self, document_domain: Callable[[str], str], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._document_domain = document_domain
        self._now = now
        self._waiting: dict[WantedRepository, int] = {}
        self._held: dict[WantedRepository, Rank] = {}
        self._number = 0
        self._last_first = False
        self._ranks: Counter[Rank] = Counter()
        self._domains: Counter[str] = Counter()
        self._most: dict[str, int] = {}  # slots of a domain, where it is not one
        self._good: set[str] = set()
        self._slow: set[str] = set()
        self._busy_until: dict[str, float] = {}

    def recall(self, records: Iterable[HostRecord], stream_us: int) -> None:
        """Learn what earlier runs stored of hosts; ``stream_us`` is now, on the stream's clock."""
        for record in records:
            (self._good if record.is_good else self._slow).add(record.host)
            if record.retry_us > stream_us:
                self._busy_until[record.host] = self._now() + (record.retry_us - stream_us) / 1e6

    def add(self, wanted: WantedRepository) -> None:
        """Let a repository wait for its turn."""
        if wanted.repository is not None:
            wanted.host, wanted.domain = wanted.repository.host, wanted.repository.domain
        else:
            wanted.host = wanted.domain = self._document_domain(wanted.did)
        self._number += 1
        self._waiting[wanted] = self._number

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many requests are under way."""
        return len(self._held)

    def take(self) -> WantedRepository | None:
        """Return who is next, who then holds their slots; None when nobody's turn can come now.

        ``is_slow`` then says whether the host gets more patience.
        """
        self._last_first = not self._last_first
        sign, now = -1 if self._last_first else 1, self._now()
        free = [
            (rank, sign * number, wanted)
            for wanted, number in self._waiting.items()
            if self._has_room(wanted, rank := self._rank_of(wanted), now)
        ]
        if not free:
            return None
        rank, _, wanted = min(free, key=lambda one: one[:2])
        del self._waiting[wanted]
        wanted.is_slow = rank is Rank.SLOW
        self._held[wanted] = rank
        self._domains[wanted.domain] += 1
        if wanted.domain:
            self._ranks[rank] += 1
        return wanted

    def give_back(self, wanted: WantedRepository) -> None:
        """Give the slots back."""
        rank = self._held.pop(wanted)
        self._domains[wanted.domain] -= 1
        if wanted.domain:
            self._ranks[rank] -= 1

    def learn(self, wanted: WantedRepository, outcome: str, seconds: float, *, is_slow: bool) -> None:
        """Note how a host answered, and how long that took; the directory is the operator's, and never slow."""
        host, domain = wanted.host, wanted.domain
        if not domain:
            return
        if is_slow:
            self._slow.add(host)
            self._good.discard(host)
        elif outcome == "ok" and wanted.repository is not None and not wanted.is_slow:
            self._good.add(host)
            self._slow.discard(host)
        quick = outcome in ("ok", "absent") and seconds < QUICK_SECONDS
        self._most[domain] = min(self._most.get(domain, 1) + 1, DOMAIN_SLOTS_MAX) if quick else 1

    def hold(self, wanted: WantedRepository, seconds: float) -> None:
        """Leave a host alone for so long."""
        self._busy_until[wanted.host] = self._now() + seconds

    def soonest(self) -> float:
        """Return when the first turn of those who wait can come, slots aside; infinity when nobody waits."""
        return min(map(self.free_at, self._waiting), default=float("inf"))

    def free_at(self, wanted: WantedRepository) -> float:
        """Return when the turn of one who waits can come, slots aside."""
        return max(wanted.not_before, self._busy_until.get(wanted.host, 0.0))

    def __iter__(self) -> Iterator[WantedRepository]:
        """Yield those who wait."""
        return iter(self._waiting)

    def _rank_of(self, wanted: WantedRepository) -> Rank:
        if wanted.is_slow or wanted.host in self._slow:
            return Rank.SLOW
        if wanted.is_known:
            return Rank.KNOWN
        if wanted.is_reset:
            return Rank.RESET
        return Rank.GOOD_HOST if wanted.host in self._good else Rank.STRANGER

    def _has_room(self, wanted: WantedRepository, rank: Rank, now: float) -> bool:
        if self.free_at(wanted) > now:
            return False
        domain = wanted.domain
        if not domain:
            return self._domains[domain] < DIRECTORY_SLOTS
        ranks = self._ranks
        total = ranks.total()
        if total >= THREADS or self._domains[domain] >= self._most.get(domain, 1):
            return False
        if rank is not Rank.KNOWN and total - ranks[Rank.KNOWN] >= STRANGERS_THREADS:
            return False
        if rank is Rank.RESET:
            return ranks[rank] < RESET_THREADS
        return rank is not Rank.SLOW or ranks[rank] < SLOW_THREADS
