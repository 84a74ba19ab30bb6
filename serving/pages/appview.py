"""What pages know of posts and people: asks the operator's AppView, and remembers its answers for a while.

Owns: when to ask, for how long, and what is remembered. Leaves to others: the HTTP exchange (``fetch``), what an
answer means (``post_views``), how it is shown (``templates``).

Invariants: nothing is stored. A page waits DEADLINE_SECONDS at most, however many posts it has, and is whole without
an answer. A worker has FETCHING_MOST requests under way and QUEUED_MOST waiting; the others are left out. After
a failure nobody asks for PAUSE_SECONDS. What strangers make a worker ask has a budget a minute, so that the operator's
address stays welcome there. Memory is bounded by POSTS_MAX and PEOPLE_MAX.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import orjson

from serving.identity.dids import target_below
from serving.identity.fetch import Fetcher, FetchError
from serving.identity.idle_connections import IdleConnections
from serving.pages.post_views import Outside, Person, PostCard, person_of, post_card

log = logging.getLogger(__name__)

AT_ONCE = 25  # as many as the AppView takes
DEADLINE_SECONDS = 1.5
FETCHING_MOST = 4
WAITING_MOST = 4  # of a worker's threads; the others show what is remembered
QUEUED_MOST = 16
PAUSE_SECONDS = 5.0
STRANGERS_A_MINUTE = 200  # requests
REMEMBERED_SECONDS = 300.0
POSTS_MAX = 4_000
PEOPLE_MAX = 4_000
BODY_MAX_BYTES = 1_000_000
Value = TypeVar("Value")


@dataclass(slots=True)
class Described:
    """What is known of a page's posts and people.

    A post of ``posts`` is None when the AppView does not show it to people who are not signed in, or it is deleted.
    ``complete``: everything wanted is here; otherwise the AppView did not answer in time.
    """

    posts: dict[str, PostCard | None] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    complete: bool = True

    def person(self, did: str) -> Person:
        """Return a person, with the DID for a name when nothing is known of them."""
        return self.people.get(did) or Person(did)


class _Remembered(Generic[Value]):
    """Values by name, the oldest dropped first; the caller holds the lock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, tuple[float, Value | None]] = OrderedDict()

    def find(self, name: str) -> tuple[Value | None] | None:
        """Return the value in a tuple, None when nothing is known."""
        known = self._values.get(name)
        if known is None or time.monotonic() - known[0] > REMEMBERED_SECONDS:
            return None
        return (known[1],)

    def put(self, name: str, value: Value | None) -> None:
        self._values[name] = time.monotonic(), value
        self._values.move_to_end(name)
        while len(self._values) > self._most:
            self._values.popitem(last=False)


class AppViewReader:
    """Describes posts and people; may be called from any thread. Without ``enabled`` it knows nothing."""

    def __init__(
        self, url: str, outside: Outside, *, enabled: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.enabled = enabled
        self._clock = clock  # of the budget
        self._url, self._outside = url, outside
        self._fetcher = Fetcher(
            allowed=lambda _address: True,  # the operator chose the host
            deadline_seconds=DEADLINE_SECONDS,
            idle=IdleConnections(FETCHING_MOST),
            max_body_bytes=BODY_MAX_BYTES,
            domain_lookups=None,
        )
        self._lock = threading.Lock()
        self._posts: _Remembered[PostCard] = _Remembered(POSTS_MAX)
        self._people: _Remembered[Person] = _Remembered(PEOPLE_MAX)
        self._pool: ThreadPoolExecutor | None = None
        self._waiting = threading.Semaphore(WAITING_MOST)
        self._minute = self._spent = 0
        self._queued = 0
        self._paused_until = 0.0

    def describe(self, uris: Iterable[str] = (), dids: Iterable[str] = (), *, here: bool = True) -> Described:
        """Return what is known of posts and people, after asking for what is not remembered.

        ``here`` says that the page is for somebody at this machine, whose requests have no budget.
        """
        if not self.enabled:
            return Described()
        uris, dids = list(dict.fromkeys(uris)), list(dict.fromkeys(dids))
        with self._lock:
            new_uris = [uri for uri in uris if self._posts.find(uri) is None]
            new_dids = [did for did in dids if self._people.find(did) is None]
        requested = [
            *self._ask(new_uris, "app.bsky.feed.getPosts", "uris", self._take_posts, here),
            *self._ask(new_dids, "app.bsky.actor.getProfiles", "actors", self._take_people, here),
        ]
        pending = [future for future in requested if future is not None]
        if pending and self._waiting.acquire(blocking=False):
            try:
                wait(pending, timeout=DEADLINE_SECONDS)
            finally:
                self._waiting.release()
        found = Described()
        with self._lock:
            for uri in uris:
                post = self._posts.find(uri)
                found.complete &= post is not None
                if post is not None:
                    found.posts[uri] = post[0]
                    if post[0] is not None:
                        found.people.setdefault(post[0].author.did, post[0].author)
            for did in dids:
                person = self._people.find(did)
                found.complete &= person is not None
                if person is not None and person[0] is not None:
                    found.people[did] = person[0]
        return found

    def _ask(
        self,
        names: Sequence[str],
        method: str,
        parameter: str,
        take: Callable[[Sequence[str], Any], None],
        here: bool,
    ) -> list["Future[None] | None"]:
        return [
            self._submit(method, parameter, names[start : start + AT_ONCE], take)
            if here or self._within_budget()
            else None
            for start in range(0, len(names), AT_ONCE)
        ]

    def _within_budget(self) -> bool:
        """Tell whether strangers may have one more request in this minute, and count it."""
        minute = int(self._clock() // 60)
        with self._lock:
            if self._minute != minute:
                self._minute, self._spent = minute, 0
            self._spent += 1
            return self._spent <= STRANGERS_A_MINUTE

    def _submit(
        self, method: str, parameter: str, names: Sequence[str], take: Callable[[Sequence[str], Any], None]
    ) -> "Future[None] | None":
        with self._lock:
            if self._queued >= QUEUED_MOST or time.monotonic() < self._paused_until:
                return None
            self._queued += 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(FETCHING_MOST, "appview")
        return self._pool.submit(self._fetch, method, parameter, names, take)

    def _fetch(
        self, method: str, parameter: str, names: Sequence[str], take: Callable[[Sequence[str], Any], None]
    ) -> None:
        try:
            if time.monotonic() < self._paused_until:
                return
            query = urlencode([(parameter, name) for name in names])
            answer = self._fetcher.get(target_below(self._url, f"/xrpc/{method}?{query}"))
            if answer.status != 200:
                raise FetchError(f"status {answer.status}")
            take(names, orjson.loads(answer.body))
        except (FetchError, ValueError) as error:
            log.warning("the AppView does not answer %s: %s", method, error)
            self._paused_until = time.monotonic() + PAUSE_SECONDS
        finally:
            with self._lock:
                self._queued -= 1

    def _take_posts(self, uris: Sequence[str], body: Any) -> None:
        cards = [post_card(view, self._outside) for view in _listed(body, "posts")]
        found = {card.uri: card for card in cards if card is not None}
        with self._lock:
            for uri in uris:
                self._posts.put(uri, found.get(uri))

    def _take_people(self, dids: Sequence[str], body: Any) -> None:
        people = [person_of(view, self._outside) for view in _listed(body, "profiles")]
        found = {person.did: person for person in people if person is not None}
        with self._lock:
            for did in dids:
                self._people.put(did, found.get(did))


def _listed(body: Any, name: str) -> list[Any]:
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise FetchError(f"an answer without {name}")
    return found[:AT_ONCE]
