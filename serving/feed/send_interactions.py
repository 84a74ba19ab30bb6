"""POST app.bsky.feed.sendInteractions: what a viewer did with the feed.

Owns: reading and bounding the body, and which events are taken. Leaves to others: who sends (``auth``), what
follows for the next page (``viewer_memory``) and writing (``activity_writer``).

Any account may send anything. So the token's issuer is the viewer, sizes and rates are bounded, and texts that
should be ours are taken only when they look like ours. An event counts when its post is one that this feed serves: it
is in serving.sqlite, or on one of the last pages that were served to this viewer. Events that are unknown, or about
anything else, are ignored and counted: the lexicon is an open set, and the app may name posts of other feeds.

Invariant: what is answered 200 is written down, unless the disk fails. A request that finds no room is answered 503,
and nothing of it is taken; neither is anything of a request whose token was used before.
"""

import re
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import falcon
import orjson

from serving.budgets import limits
from serving.budgets.allowances import Allowance
from serving.budgets.viewer_classes import ViewerClasses
from serving.config import ServingConfig
from serving.http import xrpc
from serving.identity.auth import Authenticator
from serving.identity.dids import is_signer
from serving.identity.tokens import Token
from serving.identity.used_tokens import UsedTokens
from serving.lists.list_store import ListStore
from serving.read_pool import StoreUnreadableError
from serving.viewers.activity_queue import Interaction
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.own_settings import SettingsStore
from serving.viewers.remembered import KnownEvent
from serving.viewers.viewer_memory import ViewerMemory
from serving.web_errors import InvalidRequestError, TokenError, UnavailableError, UnknownFeedError, XrpcError

METHOD = "app.bsky.feed.sendInteractions"
BODY_MAX_BYTES = 256 * 1024
INTERACTIONS_MAX = 1_000

_PREFIX = "app.bsky.feed.defs#"
EVENTS = frozenset(
    {
        "requestLess",
        "requestMore",
        "clickthroughItem",
        "clickthroughAuthor",
        "clickthroughReposter",
        "clickthroughEmbed",
        "interactionSeen",
        "interactionLike",
        "interactionRepost",
        "interactionReply",
        "interactionQuote",
        "interactionShare",
    }
)
_POST_URI = re.compile(r"at://([A-Za-z0-9:.%-]{1,261})/app\.bsky\.feed\.post/[2-7a-z]{13}", re.ASCII)
_OUR_CONTEXT = re.compile(r"[a-z][0-9]{0,5}\.[0-9]{1,19}", re.ASCII)
_NO_ROOM = "too much is waiting to be written; try again in a moment"
_OUR_REQUEST_ID = re.compile(r"[0-9a-z.]{1,64}", re.ASCII)


