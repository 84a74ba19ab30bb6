"""What viewers were lately shown, have seen, and do not want to see: in memory, so that it counts at once.

Owns: which viewers are in memory, and how they change a list (``ViewerState``). Leaves to others: one viewer's state
(``remembered``), the order made of it (``list_order``), reading it back after a restart (``recall``), telling the
other workers (``peers``), and writing it down (``activity_writer``).

Invariants: what a worker has answered 200 to counts for the next page that any worker serves. Memory is bounded in
bytes, of the known and of strangers apart. When one part is full, those who take most are forgotten first, and of
equals those who came least recently. A forgotten viewer's state is read back from activity.sqlite. A post answered
with "show less" is hidden, and its author for a day. After several answers about one kind, posts of that kind go to
the list's end.
"""

import threading
import time
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product

from serving.budgets.limits import VIEWER_BYTES, ByClass
from serving.budgets.takers import taker_of
from serving.lists.list_store import ListSnapshot
from serving.viewers.forgotten import mark_of
from serving.viewers.peers import Message, Peers
from serving.viewers.recall import Recall
from serving.viewers.remembered import FirstPage, KnownEvent, Remembered, ViewerState

EVENTS_A_MESSAGE = 40  # of 80 bytes at most: a message has 4 kB

_Key = tuple[str, str]  # viewer and feed


