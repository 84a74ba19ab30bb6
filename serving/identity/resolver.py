"""The signing key of a DID, from memory or from its document.

Owns: the caches, how long each kind of answer is believed, single flight, and the bounds on how many requests may
wait for documents. Leaves to others: the HTTP exchange (``fetch``) and reading the document (``keys``).

A key is fresh for an hour, or until the stream says that its DID's document changed; then it is refreshed. While that
fails the old key is used, up to 24 hours, so a directory that is down stops newcomers only. A DID that does not exist
is remembered for a minute, in a cache of its own, so invented DIDs can't push out real viewers' keys. Nor can
strangers' keys push out those of the known. Keys of did:plc are on disk too (``key_store``), so after a restart the
directory is needed for newcomers only.

Requests that wait for a document hold one of a fixed number of slots, of which strangers get a part. did:web has fewer
slots, since anybody can choose its hosts, and a registrable domain gets only a few of those. A request that finds no
slot is refused at once, to come again. Of the requests that wait, a fixed number fetch at the same time. What is
requested in vain has a budget (``lookup_slots``).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from serving.budgets.limits import FAILURES_MAX, ByClass
from serving.budgets.takers import registrable
from serving.identity.dids import HttpTarget, is_web, web_target
from serving.identity.fetch import DEADLINE_SECONDS, Fetcher, FetchError, FetchRefusedError
from serving.identity.key_store import KeyStore
from serving.identity.keys import KeyDocumentError, SigningKey, signing_key
from serving.identity.lookup_slots import DomainSlots, QuestionBudget, Slots

FRESH_SECONDS = 3600.0
STALE_SECONDS = 24 * 3600.0
ABSENT_SECONDS = 60.0
RETRY_SECONDS = 30.0  # after a failed refresh, or a host that does not answer
FORCED_SECONDS = 60.0  # between two forced refreshes of one DID
TURN_SECONDS = 1.5  # of waiting for a turn to fetch; with the fetch itself still within a client's patience
_BUSY = "too many requests are waiting for DID documents"


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
    slots: Slots
    keys_max: ByClass[int]
    trusted: bool
    store: KeyStore | None = None
    fetching: Slots | None = None
    known_keys: "OrderedDict[str, _CachedKey]" = field(default_factory=OrderedDict)
    strangers_keys: "OrderedDict[str, _CachedKey]" = field(default_factory=OrderedDict)
    domains: DomainSlots = field(default_factory=DomainSlots)

    def key_of(self, did: str) -> "_CachedKey | None":
        """Return a key in memory, which counts as used."""
        for keys in (self.known_keys, self.strangers_keys):
            if did in keys:
                keys.move_to_end(did)
                return keys[did]
        return None

    def keep(self, did: str, cached: "_CachedKey", *, known: bool) -> None:
        """Keep a key in its class's part of the memory, and drop the one used least recently if there are too many."""
        self.forget(did)
        keys = self.known_keys if known else self.strangers_keys
        keys[did] = cached
        if len(keys) > self.keys_max.of(known):
            keys.popitem(last=False)

    def forget(self, did: str) -> bool:
        """Forget a key; tell whether it was in memory."""
        known, stranger = self.known_keys.pop(did, None), self.strangers_keys.pop(did, None)
        return known is not None or stranger is not None


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

    def __init__(
        self,
        sources: Mapping[str, KeySource],
        *,
        now: Callable[[], float] = time.time,
        is_known: Callable[[str], bool] = lambda _did: False,
        budget: QuestionBudget | None = None,
        changed: Callable[[str], float] = lambda _did: 0.0,
    ) -> None:
        """``changed`` says when a DID's document last changed, in seconds since 1970, 0 where nobody knows."""
        self._sources = sources
        self._now = now
        self._is_known = is_known
        self._changed = changed
        self._budget = budget or QuestionBudget(now)
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, _Failure] = OrderedDict()
        self._flights: dict[str, _Flight] = {}

    def open(self) -> None:
        """Open the stored keys and read the list of public suffixes, so that no request has to."""
        registrable("example.com")
        for source in self._sources.values():
            if source.store is not None:
                source.store.key_of("")

    def signing_key(self, did: str) -> SigningKey:
        """Return a DID's key, at most 24 hours old; raise DidUnknownError or DidUnreachableError."""
        source, now = self._source(did), self._now()
        with self._lock:
            is_new = source.key_of(did) is None and did not in self._failures
        if is_new:
            self._recall(did, source)
        changed = self._changed(did)
        with self._lock:
            cached = source.key_of(did)
            if cached is not None:
                age = now - cached.fetched
                is_fresh = age < FRESH_SECONDS and changed < cached.fetched
                # A refresh since the change failed: the old key has to do for a moment.
                failed_lately = now - cached.tried < RETRY_SECONDS and changed < cached.tried
                if is_fresh or (age < STALE_SECONDS and failed_lately):
                    return cached.key
            else:
                failure = self._failures.get(did)
                if failure is not None and now < failure.until:
                    raise _copy_of(failure.error)
        known = self._is_known(did)
        try:
            if cached is None and source.trusted and not self._budget.may_look_up(known=known):
                raise DidBusyError("too many DIDs that do not exist were asked for; try again in a minute")
            return self._load(did, source, known)
        except DidUnreachableError:
            if cached is not None and now - cached.fetched < STALE_SECONDS:
                return cached.key
            raise

    def refreshed_key(self, did: str) -> SigningKey | None:
        """Return a DID's key if it has changed, else None; looks at most once a minute for each DID."""
        source, now = self._source(did), self._now()
        with self._lock:
            cached = source.key_of(did)
        if cached is None or now - cached.tried < FORCED_SECONDS:
            return None
        known = self._is_known(did)
        if not self._budget.may_refresh(known=known):
            return None
        try:
            key = self._load(did, source, known)
        except DidBusyError:
            return None
        except (DidUnknownError, DidUnreachableError):
            key = cached.key
        if key == cached.key:
            self._budget.was_same(known=known)
            return None
        return key

    def _recall(self, did: str, source: KeySource) -> None:
        found = source.store.key_of(did) if source.store is not None else None
        if found is not None:
            key, fetched = found
            known = self._is_known(did)
            with self._lock:
                if source.key_of(did) is None:
                    source.keep(did, _CachedKey(key, fetched, fetched), known=known)

    def _source(self, did: str) -> KeySource:
        return self._sources["web" if is_web(did) else "plc"]

    def _load(self, did: str, source: KeySource, known: bool) -> SigningKey:
        # Requests that wait for another's fetch hold a slot too: the waiting thread is what is scarce.
        domain = "" if source.trusted else registrable(web_target(did).host)
        if not source.trusted and not source.domains.acquire(domain):
            raise DidBusyError(_BUSY)
        try:
            if not source.slots.acquire(known=known):
                raise DidBusyError(_BUSY)
            try:
                result = self._wait(did, source, known)
            finally:
                source.slots.release(known=known)
        finally:
            if not source.trusted:
                source.domains.release(domain)
        if isinstance(result, SigningKey):
            return result
        raise _copy_of(result or DidUnreachableError("the DID document can't be fetched"))

    def _wait(self, did: str, source: KeySource, known: bool) -> KeyOrError | None:
        """Fetch a document, or wait for the request that fetches it."""
        with self._lock:
            flight = self._flights.get(did)
            leads = flight is None
            if flight is None:
                flight = self._flights[did] = _Flight()
        if not leads:
            flight.done.wait(DEADLINE_SECONDS + TURN_SECONDS)
            return flight.result
        try:
            flight.result = self._fetch_in_turn(did, source, known)
            self._store(did, source, flight.result)
            if source.trusted and not known and isinstance(flight.result, DidUnknownError):
                self._budget.was_absent()
        finally:
            with self._lock:
                self._remember(did, source, flight.result, known)
                del self._flights[did]
            flight.done.set()
        return flight.result

    def _fetch_in_turn(self, did: str, source: KeySource, known: bool) -> KeyOrError:
        if source.fetching is None:
            return self._fetch(did, source, known)
        if not source.fetching.acquire(known=known, seconds=TURN_SECONDS):
            return DidBusyError("too many DID documents are being fetched")
        try:
            return self._fetch(did, source, known)
        finally:
            source.fetching.release(known=known)

    def _fetch(self, did: str, source: KeySource, known: bool) -> KeyOrError:
        try:
            answer = source.fetcher.get(source.target(did), known=known)
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
        elif source.store is not None and isinstance(result, DidUnknownError):
            source.store.forget(did)

    def _remember(self, did: str, source: KeySource, result: KeyOrError | None, known: bool) -> None:
        now = self._now()
        cached = source.key_of(did)
        if isinstance(result, SigningKey):
            source.keep(did, _CachedKey(result, now, now), known=known)
            self._failures.pop(did, None)
            return
        if isinstance(result, DidUnknownError):
            source.forget(did)  # a tombstone: the old key is not valid any more
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


def _copy_of(error: DidUnknownError | DidUnreachableError) -> DidUnknownError | DidUnreachableError:
    """Return an error to raise in the place of one that is kept: a raised error holds its request's whole stack."""
    return type(error)(*error.args)
