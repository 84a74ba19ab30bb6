"""One viewer's state in memory: what they were shown, have seen, and do not want to see.

Owns: how events change it, its bounds and its size. Leaves to others: which viewers are in memory (``viewer_memory``).
A post answered with "show less" is hidden, and its author for a day. After several answers about one kind, posts of
that kind go to the list's end. Posts are numbers in arrays, so that a viewer takes 34 kB at most.
"""

import threading
from array import array
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from serving.lists.list_store import ListSnapshot
from serving.viewers import list_order
from serving.viewers.own_settings import USUAL, OwnSettings

SHOWN_MAX = 600  # posts of a viewer; a list has 300
SEEN_MAX = 600
HIDDEN_MAX = 1_000
AUTHORS_MAX = 200
KIND_MAX = 50  # posts answered with "show less", and as many wanted ones, that tell which kind is meant
PENDING_MAX = 400
WANTED = frozenset({"requestMore", "interactionLike", "interactionRepost"})
AUTHOR_HIDDEN_SECONDS = 24 * 3600
BASE_BYTES = 2_000  # the object, its arrays when they are empty, and its place among the viewers

_KINDS = ("interactionSeen", "requestLess", "requestMore", "interactionLike", "interactionRepost", "shown")
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_SEEN = _CODES["interactionSeen"]
NO_POSTS: frozenset[int] = frozenset()


class KnownEvent(NamedTuple):
    """What a viewer did with a post of the store (the lexicon's name), or "shown"; microseconds since 1970."""

    kind: str
    post: int
    author: int
    at_us: int


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
    authors: Sequence[int] = ()  # whose posts are hidden, too (``paging``)
    own: OwnSettings = USUAL

    def marks(self, posts: Sequence[int], snapshot: ListSnapshot, since: int | None = None) -> bytes:
        """Return the marks of a list's posts; those shown since a time are left out.

        Posts of the kind that was just rejected go where seen ones do, to the end.
        """
        if not self.shown and not self.seen and not self.hidden:
            return b""
        left_out = self.hidden if since is None else self.hidden | self.shown_since(since)
        shown, behind = self.shown, self.seen
        if self.own.seen == "hidden":
            left_out = {*left_out, *self.seen}
        elif self.own.seen == "in place":
            shown, behind = (), ()
        if len(self.less) >= list_order.LESS_MIN:
            sketches = snapshot.taste_sketches_of([*posts, *self.less, *self.more])
            behind = [*behind, *list_order.unwanted(posts, self.less, self.more, sketches)]
        return list_order.marks_of(posts, shown=shown, seen=behind, left_out=left_out)

    def shown_since(self, at: int) -> set[int]:
        """Return the posts shown at a time or later."""
        return {post for post, shown in zip(self.shown, self.shown_at, strict=True) if shown >= at}


NO_STATE = ViewerState()


def _numbers() -> "array[int]":
    return array("q")


def _posts() -> "array[int]":
    return array("I")


@dataclass(slots=True)
class _Until:
    """Posts or authors, each with the time until which it counts; the oldest are dropped beyond ``most``."""

    most: int
    names: "array[int]" = field(default_factory=_numbers)
    until: "array[int]" = field(default_factory=_numbers)

    def put(self, name: int, until: int) -> None:
        self.drop(name)
        self.names.append(name)
        self.until.append(until)
        del self.names[: -self.most], self.until[: -self.most]

    def drop(self, name: int) -> None:
        if name in self.names:
            place = self.names.index(name)
            del self.names[place], self.until[place]

    def at(self, now: int) -> list[int]:
        return [name for name, until in zip(self.names, self.until, strict=True) if until > now]


