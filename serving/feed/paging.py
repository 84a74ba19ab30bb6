"""Which list a viewer gets, and which part of it is the next page.

Owns: the choice of list and generation, filling a page, and where the next one starts. Leaves to others:
storage (``list_store``), the blob (``list_bytes``), what a viewer has seen (``viewer_memory``), the order
that makes (``seen_order``) and the cursor's text (``page_cursors``).

Invariants: the pages that follow one another through cursors come from one stored list in one order, so
joined together they are that list without the posts that are gone or hidden; a page is full while anything is
left; the page that reaches the end has no cursor. When the list a cursor points at has been pruned, the
current one goes on without the posts that were shown since the first page; when those are not known, from the
same place.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from serving.feed.page_cursors import BEGAN_MAX, Cursor
from serving.lists import list_bytes
from serving.lists.list_bytes import ListItem
from serving.lists.list_store import ListSnapshot, StoredList
from serving.viewers import seen_order
from serving.viewers.viewer_memory import NOTHING, View

# One malformed address makes the AppView throw the whole page away.
_POST_URI = re.compile(
    r"at://did:[a-z]+:[A-Za-z0-9._:%-]{1,256}/app\.bsky\.feed\.post/[A-Za-z0-9._:~-]{1,512}", re.ASCII
)


class Entry(NamedTuple):
    """A post of a page: its place in what the viewer is shown, counted from 0, its item and its at-uri."""

    place: int
    item: ListItem
    uri: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """The list a request reads; ``fallback`` and ``language`` say which kind it is."""

    stored: StoredList
    fallback: bool
    language: str

    @property
    def identity(self) -> tuple[int, bool, str]:
        """What tells this list from every other of the feed and the viewer."""
        return self.stored.generation, self.fallback, self.language


@dataclass(frozen=True, slots=True)
class Page:
    """What a request gets; ``chosen`` is None when there is no list at all, ``marks`` give the order shown."""

    entries: list[Entry]
    chosen: Chosen | None
    next_cursor: Cursor | None
    start: int
    marks: bytes = b""
    variant: str = ""  # of an experiment, whose list it is


EMPTY = Page([], None, None, 0)


def page_of(
    snapshot: ListSnapshot,
    feed: str,
    viewer: str | None,
    languages: Sequence[str],
    limit: int,
    cursor: Cursor | None,
    view: View = NOTHING,
    *,
    poll: bool = False,
    now: float = 0.0,
) -> Page:
    """Return a page of at most ``limit`` posts; raise lists.ListError when the store is damaged.

    A poll is answered as the viewer's last first page was, while that list is the newest: what it asks is whether
    there is anything new. ``now`` is in seconds since 1970.
    """
    current = snapshot.current()
    if current is None:
        return EMPTY
    chosen = _chosen(snapshot, feed, viewer, languages, current.number, cursor)
    if chosen is None:
        return EMPTY
    began = cursor.began if cursor else min(max(int(now), 0), BEGAN_MAX)
    marks, start = _order(snapshot, chosen, cursor, view, poll)
    # One more than asked for, to know whether anything is left.
    entries = _entries(snapshot, chosen.stored.blob, marks, start, limit + 1, view)
    following = None
    if len(entries) > limit:
        generation, place = chosen.stored.generation, entries[limit].place
        following = Cursor(feed, chosen.fallback, chosen.language, generation, place, began, marks)
    variant = "" if chosen.fallback else snapshot.variant_of(chosen.stored.generation)
    return Page(entries[:limit], chosen, following, start, marks, variant)


def _order(
    snapshot: ListSnapshot, chosen: Chosen, cursor: Cursor | None, view: View, poll: bool
) -> tuple[bytes, int]:
    """Return the marks of the list and the place to start at."""
    if cursor is None:
        session = view.session
        if poll and session is not None and session[:3] == chosen.identity:
            return session.marks, 0
        return view.marks(list_bytes.post_ids(chosen.stored.blob), snapshot), 0
    if (cursor.generation, cursor.fallback, cursor.language) == chosen.identity:
        return cursor.marks, cursor.place
    if view.shown_since(cursor.began):
        return view.marks(list_bytes.post_ids(chosen.stored.blob), snapshot, since=cursor.began), 0
    return b"", cursor.place


def _chosen(
    snapshot: ListSnapshot,
    feed: str,
    viewer: str | None,
    languages: Sequence[str],
    current: int,
    cursor: Cursor | None,
) -> Chosen | None:
    if cursor is not None:
        chosen = _continued(snapshot, feed, viewer, cursor)
        if chosen is not None:
            return chosen
    if viewer is not None and not (cursor is not None and cursor.fallback):
        stored = snapshot.list_of(feed, viewer, current)
        # An empty list is of no use to anybody; its viewer gets what is popular.
        if stored is not None and stored.blob:
            return Chosen(stored, False, "")
    if cursor is not None and cursor.fallback:
        languages = [cursor.language] if cursor.language else []
    for language in (*languages, ""):
        stored = snapshot.fallback_of(feed, language, current)
        if stored is not None and (stored.blob or language == ""):
            return Chosen(stored, True, language)
    return None


def _continued(snapshot: ListSnapshot, feed: str, viewer: str | None, cursor: Cursor) -> Chosen | None:
    """Return the very list the cursor points at, None when it is gone."""
    if cursor.fallback:
        stored = snapshot.fallback_of(feed, cursor.language, cursor.generation)
    elif viewer is not None:
        stored = snapshot.list_of(feed, viewer, cursor.generation)
    else:
        stored = None
    if stored is None or stored.generation != cursor.generation:
        return None
    return Chosen(stored, cursor.fallback, cursor.language)


def _entries(
    snapshot: ListSnapshot, blob: bytes, marks: bytes, start: int, wanted: int, view: View
) -> list[Entry]:
    entries: list[Entry] = []
    places = seen_order.order_of(marks, list_bytes.length(blob))
    while len(entries) < wanted and start < len(places):
        items = list_bytes.items_at(blob, places[start : start + wanted - len(entries)])
        uris = snapshot.uris_of([item.post_id for item in items])
        for place, item in enumerate(items, start):
            uri = uris.get(item.post_id)
            if uri is not None and item.post_id not in view.hidden and _POST_URI.fullmatch(uri):
                entries.append(Entry(place, item, uri))
        start += len(items)
    return entries
