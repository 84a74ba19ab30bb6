"""GET /: what this feed is, how it works, how it is doing, and how to add it; for everybody.

Owns: that page. Leaves to others: its form (``html``) and the figures (``list_store``, the batch's dashboard.json).
It names no viewer, and says nothing that the feed's answers do not say.
"""

from collections.abc import Callable
from dataclasses import dataclass

import falcon

from serving.config import ServingConfig
from serving.http.clients import is_local
from serving.lists.list_store import ListStore
from serving.pages.dashboard import read_figures
from serving.pages.html import age_text, show
from serving.read_pool import StoreUnreadableError


@dataclass(slots=True)
class HomePage:
    """The page; ``now`` gives seconds since 1970."""

    config: ServingConfig
    store: ListStore
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page, whatever state the feed is in."""
        here = is_local(request, self.config)
        links = []
        if self.config.explain and (here or self.config.pages == "public"):
            links.append(("/why", "Why am I seeing this?"))
        if here:
            links += [("/viewers", "Viewers"), ("/dashboard", "Dashboard")]
        show(
            response,
            "home.html",
            self.config,
            seconds=0 if here else 60,
            publisher=self.config.publisher_did,
            feeds=self.config.feed_rkeys,
            state=self._state(),
            links=links,
        )

    on_head = on_get

    def _state(self) -> list[tuple[str, str]]:
        """Return the feed's state as names and values."""
        now = self.now()
        try:
            with self.store.read() as snapshot:
                current = snapshot.current() if snapshot else None
                if snapshot is None or current is None:
                    return [("lists", "none yet: they are being made")]
                rows = [
                    ("updated", f"{age_text(now - current.published_us / 1e6)} ago"),
                    ("likes up to", f"{age_text(now - current.snapshot_us / 1e6)} ago"),
                    ("people with a list", f"{self.store.viewers(snapshot, current.number):,}"),
                ]
        except StoreUnreadableError:
            return [("lists", "can't be read just now")]
        likes = read_figures(self.config.data_dir).get("likes_stored")
        if isinstance(likes, int):
            rows.append(("likes stored", f"{likes:,}"))
        return rows
