"""Where the repository of a DID is, and pages of its records.

Owns: reading the PDS's address out of a DID document, and one ``com.atproto.repo.listRecords`` request.
Leaves to others: the HTTP exchange and its limits (``fetch``), which addresses are allowed (``addresses``),
what the records say, and when to ask again.

Both the document and the address in it are chosen by whoever owns the DID, so both are fetched as such: over
https from public addresses alone, without redirects, within a deadline and a size. On a private network, told
by a directory on this machine, addresses of this machine are allowed instead. Nothing is raised: whatever
happens is an outcome of the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

import orjson

from serving.config import is_loopback
from serving.identity import addresses
from serving.identity.dids import Target, is_signer, is_web, plc_target, web_target
from serving.identity.fetch import Fetcher, FetchError, FetchRefusedError

PAGE_SECONDS = 8.0
RECORDS_A_PAGE = 50  # of likes, some 30 kB: half of what the fetcher takes

Outcome = Literal["ok", "absent", "busy", "unreachable"]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: 'ok' with its body, or why there is none.

    'absent': asking again would not help (no such DID, no repository, an address that is not allowed); 'busy': the
    host asks for patience; 'unreachable': it does not answer, or nonsense.
    """

    outcome: Outcome
    body: bytes = b""
    reason: str = ""


class RepositoryReader:
    """Reads pages of records, newest first; remembers where the repository of the last DID is."""

    def __init__(self, plc_url: str, *, page_seconds: float = PAGE_SECONDS) -> None:
        self._plc_url = plc_url
        self._private = is_loopback(urlsplit(plc_url).hostname or "")
        self._directory = Fetcher(allowed=lambda _address: True)
        allowed = is_loopback if self._private else addresses.is_public
        self._hosts = Fetcher(allowed=allowed, deadline_seconds=page_seconds)
        self._last: tuple[str, Target] | None = None

    def __call__(self, did: str, collection: str, cursor: str | None) -> Page:
        """Return the page after a cursor of a DID's records."""
        if self._last is None or self._last[0] != did:
            found = self._locate(did)
            if isinstance(found, Page):
                return found
            self._last = (did, found)
        host = self._last[1]
        query = {"repo": did, "collection": collection, "limit": str(RECORDS_A_PAGE)}
        path = "/xrpc/com.atproto.repo.listRecords?" + urlencode(
            query | ({"cursor": cursor} if cursor else {})
        )
        return self._get(self._hosts, Target(host.scheme, host.host, host.port, path), "the repository")

    def _locate(self, did: str) -> Target | Page:
        if not is_signer(did, loopback=self._private):
            return Page("absent", reason="it is no did:plc, nor a did:web that can be fetched")
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
            return Page("unreachable", reason="the DID document is not JSON")
        host = endpoint_of(document, did, private=self._private)
        return host or Page("absent", reason="the DID document names no repository host that can be asked")

    @staticmethod
    def _get(fetcher: Fetcher, target: Target, what: str) -> Page:
        try:
            answer = fetcher.get(target)
        except FetchRefusedError as error:
            return Page("absent", reason=f"{what}: {error}")
        except FetchError as error:
            return Page("unreachable", reason=f"{what}: {error}")
        if answer.status == 200:
            return Page("ok", answer.body)
        if answer.status == 429:
            return Page("busy", reason=f"{what}: its host asks for patience (status 429)")
        if answer.status in (400, 403, 404, 410):
            return Page("absent", reason=f"{what}: there is none (status {answer.status})")
        return Page("unreachable", reason=f"{what}: status {answer.status}")


def endpoint_of(document: object, did: str, *, private: bool = False) -> Target | None:
    """Return the host of a DID's repository as its document has it; None when none can be used.

    A scheme and a host name alone: https on 443, or on a private network http on a port of this machine.
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


def _target(endpoint: object, *, private: bool) -> Target | None:
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
        return Target("http", host, port or 80, "")
    if parts.scheme == "https" and port in (None, 443) and "." in host:
        return Target("https", host, 443, "")
    return None
