"""Pages for signing in and out, and what an authorization server reads of this client.

Owns: those addresses, how many may sign in at once, and the words. Leaves to others: the exchange
(``sign_in.sign_in_flow``) and sessions (``sign_in.browser_sessions``).

After signing in and out a browser goes to one fixed page: no address is taken from a request. A form is answered with a
page that goes on by itself, not with a redirect: the policy of the pages lets forms lead nowhere else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import falcon

from serving.budgets.allowances import Allowance
from serving.config import ServingConfig
from serving.http import xrpc
from serving.http.clients import client_address
from serving.http.xrpc import parameter
from serving.identity.lookup_slots import Slots
from serving.pages.forms import form_of, one
from serving.pages.html import go, show, show_form
from serving.pages.turns import network_of
from serving.sign_in.authorization_servers import SignInError
from serving.sign_in.browser_sessions import BrowserSessions
from serving.sign_in.oauth_client import OAuthClient
from serving.sign_in.sign_in_flow import SignInFlow
from serving.web_errors import UnavailableError, XrpcError

SIGN_IN, SIGN_OUT, SIGNED_IN, SIGNED_OUT = "/sign-in", "/sign-out", "/me", "/"
_ANSWERED = ("state", "iss", "code", "error")


@dataclass(slots=True)
class SignInParts:
    """What the pages share."""

    config: ServingConfig
    client: OAuthClient
    flow: SignInFlow
    sessions: BrowserSessions
    allowance: Allowance
    slots: Slots

    @contextmanager
    def turn(self, request: falcon.Request) -> Iterator[None]:
        """Hold one of the few places for requests that wait for an authorization server; 429 or 503."""
        client = network_of(client_address(request, self.config.trusted_proxies))
        if not self.allowance.take_whole(client, 1, known=False):
            raise XrpcError(
                falcon.HTTP_429,
                "RateLimitExceeded",
                "too many people sign in just now: try again in a minute",
            )
        if not self.slots.acquire(known=True):
            raise UnavailableError("too many people sign in just now")
        try:
            yield
        finally:
            self.slots.release(known=True)


@dataclass(slots=True)
class SignInPage:
    """/sign-in: the form, and what follows from it."""

    parts: SignInParts

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the form; somebody who is signed in goes on at once."""
        if self.parts.client.is_local and request.host != "127.0.0.1":
            raise falcon.HTTPSeeOther(self.parts.client.origin + SIGN_IN)  # where the answer will come
        if self.parts.sessions.of(request) is not None:
            raise falcon.HTTPSeeOther(SIGNED_IN)
        self._show(response, "")

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Ask the account's server, and send the browser there."""
        self.parts.sessions.require_own_page(request)
        typed = one(form_of(request), "account")
        with self.parts.turn(request):
            secret = self.parts.sessions.begin(response)
            try:
                begun = self.parts.flow.begin(typed, secret)
            except SignInError as error:
                response.status = falcon.HTTP_400
                self._show(response, str(error))
                return
        show(response, "sign_in_at.html", self.parts.config, begun=begun)
        response.set_header("Refresh", f"0; url={begun.address}")

    def _show(self, response: falcon.Response, failure: str) -> None:
        show_form(response, "sign_in.html", self.parts.config, failure=failure)


@dataclass(slots=True)
class SignInAnswer:
    """/oauth/callback: where an authorization server sends the browser back."""

    parts: SignInParts

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Sign the browser in, or say why not."""
        answered = {name: value for name in _ANSWERED if (value := parameter(request, name)) is not None}
        with self.parts.turn(request):
            try:
                did = self.parts.flow.finish(answered, self.parts.sessions.begun(request))
            except SignInError as error:
                response.status = falcon.HTTP_400
                show(response, "sign_in.html", self.parts.config, failure=str(error))
                return
        self.parts.sessions.open(request, response, did)
        go(response, SIGNED_IN)


@dataclass(slots=True)
class SignOut:
    """POST /sign-out: end a session."""

    parts: SignInParts

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """End the browser's session, and send it to the first page."""
        sessions = self.parts.sessions
        sessions.require_own_page(request)
        session = sessions.of(request)
        if session is not None:
            sessions.require_proof(session, one(form_of(request), "proof"))
        sessions.close(request, response)
        go(response, SIGNED_OUT)


@dataclass(slots=True)
class ClientMetadata:
    """What an authorization server reads of this client: at its id, the metadata."""

    client: OAuthClient

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Answer the metadata."""
        xrpc.answer(response, self.client.metadata())


@dataclass(slots=True)
class ClientKeys:
    """The client's public keys."""

    client: OAuthClient

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Answer the keys."""
        xrpc.answer(response, self.client.keys())
