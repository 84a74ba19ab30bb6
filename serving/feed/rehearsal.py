"""Rehearsing the feed before a worker is ready, so that its first request is as fast as the thousandth.

Owns: doing beforehand what a first request would have to open, prepare, read and learn. It opens connections to the
store with their statements, and activity.sqlite for reading. It reads the posts: the thirty of a page lie in thirty
places of the disk. It runs the code of a signed request, which is faster in Python once it has run a few times.
Leaves to others: the key store (``resolver``), routes (``app``), and what is counted (``web_metrics``).

The rehearsal is a real WSGI request of a viewer in the store. Its token is signed by a key made for it, which only
the rehearsal's own authenticator believes. Connections belong to no thread, so any thread may rehearse. Invariants:
it leaves nothing behind, neither in the memory of viewers, nor in activity.sqlite, nor in a count. It takes a tenth
of a second and a page's time, and one second more when the posts are not in memory. A store that is absent or can't
be read makes it shorter; no failure keeps a worker from starting.
"""

import base64
import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults

import coincurve
import falcon

from serving.budgets.limits import Bounds, ByClass
from serving.feed.get_feed_skeleton import METHOD, FeedSkeleton
from serving.feed.paging import PageRequest, page_of
from serving.identity.auth import Authenticator
from serving.identity.keys import SigningKey
from serving.lists.list_bytes import ListError
from serving.lists.list_store import ListStore
from serving.read_pool import StoreUnreadableError
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.viewer_memory import ViewerMemory

log = logging.getLogger(__name__)

ROUNDS = 20  # Python adapts a function to its arguments after eight calls, and its parts after some more
SECONDS = 0.1
READ_AHEAD_SECONDS = 1.0
LIMIT = 30  # the app's own
_NO_BYTES = ByClass(Bounds(0, 0, 0), Bounds(0, 0, 0))
NOBODY = "did:plc:" + "a" * 24  # the viewer when the store has none


def rehearse(feed: FeedSkeleton) -> None:
    """Answer some requests of viewers in the store, in the place of ``feed``."""
    try:
        viewers = _prepared(feed.store, feed.config.feed_rkeys[0], feed.config.threads)
        until = time.monotonic() + SECONDS
        key = coincurve.PrivateKey()
        known = _OneKey(SigningKey("ES256K", key.public_key.format()))
        stand_in = replace(
            feed,
            authenticator=Authenticator(feed.config, known, feed.now),
            memory=ViewerMemory(feed.memory.recall, now=feed.now),
            activity=ActivityWriter(feed.config.activity_path, queue_bytes=_NO_BYTES),  # takes nothing
        )
        app = falcon.App()
        app.add_route("/", stand_in)
        for turn in range(ROUNDS):
            viewer = viewers[turn % len(viewers)]
            list(app(_environ(feed, _token(feed, viewer, key)), _no_answer))
            if time.monotonic() > until:
                break
    except (StoreUnreadableError, ListError) as error:
        log.warning("the lists can't be read, so nothing is rehearsed: %s", error)
    except Exception:
        log.exception("the rehearsal failed; the first requests will take longer")


class _OneKey:
    """A resolver that gives one key for every DID."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def signing_key(self, did: str) -> SigningKey:
        return self._key

    def refreshed_key(self, did: str) -> SigningKey | None:
        return None


def _no_answer(_status: str, _headers: object, _error: object = None) -> Callable[[bytes], None]:
    return lambda _data: None


def _prepared(store: ListStore, feed: str, connections: int) -> list[str]:
    """Open connections, read a page through each, and return viewers for the requests."""
    viewers: list[str] = []
    with ExitStack() as held:
        for _ in range(connections):
            snapshot = held.enter_context(store.read())
            if snapshot is None:
                break
            if not viewers:
                snapshot.read_posts_ahead(READ_AHEAD_SECONDS)
                viewers = snapshot.some_viewers(ROUNDS) or [NOBODY]
            page_of(snapshot, PageRequest(feed, viewers[0], (), LIMIT))
    return viewers or [NOBODY]


def _token(feed: FeedSkeleton, viewer: str, key: coincurve.PrivateKey) -> str:
    claims = {"iss": viewer, "aud": feed.config.service_did, "exp": int(feed.now()) + 60, "lxm": METHOD}
    parts = [json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "ES256K"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(key.sign_recoverable(signed)[:64]).rstrip(b"=")
    return (signed + b"." + signature).decode()


def _environ(feed: FeedSkeleton, token: str) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "QUERY_STRING": urlencode({"feed": feed.config.feed_uri(feed.config.feed_rkeys[0]), "limit": LIMIT}),
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_ACCEPT_LANGUAGE": "en",
    }
    setup_testing_defaults(environ)
    return environ
