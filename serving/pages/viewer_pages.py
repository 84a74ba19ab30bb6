"""The pages for people at this machine: which viewers have a list, and what a viewer's feed is.

Owns: two HTML pages, their parameters and their words. Leaves to others: who may see them (``clients``),
their form (``html``) and the data (``list_store``, ``list_bytes``). They show whole feeds as they are served,
what a viewer has seen and does not want to see included, so they are for this machine alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, urlencode

import falcon

from serving.config import ServingConfig
from serving.feed.get_feed_skeleton import parameter
from serving.http.clients import require_local
from serving.lists import list_bytes
from serving.lists.list_bytes import Item
from serving.lists.list_store import Generation, Post, Snapshot, Store, StoredList, StoreUnreadableError
from serving.pages.html import age_text, fragment, show
from serving.web_errors import InvalidRequestError, UnavailableError

VIEWERS_PER_PAGE = 50
POSTS_PER_PAGE = 50
_SEARCH_MAX = 300


@dataclass(slots=True)
class _Pages:
    config: ServingConfig
    store: Store
    now: Callable[[], float] = time.time

    def feed(self, request: falcon.Request) -> str:
        rkey = parameter(request, "feed") or self.config.feed_rkeys[0]
        if rkey not in self.config.feed_rkeys:
            raise falcon.HTTPNotFound(description="there is no such feed")
        return rkey

    def age(self, at_us: int) -> str:
        return age_text(self.now() - at_us / 1_000_000)


class Picker(_Pages):
    """GET /viewers: the viewers who have a list, searchable by DID."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer a page of viewers; ``q`` is part of a DID, ``after`` the DID to go on behind."""
        require_local(request, self.config)
        feed = self.feed(request)
        search = (parameter(request, "q") or "").strip()[:_SEARCH_MAX]
        after = (parameter(request, "after") or "")[:_SEARCH_MAX]
        try:
            with self.store.read() as snapshot:
                current = snapshot.current() if snapshot else None
                if snapshot is None or current is None:
                    show(response, "Viewers", fragment("no_lists"))
                    return
                count = self.store.viewers(snapshot, current.number)
                rows = snapshot.viewers_like(feed, search, after, VIEWERS_PER_PAGE + 1)
        except (StoreUnreadableError, list_bytes.ListError) as error:
            raise UnavailableError("the lists can't be read just now") from error
        more = ""
        if len(rows) > VIEWERS_PER_PAGE:
            rows = rows[:VIEWERS_PER_PAGE]
            more = _more("/viewers", {"feed": feed, "q": search, "after": rows[-1][0]}, "More viewers")
        body = fragment(
            "picker",
            summary=f"{_summary(current, self.age)} · {count:,} viewers",
            feed=escape(feed),
            search=escape(search),
            viewers="".join(_viewer(did, items, feed) for did, items in rows) or "<li>No viewer found.</li>",
            more=more,
        )
        show(response, "Viewers", body)


class ViewerFeed(_Pages):
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
                    show(response, did, fragment("no_lists"))
                    return
                generation = _number(request, "generation", current.number)
                stored = snapshot.list_of(feed, did, generation)
                popular = stored is None
                stored = stored or snapshot.fallback_of(feed, "", generation)
                body = self._body(snapshot, current, did, feed, start, stored, popular)
        except (StoreUnreadableError, list_bytes.ListError) as error:
            raise UnavailableError("the lists can't be read just now") from error
        show(response, did, body)

    def _body(
        self,
        snapshot: Snapshot,
        current: Generation,
        did: str,
        feed: str,
        start: int,
        stored: StoredList | None,
        popular: bool,
    ) -> str:
        count = list_bytes.length(stored.blob) if stored else 0
        items = list_bytes.items(stored.blob, start, start + POSTS_PER_PAGE) if stored else []
        posts = snapshot.posts_of([item.post_id for item in items])
        more = ""
        if stored and start + POSTS_PER_PAGE < count:
            query: dict[str, str | int] = {
                "feed": feed,
                "from": start + POSTS_PER_PAGE,
                "generation": stored.generation,
            }
            more = _more(f"/viewer/{quote(did, safe=':')}", query, "Next posts")
        note = "This viewer has no list of their own yet, and gets what is popular." if popular else ""
        return fragment(
            "viewer",
            did=escape(did),
            profile=escape(f"https://bsky.app/profile/{quote(did, safe=':')}"),
            feed=escape(quote(feed)),
            summary=f"{_summary(current, self.age)} · {count:,} posts in the list",
            note=escape(note),
            posts="".join(
                self._post(place, item, posts.get(item.post_id)) for place, item in enumerate(items, start)
            )
            or "<li>Nothing here.</li>",
            more=more,
        )

    def _post(self, place: int, item: Item, post: Post | None) -> str:
        if post is None:
            return fragment("gone", place=f"{place + 1:,}")
        author, _, rest = post.uri.removeprefix("at://").partition("/")
        profile = f"https://bsky.app/profile/{quote(author, safe=':')}"
        return fragment(
            "post",
            place=f"{place + 1:,}",
            link=escape(f"{profile}/post/{quote(rest.rpartition('/')[2])}"),
            key=escape(rest.rpartition("/")[2]),
            profile=escape(profile),
            author=escape(author),
            why=escape(source_text(item)),
            kind="popular" if item.source == list_bytes.SOURCE_POPULAR else "neighbours",
            score=f"{item.score:.4g}",
            age=escape(self.age(post.created_us)),
            likers=f"{post.likers:,} {'like' if post.likers == 1 else 'likes'}",
        )


def source_text(item: Item) -> str:
    """Return in words why an item is in a list."""
    if item.source == list_bytes.SOURCE_CO_LIKERS:
        return f"liked by {item.co_likers:,} of your neighbours"
    if item.source == list_bytes.SOURCE_EXPLORE:
        return f"to be tried: few have seen it, {item.co_likers:,} of your neighbours liked it"
    return "popular now" if item.source == list_bytes.SOURCE_POPULAR else "of an unknown source"


def _summary(current: Generation, age: Callable[[int], str]) -> str:
    return (
        f"Generation {current.number:,}, published {age(current.published_us)} ago "
        f"from likes up to {age(current.snapshot_us)} ago"
    )


def _viewer(did: str, items: int, feed: str) -> str:
    link = f"/viewer/{quote(did, safe=':')}?{urlencode({'feed': feed})}"
    return fragment("picked", link=escape(link), did=escape(did), items=f"{items:,}")


def _more(path: str, query: dict[str, str | int], text: str) -> str:
    return fragment("more", link=escape(f"{path}?{urlencode(query)}"), text=escape(text))


def _number(request: falcon.Request, name: str, default: int) -> int:
    text = parameter(request, name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidRequestError(f"{name} is no number")
    return int(text)
