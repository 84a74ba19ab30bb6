"""GET app.bsky.feed.getFeedSkeleton: a page of posts for a viewer.

Owns: the parameters, the answer, and whether a request counts as a visit. Leaves to others: which posts
(``paging``), who asks (``auth``), and what follows from the visit (``viewer_memory``, ``activity_writer``).

The app asks for the first post of every open feed once a minute, and for eight posts of feeds that it previews. So
a request with limit=1 or 8 and without a cursor is such a poll or preview, and changes nothing.
"""

import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import falcon

from serving.budgets.viewer_classes import ViewerClasses
from serving.config import ServingConfig
from serving.feed.page_cursors import Cursor, CursorCodec, CursorError
from serving.feed.paging import LIMIT_DEFAULT, LIMIT_MAX, NO_PAGE, FeedPage, PageRequest, page_of
from serving.http import xrpc
from serving.http.xrpc import parameter
from serving.identity.auth import Authenticator
from serving.lists.list_bytes import ListError
from serving.lists.list_store import ListStore
from serving.log_throttle import LogThrottle
from serving.read_pool import StoreUnreadableError
from serving.viewers.activity_queue import ShownPage, Visit
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.own_settings import USUAL, OwnSettings, SettingsStore
from serving.viewers.remembered import NO_STATE, FirstPage
from serving.viewers.viewer_memory import ViewerMemory
from serving.web_errors import InvalidRequestError, UnavailableError, UnknownFeedError

log = logging.getLogger(__name__)

METHOD = "app.bsky.feed.getFeedSkeleton"
PREVIEW_LIMIT = 8
LANGUAGES_MAX = 10
_HEADER_MAX = 1000

_LANGUAGE = re.compile(
    r"\s*([A-Za-z]{2})(?:[-_][A-Za-z0-9_-]{1,35})?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.ASCII
)
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
_complaints = LogThrottle(60.0)


@dataclass(slots=True)
class FeedSkeleton:
    """The resource that answers pages of the feed."""

    config: ServingConfig
    authenticator: Authenticator
    store: ListStore
    cursors: CursorCodec
    memory: ViewerMemory
    activity: ActivityWriter
    classes: ViewerClasses
    settings: SettingsStore
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer a page; 400 for a bad parameter, 401 for a token that proves nothing."""
        feed = self._feed(parameter(request, "feed"))
        limit = _limit(parameter(request, "limit"))
        cursor = self._cursor(parameter(request, "cursor"), feed)
        token = self.authenticator.token(request, METHOD)
        languages = requested_languages(request.get_header("Accept-Language"))
        own = self.settings.of(token.issuer) if token else USUAL
        if own.is_paused:
            token = None  # from here on nobody in particular: a popular page, and nothing is remembered
        pinned = self.config.pinned_posts.get(feed, "")
        wanted = PageRequest(feed, token.issuer if token else None, languages, limit, cursor, pinned)
        known = token is not None and self.classes.is_known(token.issuer)
        page = self._page(wanted, known, own)
        xrpc.answer(response, self._body(page, wanted.begins_with), private=True)
        response.set_header("Vary", "Authorization, Accept-Language")
        if page.chosen is not None and page.chosen.fallback and page.chosen.language:
            response.set_header("Content-Language", page.chosen.language)
        if token is not None and not wanted.is_poll and not (cursor is None and limit == PREVIEW_LIMIT):
            self._remember(token.issuer, wanted, page, known)

    def _page(self, wanted: PageRequest, known: bool, own: OwnSettings) -> FeedPage:
        try:
            with self.store.read() as snapshot:
                if snapshot is None:
                    return NO_PAGE
                state = NO_STATE
                if wanted.viewer is not None:
                    state = self.memory.state(wanted.viewer, wanted.feed, snapshot, known=known)
                page = page_of(snapshot, wanted, replace(state, own=own), now=self.now())
                # Whoever set something is in no experiment.
                return replace(page, variant="") if own.is_own else page
        except StoreUnreadableError as error:
            raise UnavailableError("the lists can't be read just now") from error
        except ListError as error:
            if _complaints.allows("list"):
                log.error("serving.sqlite is damaged: %s", error)  # noqa: TRY400 - the text says it all
            raise UnavailableError("the list can't be read just now") from error

    def _remember(self, viewer: str, wanted: PageRequest, page: FeedPage, known: bool) -> None:
        feed, at_us = wanted.feed, int(self.now() * 1_000_000)
        visit = Visit(viewer, feed, ",".join(wanted.languages), at_us)
        if page.chosen is None or not page.entries:
            self.activity.record([visit], known=known)
            return
        first_page = FirstPage(*page.chosen.identity, page.marks) if wanted.cursor is None else None
        posts = [entry.item.post_id for entry in page.entries]
        self.memory.page_shown(viewer, feed, posts, first_page, known=known)
        shown = ShownPage(
            viewer,
            feed,
            page.chosen.stored.generation,
            page.entries[0].place + 1,
            [entry.uri for entry in page.entries],
            [entry.item.source for entry in page.entries],
            at_us,
            page.variant,
        )
        self.activity.record([visit, shown], known=known)

    def _body(self, page: FeedPage, pinned: str) -> dict[str, Any]:
        first = (
            [{"post": pinned, "reason": {"$type": "app.bsky.feed.defs#skeletonReasonPin"}}] if pinned else []
        )
        if page.chosen is None:
            return {"feed": first}
        generation = page.chosen.stored.generation
        body: dict[str, Any] = {
            "feed": first
            + [{"post": entry.uri, "feedContext": entry.item.context(generation)} for entry in page.entries],
            # Says which page an interaction is about: generation, first place, and a random part.
            "reqId": f"{generation}.{page.start}.{secrets.token_hex(4)}",
        }
        if page.next_cursor is not None:
            body["cursor"] = self.cursors.encode(page.next_cursor)
        return body

    def _feed(self, uri: str | None) -> str:
        if uri is None:
            raise InvalidRequestError("feed is missing")
        for rkey in self.config.feed_rkeys:
            if uri == self.config.feed_uri(rkey):
                return rkey
        raise UnknownFeedError

    def _cursor(self, text: str | None, feed: str) -> Cursor | None:
        if not text:
            return None  # absent, or empty as some clients send it
        try:
            return self.cursors.decode(text, feed)
        except CursorError as error:
            raise InvalidRequestError(f"BadCursor: {error}") from error


def requested_languages(header: str | None) -> tuple[str, ...]:
    """Return the two-letter codes of an Accept-Language header, most wanted first, each once.

    Weight 0 excludes a language, ``*`` says nothing, and what can't be read is passed over.
    """
    weights: dict[str, float] = {}
    for entry in (header or "")[:_HEADER_MAX].split(","):
        match = _LANGUAGE.fullmatch(entry)
        if match is None:
            continue
        weight = float(match[2]) if match[2] else 1.0
        code = match[1].lower()
        if weight > weights.get(code, 0.0):
            weights[code] = weight
    return tuple(sorted(weights, key=lambda code: -weights[code])[:LANGUAGES_MAX])


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if _DIGITS.fullmatch(text) is None or not 1 <= int(text) <= LIMIT_MAX:
        raise InvalidRequestError(f"limit must be a number from 1 to {LIMIT_MAX}")
    return int(text)
