"""What viewers were lately shown, have seen, and do not want to see: in memory, so that it counts at once.

Owns: the state of each viewer, its bounds, and how it changes a list (``ViewerState``). Leaves to others: the order
made of it (``list_order``), reading it back after a restart (``recall``), telling the other workers (``peers``),
and writing it down (``activity_writer``).

Invariants: what a worker has answered 200 to counts for the next page that any worker serves. Memory is bounded: it
holds the most recent viewers, with so many posts each. The state of any other viewer is read back from
activity.sqlite. A post answered with "show less" is hidden, and its author for a day. After several answers about
one kind, posts of that kind go to the list's end.
"""

import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from serving.lists.list_store import ListSnapshot
from serving.viewers import list_order
from serving.viewers.peers import Message, Peers
from serving.viewers.recall import PostEvent, Recall

VIEWERS_MAX = 20_000
SHOWN_MAX = 600  # posts of a viewer; a list has 300
SEEN_MAX = 600
HIDDEN_MAX = 1_000
AUTHORS_MAX = 200
KIND_MAX = 50  # posts answered with "show less", and as many wanted ones, that tell which kind is meant
WANTED = frozenset({"requestMore", "interactionLike", "interactionRepost"})
PENDING_MAX = 1_000
AUTHOR_HIDDEN_SECONDS = 24 * 3600

NO_POSTS: frozenset[int] = frozenset()


class FirstPage(NamedTuple):
    """The list and the order of the first page that a viewer saw last; polls are answered from it."""

    generation: int
    fallback: bool
    language: str
    marks: bytes


@dataclass(frozen=True, slots=True)
class ViewerState:
    """What is known of a viewer at one moment; times in seconds since 1970."""

    shown: Sequence[int] = ()
    shown_at: Sequence[int] = ()
    seen: Sequence[int] = ()
    hidden: Set[int] = NO_POSTS
    first_page: FirstPage | None = None
    less: Sequence[int] = ()
    more: Sequence[int] = ()

    def marks(self, posts: Sequence[int], snapshot: ListSnapshot, since: int | None = None) -> bytes:
        """Return the marks of a list's posts; those shown since a time are left out.

        Posts of the kind that was just rejected go where seen ones do, to the end.
        """
        if not self.shown and not self.seen and not self.hidden:
            return b""
        left_out = self.hidden if since is None else self.hidden | self.shown_since(since)
        behind = self.seen
        if len(self.less) >= list_order.LESS_MIN:
            sketches = snapshot.taste_sketches_of([*posts, *self.less, *self.more])
            behind = [*self.seen, *list_order.unwanted(posts, self.less, self.more, sketches)]
        return list_order.marks_of(posts, shown=self.shown, seen=behind, left_out=left_out)

    def shown_since(self, at: int) -> set[int]:
        """Return the posts shown at a time or later."""
        return {post for post, shown in zip(self.shown, self.shown_at, strict=True) if shown >= at}


NO_STATE = ViewerState()


