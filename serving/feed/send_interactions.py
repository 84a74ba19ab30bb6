"""POST app.bsky.feed.sendInteractions: what a viewer did with the feed.

Owns: reading and bounding the body, and which events are taken. Leaves to others: who sends (``auth``), what
follows for the next page (``viewer_memory``) and writing (``activity_writer``).

Any account may send anything. So the token's issuer is the viewer, sizes and rates are bounded, and texts that
should be ours are taken only when they look like ours. Events that are unknown, or not about posts, are ignored and
counted: the lexicon is an open set, and the app names posts that this feed never served.
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

from serving.config import ServingConfig
from serving.http import xrpc
from serving.identity.auth import Authenticator, ReplayMemory
from serving.identity.tokens import Token
from serving.viewers.activity_writer import ActivityWriter, Interaction
from serving.viewers.recall import PostEvent
from serving.viewers.viewer_memory import ViewerMemory
from serving.web_errors import InvalidRequestError, TokenError, UnknownFeedError, XrpcError

METHOD = "app.bsky.feed.sendInteractions"
BODY_MAX_BYTES = 256 * 1024
INTERACTIONS_MAX = 1_000
PER_VIEWER_AND_MINUTE = 3_000

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
_POST_URI = re.compile(
    r"at://did:(?:plc:[a-z2-7]{24}|web:[A-Za-z0-9.:%-]{1,253})/app\.bsky\.feed\.post/[A-Za-z0-9._:~-]{1,512}",
    re.ASCII,
)
_OUR_CONTEXT = re.compile(r"[a-z][0-9]{0,5}\.[0-9]{1,19}", re.ASCII)
_OUR_REQUEST_ID = re.compile(r"[0-9a-z.]{1,64}", re.ASCII)


@dataclass(slots=True)
class SendInteractions:
    """Takes interactions; ``ignored`` counts, by reason, those not taken."""

    config: ServingConfig
    authenticator: Authenticator
    memory: ViewerMemory
    activity: ActivityWriter
    now: Callable[[], float]
    replays: ReplayMemory = field(default_factory=ReplayMemory)
    ignored: Counter[str] = field(default_factory=Counter)
    _minute: int = 0
    _sent: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer 200 with an empty object once the interactions are queued, or dropped and counted."""
        token = self.authenticator.token(request, METHOD)
        if token is None:
            raise TokenError("AuthenticationRequired", "interactions need a signed-in viewer")
        entries, feed = self._entries(_body(request))
        now = self.now()
        if self.replays.is_replay(token, now):
            self._ignore("replay", len(entries))
        else:
            taken = self._taken(entries, feed, token, now)
            events = [PostEvent(each.event, each.post_uri, each.received_us) for each in taken]
            self.memory.events_received(token.issuer, self.config.feed_rkeys, events)
            self.activity.record(taken)
        xrpc.answer(response, {}, private=True)

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

    def _taken(self, entries: list[Any], feed: str, token: Token, now: float) -> list[Interaction]:
        taken = []
        for entry in entries[: self._allowance(token.issuer, len(entries), now)]:
            if not isinstance(entry, dict):
                self._ignore("malformed")
                continue
            item, event = entry.get("item"), entry.get("event")
            if not isinstance(event, str) or event.removeprefix(_PREFIX) not in EVENTS or event in EVENTS:
                self._ignore("event")
            elif not isinstance(item, str) or _POST_URI.fullmatch(item) is None:
                self._ignore("item")
            else:
                context = _ours(entry.get("feedContext"), _OUR_CONTEXT)
                req_id = _ours(entry.get("reqId"), _OUR_REQUEST_ID)
                name = event.removeprefix(_PREFIX)
                at_us = int(now * 1_000_000)
                taken.append(Interaction(token.issuer, item, name, feed, context, req_id, at_us))
        return taken

    def _allowance(self, viewer: str, wanted: int, now: float) -> int:
        """Return how many interactions this viewer may still send this minute, and count them."""
        with self._lock:
            minute = int(now // 60)
            if minute != self._minute:
                self._minute = minute
                self._sent.clear()
            allowed = min(wanted, PER_VIEWER_AND_MINUTE - self._sent[viewer])
            self._sent[viewer] += allowed
        if allowed < wanted:
            self._ignore("rate", wanted - allowed)
        return allowed

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
