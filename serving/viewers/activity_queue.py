"""What viewers did, until it is written: a queue in memory, bounded in bytes by viewer, domain and class.

Owns: the events' form, their size, and which find room. Leaves to others: writing (``activity_writer``), and the
bounds (``budgets.limits``).

Invariants: what found room stays until it is taken out to be written. The known's events are taken out first.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from serving.budgets.allowances import Taken
from serving.budgets.limits import QUEUE_BYTES, Bounds, ByClass

EVENT_BYTES = 500
POST_BYTES = 250  # of a page


@dataclass(frozen=True, slots=True)
class Interaction:
    """A viewer's event on a post, as the table interactions holds it."""

    viewer_did: str
    post_uri: str
    event: str
    feed_rkey: str
    feed_context: str
    req_id: str
    received_us: int


@dataclass(frozen=True, slots=True)
class Visit:
    """A page served to a viewer at a time in microseconds since 1970."""

    viewer_did: str
    feed_rkey: str
    languages: str
    at_us: int


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A page as it was shown: at-uris and their sources, in order; ``start`` is the first one's position, from 1."""

    viewer_did: str
    feed_rkey: str
    generation: int
    start: int
    post_uris: Sequence[str]
    sources: Sequence[int]
    served_us: int
    variant: str = ""  # whose list the page came from; '' outside an experiment


ActivityEvent = Interaction | Visit | ShownPage


class Queued(NamedTuple):
    """An event, and whether its viewer is known."""

    event: ActivityEvent
    known: bool


class ActivityQueue:
    """The events that wait; its user holds a lock."""

    def __init__(self, bounds: ByClass[Bounds] = QUEUE_BYTES) -> None:
        self._queues: dict[bool, deque[ActivityEvent]] = {True: deque(), False: deque()}
        self._bytes = Taken(bounds)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def put(self, events: Sequence[ActivityEvent], *, known: bool) -> int:
        """Queue events of viewers of one class and return how many found room."""
        return sum(self._put(event, known) for event in events)

    def put_whole(self, events: Sequence[Interaction], *, known: bool) -> bool:
        """Queue one viewer's events if all of them find room; tell whether they did."""
        size = sum(map(size_of, events))
        if events and size > self._bytes.room(events[0].viewer_did, known=known):
            return False
        self._queues[known].extend(events)
        if events:
            self._bytes.add(events[0].viewer_did, size, known=known)
        return True

    def _put(self, event: ActivityEvent, known: bool) -> bool:
        size = size_of(event)
        if size > self._bytes.room(event.viewer_did, known=known):
            return False
        self._queues[known].append(event)
        self._bytes.add(event.viewer_did, size, known=known)
        return True

    def take(self, most: int) -> list[Queued]:
        """Take out the next events to write, the known's first."""
        taken: list[Queued] = []
        for known in (True, False):
            queue = self._queues[known]
            while queue and len(taken) < most:
                event = queue.popleft()
                self._bytes.add(event.viewer_did, -size_of(event), known=known)
                taken.append(Queued(event, known))
        return taken


def values_of(event: ActivityEvent) -> dict[str, Any]:
    """Return an event's fields by name, as they are; ``dataclasses.asdict`` would copy a page's posts one by one."""
    return {name: getattr(event, name) for name in event.__slots__}


def size_of(event: ActivityEvent) -> int:
    """Return how many bytes an event counts."""
    return EVENT_BYTES + (POST_BYTES * len(event.post_uris) if isinstance(event, ShownPage) else 0)
