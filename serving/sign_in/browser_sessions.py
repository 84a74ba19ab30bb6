"""Browsers that are signed in: their cookies, and what proves that a form is one of ours.

Owns: the names and attributes of cookies, the form's proof, and the check of where a request comes from. Leaves to
others: storage (``session_store``), and signing in (``sign_in_flow``).

A session has a new secret for each sign-in, and no secret that a browser brings along becomes one. Cookies can't be
read by scripts, and other sites' requests do not carry them, apart from links that somebody follows. A form has a proof
that follows from the session's secret, and must come from a page of this service.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import falcon

from serving.sign_in.oauth_client import OAuthClient
from serving.sign_in.session_store import SESSION_SECONDS, SIGN_IN_SECONDS, SessionStore
from serving.web_errors import XrpcError

SECRET_MAX = 100


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Who a browser is signed in as, and the proof for its forms."""

    did: str
    secret: str

    @property
    def proof(self) -> str:
        """What a form of this session has."""
        digest = hashlib.blake2b(self.secret.encode(), digest_size=24, person=b"form").digest()
        return base64.urlsafe_b64encode(digest).decode()


class BrowserSessions:
    """The sessions of browsers; may be used from any thread."""

    def __init__(self, client: OAuthClient, store: SessionStore, now: Callable[[], float]) -> None:
        self._client = client
        self._store = store
        self._now = now
        # With the prefix, a browser takes the cookie from this host over TLS alone.
        prefix = "" if client.is_local else "__Host-"
        self._session, self._sign_in = f"{prefix}foryou", f"{prefix}foryou-sign-in"

    def of(self, request: falcon.Request) -> BrowserSession | None:
        """Return a browser's session, None when it has none."""
        secret = _cookie(request, self._session)
        did = self._store.viewer_of(secret, self._now()) if secret else None
        return None if did is None else BrowserSession(did, secret)

    def require(self, request: falcon.Request) -> BrowserSession:
        """Return a browser's session; 401 when it has none."""
        session = self.of(request)
        if session is None:
            raise XrpcError(falcon.HTTP_401, "AuthenticationRequired", "sign in first")
        return session

    def open(self, request: falcon.Request, response: falcon.Response, did: str) -> None:
        """Sign a browser in, with a new secret; a session that it had ends."""
        self.close(request, response)
        secret = secrets.token_urlsafe(32)
        self._store.open_session(secret, did, self._now())
        self._set(response, self._session, secret, int(SESSION_SECONDS))
        self._set(response, self._sign_in, "", 0)

    def close(self, request: falcon.Request, response: falcon.Response) -> None:
        """Sign a browser out."""
        secret = _cookie(request, self._session)
        if secret:
            self._store.close_session(secret)
        self._set(response, self._session, "", 0)

    def begin(self, response: falcon.Response) -> str:
        """Return a secret by which the browser that begins a sign-in is known again."""
        secret = secrets.token_urlsafe(32)
        self._set(response, self._sign_in, secret, int(SIGN_IN_SECONDS))
        return secret

    def begun(self, request: falcon.Request) -> str:
        """Return the secret of a browser that began a sign-in, '' when it did not."""
        return _cookie(request, self._sign_in)

    def require_own_page(self, request: falcon.Request) -> None:
        """Raise 403 unless a request was sent by a page of this service."""
        site = request.get_header("Sec-Fetch-Site")
        # A browser that does not say so names the page's origin with every form.
        is_own = site == "same-origin" if site else request.get_header("Origin") == self._client.origin
        if not is_own:
            raise XrpcError(falcon.HTTP_403, "Forbidden", "this form was sent by another site")

    def require_proof(self, session: BrowserSession, proof: str) -> None:
        """Raise 403 unless a form has the session's proof."""
        if not hmac.compare_digest(session.proof.encode(), proof.encode("utf-8", "surrogatepass")):
            raise XrpcError(falcon.HTTP_403, "Forbidden", "this form is too old: load the page again")

    def _set(self, response: falcon.Response, name: str, value: str, seconds: int) -> None:
        secure = not self._client.is_local
        response.set_cookie(
            name, value, max_age=seconds, path="/", secure=secure, http_only=True, same_site="Lax"
        )


def _cookie(request: falcon.Request, name: str) -> str:
    values = request.get_cookie_values(name) or []
    # Two of a name: somebody on a neighbouring domain set one of them.
    return values[0] if len(values) == 1 and len(values[0]) <= SECRET_MAX else ""
