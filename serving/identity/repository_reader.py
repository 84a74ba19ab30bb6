"""Where the repository of a DID is, its latest revision, and pages of its records.

Owns: reading the PDS's address out of a DID document, and single requests of ``com.atproto.sync.getLatestCommit`` and
``com.atproto.repo.listRecords``. Leaves to others: the HTTP exchange and its limits (``fetch``), which addresses are
allowed (``public_addresses``), what the records say, and when to ask again.

Whoever owns the DID chooses both the document and the address in it. So both are fetched over https from public
addresses alone, without redirects, within a deadline and a size. A directory on this machine means a private
network; there, addresses of this machine are allowed instead. Nothing is raised: every failure is an outcome of the
page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

import orjson

from serving.config import is_loopback
from serving.identity.dids import HttpTarget, is_signer, is_web, plc_target, web_target
from serving.identity.fetch import Fetcher, FetchError, FetchRefusedError
from serving.identity.public_addresses import is_public

PAGE_SECONDS = 8.0
RECORDS_A_PAGE = 50  # of likes, some 30 kB: half of what the fetcher takes

Outcome = Literal["ok", "absent", "busy", "unreachable"]


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One answer: 'ok' with its body, or why there is none.

    'absent': asking again would not help (no such DID, no repository, an address that is not allowed). 'busy': the
    host asks for patience. 'unreachable': the host does not answer, or not sensibly.
    """

    outcome: Outcome
    body: bytes = b""
    reason: str = ""


class RepositoryReader:
    """Reads pages of records, newest first; remembers where the last DID's repository is."""

    def __init__(self, plc_url: str, *, page_seconds: float = PAGE_SECONDS) -> None:
        self._plc_url = plc_url
        self._private = is_loopback(urlsplit(plc_url).hostname or "")
        self._directory = Fetcher(allowed=lambda _address: True, domain_lookups=None)
        allowed = is_loopback if self._private else is_public
        self._hosts = Fetcher(allowed=allowed, deadline_seconds=page_seconds)
        self._last: tuple[str, HttpTarget] | None = None

    def __call__(self, did: str, collection: str, cursor: str | None) -> RecordsPage:
        """Return the page after a cursor of a DID's records."""
        query = {"repo": did, "collection": collection, "limit": str(RECORDS_A_PAGE)}
        return self._ask(did, "com.atproto.repo.listRecords", query | ({"cursor": cursor} if cursor else {}))

    def latest_commit(self, did: str) -> RecordsPage:
        """Return what the host says of a repository's latest commit: its revision, above all."""
        return self._ask(did, "com.atproto.sync.getLatestCommit", {"did": did})

    def _ask(self, did: str, method: str, query: dict[str, str]) -> RecordsPage:
        if self._last is None or self._last[0] != did:
            found = self._locate(did)
            if isinstance(found, RecordsPage):
                return found
            self._last = (did, found)
        target = self._last[1]._replace(path=f"/xrpc/{method}?{urlencode(query)}")
        return self._get(self._hosts, target, "the repository")

    def _locate(self, did: str) -> HttpTarget | RecordsPage:
        if not is_signer(did, loopback=self._private):
            return RecordsPage("absent", reason="neither a did:plc nor a did:web that can be fetched")
        if is_web(did):
            page = self._get(self._hosts, web_target(did), "the DID document")
        else:
            page = self._get(
                self._directory, plc_target(self._plc_url, quote(did, safe=":")), "the DID document"
            )
        if page.outcome != "ok":
            return page
        try:
            document = orjson.loads(page.body)
        except orjson.JSONDecodeError:
            return RecordsPage("unreachable", reason="the DID document is not JSON")
        host = endpoint_of(document, did, private=self._private)
        return host or RecordsPage(
            "absent", reason="the DID document names no repository host that may be called"
        )

    @staticmethod
    def _get(fetcher: Fetcher, target: HttpTarget, what: str) -> RecordsPage:
        try:
            answer = fetcher.get(target)
        except FetchRefusedError as error:
            return RecordsPage("absent", reason=f"{what}: {error}")
        except FetchError as error:
            return RecordsPage("unreachable", reason=f"{what}: {error}")
        if answer.status == 200:
            return RecordsPage("ok", answer.body)
        if answer.status == 429:
            return RecordsPage("busy", reason=f"{what}: its host asks for patience (status 429)")
        if answer.status in (400, 403, 404, 410):
            return RecordsPage("absent", reason=f"{what}: there is none (status {answer.status})")
        return RecordsPage("unreachable", reason=f"{what}: status {answer.status}")


def endpoint_of(document: object, did: str, *, private: bool = False) -> HttpTarget | None:
    """Return the host of a DID's repository, as its document says; None when it can't be used.

    The target has no path. It is https on 443, or on a private network http on a port of this machine.
    """
    if not isinstance(document, Mapping) or document.get("id") != did:
        return None
    services = document.get("service")
    for service in services if isinstance(services, list) else []:
        if (
            isinstance(service, Mapping)
            and service.get("id") in ("#atproto_pds", f"{did}#atproto_pds")
            and service.get("type") == "AtprotoPersonalDataServer"
        ):
            return _target(service.get("serviceEndpoint"), private=private)
    return None


def _target(endpoint: object, *, private: bool) -> HttpTarget | None:
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
