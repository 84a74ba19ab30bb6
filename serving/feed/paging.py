"""Which list a viewer gets, and which part of it is the next page.

Owns: the choice of list and generation, filling a page, and where the next one starts. Leaves to others: storage
(``list_store``), the bytes (``list_bytes``), what a viewer has seen (``viewer_memory``), the order that follows
(``list_order``) and the cursor's text (``page_cursors``).

Invariants: pages that follow one another through cursors come from one stored list in one order. So joined together
they are that list without posts that are hidden or no longer stored. A page is full while any post is left; the
page that reaches the end has no cursor. When a cursor's list was pruned, the current list goes on without the posts
shown since the first page. When those are not known, it goes on from the same place.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from serving.feed.page_cursors import BEGAN_MAX, Cursor
from serving.lists import list_bytes
from serving.lists.list_bytes import ListItem
from serving.lists.list_store import ListSnapshot, StoredList
from serving.viewers import list_order
from serving.viewers.remembered import NO_STATE, ViewerState

# Posts of a page: what the lexicon allows, and what a client gets that does not say. A client that wants one polls.
LIMIT_DEFAULT, LIMIT_MAX = 50, 100
POLL_LIMIT = 1

# One malformed at-uri makes the AppView discard the whole page.
_POST_URI = re.compile(
    r"at://did:[a-z]+:[A-Za-z0-9._:%-]{1,256}/app\.bsky\.feed\.post/[A-Za-z0-9._:~-]{1,512}", re.ASCII
)


class PageEntry(NamedTuple):
    """A post of a page: its place in the order shown, counted from 0, its item and its at-uri."""

    place: int
    item: ListItem
    uri: str


@dataclass(frozen=True, slots=True)
class ChosenList:
    """The list that a request reads; ``fallback`` and ``language`` say which kind it is."""

    stored: StoredList
    fallback: bool
    language: str

    @property
    def identity(self) -> tuple[int, bool, str]:
        """What distinguishes this list from all others of the feed and the viewer."""
        return self.stored.generation, self.fallback, self.language


@dataclass(frozen=True, slots=True)
class FeedPage:
    """What a request gets; ``chosen`` is None when there is no list; ``marks`` give the order shown."""

    entries: list[PageEntry]
    chosen: ChosenList | None
    next_cursor: Cursor | None
    start: int
    marks: bytes = b""
    variant: str = ""  # whose list it is; '' outside an experiment


NO_PAGE = FeedPage([], None, None, 0)


class PageRequest(NamedTuple):
    """What is asked for: a page of a feed, for a viewer (None: anybody), who reads some languages.

    ``pinned`` is the at-uri of the post that the feed begins with, '' where it has none.
    """

    feed: str
    viewer: str | None
    languages: Sequence[str]
    limit: int
    cursor: Cursor | None = None
    pinned: str = ""

    @property
    def begins_with(self) -> str:
        """The pinned post, on the first page. A poll gets none: its answer would never be new."""
        return self.pinned if self.cursor is None and not self.is_poll else ""

    @property
    def is_poll(self) -> bool:
        """Whether the app only asks if there is anything new."""
        return self.cursor is None and self.limit == POLL_LIMIT


def page_of(
    snapshot: ListSnapshot, request: PageRequest, state: ViewerState = NO_STATE, *, now: float = 0.0
) -> FeedPage:
    """Return a page of at most ``limit`` posts, with room for the pinned one; ListError when the store is damaged.

    While the list of the viewer's last first page is the newest, a poll is answered with the first post of that page.
    ``now`` is in seconds since 1970.
    """
    current = snapshot.current()
    chosen = None if current is None else _chosen(snapshot, request, current.number)
    if chosen is None:
        return NO_PAGE
    if state.authors:
        by_them = snapshot.posts_by(state.authors, list_bytes.post_ids(chosen.stored.blob))
        state = replace(state, hidden=state.hidden | by_them)
    cursor, limit = request.cursor, request.limit - bool(request.begins_with)
    began = cursor.began if cursor else min(max(int(now), 0), BEGAN_MAX)
    marks, start = _order(snapshot, chosen, request, state)
    # One more than the limit, to know whether any post is left.
    entries = _entries(snapshot, chosen, marks, start, limit + 1, state, request.pinned)
    following = None
    if len(entries) > limit:
        generation, place = chosen.stored.generation, entries[limit].place
        following = Cursor(request.feed, chosen.fallback, chosen.language, generation, place, began, marks)
    variant = "" if chosen.fallback else snapshot.variant_of(chosen.stored.generation)
    return FeedPage(entries[:limit], chosen, following, start, marks, variant)


def _order(
    snapshot: ListSnapshot, chosen: ChosenList, request: PageRequest, state: ViewerState
) -> tuple[bytes, int]:
    """Return the marks of the list and the place to start at."""
    cursor, first = request.cursor, state.first_page
    if cursor is not None and (cursor.generation, cursor.fallback, cursor.language) == chosen.identity:
        return cursor.marks, cursor.place
    if cursor is not None and not state.shown_since(cursor.began):
        return b"", cursor.place
    if request.is_poll and first is not None and first[:3] == chosen.identity:
        return first.marks, 0
    since = None if cursor is None else cursor.began
    return state.marks(list_bytes.post_ids(chosen.stored.blob), snapshot, since), 0


def _chosen(snapshot: ListSnapshot, request: PageRequest, current: int) -> ChosenList | None:
    feed, viewer, languages, cursor = request.feed, request.viewer, request.languages, request.cursor
    if cursor is not None:
        if cursor.fallback:
            stored = snapshot.fallback_of(feed, cursor.language, cursor.generation)
            languages = [cursor.language] if cursor.language else []
        else:
            stored = snapshot.list_of(feed, viewer, cursor.generation) if viewer is not None else None
        if stored is not None and stored.generation == cursor.generation:  # else it was pruned
            return ChosenList(stored, cursor.fallback, cursor.language)
    if viewer is not None and not (cursor is not None and cursor.fallback):
        stored = snapshot.list_of(feed, viewer, current)
        # An empty list helps nobody; its viewer gets what is popular.
        if stored is not None and stored.blob:
            return ChosenList(stored, False, "")
    for language in (*languages, ""):
        stored = snapshot.fallback_of(feed, language, current)
        if stored is not None and (stored.blob or language == ""):
            return ChosenList(stored, True, language)
    return None


def _entries(
    snapshot: ListSnapshot,
    chosen: ChosenList,
    marks: bytes,
    start: int,
    wanted: int,
    state: ViewerState,
    pinned: str,
) -> list[PageEntry]:
    entries: list[PageEntry] = []
    blob = chosen.stored.blob
    places = list_order.order_of(marks, list_bytes.length(blob))
    while len(entries) < wanted and start < len(places):
        items = list_bytes.items_at(blob, places[start : start + wanted - len(entries)])
        uris = snapshot.uris_of(items, anybody=chosen.fallback)
        contents = snapshot.contents_of(items) if state.own.is_choosy else {}
        for place, item in enumerate(items, start):
            uri = uris.get(item.post_id)
            if uri is None or uri == pinned or item.post_id in state.hidden or not _POST_URI.fullmatch(uri):
                continue
            is_hidden = uri.split("/", 3)[2] in state.own.hidden_authors
            content = contents.get(item.post_id)
            if not is_hidden and (content is None or state.own.wants(*content)):
                entries.append(PageEntry(place, item, uri))
        start += len(items)
    return entries
