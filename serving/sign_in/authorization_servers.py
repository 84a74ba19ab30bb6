"""Which authorization server speaks for a DID, and where its endpoints are.

Owns: the way from a DID to its host and to its issuer, what metadata must say, and that everything is at the issuer.
Leaves to others: the DID's document (``identity.repository_reader``), and the HTTP exchange (``identity.fetch``).

A stranger chose each of these hosts. So each is https at a public address, or on a private network at this machine, and
every endpoint is a path at the issuer: what is sent to it goes nowhere else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serving.identity.dids import HttpTarget
from serving.identity.fetch import Fetcher, FetchError
from serving.identity.repository_reader import RecordsPage, RepositoryReader, host_target

RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
SECONDS = 3.0  # a request
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]{0,300}", re.ASCII)
# What the specification demands of a server, and this client needs.
_LISTED = {
    "response_types_supported": "code",
    "grant_types_supported": "authorization_code",
    "code_challenge_methods_supported": "S256",
    "scopes_supported": "atproto",
    "dpop_signing_alg_values_supported": "ES256",
}
_TRUE = (
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
    "client_id_metadata_document_supported",
)


class SignInError(Exception):
    """Somebody can't be signed in; the text says why, for the page."""


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """An issuer and the paths of its endpoints; ``host`` is where they are, without a path."""

    issuer: str
    host: HttpTarget
    authorization: str
    pushed: str
    token: str
    revocation: str = ""


class AuthorizationServers:
    """Finds authorization servers; may be used from any thread."""

    def __init__(self, repositories: RepositoryReader, fetcher: Fetcher, *, private: bool) -> None:
        self._repositories = repositories
        self._fetcher = fetcher
        self._private = private

    def host_of(self, did: str) -> HttpTarget:
        """Return the host that has a DID's repository, as its document says; raise SignInError."""
        host = self._repositories.host_of(did, known=False, seconds=SECONDS)
        if isinstance(host, RecordsPage):
            raise SignInError(f"this account's server can't be found: {host.reason}")
        return host

    def server_of(self, host: HttpTarget) -> AuthorizationServer:
        """Return the server that speaks for the accounts of a host; raise SignInError."""
        resource = self._document(host, RESOURCE)
        issuers = resource.get("authorization_servers")
        if resource.get("resource") != origin_of(host) or not isinstance(issuers, list) or len(issuers) != 1:
            raise SignInError("this account's server does not say which server signs in its people")
        return self.at(issuers[0])

    def at(self, issuer: object) -> AuthorizationServer:
        """Return the server with an issuer's name, checked; raise SignInError."""
        host = self.host_at(issuer)
        stated = self._document(host, SERVER)
        if stated.get("issuer") != issuer:
            raise SignInError("the server that signs in this account names another server")
        missing = [name for name, value in _LISTED.items() if value not in _texts(stated.get(name))]
        missing += [name for name in _TRUE if stated.get(name) is not True]
        if missing:
            raise SignInError(f"the server that signs in this account lacks {missing[0]}")
        return AuthorizationServer(
            str(issuer),
            host,
            _path(stated, "authorization_endpoint", str(issuer)),
            _path(stated, "pushed_authorization_request_endpoint", str(issuer)),
            _path(stated, "token_endpoint", str(issuer)),
            _path(stated, "revocation_endpoint", str(issuer)) if "revocation_endpoint" in stated else "",
        )

    def host_at(self, issuer: object) -> HttpTarget:
        """Return the host with an issuer's name; raise SignInError when it may not be called."""
        host = host_target(issuer, private=self._private)
        if host is None or origin_of(host) != issuer:
            raise SignInError("the server that signs in this account has an address that can't be used")
        return host

    def _document(self, host: HttpTarget, path: str) -> Mapping[str, Any]:
        try:
            answer = self._fetcher.get(host._replace(path=path), seconds=SECONDS)
        except FetchError as error:
            raise SignInError(f"{host.host} can't be reached: {error}") from error
        try:
            document = orjson.loads(answer.body) if answer.status == 200 else None
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise SignInError(f"{host.host} does not say how its people sign in (status {answer.status})")
        return document


def origin_of(host: HttpTarget) -> str:
    """Return a host as the start of an address."""
    usual = 443 if host.scheme == "https" else 80
    return f"{host.scheme}://{host.host}" + ("" if host.port == usual else f":{host.port}")


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _path(stated: Mapping[str, Any], name: str, issuer: str) -> str:
    address = stated.get(name)
    path = address.removeprefix(issuer) if isinstance(address, str) and address.startswith(issuer) else ""
    if _PATH.fullmatch(path) is None:
        raise SignInError(f"the server that signs in this account has its {name} elsewhere")
    return path
