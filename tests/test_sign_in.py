"""Signing in: the honest way, and every attack of OAuth's security guidance that a client can meet (RFC 9700)."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from authorization_server import AuthorizationServer, answer_address, authorization_server
from browser_client import ORIGIN, PORT, Browser
from falcon.testing import TestClient
from joserfc import jwt
from joserfc.jwk import KeySet
from serving_worlds import Clock, Directory, config_of, directory, plc_did

from serving.app import create_app
from serving.identity.dids import HttpTarget
from serving.identity.fetch import Fetcher
from serving.identity.public_addresses import is_public
from serving.identity.repository_reader import RepositoryReader
from serving.sign_in.authorization_servers import AuthorizationServers, SignInError
from serving.sign_in.oauth_client import OAuthClient
from serving.sign_in.proofs import new_key, private_text
from serving.sign_in.session_store import SESSION_SECONDS, SIGN_IN_SECONDS
from sql import places

ANN, BOB, EVE = plc_did(1), plc_did(2), plc_did(3)
CALLBACK = f"{ORIGIN}/oauth/callback"


@dataclass
class Place:
    """A web app, a directory, an honest server with ANN and BOB, and one of an attacker with EVE."""

    browser: Browser
    other: Browser
    honest: AuthorizationServer
    evil: AuthorizationServer
    plc: Directory
    clock: Clock
    data_dir: Path

    def live_at(self, did: str, server: AuthorizationServer) -> None:
        """Give a DID a document that names its host."""
        service = {
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": server.origin,
        }
        self.plc.answers[f"/{did}"] = (200, json.dumps({"id": did, "service": [service]}).encode())

    def sign_in(self, browser: Browser, did: str) -> str:
        """Sign in honestly; return the address of the answer."""
        answered = self.honest.agree(browser.begin(did))
        assert browser.get(answered).headers["Location"] == "/me"
        return answered


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    clock = Clock()
    with directory() as plc, authorization_server() as honest, authorization_server() as evil:
        config = config_of(tmp_path, plc.url, hostname=f"localhost:{PORT}", pages="public")
        app = create_app(config, now=clock)
        found = Place(Browser(app), Browser(app), honest, evil, plc, clock, tmp_path)
        found.live_at(ANN, honest)
        found.live_at(BOB, honest)
        found.live_at(EVE, evil)
        yield found


def test_the_honest_way(place: Place) -> None:
    place.sign_in(place.browser, ANN)
    assert place.browser.signed_in_as() == ANN
    assert place.other.signed_in_as() is None
    assert len(place.honest.revoked) == 1  # the token was given back
    place.honest.nonce = "another"  # a server may change it at any time
    place.sign_in(place.other, BOB)
    assert (place.browser.signed_in_as(), place.other.signed_in_as()) == (ANN, BOB)
    stored = b"".join(path.read_bytes() for path in place.data_dir.glob("sessions.sqlite*"))
    secrets = [*place.browser.cookies.values(), *place.other.cookies.values(), *place.honest.revoked]
    assert all(secret.encode() not in stored for secret in secrets)
    assert place.browser.post("/sign-out", {"proof": place.browser.proof()}).headers["Location"] == "/"
    assert (place.browser.signed_in_as(), place.other.signed_in_as()) == (None, BOB)


def mix_up(place: Place) -> None:
    """The attacker's server answers a request to the honest one, in its own name, or in no name."""
    for iss in (place.evil.origin, place.honest.origin + "/", ""):
        answered = fields_of(place.honest.agree(place.browser.begin(ANN)))
        refuse(place, answer_address(CALLBACK, **answered | {"iss": iss}))


def mix_up_by_code(place: Place) -> None:
    """The attacker's server sends the browser on to the honest one, to be given the honest server's code."""
    evil_state = state_of(place.evil.agree(place.browser.begin(EVE)))
    honest = parse_qs(urlsplit(place.honest.agree(place.other.begin(ANN))).query)
    fields = {"state": evil_state, "iss": honest["iss"][0], "code": honest["code"][0]}
    before = len(place.evil.requests)
    refuse(place, answer_address(CALLBACK, **fields))
    assert len(place.evil.requests) == before  # the code went nowhere


