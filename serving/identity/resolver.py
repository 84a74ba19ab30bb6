"""The signing key of a DID, from memory or from its document.

Owns: the caches, how long each kind of answer is believed, single flight, and the bounds on how many requests may
wait for documents. Leaves to others: the HTTP exchange (``fetch``) and reading the document (``keys``).

A key is fresh for an hour, then it is refreshed. While that fails the old key is used, up to 24 hours, so a
directory that is down stops newcomers only. A DID that does not exist is remembered for a minute, in a cache of its
own, so invented DIDs can't push out real viewers' keys. Keys of did:plc are on disk too (``key_store``), so after a
restart the directory is asked about newcomers only.

Requests that wait for a document hold one of a fixed number of slots. did:web has fewer slots, since anybody can
choose its hosts, and a domain gets only a few of those. A request that finds no slot is refused at once, to come
again. Of the requests that wait, a fixed number fetch at the same time.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from serving.identity.dids import HttpTarget, is_web, web_target
from serving.identity.fetch import DEADLINE_SECONDS, Fetcher, FetchError, FetchRefusedError
from serving.identity.key_store import KeyStore
from serving.identity.keys import KeyDocumentError, SigningKey, signing_key

FRESH_SECONDS = 3600.0
STALE_SECONDS = 24 * 3600.0
ABSENT_SECONDS = 60.0
RETRY_SECONDS = 30.0  # after a failed refresh, or a host that does not answer
FORCED_SECONDS = 60.0  # between two forced refreshes of one DID
FORCED_PER_MINUTE = 60  # forced refreshes of all DIDs together
TURN_SECONDS = 1.5  # of waiting for a turn to fetch; with the fetch itself still within a client's patience
DOMAIN_SLOTS = 3  # of the slots for did:web, those that wait for one domain
FAILURES_MAX = 20_000


class DidUnknownError(Exception):
    """The DID does not exist, or its document can't be used; asking again soon would not help."""


class DidUnreachableError(Exception):
    """The document can't be fetched just now."""


class DidBusyError(DidUnreachableError):
    """There was no slot to ask for the document; this says nothing about its source."""


class KeyResolver(Protocol):
    """Where signing keys come from."""

    def signing_key(self, did: str) -> SigningKey:
        """Return a DID's key; raise DidUnknownError or DidUnreachableError."""

    def refreshed_key(self, did: str) -> SigningKey | None:
        """Return a DID's key if it has changed, else None; None also when the question comes too often."""


@dataclass(slots=True)
class KeySource:
    """One kind of DID: where its documents are, how they are fetched, and how many requests may wait for them.

    ``slots`` are for requests that wait, ``fetching`` for those of them that fetch. ``trusted``: the operator chose the
    source, so a 404 of it means that the DID does not exist. A host that is not trusted may answer anything, which
    means the same.
    """

    target: Callable[[str], HttpTarget]
    fetcher: Fetcher
    slots: threading.Semaphore
    keys_max: int
    trusted: bool
    store: KeyStore | None = None
    fetching: threading.Semaphore | None = None
    keys: "OrderedDict[str, _CachedKey]" = field(default_factory=OrderedDict)
    waiting: Counter[str] = field(default_factory=Counter)  # requests that hold slots, by domain


@dataclass(slots=True)
class _CachedKey:
    key: SigningKey
    fetched: float
    tried: float


KeyOrError = SigningKey | DidUnknownError | DidUnreachableError


@dataclass(slots=True)
class _Failure:
    error: DidUnknownError | DidUnreachableError
    until: float


@dataclass(slots=True)
class _Flight:
    done: threading.Event = field(default_factory=threading.Event)
    result: KeyOrError | None = None