class ViewerMemory:
    """The state of the most recent viewers; every method may be called from any thread."""

    def __init__(
        self,
        recall: Recall,
        *,
        peers: Peers | None = None,
        now: Callable[[], float] = time.time,
        most_bytes: ByClass[int] = VIEWER_BYTES,
    ) -> None:
        self.recall = recall
        self._peers = peers
        if peers is not None:
            peers.listen(self.take)
        self._now = now
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._viewers: dict[bool, OrderedDict[_Key, Remembered]] = {True: OrderedDict(), False: OrderedDict()}
        self._bytes: Counter[bool] = Counter()
        self._feeds: set[str] = set()  # of any viewer: the few that this server has

    def state(self, viewer: str, feed: str, snapshot: ListSnapshot, *, known: bool = True) -> ViewerState:
        """Return a viewer's state, with the posts of a snapshot; sqlite3.Error when that can't be read."""
        self.read_peers()
        with self._changing(viewer, feed, known) as remembered:
            if not remembered.recalled:
                # What the other workers said meanwhile is newer than what is read back.
                remembered.recall(self._recalled(viewer, feed, snapshot))
            return remembered.at(int(self._now()))

    def page_shown(
        self,
        viewer: str,
        feed: str,
        posts: Sequence[int],
        first_page: FirstPage | None,
        *,
        known: bool = True,
    ) -> None:
        """Remember that posts were shown, ``first_page`` with a first page."""
        at = int(self._now())
        self._show(viewer, feed, known, posts, at, first_page)
        if self._peers is not None:
            given = None if first_page is None else tuple(first_page)
            self._peers.send(("shown", viewer, feed, known, array("I", posts).tobytes(), at, given))

    def events_received(
        self, viewer: str, feeds: Iterable[str], events: Sequence[KnownEvent], *, known: bool = True
    ) -> None:
        """Remember what a viewer did with posts that are in the store."""
        self.read_peers()
        for feed in feeds:
            self._add(viewer, feed, known, events)
            if self._peers is not None:
                for start in range(0, len(events), EVENTS_A_MESSAGE):
                    packed = [tuple(event) for event in events[start : start + EVENTS_A_MESSAGE]]
                    self._peers.send(("events", viewer, feed, known, packed))

    def read_peers(self) -> None:
        """Take in what the other workers said."""
        if self._peers is not None:
            self._peers.read()

    def take(self, message: Message) -> None:
        """Take in one message of another worker, if it is about viewers."""
        kind = message[0]
        if kind == "shown":
            _, viewer, feed, known, posts, at, given = message
            first_page = None if given is None else FirstPage(*given)
            self._show(viewer, feed, known, array("I", posts), at, first_page)
        elif kind == "events":
            _, viewer, feed, known, packed = message
            self._add(viewer, feed, known, [KnownEvent(*event) for event in packed])
        elif kind == "forget":
            self.read_again([message[1]])
        elif kind == "missed":  # a message was lost; activity.sqlite has what it said
            with self._lock:
                for viewers in self._viewers.values():
                    viewers.clear()
                self._bytes.clear()

    def forget(self, marks: Collection[bytes]) -> None:
        """Forget the viewers whom some marks stand for (``forgotten``)."""
        with self._lock:
            for known, viewers in self._viewers.items():
                for key in [key for key in viewers if mark_of(key[0]) in marks]:
                    self._bytes[known] -= viewers.pop(key).counted

    def read_again(self, dids: Collection[str]) -> None:
        """Forget viewers of whom activity.sqlite knows more: from another machine, or from a page for people."""
        with self._lock:
            for known, viewers in self._viewers.items():
                # Not all viewers: this comes twice a second, and requests wait for the lock.
                for key in product(dids, self._feeds):
                    if key in viewers:
                        self._bytes[known] -= viewers.pop(key).counted

    def forget_viewer(self, viewer: str) -> None:
        """Forget one viewer, in every worker; what activity.sqlite has is read back when they come."""
        self.read_again([viewer])
        if self._peers is not None:
            self._peers.send(("forget", viewer))

    def bytes_of(self, known: bool) -> int:
        """Return how many bytes the viewers of a class take."""
        with self._lock:
            return self._bytes[known]

    def _recalled(self, viewer: str, feed: str, snapshot: ListSnapshot) -> list[KnownEvent]:
        events = self.recall.events(viewer, feed)
        found = snapshot.posts_named([event.post_uri for event in events])
        return [
            KnownEvent(event.kind, *found[event.post_uri], event.at_us)
            for event in events
            if event.post_uri in found
        ]

    def _show(
        self,
        viewer: str,
        feed: str,
        known: bool,
        posts: Sequence[int],
        at: int,
        first_page: FirstPage | None,
    ) -> None:
        with self._changing(viewer, feed, known) as remembered:
            remembered.show(posts, at)
            if first_page is not None:
                remembered.first_page = first_page

    def _add(self, viewer: str, feed: str, known: bool, events: Sequence[KnownEvent]) -> None:
        with self._changing(viewer, feed, known) as remembered:
            remembered.add(events)

    @contextmanager
    def _changing(self, viewer: str, feed: str, known: bool) -> Iterator[Remembered]:
        """Give a viewer's state to change, then count its size and make room."""
        key = (viewer, feed)
        with self._lock:
            remembered = self._viewers[known].get(key)
            if remembered is None:
                remembered = self._viewers[not known].pop(key, None)  # of the other class until now
                if remembered is not None:
                    self._bytes[not known] -= remembered.counted
                    remembered.counted = 0
                else:
                    remembered = Remembered()
                self._viewers[known][key] = remembered
                self._feeds.add(feed)
            else:
                self._viewers[known].move_to_end(key)
        with remembered.lock:
            yield remembered
            size = remembered.size()
        with self._lock:
            if self._viewers[known].get(key) is not remembered:
                return  # forgotten meanwhile
            self._bytes[known] += size - remembered.counted
            remembered.counted = size
            if self._bytes[known] > self._most_bytes.of(known):
                self._make_room(known, key)

    def _make_room(self, known: bool, spared: _Key) -> None:
        """Forget the biggest takers until a tenth is free; their sizes are compared by powers of two."""
        viewers = self._viewers[known]
        taken: Counter[str] = Counter()
        for (viewer, _), remembered in viewers.items():
            taken[taker_of(viewer)] += remembered.counted
        by_size = sorted(viewers, key=lambda key: -taken[taker_of(key[0])].bit_length())
        for key in by_size:
            if self._bytes[known] <= self._most_bytes.of(known) * 9 // 10:
                break
            if key != spared:
                self._bytes[known] -= viewers.pop(key).counted
