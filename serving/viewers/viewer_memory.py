"""What viewers have lately been shown, have seen, and do not want to see: in memory, so that it counts at once.

Owns: the state of each viewer, its bounds, and how it changes a list (``View``). Leaves to others: the order
made of it (``seen_order``), reading it back after a restart (``recall``), telling the other workers
(``peers``), and writing it down (``activity_writer``).

Invariants: what a worker has answered 200 to counts for the next page that any worker serves. Memory is
bounded: the viewers latest heard of are kept, and of each so many posts; who comes back later is read back
from activity.sqlite. A post answered with "show less" goes away, and its author for a day; after several of
one kind, so does the kind, to the list's end (``unwanted_kinds``).
"""

import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from serving.lists.list_store import ListSnapshot
from serving.viewers import seen_order, unwanted_kinds
from serving.viewers.peers import Message, Peers
from serving.viewers.recall import Answer, Recall

VIEWERS_MAX = 20_000
SHOWN_MAX = 600  # posts of a viewer; a list has 300
SEEN_MAX = 600
HIDDEN_MAX = 1_000
AUTHORS_MAX = 200
KIND_MAX = 50  # posts answered with "show less", and those wanted, that tell which kind is meant
WANTED = frozenset({"requestMore", "interactionLike", "interactionRepost"})
WAITING_MAX = 1_000
AUTHOR_HIDDEN_SECONDS = 24 * 3600

NO_POSTS: frozenset[int] = frozenset()


class Session(NamedTuple):
    """The list and the order of a viewer's last first page, which polls are answered from."""

    generation: int
    fallback: bool
    language: str
    marks: bytes


@dataclass(frozen=True, slots=True)
class View:
    """How a viewer sees lists just now; times in seconds since 1970."""

    shown: Sequence[int] = ()
    shown_at: Sequence[int] = ()
    seen: Sequence[int] = ()
    hidden: Set[int] = NO_POSTS
    session: Session | None = None
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
        if len(self.less) >= unwanted_kinds.LESS_MIN:
            sketches = snapshot.taste_sketches_of([*posts, *self.less, *self.more])
            behind = [*self.seen, *unwanted_kinds.unwanted(posts, self.less, self.more, sketches)]
        return seen_order.marks_of(posts, shown=self.shown, seen=behind, left_out=left_out)

    def shown_since(self, at: int) -> set[int]:
        """Return the posts shown at a time or later."""
        return {post for post, shown in zip(self.shown, self.shown_at, strict=True) if shown >= at}


NOTHING = View()


