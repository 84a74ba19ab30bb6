"""This service and its publisher as the rest of the network sees them.

Owns: fetching DID documents, and did.json at the public address, and saying plainly what is wrong with them. Leaves
to others: writing the feed's record (``command``), checking a whole installation (``doctor``). Answers are read with
care, for whoever runs a host decides what it sends.
"""

import ssl
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import orjson
from atproto import DidDocument

from pipeline.errors import PipelineError
from pipeline.settings import Settings

TIMEOUT_SECONDS = 10.0
BODY_MAX_BYTES = 1_000_000
FEED_COLLECTION = "app.bsky.feed.generator"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class OutsideError(PipelineError):
    """Something that others must be able to reach is missing, or is not as it should be."""


def http_client() -> httpx.Client:
    """Return a client that follows no redirects, as Bluesky's servers follow none."""
    return httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False)


def public_url(hostname: str) -> str:
    """Return the address of a host name: https, but http on the loopback network of tests."""
    scheme = "http" if hostname.partition(":")[0] in _LOOPBACK else "https"
    return f"{scheme}://{hostname}"


def fetch(client: httpx.Client, url: str, **options: Any) -> httpx.Response:
    """GET an address; OutsideError when there is no answer at all."""
    try:
        return client.get(url, **options)
    except httpx.HTTPError as error:
        raise OutsideError(f"{url} can't be reached: {why(error)}") from error


def why(error: BaseException) -> str:
    """Say in plain words why a request got no answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its TLS certificate is not valid ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {TIMEOUT_SECONDS:.0f} seconds"
    return str(error) or type(error).__name__


def fetch_json(client: httpx.Client, url: str, what: str) -> dict[str, Any]:
    """GET a JSON object; OutsideError naming ``what`` it should have been."""
    answer = fetch(client, url)
    if answer.is_redirect:
        goal = answer.headers.get("location", "elsewhere")
        raise OutsideError(f"{what} at {url} redirects to {goal}; Bluesky does not follow redirects there")
    if answer.status_code != 200:
        raise OutsideError(f"{what} at {url} answers status {answer.status_code} instead of 200")
    try:
        found = orjson.loads(answer.content) if len(answer.content) <= BODY_MAX_BYTES else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OutsideError(f"{what} at {url} is not a JSON object")
    return found


def did_document(client: httpx.Client, did: str, plc_url: str) -> DidDocument:
    """Return a DID's document, from the PLC directory or from its host; OutsideError when there is none.

    atproto's own resolver does not say what is wrong: a redirect or another DID's document is simply no document.
    """
    if did.startswith("did:plc:"):
        url = f"{plc_url}/{quote(did, safe=':')}"
    elif did.startswith("did:web:"):
        url = f"{public_url(unquote(did.removeprefix('did:web:')))}/.well-known/did.json"
    else:
        raise OutsideError(f"{did} is neither a did:plc nor a did:web; Bluesky knows no others")
    found = fetch_json(client, url, f"the document of {did}")
    try:
        document = DidDocument.from_dict(found)
    except ValueError as error:
        raise OutsideError(f"{url} is not a DID document") from error
    if document.id != did:
        raise OutsideError(f"{url} is the document of {document.id!r} instead of {did}")
    return document


def repository_host(client: httpx.Client, did: str, plc_url: str) -> str:
    """Return the address of the PDS that holds a DID's repository."""
    endpoint = did_document(client, did, plc_url).get_pds_endpoint()
    if endpoint is None:
        raise OutsideError(
            f"{did} has no repository (its document names no #atproto_pds): FORYOU_PUBLISHER_DID must be the DID of "
            "a Bluesky account"
        )
    parts = urlsplit(endpoint)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise OutsideError(f"the repository of {did} is at {endpoint!r}: only https is safe for a password")
    return str(endpoint).rstrip("/")


def check_service(client: httpx.Client, settings: Settings) -> None:
    """Check that the document of FORYOU_SERVICE_DID leads Bluesky to this installation.

    Raises OutsideError for what makes a published feed fail in the app: no document, a redirect, another DID, no
    feed service, an address that is not this host's, http, a path in it, another program behind it.
    """
    base = public_url(settings.hostname)
    endpoint = did_document(client, settings.service_did, settings.plc_url).get_feed_gen_endpoint()
    where = f"the document of {settings.service_did}"
    if endpoint is None:
        raise OutsideError(f"{where} names no service #bsky_fg of type BskyFeedGenerator with an address")
    if endpoint != base:
        raise OutsideError(
            f"{where} sends Bluesky to {endpoint!r}; it must be exactly {base!r} "
            "(https, no path, no port), or FORYOU_HOSTNAME is wrong"
        )
    url = f"{base}/xrpc/app.bsky.feed.describeFeedGenerator"
    described = fetch_json(client, url, "the description of this service")
    if described.get("did") != settings.service_did:
        raise OutsideError(
            f"the program at {base} says it is {described.get('did')!r} instead of {settings.service_did}: "
            "another program answers there, or it runs with other settings"
        )
    feeds = described.get("feeds")
    uris = [feed.get("uri") for feed in feeds if isinstance(feed, dict)] if isinstance(feeds, list) else []
    if settings.feed_uri not in uris:
        raise OutsideError(
            f"the program at {base} does not serve {settings.feed_uri}, only {', '.join(map(str, uris)) or 'nothing'}: "
            "FORYOU_PUBLISHER_DID or FORYOU_FEED_RKEY differs between here and there"
        )
