"""What a reader is shown of their picks, and of the list that was made of them.

Owns: whether the list knows of the picks already, and its first posts. Leaves to others: the pages (``me``, ``start``).
A list is shown to its own reader alone.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from serving.lists import list_bytes
from serving.lists.list_store import ListStore
from serving.read_pool import StoreUnreadableError
from serving.viewers.picks import Pick, picks_of

PREVIEW = 5  # first posts of the list
DUE_US = 600_000_000  # a list that is not renewed within this time does not wait for a run


class OwnList(NamedTuple):
    """When a reader's list was made, and the last run for them began, 0 for never; and the list's first posts."""

    published_us: int
    began_us: int
    posts: list[str]


NO_LIST = OwnList(0, 0, [])


def own_list(store: ListStore, feed: str, did: str) -> OwnList:
    """Return what a reader may see of their own list."""
    try:
        with store.read() as snapshot:
            current = snapshot.current() if snapshot else None
            stored = snapshot.list_of(feed, did, current.number) if snapshot and current else None
            if snapshot is None or stored is None:
                return NO_LIST
            items = list_bytes.items(stored.blob, 0, PREVIEW)
            posts = snapshot.posts_of(items, anybody=False)
            uris = [posts[item.post_id].uri for item in items if item.post_id in posts]
            return OwnList(snapshot.published_us(stored.generation), snapshot.waited_us(did), uris)
    except (StoreUnreadableError, list_bytes.ListError):
        return NO_LIST


class Picked(NamedTuple):
    """What a reader picked, their list, and whether a run is to make it anew."""

    picks: list[Pick]
    made: OwnList
    is_due: bool


def picked_by(path: Path, store: ListStore, feed: str, did: str, now_us: int) -> Picked:
    """Return what a reader picked and got."""
    try:
        picks = picks_of(path, did)
    except sqlite3.Error:
        picks = []
    made = own_list(store, feed, did) if picks else NO_LIST
    last_us = max((pick.at_us for pick in picks), default=0)
    # A list knows of the last pick when a run made it that began after it; other runs may publish meanwhile.
    is_made = last_us <= made.began_us <= made.published_us
    return Picked(picks, made, bool(picks) and not is_made and now_us - last_us < DUE_US)