def code_injection(place: Place) -> None:
    """The attacker puts the code of their own sign-in, at the same server, into somebody's answer."""
    place.live_at(EVE, place.honest)
    mine = parse_qs(urlsplit(place.honest.agree(place.other.begin(EVE))).query)["code"][0]
    answered = parse_qs(urlsplit(place.honest.agree(place.browser.begin(ANN))).query)
    refuse(place, answer_address(CALLBACK, state=answered["state"][0], iss=place.honest.origin, code=mine))


def code_injection_without_pkce(place: Place) -> None:
    """The same at a server that does not compare the verifier."""
    place.honest.checks_pkce = False
    code_injection(place)


def replayed_state(place: Place) -> None:
    """An answer is sent twice, by a browser that kept its cookie, to a server that takes its code twice."""
    place.honest.codes_once = False
    answered = place.honest.agree(place.browser.begin(ANN))
    cookies = dict(place.browser.cookies)
    assert place.browser.get(answered).headers["Location"] == "/me"
    place.browser.post("/sign-out", {"proof": place.browser.proof()})
    place.browser.cookies = cookies
    refuse(place, answered)


def state_of_another_browser(place: Place) -> None:
    """Somebody is made to open the answer to an attacker's sign-in, also while one of their own is open."""
    refuse(place, place.honest.agree(place.other.begin(BOB)))
    place.browser.begin(ANN)
    refuse(place, place.honest.agree(place.other.begin(BOB)))


def made_up_state(place: Place) -> None:
    """An answer names a state that nobody began, or none, or two."""
    for fields in ({"state": "x" * 43}, {}, {"state": ""}, {"state": "\x00é"}):
        refuse(place, answer_address(CALLBACK, iss=place.honest.origin, code="x", **fields))
    answered = place.honest.agree(place.browser.begin(ANN))
    refuse(place, f"{answered}&state={state_of(answered)}")


def wrong_issuer(place: Place) -> None:
    """A host names a server that does not speak for itself, or several, or one that can't be."""
    for resource, metadata in (
        ({}, {"issuer": place.evil.origin}),
        ({}, {"issuer": None}),
        ({"resource": place.evil.origin}, {}),
        ({"authorization_servers": [place.honest.origin, place.evil.origin]}, {}),
        ({"authorization_servers": []}, {}),
        ({"authorization_servers": [place.honest.origin + "/"]}, {}),
        ({"authorization_servers": [place.honest.origin + "/a"]}, {}),
        ({"authorization_servers": ["http://169.254.169.254"]}, {}),
        ({"authorization_servers": [5]}, {}),
        ({"authorization_servers": "x"}, {}),
    ):
        place.honest.resource, place.honest.metadata = resource, metadata
        cannot_begin(place, ANN)


def endpoints_elsewhere(place: Place) -> None:
    """A server has its endpoints at another host, or at an address that is none."""
    names = ("authorization_endpoint", "token_endpoint", "pushed_authorization_request_endpoint")
    for name in names:
        for address in (
            place.evil.origin + "/x",
            "javascript:alert(1)",
            place.honest.origin + "@evil.example/x",
            place.honest.origin + ".evil.example/x",
            place.honest.origin + "/x\r\nSet-Cookie: a=b",
            place.honest.origin + "/x?y",
            None,
            5,
        ):
            place.honest.metadata = {name: address}
            cannot_begin(place, ANN)


def a_server_that_can_too_little(place: Place) -> None:
    """A server does not say that it has what the protocol demands."""
    for name in (
        "response_types_supported", "grant_types_supported", "code_challenge_methods_supported", "scopes_supported",
        "dpop_signing_alg_values_supported", "authorization_response_iss_parameter_supported",
        "require_pushed_authorization_requests", "client_id_metadata_document_supported",
    ):  # fmt: skip
        for value in (None, [], False, "S256"):
            place.honest.metadata = {name: value}
            cannot_begin(place, ANN)


