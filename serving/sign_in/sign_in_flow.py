"""Signing in: from what somebody types to a DID that their server vouches for.

Owns: the order of the exchange, its secrets, and every check of the answer. Leaves to others: finding the server
(``authorization_servers``), proofs (``proofs``), storage (``session_store``), pages and cookies.

    begin    handle -> DID -> host -> issuer; a pushed request with PKCE and DPoP; the browser goes to the issuer
    finish   the issuer sends the browser back; the code becomes a token, whose subject must be the DID of the beginning

Invariants: an answer is taken once, from the browser that began, in time, and from the issuer that it went to. The
token is never used or stored: its subject is all that is wanted, and it is revoked at once.
"""

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
from joserfc.jwk import ECKey

from serving.identity.dids import HttpTarget
from serving.identity.fetch import Fetcher, FetchError, HttpAnswer
from serving.identity.handles import HandleError, Handles
from serving.sign_in.authorization_servers import (
    AuthorizationServer,
    AuthorizationServers,
    SignInError,
    origin_of,
)
from serving.sign_in.oauth_client import SCOPE, OAuthClient
from serving.sign_in.proofs import key_of, new_key, private_text, proof
from serving.sign_in.session_store import BegunSignIn, SessionStore, hash_of

SECONDS = 5.0  # a request to an issuer
CODE_MAX = 4096
NONCE_MAX = 512
_NOT_OURS = "this sign-in is not known here, was used before, or took too long: begin again"
_REQUEST_URI_MAX = 500
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


class BegunAt(NamedTuple):
    """Where a browser goes on, and whom it signs in."""

    address: str
    did: str
    issuer: str


class SignInFlow:
    """Signs people in; may be used from any thread."""

    def __init__(
        self,
        client: OAuthClient,
        store: SessionStore,
        servers: AuthorizationServers,
        handles: Handles,
        fetcher: Fetcher,
        now: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._servers = servers
        self._handles = handles
        self._fetcher = fetcher
        self._now = now

    def begin(self, typed: str, browser: str) -> BegunAt:
        """Begin a sign-in for the browser that has a secret; raise SignInError."""
        try:
            did = self._handles.did_of(typed)
        except HandleError as error:
            raise SignInError(str(error)) from error
        server = self._servers.server_of(self._servers.host_of(did))
        state, verifier, key = secrets.token_urlsafe(32), secrets.token_urlsafe(48), new_key()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        form = {
            "response_type": "code",
            "redirect_uri": self._client.redirect_uri,
            "scope": SCOPE,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": did,
        }
        answer, nonce = self._post(server.host, server.issuer, server.pushed, form, key, "")
        request_uri = answer.get("request_uri")
        if not isinstance(request_uri, str) or not _is_plain(request_uri, _REQUEST_URI_MAX):
            raise SignInError("the server that signs in this account did not take the request")
        begun = BegunSignIn(
            hash_of(browser),
            did,
            server.issuer,
            server.token,
            server.revocation,
            verifier,
            private_text(key),
            nonce,
            int(self._now() * 1e6),
        )
        self._store.begin(state, begun)
        query = urlencode({"client_id": self._client.client_id, "request_uri": request_uri})
        return BegunAt(f"{server.issuer}{server.authorization}?{query}", did, server.issuer)

    def finish(self, answered: Mapping[str, str], browser: str) -> str:
        """Return the DID that an answer signs in; raise SignInError."""
        begun = self._store.take(answered.get("state", ""), self._now())
        if begun is None or not hmac.compare_digest(begun.browser_hash, hash_of(browser)):
            raise SignInError(_NOT_OURS)
        if answered.get("iss") != begun.issuer:
            raise SignInError("another server answered than that of this account")
        if "error" in answered:
            raise SignInError("the server that signs in this account said no, or you did")
        code = answered.get("code", "")
        if not _is_plain(code, CODE_MAX):
            raise SignInError("the answer has no code")
        server, key = self._server_of(begun), key_of(begun.proof_key)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": begun.verifier,
        }
        token, nonce = self._post(server.host, server.issuer, server.token, form, key, begun.nonce)
        try:
            _check(token, begun.did)
        finally:
            self._revoke(server, token, key, nonce)
        # The account may have moved since: only the server that speaks for it now may say who it is.
        if self._servers.server_of(self._servers.host_of(begun.did)).issuer != begun.issuer:
            raise SignInError("another server speaks for this account now")
        return begun.did

    def _server_of(self, begun: BegunSignIn) -> AuthorizationServer:
        found = self._servers.host_at(begun.issuer)
        return AuthorizationServer(
            begun.issuer, found, "", "", begun.token_endpoint, begun.revocation_endpoint
        )

    def _post(
        self, host: HttpTarget, issuer: str, path: str, form: Mapping[str, str], key: ECKey, nonce: str
    ) -> tuple[dict[str, Any], str]:
        """Send a form with a proof, once more if the server wants its nonce in it; return the answer and the nonce."""
        for _ in range(2):
            answer = self._sent(host, issuer, path, form, key, nonce)
            renewed = answer.dpop_nonce if _is_plain(answer.dpop_nonce, NONCE_MAX) else ""
            document = _object(answer.body)
            if answer.status in (200, 201):
                return document, renewed or nonce
            if document.get("error") != "use_dpop_nonce" or not renewed or renewed == nonce:
                break
            nonce = renewed
        raise SignInError(f"the server that signs in this account refused (status {answer.status})")

    def _sent(
        self, host: HttpTarget, issuer: str, path: str, form: Mapping[str, str], key: ECKey, nonce: str
    ) -> HttpAnswer:
        now = self._now()
        fields = {**form, **self._client.identification(issuer, now)}
        headers = {"DPoP": proof(key, "POST", origin_of(host) + path, nonce, now)}
        try:
            return self._fetcher.post(host._replace(path=path), fields, headers, seconds=SECONDS)
        except FetchError as error:
            raise SignInError(f"{host.host} can't be reached: {error}") from error

    def _revoke(self, server: AuthorizationServer, token: Mapping[str, Any], key: ECKey, nonce: str) -> None:
        """Give a token back, as far as its server takes it; nothing depends on it."""
        text = token.get("access_token")
        if server.revocation and isinstance(text, str):
            with suppress(SignInError):
                self._post(server.host, server.issuer, server.revocation, {"token": text}, key, nonce)


def _check(token: Mapping[str, Any], did: str) -> None:
    kind = token.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "dpop" or not isinstance(token.get("access_token"), str):
        raise SignInError("the server that signs in this account gave no token")
    if token.get("sub") != did:
        raise SignInError("the server signed in another account than the one you named")
    if token.get("scope") != SCOPE:
        raise SignInError("the server allowed something else than to know who you are")


def _is_plain(text: str, most: int) -> bool:
    return 0 < len(text) <= most and _PRINTABLE.issuperset(text)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
