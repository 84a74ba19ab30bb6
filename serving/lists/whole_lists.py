"""A viewer's lists, whole, as they are stored: for whoever wants to see what is known about them.

Owns: reading the newest list of each feed. Leaves to others: pages of it (``serving.feed.paging``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.lists import list_bytes
from serving.lists.list_store import ListStore

_SOURCES = {
    list_bytes.SOURCE_CO_LIKERS: "co-likers",
    list_bytes.SOURCE_POPULAR: "popular",
    list_bytes.SOURCE_TRIAL: "trial",
}


def whole_lists(path: Path, feeds: Sequence[str], viewer: str) -> dict[str, dict[str, Any]]:
    """Return a viewer's newest list of each feed that has one, as plain values."""
    with ListStore(path).read() as snapshot:
        current = None if snapshot is None else snapshot.current()
        if snapshot is None or current is None:
            return {}
        found = {}
        for feed in feeds:
            stored = snapshot.list_of(feed, viewer, current.number)
            if stored is None:
                continue
            items = list_bytes.items(stored.blob, 0, list_bytes.length(stored.blob)) if stored.blob else []
            uris = snapshot.uris_of(items, anybody=False)
            found[feed] = {
                "generation": stored.generation,
                "posts": [
                    {
                        "post": uris.get(item.post_id),
                        "score": item.score,
                        "source": _SOURCES[item.source],
                        "co_likers": item.co_likers,
                    }
                    for item in items
                ],
            }
        return found
