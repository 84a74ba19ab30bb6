"""What a page costs with removals.sqlite beside the lists and without it.

Owns: a store of lists, and timing its pages. Leaves to others: what removals.sqlite has, and which clock is read.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from serving_worlds import ServingStore, blob, plc_did

from serving.feed.paging import PageRequest, page_of
from serving.lists.list_store import ListStore
from sql import places

VIEWERS, POSTS = 200, 20_000


def make_lists(folder: Path, choose: np.random.Generator) -> None:
    """Publish lists of 300 posts for every viewer."""
    store = ServingStore(places.serving(folder))
    store.posts(range(1, POSTS + 1))
    lists = [choose.choice(POSTS, 300, replace=False) + 1 for _ in range(VIEWERS)]
    store.publish(1, {plc_did(i): blob(each.tolist(), co_likers=[4] * 300) for i, each in enumerate(lists)})
    store.close()


def page_times(folder: Path, pages: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Return the microseconds of each of so many pages of 50 posts, "with" removals.sqlite and "without", in turns."""
    stores = {
        "without": ListStore(places.serving(folder)),
        "with": ListStore(places.serving(folder), places.removals(folder)),
    }
    times: dict[str, list[float]] = {kind: [] for kind in stores}
    for turn in range(pages):
        for kind, of in stores.items():
            began = clock()
            with of.read() as snapshot:
                assert snapshot is not None
                page = page_of(snapshot, PageRequest("for-you", plc_did(turn % VIEWERS), (), 50))
            times[kind].append((clock() - began) * 1e6)
            assert len(page.entries) == 50
    return times
