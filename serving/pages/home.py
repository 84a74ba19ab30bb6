"""GET /: what this feed is, how it works, what is in it, how it is doing, and how to add it; for everybody.

Owns: that page. Leaves to others: its form (``html``), posts (``appview``), and the figures (``list_store``, the
batch's dashboard.json). It names no viewer, and says nothing that the feed's answers do not say: its posts are those
that a request without a token gets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import falcon

from serving.config import ServingConfig
from serving.http.clients import is_local
from serving.lists import list_bytes
from serving.lists.list_store import ListSnapshot, ListStore
from serving.pages.appview import AppViewReader
from serving.pages.html import age_text, show
from serving.pages.plots import read_figures
from serving.read_pool import StoreUnreadableError

POSTS_SHOWN = 5
_TRIED = 15  # some posts can't be shown


@dataclass(slots=True)
class HomePage:
    """The page; ``now`` gives seconds since 1970."""

    config: ServingConfig
    store: ListStore
    appview: AppViewReader
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page, whatever state the feed is in."""
        here = is_local(request, self.config)
        state, uris = self._state()
        described = self.appview.describe(uris, here=here)
        # A page for everybody shows what needs no warning, and only posts that are there.
        plain = [uri for uri in uris if (card := described.posts.get(uri)) is not None and not card.warning]
        show(
            response,
            "home.html",
            self.config,
            here=here,
            seconds=0 if here else 60,
            publisher=self.config.publisher_did,
            feeds=self.config.feed_rkeys,
            state=state,
            now=self.now(),
            described=described,
            posts=plain[:POSTS_SHOWN],
            may_start=self.config.pages == "public",
            may_ask=bool(self.config.explain) and (here or self.config.pages == "public"),
        )

    on_head = on_get

    def _state(self) -> tuple[list[tuple[str, str]], list[str]]:
        """Return the feed's state as names and values, and the first posts that are popular now."""
        now = self.now()
        try:
            with self.store.read() as snapshot:
                current = snapshot.current() if snapshot else None
                if snapshot is None or current is None:
                    return [("lists", "none yet: they are being made")], []
                rows = [
                    ("updated", f"{age_text(now - current.published_us / 1e6)} ago"),
                    ("likes up to", f"{age_text(now - current.snapshot_us / 1e6)} ago"),
                    ("people with a list", f"{self.store.viewers(snapshot, current.number):,}"),
                ]
                popular = self._popular(snapshot, current.number) if self.appview.enabled else []
        except (StoreUnreadableError, list_bytes.ListError):
            return [("lists", "can't be read just now")], []
        likes = read_figures(self.config.data_dir).get("likes_stored")
        if isinstance(likes, int):
            rows.append(("likes stored", f"{likes:,}"))
        return rows, popular

    def _popular(self, snapshot: ListSnapshot, generation: int) -> list[str]:
        stored = snapshot.fallback_of(self.config.feed_rkeys[0], "", generation)
        items = list_bytes.items(stored.blob, 0, _TRIED) if stored else []
        posts = snapshot.posts_of(items, anybody=True)
        return [posts[item.post_id].uri for item in items if item.post_id in posts]