class Resolver:
    """Resolves did:plc and did:web to signing keys; every method may be called from any thread."""

    def __init__(self, sources: Mapping[str, KeySource], *, now: Callable[[], float] = time.time) -> None:
        self._sources = sources
        self._now = now
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, _Failure] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._forced_minute, self._forced = 0, 0

    def open(self) -> None:
        """Open the stored keys, so that no request has to."""
        for source in self._sources.values():
            if source.store is not None:
                source.store.key_of("")

    def signing_key(self, did: str) -> SigningKey:
        """Return a DID's key, at most 24 hours old; raise DidUnknownError or DidUnreachableError."""
        source, now = self._source(did), self._now()
        if source.store is not None and did not in source.keys and did not in self._failures:
            self._recall(did, source)
        with self._lock:
            cached = source.keys.get(did)
            if cached is not None:
                source.keys.move_to_end(did)
                age = now - cached.fetched
                if age < FRESH_SECONDS or (age < STALE_SECONDS and now - cached.tried < RETRY_SECONDS):
                    return cached.key
            else:
                failure = self._failures.get(did)
                if failure is not None and now < failure.until:
                    raise failure.error
        try:
            return self._load(did, source)
        except DidUnreachableError:
            if cached is not None and now - cached.fetched < STALE_SECONDS:
                return cached.key
            raise

    def refreshed_key(self, did: str) -> SigningKey | None:
        """Return a DID's key if it has changed, else None; looks at most once a minute for each DID."""
        source, now = self._source(did), self._now()
        with self._lock:
            cached = source.keys.get(did)
            if cached is None or now - cached.tried < FORCED_SECONDS or not self._may_force(now):
                return None
            old = cached.key
        try:
            key = self._load(did, source)
        except (DidUnknownError, DidUnreachableError):
            return None
        return None if key == old else key

    def _recall(self, did: str, source: KeySource) -> None:
        found = source.store.key_of(did) if source.store is not None else None
        if found is not None:
            key, fetched = found
            with self._lock:
                source.keys.setdefault(did, _CachedKey(key, fetched, fetched))
                self._trim(source)

    @staticmethod
    def _trim(source: KeySource) -> None:
        if len(source.keys) > source.keys_max:
            source.keys.popitem(last=False)

    def _may_force(self, now: float) -> bool:
        minute = int(now // 60)
        if minute != self._forced_minute:
            self._forced_minute, self._forced = minute, 0
        self._forced += 1
        return self._forced <= FORCED_PER_MINUTE

    def _source(self, did: str) -> KeySource:
        return self._sources["web" if is_web(did) else "plc"]

    def _load(self, did: str, source: KeySource) -> SigningKey:
        # Requests that wait for another's fetch hold a slot too: the waiting thread is what is scarce.
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
                    self._store(did, source, flight.result)
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
        raise flight.result or DidUnreachableError("the DID document can't be fetched")

    def _fetch_in_turn(self, did: str, source: KeySource) -> KeyOrError:
        if source.fetching is None:
            return self._fetch(did, source)
        if not source.fetching.acquire(timeout=TURN_SECONDS):
            return DidBusyError("too many DID documents are being fetched")
        try:
            return self._fetch(did, source)
        finally:
            source.fetching.release()

    def _fetch(self, did: str, source: KeySource) -> KeyOrError:
        try:
            answer = source.fetcher.get(source.target(did))
        except FetchRefusedError as error:
            return DidUnknownError(str(error))
        except FetchError as error:
            return DidUnreachableError(str(error))
        if answer.status in (404, 410) or (300 <= answer.status < 400 and not source.trusted):
            return DidUnknownError("the DID does not exist")
        if answer.status != 200:
            return DidUnreachableError(f"the DID's source answers {answer.status}")
        try:
            return signing_key(orjson.loads(answer.body), did)
        except orjson.JSONDecodeError:
            kind = DidUnreachableError if source.trusted else DidUnknownError
            return kind("the DID document is not JSON")
        except KeyDocumentError as error:
            return DidUnknownError(str(error))

    def _store(self, did: str, source: KeySource, result: KeyOrError) -> None:
        if source.store is not None and isinstance(result, SigningKey):
            source.store.keep(did, result, self._now())
        elif source.store is not None and isinstance(result, DidUnknownError) and did in source.keys:
            source.store.forget(did)

    def _remember(self, did: str, source: KeySource, result: KeyOrError | None) -> None:
        now = self._now()
        cached = source.keys.get(did)
        if isinstance(result, SigningKey):
            source.keys[did] = _CachedKey(result, now, now)
            source.keys.move_to_end(did)
            self._failures.pop(did, None)
            self._trim(source)
            return
        if isinstance(result, DidUnknownError):
            source.keys.pop(did, None)  # a tombstone: the old key is not valid any more
        elif cached is not None:
            cached.tried = now
            return
        if isinstance(result, DidBusyError):
            return  # says nothing about this DID
        error = result or DidUnreachableError("the DID document can't be fetched")
        seconds = ABSENT_SECONDS if isinstance(error, DidUnknownError) else RETRY_SECONDS
        if not isinstance(error, DidUnknownError) and source.trusted:
            seconds = 1.0  # the directory's fault, not this DID's
        self._failures[did] = _Failure(error, now + seconds)
        self._failures.move_to_end(did)
        if len(self._failures) > FAILURES_MAX:
            self._failures.popitem(last=False)