@dataclass(slots=True)
class SendInteractions:
    """Takes interactions; ``ignored`` counts, by reason, those not taken."""

    config: ServingConfig
    authenticator: Authenticator
    store: ListStore
    memory: ViewerMemory
    activity: ActivityWriter
    classes: ViewerClasses
    settings: SettingsStore
    used: UsedTokens
    now: Callable[[], float]
    ignored: Counter[str] = field(default_factory=Counter)
    allowance: Allowance = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.allowance = Allowance(limits.INTERACTIONS_A_MINUTE, 60.0, now=self.now)

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer 200 with an empty object once the interactions are queued; 503 when they find no room."""
        token = self.authenticator.token(request, METHOD)
        if token is None:
            raise TokenError("AuthenticationRequired", "interactions need a signed-in viewer")
        known = self.classes.is_known(token.issuer)
        if self.allowance.is_used_up(token.issuer, known=known):
            raise self._refused("room", 1)  # before anything is read that would take time
        entries, feed = self._entries(_body(request))
        self.memory.read_peers()
        verdict = self.used.use(token, known=known)
        if verdict != "new":
            # The app can come again with a new token; hosts that sign twice in a second make one token of two.
            raise self._refused("replay" if verdict == "used" else "room", len(entries))
        if self.settings.of(token.issuer).is_paused:
            self._ignore("paused", len(entries))
            xrpc.answer(response, {}, private=True)
            return
        try:
            events = self._queued(entries, feed, token, known)
        except UnavailableError:
            self.used.give_back(token)
            raise
        self.memory.events_received(token.issuer, self.config.feed_rkeys, events, known=known)
        xrpc.answer(response, {}, private=True)

    def _refused(self, reason: str, count: int) -> UnavailableError:
        self._ignore(reason, count)
        return UnavailableError("this token was used before" if reason == "replay" else _NO_ROOM)

    def _entries(self, body: bytes) -> tuple[list[Any], str]:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequestError("the body is not JSON") from error
        entries = document.get("interactions") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise InvalidRequestError("interactions must be an array")
        if len(entries) > INTERACTIONS_MAX:
            raise InvalidRequestError(f"more than {INTERACTIONS_MAX} interactions")
        uri = document.get("feed")
        if uri is None or uri == "":
            return entries, self.config.feed_rkeys[0]
        for rkey in self.config.feed_rkeys:
            if uri == self.config.feed_uri(rkey):
                return entries, rkey
        raise UnknownFeedError

    def _queued(self, entries: list[Any], feed: str, token: Token, known: bool) -> list[KnownEvent]:
        """Queue the interactions that count, if all find room; return those whose posts are in the store.

        An allowance is for what is sent, since reading it takes time whether it counts or not.
        """
        if not self.allowance.take_whole(token.issuer, len(entries), known=known):
            raise self._refused("room", len(entries))
        read = [interaction for entry in entries if (interaction := self._read(entry, feed, token))]
        uris = [interaction.post_uri for interaction in read]
        try:
            with self.store.read() as snapshot:
                stored = snapshot.posts_named(uris) if snapshot and uris else {}
        except StoreUnreadableError as error:
            raise UnavailableError("the posts can't be read just now") from error
        served: set[str] = set()
        if not stored.keys() >= set(uris):
            served = {event.post_uri for event in self.memory.recall.pages(token.issuer, feed)}
        taken = [each for each in read if each.post_uri in stored or each.post_uri in served]
        if len(taken) < len(read):
            self._ignore("post", len(read) - len(taken))
        if not self.activity.record_whole(taken, known=known):
            raise self._refused("room", len(taken))
        return [
            KnownEvent(each.event, *stored[each.post_uri], each.received_us)
            for each in taken
            if each.post_uri in stored
        ]

    def _read(self, entry: object, feed: str, token: Token) -> Interaction | None:
        """Return one entry as an interaction; None when it is none, which is counted."""
        if not isinstance(entry, dict):
            self._ignore("malformed")
            return None
        item, event = entry.get("item"), entry.get("event")
        if not isinstance(event, str) or event.removeprefix(_PREFIX) not in EVENTS or event in EVENTS:
            self._ignore("event")
            return None
        named = _POST_URI.fullmatch(item) if isinstance(item, str) else None
        if named is None or not is_signer(named[1], loopback=self.config.on_loopback_network):
            self._ignore("item")
            return None
        context = _ours(entry.get("feedContext"), _OUR_CONTEXT)
        req_id = _ours(entry.get("reqId"), _OUR_REQUEST_ID)
        name, at_us = event.removeprefix(_PREFIX), int(self.now() * 1_000_000)
        return Interaction(token.issuer, named[0], name, feed, context, req_id, at_us)

    def _ignore(self, reason: str, count: int = 1) -> None:
        with self._lock:
            self.ignored[reason] += count


def _body(request: falcon.Request) -> bytes:
    too_large = XrpcError(falcon.HTTP_413, "PayloadTooLarge", f"more than {BODY_MAX_BYTES} bytes")
    if (request.content_length or 0) > BODY_MAX_BYTES:
        raise too_large
    raw = request.bounded_stream.read(BODY_MAX_BYTES + 1)
    encoding = (request.get_header("Content-Encoding") or "identity").strip().lower()
    if encoding == "gzip":
        inflater = zlib.decompressobj(wbits=31)
        try:
            raw = inflater.decompress(raw, BODY_MAX_BYTES + 1)
        except zlib.error as error:
            raise InvalidRequestError("the body is not gzip") from error
        if len(raw) <= BODY_MAX_BYTES and not inflater.eof:
            raise InvalidRequestError("the body ends too soon")
    elif encoding != "identity":
        raise XrpcError(
            falcon.HTTP_415, "UnsupportedMediaType", "Content-Encoding is neither identity nor gzip"
        )
    if len(raw) > BODY_MAX_BYTES:
        raise too_large
    return raw


def _ours(text: object, pattern: re.Pattern[str]) -> str:
    return text if isinstance(text, str) and pattern.fullmatch(text) else ""
