"""The pages for people at this machine: which viewers have a list, and what a viewer's feed is.

Owns: two pages, their parameters and their words. Leaves to others: who may see them (``clients``), their form
(``html``) and the data (``list_store``, ``list_bytes``). They show whole lists as they are stored, even posts that
the viewer has seen or rejected, so they are for this machine alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import falcon

from serving.config import ServingConfig
from serving.http.clients import require_local
from serving.http.xrpc import parameter
from serving.lists import list_bytes
from serving.lists.list_bytes import ListItem
from serving.lists.list_store import Generation, ListStore
from serving.pages.appview import AppViewReader
from serving.pages.html import age_text, show
from serving.read_pool import StoreUnreadableError
from serving.web_errors import InvalidRequestError, UnavailableError

VIEWERS_PER_PAGE = 50
POSTS_PER_PAGE = 25  # as many as the AppView describes at once
_SEARCH_MAX = 300


@dataclass(slots=True)
class _Page:
    config: ServingConfig
    store: ListStore
    appview: AppViewReader
    now: Callable[[], float]

    def feed(self, request: falcon.Request) -> str:
        rkey = parameter(request, "feed") or self.config.feed_rkeys[0]
        if rkey not in self.config.feed_rkeys:
            raise falcon.HTTPNotFound(description="unknown feed")
        return rkey

    def published(self, current: Generation) -> str:
        published, snapshot = (
            age_text(self.now() - us / 1_000_000) for us in (current.published_us, current.snapshot_us)
        )
        return f"Updated {published} ago, with likes up to {snapshot} ago"


class ViewersPage(_Page):
    """GET /viewers: the viewers who have a list, searchable by DID."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer a page of viewers; ``q`` is part of a DID, ``after`` the last DID of the page before."""
        require_local(request, self.config)
        feed = self.feed(request)
        search = (parameter(request, "q") or "").strip()[:_SEARCH_MAX]
        after = (parameter(request, "after") or "")[:_SEARCH_MAX]
        try:
            with self.store.read() as snapshot:
                current = snapshot.current() if snapshot else None
                if snapshot is None or current is None:
                    show(response, "no_lists.html", self.config, here=True)
                    return
                count = self.store.viewers(snapshot, current.number)
                viewers = snapshot.viewers_like(feed, search, after, VIEWERS_PER_PAGE + 1)
        except (StoreUnreadableError, list_bytes.ListError) as error:
            raise UnavailableError("the lists can't be read just now") from error
        more = len(viewers) > VIEWERS_PER_PAGE
        viewers = viewers[:VIEWERS_PER_PAGE]
        show(
            response,
            "viewers.html",
            self.config,
            here=True,
            now=self.now(),
            described=self.appview.describe(dids=[did for did, _ in viewers]),
            published=self.published(current),
            count=count,
            feed=feed,
            search=search,
            viewers=viewers,
            more=urlencode({"feed": feed, "q": search, "after": viewers[-1][0]}) if more else "",
        )


class ViewerPage(_Page):
    """GET /viewer/<did>: one viewer's list, with reasons."""

    def on_get(self, request: falcon.Request, response: falcon.Response, did: str) -> None:
        """Answer posts from place ``from`` on (0 is the best), of the list as of ``generation``."""
        require_local(request, self.config)
        feed = self.feed(request)
        start = _number(request, "from", 0)
        try:
            with self.store.read() as snapshot:
                current = snapshot.current() if snapshot else None
                if snapshot is None or current is None:
                    show(response, "no_lists.html", self.config, here=True)
                    return
                generation = _number(request, "generation", current.number)
                own = snapshot.list_of(feed, did, generation)
                stored = own or snapshot.fallback_of(feed, "", generation)
                count = list_bytes.length(stored.blob) if stored else 0
                items = list_bytes.items(stored.blob, start, start + POSTS_PER_PAGE) if stored else []
                posts = snapshot.posts_of(items, anybody=own is None)
        except (StoreUnreadableError, list_bytes.ListError) as error:
            raise UnavailableError("the lists can't be read just now") from error
        following = start + POSTS_PER_PAGE
        more = ""
        if stored and following < count:
            more = urlencode({"feed": feed, "from": following, "generation": stored.generation})
        show(
            response,
            "viewer.html",
            self.config,
            here=True,
            described=self.appview.describe([post.uri for post in posts.values()], [did]),
            why=bool(self.config.explain),
            did=did,
            feed=feed,
            published=self.published(current),
            now=self.now(),
            popular=own is None,
            count=count,
            places=[
                (place, item, source_text(item), posts.get(item.post_id))
                for place, item in enumerate(items, start + 1)
            ],
            more=more,
        )


def source_text(item: ListItem) -> str:
    """Return in words why an item is in a list."""
    if item.source == list_bytes.SOURCE_CO_LIKERS:
        return f"liked by {_people(item.co_likers)}"
    if item.source == list_bytes.SOURCE_TRIAL:
        return f"on trial, liked by {_people(item.co_likers)}"
    return "popular now" if item.source == list_bytes.SOURCE_POPULAR else "unknown source"


def _number(request: falcon.Request, name: str, default: int) -> int:
    text = parameter(request, name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidRequestError(f"{name} must be a number")
    return int(text)


def _people(number: int) -> str:
    return "1 person who shares this taste" if number == 1 else f"{number:,} people who share this taste"