def request_that_leads_elsewhere(place: Place) -> None:
    """A server's request_uri ends the header that sends the browser on, or the address."""
    for uri in ("x\r\nSet-Cookie: a=b", "x\ny", "", "x" * 501, 5, None, "x y", "é"):
        place.honest.pushed = {"request_uri": uri}
        cannot_begin(place, ANN)


def token_of_somebody_else(place: Place) -> None:
    """The server's answer is about another account, allows more, or is no token of DPoP."""
    for token in (
        {"sub": BOB}, {"sub": None}, {"sub": [ANN]}, {"scope": "atproto transition:generic"}, {"scope": None},
        {"scope": "transition:generic"}, {"token_type": "Bearer"}, {"token_type": None}, {"access_token": None},
        {"access_token": 5},
    ):  # fmt: skip
        place.honest.token = token
        refuse(place, place.honest.agree(place.browser.begin(ANN)))


def another_account_at_the_server(place: Place) -> None:
    """Somebody signs in at the server with another account than the one they named."""
    refuse(place, place.honest.agree(place.browser.begin(ANN), BOB))


def proof_by_another_key(place: Place) -> None:
    """The code is exchanged with another key than the one that the request was pushed with."""
    answered = place.honest.agree(place.browser.begin(ANN))
    with closing(sqlite3.connect(places.sessions(place.data_dir))) as store:
        store.execute("UPDATE sign_ins SET proof_key = ?", (private_text(new_key()),))
        store.commit()
    refuse(place, answered)


def account_that_moved(place: Place) -> None:
    """While somebody signs in, the account moves away from the server that was asked."""
    answered = place.honest.agree(place.browser.begin(ANN))
    place.live_at(ANN, place.evil)
    refuse(place, answered)


def expired(place: Place) -> None:
    """The answer comes too late, or from the future."""
    for seconds in (SIGN_IN_SECONDS + 1, -1):
        answered = place.honest.agree(place.browser.begin(ANN))
        place.clock.at += seconds
        refuse(place, answered)


def refusal(place: Place) -> None:
    """The server says no, and gives a code all the same."""
    answered = fields_of(place.honest.agree(place.browser.begin(ANN)))
    refuse(place, answer_address(CALLBACK, **answered | {"error": "access_denied"}))


def strange_codes(place: Place) -> None:
    """The answer has a code that no server gives."""
    for code in ("", "x" * 4097, "a b", "é", "a\r\nb"):
        state = state_of(place.honest.agree(place.browser.begin(ANN)))
        refuse(place, answer_address(CALLBACK, state=state, iss=place.honest.origin, code=code))


def documents_that_lead_elsewhere(place: Place) -> None:
    """A DID has a document of another, or a host that may not be called."""
    for host in (
        "http://10.0.0.1",
        "https://127.0.0.1:444",
        "http://localhost/path",
        "file:///etc/passwd",
        5,
    ):
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": host}
        place.plc.answers[f"/{ANN}"] = (200, json.dumps({"id": ANN, "service": [service]}).encode())
        cannot_begin(place, ANN)
    place.plc.answers[f"/{ANN}"] = place.plc.answers[f"/{BOB}"]
    cannot_begin(place, ANN)
    for typed in ("", "did:web:127.0.0.1", "did:plc:x", "http://127.0.0.1/", "a" * 5000, "@"):
        cannot_begin(place, typed)