@dataclass(slots=True)
class Remembered:
    """A viewer's state; whoever changes it holds ``lock``."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    recalled: bool = False
    counted: int = 0  # the size that ``viewer_memory`` has counted
    shown: "array[int]" = field(default_factory=_posts)
    shown_at: "array[int]" = field(default_factory=_posts)
    seen: "array[int]" = field(default_factory=_posts)
    hidden: "array[int]" = field(default_factory=_posts)
    authors: _Until = field(default_factory=lambda: _Until(AUTHORS_MAX))
    less: _Until = field(default_factory=lambda: _Until(KIND_MAX))  # posts answered so
    more: _Until = field(default_factory=lambda: _Until(KIND_MAX))  # posts answered so or liked
    pending: "array[int]" = field(default_factory=_numbers)  # four numbers an event, until the next page
    first_page: FirstPage | None = None

    def add(self, events: Iterable[KnownEvent]) -> None:
        """Take events, to be applied when the state is next needed."""
        for kind, post, author, at_us in events:
            # What is neither an answer nor a wish says that the post was seen.
            self.pending.extend((_CODES.get(kind, _SEEN), post, author, at_us))
        if len(self.pending) <= 4 * PENDING_MAX:
            return
        if self.recalled:
            self._apply_pending()
            return
        # There are many posts seen; they must not push out a "show less".
        kept = sorted(self._unpacked(), key=lambda event: (event[0] != _SEEN, event[3]))[-PENDING_MAX:]
        self.pending = array("q", [number for event in kept for number in event])

    def recall(self, events: Sequence[KnownEvent]) -> None:
        """Take what is read back; it is older than what was added meanwhile."""
        added, self.pending = self.pending, _numbers()
        for kind, post, author, at_us in events:
            self.pending.extend((_CODES.get(kind, _SEEN), post, author, at_us))
        self.pending.extend(added)
        self.recalled = True

    def show(self, posts: Sequence[int], at: int) -> None:
        """Note posts that were shown at a time."""
        self.shown.extend(posts)
        self.shown_at.extend([at] * len(posts))
        del self.shown[:-SHOWN_MAX], self.shown_at[:-SHOWN_MAX]

    def at(self, now: int) -> ViewerState:
        """Return the state at a moment, with all events applied."""
        self._apply_pending()
        return ViewerState(
            self.shown[:],
            self.shown_at[:],
            self.seen[:],
            frozenset(self.hidden) if self.hidden else NO_POSTS,
            self.first_page,
            self.less.at(now),
            self.more.at(now),
            self.authors.at(now),
        )

    def size(self) -> int:
        """Return how many bytes this takes; arrays have an eighth in reserve."""
        timed = sum(len(each.names) for each in (self.authors, self.less, self.more))
        numbers = len(self.shown) * 8 + (len(self.seen) + len(self.hidden)) * 4 + timed * 16
        marks = len(self.first_page.marks) if self.first_page else 0
        return BASE_BYTES + marks + (numbers + len(self.pending) * 8) * 9 // 8

    def _unpacked(self) -> list[tuple[int, int, int, int]]:
        numbers = iter(self.pending)
        return list(zip(numbers, numbers, numbers, numbers, strict=True))

    def _apply_pending(self) -> None:
        for event in sorted(self._unpacked(), key=lambda event: event[3]):
            self._apply(*event)
        self.pending = _numbers()

    def _apply(self, code: int, post: int, author: int, at_us: int) -> None:
        kind, until = _KINDS[code], at_us // 1_000_000 + AUTHOR_HIDDEN_SECONDS
        if kind == "shown":
            self.show([post], at_us // 1_000_000)
            return
        if kind == "requestLess":
            if post not in self.hidden:
                self.hidden.append(post)
            del self.hidden[:-HIDDEN_MAX]
            self.authors.put(author, until)
            self.more.drop(post)
            self.less.put(post, until)
        elif kind == "requestMore":
            if post in self.hidden:
                self.hidden.remove(post)
            self.authors.drop(author)
            self.less.drop(post)
        if kind in WANTED:
            self.more.put(post, until)
        self.seen.append(post)
        del self.seen[:-SEEN_MAX]
