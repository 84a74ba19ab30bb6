"""Where the repository of a DID is, its latest revision, and pages of its records.

Owns: reading the PDS's address out of a DID document, and single requests of ``com.atproto.sync.getLatestCommit`` and
``com.atproto.repo.listRecords``. Leaves to others: the HTTP exchange and its limits (``fetch``), which addresses are
allowed (``public_addresses``), what the records say, and when to ask again.

A page that is too large is requested again with half the records, and those after it likewise. Every method may be
called from any thread.

Whoever owns the DID chooses both the document and the address in it. So both are fetched over https from public
addresses alone, without redirects, within a deadline and a size. A directory on this machine means a private
network; there, addresses of this machine are allowed instead. Nothing is raised: every failure is an outcome of the
page.
"""

import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

import orjson

from serving.budgets.limits import ByClass
from serving.budgets.takers import registrable
from serving.config import is_loopback
from serving.identity.dids import HttpTarget, is_signer, is_web, plc_target, web_target
from serving.identity.fetch import (
    FetchBusyError,
    Fetcher,
    FetchError,
    FetchRefusedError,
    FetchSlowError,
    FetchTooLargeError,
    HttpAnswer,
)
from serving.identity.lookup_slots import Slots
from serving.identity.public_addresses import is_public

RECORDS_A_PAGE = 50  # of likes, some 30 kB: half of what the fetcher takes
RETRY_SECONDS_MAX = 86_400.0
# Name lookups under way, of many viewers at once: a thread each, which can't be interrupted.
LOOKUPS = ByClass(88, 72)

Outcome = Literal["ok", "absent", "busy", "slow", "unreachable", "no_room", "too_large"]


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One answer: 'ok' with its body, or why there is none.

    'absent': asking again would not help (no such DID, no repository, an address that is not allowed). 'busy': the
    host asks for patience, perhaps of so many seconds. 'slow': there was no whole answer in time. 'unreachable': the
    host does not answer, or not sensibly. 'no_room': there was no request, since too many name lookups are under way.
    'too_large': less may fit.
    """

    outcome: Outcome
    body: bytes = b""
    reason: str = ""
    retry_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DidDocumentFound:
    """A DID's document, as it came: it may be any JSON."""

    content: object


@dataclass(slots=True)
class LocatedRepository:
    """One DID's repository at its host; ``domain`` is what somebody registered, which may have many hosts."""

    did: str
    host: str
    domain: str
    _target: HttpTarget
    _fetcher: Fetcher
    _known: bool
    _limit: int = field(default=RECORDS_A_PAGE)

    def page(self, collection: str, cursor: str | None, seconds: float) -> RecordsPage:
        """Return the page of a collection's records after a cursor; 'absent' when not even one record fits."""
        deadline = time.monotonic() + seconds
        while True:
            query = {"repo": self.did, "collection": collection, "limit": str(self._limit)}
            query |= {"cursor": cursor} if cursor else {}
            found = self._ask("com.atproto.repo.listRecords", query, deadline - time.monotonic())
            if found.outcome != "too_large":
                return found
            if self._limit == 1:
                return RecordsPage("absent", reason=found.reason)
            self._limit //= 2

    def latest_commit(self, seconds: float) -> RecordsPage:
        """Return what the host says of the repository's latest commit: its revision, above all."""
        return self._ask("com.atproto.sync.getLatestCommit", {"did": self.did}, seconds)

    def _ask(self, method: str, query: dict[str, str], seconds: float) -> RecordsPage:
        target = self._target._replace(path=f"/xrpc/{method}?{urlencode(query)}")
        return _get(self._fetcher, target, "the repository", known=self._known, seconds=seconds)