ATTACKS: list[Callable[[Place], None]] = [
    mix_up, mix_up_by_code, code_injection, code_injection_without_pkce, replayed_state, state_of_another_browser,
    made_up_state, wrong_issuer, endpoints_elsewhere, a_server_that_can_too_little, request_that_leads_elsewhere,
    token_of_somebody_else, another_account_at_the_server, proof_by_another_key, account_that_moved, expired,
    refusal, strange_codes, documents_that_lead_elsewhere,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_signs_nobody_in(place: Place, attack: Callable[[Place], None]) -> None:
    attack(place)
    assert (place.browser.signed_in_as(), place.other.signed_in_as()) == (None, None)
    with closing(sqlite3.connect(places.sessions(place.data_dir))) as store:
        if store.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            assert store.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


def refuse(place: Place, answered: str) -> None:
    """Open the address of an answer, in the browser of somebody; nobody is signed in by it."""
    answer = place.browser.get(answered)
    assert answer.status_code == 400, answer.headers
    assert "Location" not in answer.headers
    assert place.browser.signed_in_as() is None
    place.clock.at += 60  # another minute: attackers may try as often as they like


def cannot_begin(place: Place, account: str) -> None:
    """Begin to sign in; the page says why it can't be."""
    answer = place.browser.post("/sign-in", {"account": account})
    assert answer.status_code == 400, answer.headers
    assert "That did not work" in answer.text
    assert "Refresh" not in answer.headers
    place.clock.at += 60


def state_of(answered: str) -> str:
    """Return the state in the address of an answer."""
    return fields_of(answered)["state"]


def fields_of(answered: str) -> dict[str, str]:
    """Return the fields in the address of an answer."""
    return {name: value for name, [value] in parse_qs(urlsplit(answered).query).items()}


def test_a_session_is_short_and_its_own(place: Place) -> None:
    """Fixation: a secret that was planted in a browser is not the one it is signed in with."""
    place.sign_in(place.other, BOB)
    planted = dict(place.other.cookies)
    place.browser.cookies = dict(planted)
    place.sign_in(place.browser, ANN)
    assert not set(place.browser.cookies.values()) & set(planted.values())
    assert place.browser.signed_in_as() == ANN
    assert place.other.signed_in_as() is None  # the planted one ended with it
    place.other.cookies = {"foryou": "made-up"}
    assert place.other.signed_in_as() is None
    place.clock.at += SESSION_SECONDS
    assert place.browser.signed_in_as() is None


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:8081"},
        {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN}, {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)  # fmt: skip
def test_a_form_of_another_site_does_nothing(place: Place, headers: dict[str, str]) -> None:
    place.sign_in(place.browser, ANN)
    proof = place.browser.proof()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for path, fields in FORMS.items():
        answer = place.browser.post(path, fields | {"proof": proof}, form | headers)
        assert answer.status_code == 403
    assert place.browser.signed_in_as() == ANN


FORMS: dict[str, dict[str, str]] = {
    "/sign-in": {"account": BOB}, "/sign-out": {}, "/me/settings": {"paused": "1"}, "/me/take-back": {"post": "x"},
    "/me/forget": {"sure": "1"},
}  # fmt: skip


def test_a_form_needs_the_proof_of_its_session(place: Place) -> None:
    place.sign_in(place.browser, ANN)
    place.sign_in(place.other, BOB)
    for fields in ({}, {"proof": ""}, {"proof": place.other.proof()}, {"proof": [place.browser.proof()] * 2}):
        for path in FORMS.keys() - {"/sign-in"}:
            assert place.browser.post(path, fields).status_code == 403
    assert place.browser.signed_in_as() == ANN
    assert place.browser.post("/sign-out", {"proof": place.browser.proof()}).status_code == 303
    kind = {"Origin": ORIGIN, "Content-Type": "application/json"}
    assert place.browser.post("/sign-in", {"account": ANN}, kind).status_code == 415


def test_no_address_is_taken_from_a_request(place: Place) -> None:
    evil = "next=https%3A%2F%2Fevil.example&return_to=//evil.example&redirect_uri=https://evil.example"
    assert "evil.example" not in place.browser.get(f"/sign-in?{evil}").text
    answered = place.honest.agree(place.browser.begin(ANN))
    answer = place.browser.get(f"{answered}&{evil}")
    assert answer.headers["Location"] == "/me"
    assert place.browser.get(f"/sign-in?{evil}").headers["Location"] == "/me"
    out = place.browser.post("/sign-out", {"proof": place.browser.proof(), "next": "https://evil.example"})
    assert out.headers["Location"] == "/"


def test_how_many_may_sign_in(place: Place) -> None:
    statuses = [place.browser.post("/sign-in", {"account": "?"}).status_code for _ in range(13)]
    assert statuses == [400] * 12 + [429]
    place.clock.at += 60
    assert place.browser.post("/sign-in", {"account": "?"}).status_code == 400


def test_cookies_and_pages_keep_to_themselves(place: Place) -> None:
    page = place.browser.get("/sign-in")
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    place.sign_in(place.browser, ANN)
    page = place.browser.get("/me")
    assert page.headers["Cache-Control"] == "private, no-store"
    answer = place.browser.post("/sign-in", {"account": BOB})
    cookie = answer.cookies["foryou-sign-in"]
    assert (cookie.http_only, cookie.same_site, cookie.path) == (True, "Lax", "/")
    elsewhere = TestClient(place.browser._client.app).simulate_get("/sign-in", host="localhost", port=PORT)
    assert elsewhere.headers["Location"] == f"{ORIGIN}/sign-in"  # the answer comes to the address


@pytest.fixture
def public(tmp_path: Path) -> TestClient:
    """A web app with a public name."""
    return TestClient(create_app(config_of(tmp_path, pages="public")))


def test_a_public_service_describes_and_proves_itself(public: TestClient, tmp_path: Path) -> None:
    client = OAuthClient(config_of(tmp_path, pages="public"))
    address = "https://feed.example.com/oauth/client-metadata.json"
    stated = public.simulate_get("/oauth/client-metadata.json").json
    assert stated["client_id"] == address == client.client_id
    assert stated["redirect_uris"] == ["https://feed.example.com/oauth/callback"]
    assert (stated["scope"], stated["dpop_bound_access_tokens"]) == ("atproto", True)
    assert stated["jwks_uri"] == "https://feed.example.com/oauth/jwks.json"
    keys = public.simulate_get("/oauth/jwks.json").json
    assert all("d" not in key for key in keys["keys"])
    fields = client.identification("https://issuer.example.com", 1000.0)
    proven = jwt.decode(fields["client_assertion"], KeySet.import_key_set(keys), algorithms=["ES256"])
    assert (proven.claims["aud"], proven.claims["sub"]) == ("https://issuer.example.com", address)
    assert places.client_key(tmp_path).stat().st_mode & 0o777 == 0o600
    assert OAuthClient(config_of(tmp_path)).keys() == client.keys()  # another worker's


def test_a_public_services_cookies_are_for_tls_alone(public: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    answer = public.simulate_post("/sign-in", body="account=x", headers=headers)
    cookie = answer.cookies["__Host-foryou-sign-in"]
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/")


@pytest.mark.parametrize(
    "issuer", ["http://127.0.0.1:9", "https://127.0.0.1", "https://localhost", "https://a.b:8443"]
)
def test_on_the_internet_no_issuer_is_at_this_machine(issuer: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    fetcher = Fetcher(allowed=is_public, lookup=lookup)
    servers = AuthorizationServers(RepositoryReader("https://plc.directory"), fetcher, private=False)
    with pytest.raises(SignInError):
        servers.at(issuer)
    with pytest.raises(SignInError, match="no public address"):
        servers.server_of(HttpTarget("https", "pds.example.com", 443, ""))
    assert asked == ["pds.example.com"]


def test_pages_that_are_not_public_have_no_sign_in(tmp_path: Path) -> None:
    client = TestClient(create_app(config_of(tmp_path)))
    for path in ("/sign-in", "/me", "/oauth/callback", "/oauth/jwks.json"):
        assert client.simulate_get(path).status_code == 404


def test_the_page_says_where_it_leads(place: Place) -> None:
    answer = place.browser.post("/sign-in", {"account": ANN})
    assert re.search(rf"<h1>Sign in at {re.escape(place.honest.origin)}</h1>", answer.text)
    assert ANN in answer.text
