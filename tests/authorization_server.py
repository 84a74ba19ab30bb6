"""A small authorization server, and the host of its people's repositories: it speaks the wire of AT Protocol OAuth.

Owns: pushed requests, PKCE, DPoP with a nonce, codes and tokens, checked as an honest server does, and the faults that
a test asks for. Leaves to the tests: what follows. Its people agree to everything: ``agree`` is their page,
and a browser gets one with a link.
"""

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

PAR, TOKEN, REVOKE, AUTHORIZE = "/oauth/par", "/oauth/token", "/oauth/revoke", "/oauth/authorize"
Answer = tuple[int, dict[str, Any]]


@dataclass
class AuthorizationServer:
    """A running server; ``metadata``, ``resource``, … replace fields of its answers (None leaves one out)."""

    origin: str
    metadata: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)
    pushed: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    checks_pkce: bool = True
    codes_once: bool = True
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(8))
    requests: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _path: None
    _pushed: dict[str, tuple[dict[str, str], str]] = field(default_factory=dict)
    _codes: dict[str, tuple[dict[str, str], str, str]] = field(default_factory=dict)
    _issued: set[str] = field(default_factory=set)

    def agree(self, address: str, did: str = "") -> str:
        """Sign somebody in at the page of an address; return where the browser is sent."""
        asked = parse_qs(urlsplit(address).query)
        assert address.startswith(self.origin + AUTHORIZE + "?")
        request, thumbprint = self._pushed.pop(asked["request_uri"][0])
        assert asked["client_id"] == [request["client_id"]]
        code = secrets.token_urlsafe(16)
        self._codes[code] = (request, thumbprint, did or request["login_hint"])
        return answer_address(request["redirect_uri"], state=request["state"], iss=self.origin, code=code)

    def answer(self, method: str, path: str, form: dict[str, str], proof: str) -> Answer:
        """Answer a request."""
        self.requests.append(f"{method} {path}")
        if path == "/.well-known/oauth-protected-resource":
            return 200, merged(
                {"resource": self.origin, "authorization_servers": [self.origin]}, self.resource
            )
        if path == "/.well-known/oauth-authorization-server":
            return 200, merged(self._metadata(), self.metadata)
        try:
            thumbprint = self._thumbprint(method, path, proof)
        except KeyError:
            return 400, {"error": "use_dpop_nonce"}
        except (JoseError, ValueError):
            return 400, {"error": "invalid_dpop_proof"}
        if path == PAR:
            return self._push(form, thumbprint)
        if path == TOKEN:
            return self._exchange(form, thumbprint)
        if path == REVOKE:
            self.revoked.append(form["token"])
            return 200, {}
        return 404, {}

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.origin,
            "authorization_endpoint": self.origin + AUTHORIZE,
            "token_endpoint": self.origin + TOKEN,
            "pushed_authorization_request_endpoint": self.origin + PAR,
            "revocation_endpoint": self.origin + REVOKE,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["atproto"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": True,
            "require_pushed_authorization_requests": True,
            "client_id_metadata_document_supported": True,
        }

    def _thumbprint(self, method: str, path: str, proof: str) -> str:
        """Return whose key a proof is by; KeyError when it lacks the nonce."""
        header = json.loads(base64.urlsafe_b64decode(proof.partition(".")[0] + "=="))
        if header["typ"] != "dpop+jwt" or "d" in header["jwk"]:
            raise ValueError("no proof")
        key = ECKey.import_key(header["jwk"])
        claims = jwt.decode(proof, key, algorithms=["ES256"]).claims
        if (claims["htm"], claims["htu"]) != (method, self.origin + path) or claims["jti"] in self._issued:
            raise ValueError("of another request")
        if claims.get("nonce") != self.nonce:
            raise KeyError("nonce")
        self._issued.add(claims["jti"])
        return key.thumbprint()

    def _push(self, form: dict[str, str], thumbprint: str) -> Answer:
        client = urlsplit(form["client_id"])
        redirects = parse_qs(client.query).get("redirect_uri")
        if (
            client.hostname != "localhost"
            or redirects != [form["redirect_uri"]]
            or form["scope"] != "atproto"
        ):
            return 400, {"error": "invalid_client_metadata"}
        if form["code_challenge_method"] != "S256" or form["response_type"] != "code":
            return 400, {"error": "invalid_request"}
        uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(8)}"
        self._pushed[uri] = form, thumbprint
        return 201, merged({"request_uri": uri, "expires_in": 60}, self.pushed)

    def _exchange(self, form: dict[str, str], thumbprint: str) -> Answer:
        request, bound, did = self._codes.get(form["code"], ({}, "", ""))
        if self.codes_once:
            self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not request or thumbprint != bound or form["client_id"] != request["client_id"]:
            return 400, {"error": "invalid_grant"}
        if form["redirect_uri"] != request["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        if self.checks_pkce and challenge != request["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        token = {
            "access_token": secrets.token_urlsafe(16),
            "token_type": "DPoP",
            "sub": did,
            "scope": "atproto",
        }
        return 200, merged(token, self.token)


def answer_address(redirect_uri: str, **fields: str) -> str:
    """Return the address by which a server answers."""
    return f"{redirect_uri}?{urlencode(fields)}"


def merged(usual: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return fields with some replaced, or left out where the change is None."""
    return {name: value for name, value in (usual | changes).items() if value is not None}


@contextmanager
def authorization_server() -> Iterator[AuthorizationServer]:
    """Run a server on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(AUTHORIZE + "?"):
                self._page()
            else:
                self._answer({})

        def _page(self) -> None:
            goal = escape(held.agree(held.origin + self.path))
            head = '<!doctype html><html lang="en"><title>Sign in</title><link rel="icon" href="data:,">'
            body = f'{head}<p><a href="{goal}">Agree</a></p>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer({name: value for name, [value] in parse_qs(body, strict_parsing=True).items()})

        def _answer(self, form: dict[str, str]) -> None:
            held.before(self.path)
            status, value = held.answer(self.command, self.path, form, self.headers.get("DPoP", ""))
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {
                "DPoP-Nonce": held.nonce,
                "Content-Length": str(len(body)),
                **held.headers,
            }.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held = AuthorizationServer(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