@dataclass(slots=True)
class _Known:
    lock: threading.Lock = field(default_factory=threading.Lock)
    recalled: bool = False
    shown: "array[int]" = field(default_factory=lambda: array("I"))
    shown_at: "array[int]" = field(default_factory=lambda: array("I"))
    seen: "array[int]" = field(default_factory=lambda: array("I"))
    hidden: dict[int, None] = field(default_factory=dict)
    authors: dict[int, int] = field(default_factory=dict)  # until when
    less: dict[int, int] = field(default_factory=dict)  # posts answered so, and until when that counts
    more: dict[int, int] = field(default_factory=dict)  # likewise, and those liked
    waiting: list[Answer] = field(default_factory=list)  # at-uris whose post is not looked up yet
    session: Session | None = None

    def apply(self, answer: Answer, post: int, author: int) -> None:
        if answer.event == "shown":
            self.show([post], answer.at_us // 1_000_000)
            return
        until = answer.at_us // 1_000_000 + AUTHOR_HIDDEN_SECONDS
        if answer.event == "requestLess":
            self.hidden[post] = None
            self.authors[author] = until
            self.more.pop(post, None)
            self.less[post] = until
            _trim(self.less, KIND_MAX)
            _trim(self.hidden, HIDDEN_MAX)
            _trim(self.authors, AUTHORS_MAX)
        elif answer.event == "requestMore":
            self.hidden.pop(post, None)
            self.authors.pop(author, None)
            self.less.pop(post, None)
        if answer.event in WANTED:
            self.more[post] = until
            _trim(self.more, KIND_MAX)
        self.seen.append(post)
        del self.seen[:-SEEN_MAX]

    def show(self, posts: Sequence[int], at: int) -> None:
        self.shown.extend(posts)
        self.shown_at.extend([at] * len(posts))
        del self.shown[:-SHOWN_MAX], self.shown_at[:-SHOWN_MAX]


class ViewerMemory:
    """The state of the viewers latest heard of; every method may be called from any thread."""

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
        self._viewers: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._viewers)

    def view(self, viewer: str, feed: str, snapshot: ListSnapshot) -> View:
        """Return how a viewer sees the lists of a snapshot; sqlite3.Error when that can't be read."""
        self._hear()
        known = self._known(viewer, feed)
        now = int(self._now())
        with known.lock:
            if not known.recalled:
                # What was heard meanwhile is newer than what is read back.
                known.waiting[:0] = self.recall.answers(viewer, feed)
                known.recalled = True
            if known.waiting:
                found = snapshot.posts_named([answer.post_uri for answer in known.waiting])
                for answer in sorted(known.waiting, key=lambda answer: answer.at_us):
                    if answer.post_uri in found:
                        known.apply(answer, *found[answer.post_uri])
                known.waiting = []
            authors = [author for author, until in known.authors.items() if until > now]
            less = [post for post, until in known.less.items() if until > now]
            more = [post for post, until in known.more.items() if until > now]
            hidden: Set[int] = set(known.hidden) if known.hidden else NO_POSTS
            made = (known.shown[:], known.shown_at[:], known.seen[:])
            session = known.session
        if authors:
            hidden = hidden | snapshot.posts_by(authors)
        return View(*made, hidden, session, less, more)

    def showed(self, viewer: str, feed: str, posts: Sequence[int], session: Session | None) -> None:
        """Remember that posts were shown, ``session`` with a first page."""
        at = int(self._now())
        self._show(viewer, feed, posts, at, session)
        if self._peers is not None:
            given = None if session is None else tuple(session)
            self._peers.send(("shown", viewer, feed, array("I", posts).tobytes(), at, given))

    def answered(self, viewer: str, feeds: Iterable[str], answers: Sequence[Answer]) -> None:
        """Remember what a viewer did with posts."""
        self._hear()
        for feed in feeds:
            self._wait(viewer, feed, answers)
            if self._peers is not None:
                for answer in answers:
                    self._peers.send(("answer", viewer, feed, *answer))

    def _hear(self) -> None:
        if self._peers is not None:
            self._peers.hear(self._take)

    def _take(self, message: Message) -> None:
        kind = message[0]
        if kind == "shown":
            _, viewer, feed, posts, at, given = message
            self._show(viewer, feed, array("I", posts), at, None if given is None else Session(*given))
        elif kind == "answer":
            _, viewer, feed, *answer = message
            self._wait(viewer, feed, [Answer(*answer)])
        elif kind == "missed":  # something could not be told; what is written down says it
            with self._lock:
                self._viewers.clear()

    def _show(self, viewer: str, feed: str, posts: Sequence[int], at: int, session: Session | None) -> None:
        known = self._known(viewer, feed)
        with known.lock:
            known.show(posts, at)
            if session is not None:
                known.session = session

    def _wait(self, viewer: str, feed: str, answers: Sequence[Answer]) -> None:
        known = self._known(viewer, feed)
        with known.lock:
            known.waiting.extend(answers)
            if len(known.waiting) > WAITING_MAX:  # posts seen are many, and must not push out a "show less"
                known.waiting.sort(key=lambda answer: (answer.event != "interactionSeen", answer.at_us))
                del known.waiting[:-WAITING_MAX]

    def _known(self, viewer: str, feed: str) -> _Known:
        with self._lock:
            known = self._viewers.get((viewer, feed))
            if known is None:
                known = self._viewers[viewer, feed] = _Known()
                if len(self._viewers) > self._viewers_max:
                    self._viewers.popitem(last=False)
            else:
                self._viewers.move_to_end((viewer, feed))
            return known


def _trim(kept: dict[int, int] | dict[int, None], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