class RepositoryReader:
    """Finds repositories: whose host a DID document names, and what can be read there."""

    def __init__(self, plc_url: str) -> None:
        self._plc_url = plc_url
        self.private = is_loopback(urlsplit(plc_url).hostname or "")
        self._directory = Fetcher(allowed=lambda _address: True, domain_lookups=None)
        allowed = is_loopback if self.private else is_public
        self._hosts = Fetcher(allowed=allowed, _lookups=Slots(LOOKUPS))

    def document_domain(self, did: str) -> str:
        """Return the domain that has a DID's document; empty for what the operator's directory has."""
        if not is_signer(did, loopback=self.private) or not is_web(did):
            return ""
        return self._domain_of(web_target(did))

    def locate(self, did: str, *, known: bool, seconds: float) -> LocatedRepository | RecordsPage:
        """Return a DID's repository, or the answer that is none; ``known`` says that its owner is no stranger."""
        host = self.host_of(did, known=known, seconds=seconds)
        return host if isinstance(host, RecordsPage) else self.at(did, host, known=known)

    def host_of(self, did: str, *, known: bool, seconds: float) -> HttpTarget | RecordsPage:
        """Return where a DID's repository is, likewise; the target has no path."""
        found = self.document(did, known=known, seconds=seconds)
        if isinstance(found, RecordsPage):
            return found
        host = endpoint_of(found.content, did, private=self.private)
        if host is None:
            return RecordsPage(
                "absent", reason="the DID document names no repository host that may be called"
            )
        return host

    def document(self, did: str, *, known: bool, seconds: float) -> "DidDocumentFound | RecordsPage":
        """Return what a DID's document says, or the answer that is none."""
        if not is_signer(did, loopback=self.private):
            return RecordsPage("absent", reason="neither a did:plc nor a did:web that can be fetched")
        if is_web(did):
            page = _get(self._hosts, web_target(did), "the DID document", known=known, seconds=seconds)
        else:
            target = plc_target(self._plc_url, quote(did, safe=":"))
            page = _get(self._directory, target, "the DID document", known=known, seconds=seconds)
        if page.outcome == "too_large":
            return RecordsPage("absent", reason=page.reason)
        if page.outcome != "ok":
            return page
        try:
            return DidDocumentFound(orjson.loads(page.body))
        except orjson.JSONDecodeError:
            return RecordsPage("unreachable", reason="the DID document is not JSON")

    def at(self, did: str, target: HttpTarget, *, known: bool = False) -> LocatedRepository:
        """Return a DID's repository at a host."""
        return LocatedRepository(
            did, f"{target.host}:{target.port}", self._domain_of(target), target, self._hosts, known
        )

    def _domain_of(self, target: HttpTarget) -> str:
        # On a private network every port is somebody's.
        return f"{target.host}:{target.port}" if self.private else registrable(target.host)


def _get(fetcher: Fetcher, target: HttpTarget, what: str, *, known: bool, seconds: float) -> RecordsPage:
    try:
        answer = fetcher.get(target, known=known, seconds=seconds)
    except FetchTooLargeError as error:
        return RecordsPage("too_large", reason=f"{what}: {error}")
    except FetchRefusedError as error:
        return RecordsPage("absent", reason=f"{what}: {error}")
    except FetchSlowError as error:
        return RecordsPage("slow", reason=f"{what}: {error}")
    except FetchBusyError as error:
        return RecordsPage("no_room", reason=f"{what}: {error}")
    except FetchError as error:
        return RecordsPage("unreachable", reason=f"{what}: {error}")
    if answer.status == 200:
        return RecordsPage("ok", answer.body)
    retry_seconds = retry_seconds_of(answer, time.time())
    if answer.status == 429 or (answer.status == 503 and retry_seconds is not None):
        reason = f"{what}: its host asks for patience (status {answer.status})"
        return RecordsPage("busy", reason=reason, retry_seconds=retry_seconds)
    if answer.status in (400, 403, 404, 410):
        return RecordsPage("absent", reason=f"{what}: there is none (status {answer.status})")
    return RecordsPage("unreachable", reason=f"{what}: status {answer.status}")


def retry_seconds_of(answer: HttpAnswer, now: float) -> float | None:
    """Return how long a host wants to be left alone, at most a day; None when it does not say.

    Retry-After has seconds or a date, RateLimit-Reset seconds since 1970.
    """
    text = answer.retry_after.strip()[:64]
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_SECONDS_MAX)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        moment = None
    reset = answer.rate_limit_reset.strip()[:64]
    if moment is None and answer.status == 429 and reset.isascii() and reset.isdigit():
        moment = float(reset)
    return None if moment is None else min(max(moment - now, 0.0), RETRY_SECONDS_MAX)


def endpoint_of(
    document: object,
    did: str,
    *,
    private: bool = False,
    service_of: tuple[str, str] = ("#atproto_pds", "AtprotoPersonalDataServer"),
) -> HttpTarget | None:
    """Return the host of a DID's repository, as its document says; None when it can't be used.

    Another service of the DID has another fragment and type.

    The target has no path. It is https on 443, or on a private network http on a port of this machine.
    """
    if not isinstance(document, Mapping) or document.get("id") != did:
        return None
    services, (fragment, kind) = document.get("service"), service_of
    for service in services if isinstance(services, list) else []:
        if (
            isinstance(service, Mapping)
            and service.get("id") in (fragment, did + fragment)
            and service.get("type") == kind
        ):
            return host_target(service.get("serviceEndpoint"), private=private)
    return None


def host_target(endpoint: object, *, private: bool) -> HttpTarget | None:
    """Return a host that a stranger named, as a target without a path; None when it may not be called."""
    if not isinstance(endpoint, str) or len(endpoint) > 300 or not endpoint.isascii():
        return None
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if not host or parts.path.rstrip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    if any(character.isspace() or not character.isprintable() for character in endpoint):
        return None
    if private and is_loopback(host) and parts.scheme == "http":
        return HttpTarget("http", host, port or 80, "")
    if parts.scheme == "https" and port in (None, 443) and "." in host:
        return HttpTarget("https", host, 443, "")
    return None
