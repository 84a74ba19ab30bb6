"""GET /: what this feed is, how it works, how it is doing, and how to add it; for everybody.

Owns: that page. Leaves to others: its form (``html``) and the figures (``list_store``, the batch's
dashboard.json). No viewer is named, and nothing is told that the feed's answers do not tell.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import falcon

from serving.config import ServingConfig
from serving.http.clients import is_local
from serving.lists.list_store import Store, StoreUnreadableError
from serving.pages.dashboard import read_figures
from serving.pages.html import age_text, fragment, show


@dataclass(slots=True)
class Home:
    """The page; ``now`` gives seconds since 1970."""

    config: ServingConfig
    store: Store
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page, whatever state the feed is in."""
        here = is_local(request, self.config)
        links = []
        if self.config.explain and (here or self.config.pages == "public"):
            links.append('<a href="/why">Why is my feed as it is?</a>')
        if here:
            links += ['<a href="/viewers">Viewers</a>', '<a href="/dashboard">Dashboard</a>']
        body = fragment(
            "home",
            add="".join(self._add(rkey) for rkey in self.config.feed_rkeys),
            state="".join(
                f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in self._state()
            ),
            links=" · ".join(links),
        )
        show(response, "A For You feed", body, seconds=0 if here else 60)

    on_head = on_get

    def _add(self, rkey: str) -> str:
        address = f"https://bsky.app/profile/{quote(self.config.publisher_did, safe=':')}/feed/{quote(rkey)}"
        return fragment("add", link=escape(address), feed=escape(rkey))

    def _state(self) -> list[tuple[str, str]]:
        """Return what is known of the feed's state, as names and values."""
        now = self.now()
        try:
            with self.store.read() as snapshot:
                current = snapshot.current() if snapshot else None
                if snapshot is None or current is None:
                    return [("lists", "none yet: they are being made")]
                rows = [
                    ("last made", f"{age_text(now - current.published_us / 1e6)} ago"),
                    ("from likes up to", f"{age_text(now - current.snapshot_us / 1e6)} ago"),
                    ("people with a list", f"{self.store.viewers(snapshot, current.number):,}"),
                ]
        except StoreUnreadableError:
            return [("lists", "can't be read just now")]
        likes = read_figures(self.config.data_dir).get("likes_stored")
        if isinstance(likes, int):
            rows.append(("likes read", f"{likes:,}"))
        return rows
