"""The signing key of a DID, from memory or from its document.

Owns: the caches, how long each kind of answer is believed, single flight, and the bounds on how many requests
may wait for documents. Leaves to others: the HTTP exchange (``fetch``) and reading the document (``keys``).

A key is fresh for an hour. Later it is refreshed; while that fails it is still used, up to 24 hours, so a
directory that is down stops newcomers only. A DID that does not exist is remembered for a minute, in a cache
of its own, so that invented DIDs can't push real viewers' keys out. Requests that wait for a document hold
one of a fixed number of slots, a smaller number for did:web, whose hosts anybody may choose, and of those a
few for one domain; who finds no slot is told at once to come again. Of those who wait, a fixed number fetch
at once.

Keys of did:plc are kept on disk too (``key_store``), so a restart asks the directory for newcomers only.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from serving.identity.dids import Target, is_web, web_target
from serving.identity.fetch import DEADLINE_SECONDS, Fetcher, FetchError, FetchRefusedError
from serving.identity.key_store import KeyStore
from serving.identity.keys import KeyDocumentError, SigningKey, signing_key

FRESH_SECONDS = 3600.0
STALE_SECONDS = 24 * 3600.0
ABSENT_SECONDS = 60.0
RETRY_SECONDS = 30.0  # after a failed refresh, or a host that does not answer
FORCED_SECONDS = 60.0  # between two forced refreshes of one DID
FORCED_PER_MINUTE = 60  # forced refreshes of all DIDs together
TURN_SECONDS = (
    1.5  # waiting for one's turn to fetch; with the fetch itself it stays below a client's patience
)
DOMAIN_SLOTS = 3  # of the slots for did:web, those that wait for one domain
FAILURES_MAX = 20_000


class DidUnknownError(Exception):
    """The DID does not exist, or its document can't be used; asking again soon would not help."""


class DidUnreachableError(Exception):
    """The document could not be had just now."""


class DidBusyError(DidUnreachableError):
    """There was no room to ask for the document; nothing is known of its source."""


class KeyResolver(Protocol):
    """Where signing keys come from; tests may bring their own."""

    def signing_key(self, did: str) -> SigningKey:
        """Return a DID's key; raise DidUnknownError or DidUnreachableError."""

    def refreshed_key(self, did: str) -> SigningKey | None:
        """Return a DID's key if its source has another one by now; None also when asked too often."""


@dataclass(slots=True)
class Source:
    """One kind of DID: where its documents are, how they are fetched, and how many may wait for them.

    ``slots`` are for requests that wait, ``fetching`` for those of them that fetch.
    """

    target: Callable[[str], Target]
    fetcher: Fetcher
    slots: threading.Semaphore
    keys_max: int
    # The operator's own directory is trusted to say "no such DID"; from a host, rubbish says the same.
    trusted: bool
    kept: KeyStore | None = None
    fetching: threading.Semaphore | None = None
    keys: "OrderedDict[str, _Known]" = field(default_factory=OrderedDict)
    waiting: Counter[str] = field(default_factory=Counter)  # those who hold slots, by domain


@dataclass(slots=True)
class _Known:
    key: SigningKey
    fetched: float
    tried: float


@dataclass(slots=True)
class _Failure:
    error: DidUnknownError | DidUnreachableError
    until: float


@dataclass(slots=True)
class _Flight:
    done: threading.Event = field(default_factory=threading.Event)
    result: SigningKey | DidUnknownError | DidUnreachableError | None = None