@dataclass(slots=True)
class _Remembered:
    lock: threading.Lock = field(default_factory=threading.Lock)
    recalled: bool = False
    shown: "array[int]" = field(default_factory=lambda: array("I"))
    shown_at: "array[int]" = field(default_factory=lambda: array("I"))
    seen: "array[int]" = field(default_factory=lambda: array("I"))
    hidden: dict[int, None] = field(default_factory=dict)
    authors: dict[int, int] = field(default_factory=dict)  # until when
    less: dict[int, int] = field(default_factory=dict)  # posts answered so, and until when that counts
    more: dict[int, int] = field(
        default_factory=dict
    )  # posts answered so or liked, and until when that counts
    pending: list[PostEvent] = field(default_factory=list)  # their posts are not looked up yet
    first_page: FirstPage | None = None

    def apply(self, event: PostEvent, post: int, author: int) -> None:
        if event.kind == "shown":
            self.show([post], event.at_us // 1_000_000)
            return
        until = event.at_us // 1_000_000 + AUTHOR_HIDDEN_SECONDS
        if event.kind == "requestLess":
            self.hidden[post] = None
            self.authors[author] = until
            self.more.pop(post, None)
            self.less[post] = until
            _trim(self.less, KIND_MAX)
            _trim(self.hidden, HIDDEN_MAX)
            _trim(self.authors, AUTHORS_MAX)
        elif event.kind == "requestMore":
            self.hidden.pop(post, None)
            self.authors.pop(author, None)
            self.less.pop(post, None)
        if event.kind in WANTED:
            self.more[post] = until
            _trim(self.more, KIND_MAX)
        self.seen.append(post)
        del self.seen[:-SEEN_MAX]

    def show(self, posts: Sequence[int], at: int) -> None:
        self.shown.extend(posts)
        self.shown_at.extend([at] * len(posts))
        del self.shown[:-SHOWN_MAX], self.shown_at[:-SHOWN_MAX]


class ViewerMemory:
    """The state of the most recent viewers; every method may be called from any thread."""

    def __init__(
        self,
        recall: Recall,
        *,
        peers: Peers | None = None,
        now: Callable[[], float] = time.time,
        viewers_max: int = VIEWERS_MAX,
    ) -> None:
        self.recall = recall
        self._peers = peers
        self._now = now
        self._viewers_max = viewers_max
        self._lock = threading.Lock()
        self._viewers: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()

    def state(self, viewer: str, feed: str, snapshot: ListSnapshot) -> ViewerState:
        """Return a viewer's state, with the posts of a snapshot; sqlite3.Error when that can't be read."""
        self._read_peers()
        known = self._remembered(viewer, feed)
        now = int(self._now())
        with known.lock:
            if not known.recalled:
                # What the other workers said meanwhile is newer than what is read back.
                known.pending[:0] = self.recall.events(viewer, feed)
                known.recalled = True
            if known.pending:
                found = snapshot.posts_named([event.post_uri for event in known.pending])
                for event in sorted(known.pending, key=lambda event: event.at_us):
                    if event.post_uri in found:
                        known.apply(event, *found[event.post_uri])
                known.pending = []
            authors = [author for author, until in known.authors.items() if until > now]
            less = [post for post, until in known.less.items() if until > now]
            more = [post for post, until in known.more.items() if until > now]
            hidden: Set[int] = set(known.hidden) if known.hidden else NO_POSTS
            copies = (known.shown[:], known.shown_at[:], known.seen[:])
            first_page = known.first_page
        if authors:
            hidden = hidden | snapshot.posts_by(authors)
        return ViewerState(*copies, hidden, first_page, less, more)

    def page_shown(self, viewer: str, feed: str, posts: Sequence[int], first_page: FirstPage | None) -> None:
        """Remember that posts were shown, ``first_page`` with a first page."""
        at = int(self._now())
        self._show(viewer, feed, posts, at, first_page)
        if self._peers is not None:
            given = None if first_page is None else tuple(first_page)
            self._peers.send(("shown", viewer, feed, array("I", posts).tobytes(), at, given))

    def events_received(self, viewer: str, feeds: Iterable[str], events: Sequence[PostEvent]) -> None:
        """Remember what a viewer did with posts."""
        self._read_peers()
        for feed in feeds:
            self._add(viewer, feed, events)
            if self._peers is not None:
                for event in events:
                    self._peers.send(("event", viewer, feed, *event))

    def _read_peers(self) -> None:
        if self._peers is not None:
            self._peers.read(self._take)

    def _take(self, message: Message) -> None:
        kind = message[0]
        if kind == "shown":
            _, viewer, feed, posts, at, given = message
            self._show(viewer, feed, array("I", posts), at, None if given is None else FirstPage(*given))
        elif kind == "event":
            _, viewer, feed, *event = message
            self._add(viewer, feed, [PostEvent(*event)])
        elif kind == "missed":  # a message was lost; activity.sqlite has what it said
            with self._lock:
                self._viewers.clear()

    def _show(
        self, viewer: str, feed: str, posts: Sequence[int], at: int, first_page: FirstPage | None
    ) -> None:
        known = self._remembered(viewer, feed)
        with known.lock:
            known.show(posts, at)
            if first_page is not None:
                known.first_page = first_page

    def _add(self, viewer: str, feed: str, events: Sequence[PostEvent]) -> None:
        known = self._remembered(viewer, feed)
        with known.lock:
            known.pending.extend(events)
            if (
                len(known.pending) > PENDING_MAX
            ):  # there are many posts seen; they must not push out a "show less"
                known.pending.sort(key=lambda event: (event.kind != "interactionSeen", event.at_us))
                del known.pending[:-PENDING_MAX]

    def _remembered(self, viewer: str, feed: str) -> _Remembered:
        with self._lock:
            known = self._viewers.get((viewer, feed))
            if known is None:
                known = self._viewers[viewer, feed] = _Remembered()
                if len(self._viewers) > self._viewers_max:
                    self._viewers.popitem(last=False)
            else:
                self._viewers.move_to_end((viewer, feed))
            return known


def _trim(posts: dict[int, int] | dict[int, None], most: int) -> None:
    while len(posts) > most:
        del posts[next(iter(posts))]