class Resolver:
    """Resolves did:plc and did:web to signing keys; every method may be called from any thread."""

    def __init__(self, sources: Mapping[str, Source], *, now: Callable[[], float] = time.time) -> None:
        self._sources = sources
        self._now = now
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, _Failure] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._forced_minute, self._forced = 0, 0
        self.fetches = 0

    def open(self) -> None:
        """Open what is kept on disk, so that no request has to."""
        for source in self._sources.values():
            if source.kept is not None:
                source.kept.key_of("")

    def signing_key(self, did: str) -> SigningKey:
        """Return a DID's key, at most 24 hours old; raise DidUnknownError or DidUnreachableError."""
        source, now = self._source(did), self._now()
        if source.kept is not None and did not in source.keys and did not in self._failures:
            self._recall(did, source)
        with self._lock:
            known = source.keys.get(did)
            if known is not None:
                source.keys.move_to_end(did)
                age = now - known.fetched
                if age < FRESH_SECONDS or (age < STALE_SECONDS and now - known.tried < RETRY_SECONDS):
                    return known.key
            else:
                failure = self._failures.get(did)
                if failure is not None and now < failure.until:
                    raise failure.error
        try:
            return self._load(did, source)
        except DidUnreachableError:
            if known is not None and now - known.fetched < STALE_SECONDS:
                return known.key
            raise

    def refreshed_key(self, did: str) -> SigningKey | None:
        """Return a DID's key if its document has changed since, at most once a minute for each DID."""
        source, now = self._source(did), self._now()
        with self._lock:
            known = source.keys.get(did)
            if known is None or now - known.tried < FORCED_SECONDS or not self._may_force(now):
                return None
            old = known.key
        try:
            key = self._load(did, source)
        except (DidUnknownError, DidUnreachableError):
            return None
        return None if key == old else key

    def _recall(self, did: str, source: Source) -> None:
        found = source.kept.key_of(did) if source.kept is not None else None
        if found is not None:
            key, fetched = found
            with self._lock:
                source.keys.setdefault(did, _Known(key, fetched, fetched))
                self._trim(source)

    @staticmethod
    def _trim(source: Source) -> None:
        if len(source.keys) > source.keys_max:
            source.keys.popitem(last=False)

    def _may_force(self, now: float) -> bool:
        minute = int(now // 60)
        if minute != self._forced_minute:
            self._forced_minute, self._forced = minute, 0
        self._forced += 1
        return self._forced <= FORCED_PER_MINUTE

    def _source(self, did: str) -> Source:
        return self._sources["web" if is_web(did) else "plc"]

    def _load(self, did: str, source: Source) -> SigningKey:
        # Those who wait for another's fetch hold a slot too: what is scarce is the waiting thread.
        domain = "" if source.trusted else ".".join(web_target(did).host.split(".")[-2:])
        with self._lock:
            full = not source.trusted and source.waiting[domain] >= DOMAIN_SLOTS
            if full or not source.slots.acquire(blocking=False):
                raise DidBusyError("too many requests are waiting for DID documents")
            source.waiting[domain] += 1
        try:
            with self._lock:
                flight = self._flights.get(did)
                leads = flight is None
                if flight is None:
                    flight = self._flights[did] = _Flight()
            if leads:
                try:
                    flight.result = self._fetch_in_turn(did, source)
                    self._keep(did, source, flight.result)
                finally:
                    with self._lock:
                        self._remember(did, source, flight.result)
                        del self._flights[did]
                    flight.done.set()
            else:
                flight.done.wait(DEADLINE_SECONDS + TURN_SECONDS)
        finally:
            source.slots.release()
            with self._lock:
                source.waiting[domain] -= 1
                if not source.waiting[domain]:
                    del source.waiting[domain]
        if isinstance(flight.result, SigningKey):
            return flight.result
        raise flight.result or DidUnreachableError("the DID document can't be had")

    def _fetch_in_turn(self, did: str, source: Source) -> SigningKey | DidUnknownError | DidUnreachableError:
        if source.fetching is None:
            return self._fetch(did, source)
        if not source.fetching.acquire(timeout=TURN_SECONDS):
            return DidBusyError("too many DID documents are being fetched")
        try:
            return self._fetch(did, source)
        finally:
            source.fetching.release()

    def _fetch(self, did: str, source: Source) -> SigningKey | DidUnknownError | DidUnreachableError:
        self.fetches += 1
        try:
            answer = source.fetcher.get(source.target(did))
        except FetchRefusedError as error:
            return DidUnknownError(str(error))
        except FetchError as error:
            return DidUnreachableError(str(error))
        if answer.status in (404, 410) or (300 <= answer.status < 400 and not source.trusted):
            return DidUnknownError("there is no such DID")
        if answer.status != 200:
            return DidUnreachableError(f"the DID's source answers {answer.status}")
        try:
            return signing_key(orjson.loads(answer.body), did)
        except orjson.JSONDecodeError:
            text = "the DID document is not JSON"
            return DidUnreachableError(text) if source.trusted else DidUnknownError(text)
        except KeyDocumentError as error:
            return DidUnknownError(str(error))

    def _keep(
        self, did: str, source: Source, result: SigningKey | DidUnknownError | DidUnreachableError
    ) -> None:
        if source.kept is not None and isinstance(result, SigningKey):
            source.kept.keep(did, result, self._now())
        elif source.kept is not None and isinstance(result, DidUnknownError) and did in source.keys:
            source.kept.forget(did)

    def _remember(
        self, did: str, source: Source, result: SigningKey | DidUnknownError | DidUnreachableError | None
    ) -> None:
        now = self._now()
        known = source.keys.get(did)
        if isinstance(result, SigningKey):
            source.keys[did] = _Known(result, now, now)
            source.keys.move_to_end(did)
            self._failures.pop(did, None)
            self._trim(source)
            return
        if isinstance(result, DidUnknownError):
            source.keys.pop(did, None)  # a tombstone: the old key must not outlive it
        elif known is not None:
            known.tried = now
            return
        if isinstance(result, DidBusyError):
            return  # says nothing of this DID
        error = result or DidUnreachableError("the DID document can't be had")
        seconds = ABSENT_SECONDS if isinstance(error, DidUnknownError) else RETRY_SECONDS
        if not isinstance(error, DidUnknownError) and source.trusted:
            seconds = 1.0  # the directory's fault, not this DID's
        self._failures[did] = _Failure(error, now + seconds)
        self._failures.move_to_end(did)
        if len(self._failures) > FAILURES_MAX:
            self._failures.popitem(last=False)
