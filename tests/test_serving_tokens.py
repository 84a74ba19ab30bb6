"""A token proves a viewer only when every part of it is right; each row is one way to be wrong."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from falcon.testing import TestClient
from hypothesis import given
from hypothesis import strategies as st
from serving_worlds import (
    FEED,
    PUBLISHER_DID,
    SERVICE_DID,
    SKELETON,
    START,
    Account,
    Clock,
    Directory,
    base64url,
    bearer,
    config_of,
    directory,
    plc_did,
)

from serving.app import create_app
from serving.identity.tokens import read_token
from serving.web_errors import TokenError

METHOD = "app.bsky.feed.getFeedSkeleton"


@dataclass
class World:
    """An app, its directory, and three accounts: k256, p256, and somebody else."""

    client: TestClient
    plc: Directory
    clock: Clock
    alice: Account
    petra: Account
    mallory: Account

    def ask(self, token: str) -> tuple[int, str]:
        answer = self.client.simulate_get(SKELETON, params={"feed": FEED}, headers=bearer(token))
        return answer.status_code, answer.json.get("error", "")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    clock = Clock()
    with directory() as plc:
        alice, petra, mallory = Account(plc_did(1)), Account(plc_did(2), "ES256"), Account(plc_did(3))
        plc.publish(alice, petra, mallory)
        app = create_app(config_of(tmp_path_factory.mktemp("tokens"), plc.url), now=clock)
        yield World(TestClient(app), plc, clock, alice, petra, mallory)


def _der(account: Account) -> str:
    signed = account.token().rpartition(".")[0]
    return f"{signed}.{base64url(account.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))}"


def _resigned(account: Account, change: Callable[[bytes], bytes]) -> str:
    signed = account.token().rpartition(".")[0]
    return f"{signed}.{base64url(change(account.sign(signed.encode())))}"


def _swapped_claims(account: Account, other: Account) -> str:
    mine, theirs = account.token().split("."), other.token().split(".")
    return f"{mine[0]}.{theirs[1]}.{mine[2]}"


_HEADER = '{"typ":"JWT","alg":"ES256K"}'
_CLAIMS = f'"iss":"{plc_did(1)}","aud":"{SERVICE_DID}","exp":{int(START) + 60},"lxm":"{METHOD}"'

ACCEPTED: dict[str, Callable[[World], str]] = {
    "k256": lambda w: w.alice.token(),
    "p256": lambda w: w.petra.token(),
    "aud with the service's fragment": lambda w: w.alice.token(aud=SERVICE_DID + "#bsky_fg"),
    "kid of the spec": lambda w: w.alice.token(header={"kid": "#atproto"}),
    "no typ": lambda w: w.alice.token(header={"typ": ...}),
    "float exp": lambda w: w.alice.token(exp=START + 30.5),
    "no iat": lambda w: w.alice.token(iat=...),
    "iat a few seconds ahead": lambda w: w.alice.token(iat=int(START) + 20),
    "no jti": lambda w: w.alice.token(jti=...),
    "unknown claim": lambda w: w.alice.token(nonce="x"),
    "expired within the leeway": lambda w: w.alice.token(exp=int(START) - 5),
    "an hour ahead": lambda w: w.alice.token(exp=int(START) + 3600),
    "k256, high s": lambda w: w.alice.token(high_s=True),
    "p256, high s": lambda w: w.petra.token(high_s=True),
}

REFUSED: dict[str, tuple[str, Callable[[World], str]]] = {
    "no exp": ("BadJwt", lambda w: w.alice.token(exp=...)),
    "exp null": ("BadJwt", lambda w: w.alice.token(exp=None)),
    "exp a text": ("BadJwt", lambda w: w.alice.token(exp=str(int(START) + 60))),
    "exp a bool": ("BadJwt", lambda w: w.alice.token(exp=True)),
    "exp a list": ("BadJwt", lambda w: w.alice.token(exp=[int(START) + 60])),
    "exp in the year 9999": ("BadJwt", lambda w: w.alice.token(exp=253402300799)),
    "exp of 400 digits": ("BadJwt", lambda w: w.alice.token(exp=10**400)),
    "exp infinite": ("BadJwt", lambda w: w.alice.token_of(_HEADER, f'{{{_CLAIMS},"exp":1e999}}')),
    "exp NaN": (
        "BadJwt",
        lambda w: w.alice.token_of(_HEADER, f"{{{_CLAIMS}}}".replace(str(int(START) + 60), "NaN")),
    ),
    "exp 1e999": (
        "BadJwt",
        lambda w: w.alice.token_of(_HEADER, f"{{{_CLAIMS}}}".replace(str(int(START) + 60), "1e999")),
    ),
    "expired": ("JwtExpired", lambda w: w.alice.token(exp=int(START) - 11)),
    "expired long ago": ("JwtExpired", lambda w: w.alice.token(exp=0)),
    "iat far ahead": ("BadJwt", lambda w: w.alice.token(iat=int(START) + 600)),
    "iat a text": ("BadJwt", lambda w: w.alice.token(iat="now")),
    "not yet valid": ("BadJwt", lambda w: w.alice.token(nbf=int(START) + 600)),
    "no lxm": ("BadJwtLexiconMethod", lambda w: w.alice.token(lxm=...)),
    "lxm of another method": (
        "BadJwtLexiconMethod",
        lambda w: w.alice.token("app.bsky.feed.sendInteractions"),
    ),
    "lxm a wildcard": ("BadJwtLexiconMethod", lambda w: w.alice.token("*")),
    "lxm a list": ("BadJwtLexiconMethod", lambda w: w.alice.token(lxm=[METHOD])),
    "lxm true": ("BadJwtLexiconMethod", lambda w: w.alice.token(lxm=True)),
    "lxm with a space": ("BadJwtLexiconMethod", lambda w: w.alice.token(METHOD + " ")),
    "no aud": ("BadJwtAudience", lambda w: w.alice.token(aud=...)),
    "aud empty": ("BadJwtAudience", lambda w: w.alice.token(aud="")),
    "aud a list": ("BadJwtAudience", lambda w: w.alice.token(aud=[SERVICE_DID])),
    "aud an object": ("BadJwtAudience", lambda w: w.alice.token(aud={SERVICE_DID: 1})),
    "aud the AppView": ("BadJwtAudience", lambda w: w.alice.token(aud="did:web:api.bsky.app")),
    "aud of another fragment": ("BadJwtAudience", lambda w: w.alice.token(aud=SERVICE_DID + "#atproto_pds")),
    "aud in upper case": ("BadJwtAudience", lambda w: w.alice.token(aud=SERVICE_DID.upper())),
    "aud a prefix of ours": ("BadJwtAudience", lambda w: w.alice.token(aud=SERVICE_DID + ".evil.example")),
    "aud of the publisher": ("BadJwtAudience", lambda w: w.alice.token(aud=PUBLISHER_DID)),
    "aud of the feed": ("BadJwtAudience", lambda w: w.alice.token(aud=FEED)),
    "aud with the fragment twice": (
        "BadJwtAudience",
        lambda w: w.alice.token(aud=SERVICE_DID + "#bsky_fg#bsky_fg"),
    ),
    "aud the host's address": ("BadJwtAudience", lambda w: w.alice.token(aud="https://feed.example.com")),
    "aud with a space": ("BadJwtAudience", lambda w: w.alice.token(aud=SERVICE_DID + " ")),
    "exp negative": ("JwtExpired", lambda w: w.alice.token(exp=-1)),
    "exp a minute beyond an hour": ("BadJwt", lambda w: w.alice.token(exp=int(START) + 3600 + 90)),
    "nbf a text": ("BadJwt", lambda w: w.alice.token(nbf="0")),
    "lxm of a proxied method": ("BadJwtLexiconMethod", lambda w: w.alice.token("app.bsky.feed.getFeed")),
    "lxm with a fragment": ("BadJwtLexiconMethod", lambda w: w.alice.token(METHOD + "#main")),
    "alg RS256": ("BadJwt", lambda w: w.alice.token(header={"alg": "RS256"})),
    "alg null": ("BadJwt", lambda w: w.alice.token(header={"alg": None})),
    "a key in the header": (
        "BadJwtSignature",
        lambda w: w.mallory.token(iss=w.alice.did, header={"jwk": {"kty": "EC", "crv": "secp256k1"}}),
    ),
    "a document's address in the header": (
        "BadJwtSignature",
        lambda w: w.mallory.token(iss=w.alice.did, header={"jku": "https://evil.example/keys"}),
    ),
    "iss did:web without a host": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:")),
    "iss of an encoded slash": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:example.com%2Fx")),
    "iss did:key": (
        "BadJwtIss",
        lambda w: w.alice.token(iss="did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"),
    ),
    "iss with a fragment": ("BadJwtIss", lambda w: w.alice.token(iss=w.alice.did + "#atproto_labeler")),
    "iss a list": ("BadJwtIss", lambda w: w.alice.token(iss=[w.alice.did])),
    "no iss": ("BadJwtIss", lambda w: w.alice.token(iss=...)),
    "iss with a newline": ("BadJwtIss", lambda w: w.alice.token(iss=w.alice.did + "\n")),
    "iss in upper case": ("BadJwtIss", lambda w: w.alice.token(iss=w.alice.did.upper())),
    "iss too short": ("BadJwtIss", lambda w: w.alice.token(iss=w.alice.did[:-1])),
    "iss an address": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:127.0.0.1")),
    "iss an IPv6 address": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:%5B%3A%3A1%5D")),
    "iss an address in one number": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:2130706433")),
    "iss an address in hexadecimal": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:0x7f.1")),
    "iss with a path": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:example.com:user")),
    "iss with a slash": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:example.com/x")),
    "iss with a query": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:example.com?x=")),
    "iss with a user": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:u@example.com")),
    "iss with a port": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:example.com%3A8443")),
    "iss without a dot": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:internal")),
    "iss localhost": ("BadJwtIss", lambda w: w.alice.token(iss="did:web:localhost")),
    "iss nobody has": ("BadJwtIss", lambda w: w.alice.token(iss=plc_did(99))),
    "jti a number": ("BadJwt", lambda w: w.alice.token(jti=5)),
    "jti of 300 characters": ("BadJwt", lambda w: w.alice.token(jti="x" * 300)),
    "typ at+jwt": ("BadJwtType", lambda w: w.alice.token(header={"typ": "at+jwt"})),
    "typ refresh+jwt": ("BadJwtType", lambda w: w.alice.token(header={"typ": "refresh+jwt"})),
    "typ dpop+jwt": ("BadJwtType", lambda w: w.alice.token(header={"typ": "dpop+jwt"})),
    "typ a list": ("BadJwtType", lambda w: w.alice.token(header={"typ": ["JWT"]})),
    "alg none": ("BadJwt", lambda w: w.alice.token(header={"alg": "none"})),
    "alg none, no signature": (
        "BadJwt",
        lambda w: w.alice.token(header={"alg": "none"}).rpartition(".")[0] + ".",
    ),
    "alg HS256": ("BadJwt", lambda w: w.alice.token(header={"alg": "HS256"})),
    "alg in lower case": ("BadJwt", lambda w: w.alice.token(header={"alg": "es256k"})),
    "alg a list": ("BadJwt", lambda w: w.alice.token(header={"alg": ["ES256K"]})),
    "no alg": ("BadJwt", lambda w: w.alice.token(header={"alg": ...})),
    "alg of the other curve": ("BadJwtSignature", lambda w: w.alice.token(header={"alg": "ES256"})),
    "alg of the other curve, p256": ("BadJwtSignature", lambda w: w.petra.token(header={"alg": "ES256K"})),
    "kid of another key": ("BadJwt", lambda w: w.alice.token(header={"kid": "#atproto_labeler"})),
    "kid null": ("BadJwt", lambda w: w.alice.token(header={"kid": None})),
    "critical extension": ("BadJwt", lambda w: w.alice.token(header={"crit": ["b64"], "b64": False})),
    "two parts": ("BadJwt", lambda w: w.alice.token().rpartition(".")[0]),
    "four parts": ("BadJwt", lambda w: w.alice.token() + ".x"),
    "one part": ("BadJwt", lambda w: "token"),
    "empty claims": ("BadJwt", lambda w: "..".join(w.alice.token().split(".")[::2])),
    "padding": ("BadJwt", lambda w: w.alice.token() + "=="),
    "standard alphabet": ("BadJwt", lambda w: "a+/." + w.alice.token().partition(".")[2]),
    "base64 of a wrong length": ("BadJwt", lambda w: "A." + w.alice.token().partition(".")[2]),
    "stray bits in base64": ("BadJwt", lambda w: w.alice.token()[:-1] + "x"),
    "9 KB": ("BadJwt", lambda w: w.alice.token(nonce="x" * 9000)),
    "claims no JSON": ("BadJwt", lambda w: w.alice.token_of(_HEADER, "{")),
    "claims a list": ("BadJwt", lambda w: w.alice.token_of(_HEADER, "[]")),
    "claims no UTF-8": ("BadJwt", lambda w: w.alice.token_of(_HEADER, b'{"iss":"\xff"}')),
    "claims with a NaN": ("BadJwt", lambda w: w.alice.token_of(_HEADER, f'{{{_CLAIMS},"x":NaN}}')),
    "claims nested deeply": (
        "BadJwt",
        lambda w: w.alice.token_of(_HEADER, f'{{{_CLAIMS},"x":{"[" * 2500}{"]" * 2500}}}'),
    ),
    "a claim twice": ("BadJwt", lambda w: w.alice.token_of(_HEADER, f'{{{_CLAIMS},"iss":"{plc_did(3)}"}}')),
    "a header field twice": (
        "BadJwt",
        lambda w: w.alice.token_of('{"alg":"none","alg":"ES256K"}', f"{{{_CLAIMS}}}"),
    ),
    "header a list": ("BadJwt", lambda w: w.alice.token_of("[]", f"{{{_CLAIMS}}}")),
    "lone surrogate in iss": ("BadJwtIss", lambda w: w.alice.token(iss=w.alice.did[:-1] + "\ud800")),
    "signature of somebody else": ("BadJwtSignature", lambda w: w.mallory.token(iss=w.alice.did)),
    "claims of somebody else": ("BadJwtSignature", lambda w: _swapped_claims(w.alice, w.mallory)),
    "signature of zeros": ("BadJwtSignature", lambda w: _resigned(w.alice, lambda _: bytes(64))),
    "signature of ones": ("BadJwtSignature", lambda w: _resigned(w.alice, lambda _: b"\xff" * 64)),
    "signature in DER": ("BadJwtSignature", lambda w: _der(w.alice)),
    "signature of 63 bytes": ("BadJwtSignature", lambda w: _resigned(w.alice, lambda raw: raw[:63])),
    "signature of 65 bytes": ("BadJwtSignature", lambda w: _resigned(w.alice, lambda raw: raw + b"\0")),
    "one bit of the signature": (
        "BadJwtSignature",
        lambda w: _resigned(w.alice, lambda raw: bytes([raw[0] ^ 1]) + raw[1:]),
    ),
    "r = 0, p256": ("BadJwtSignature", lambda w: _resigned(w.petra, lambda raw: bytes(32) + raw[32:])),
    "s = order, k256": (
        "BadJwtSignature",
        lambda w: _resigned(
            w.alice,
            lambda raw: (
                raw[:32] + bytes.fromhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
            ),
        ),
    ),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_good_token_is_accepted(world: World, make: Callable[[World], str]) -> None:
    assert world.ask(make(world)) == (200, "")


@pytest.mark.parametrize(("name", "make"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_token_is_refused(world: World, name: str, make: Callable[[World], str]) -> None:
    answer = world.client.simulate_get(SKELETON, params={"feed": FEED}, headers=bearer(make(world)))
    assert (answer.status_code, answer.json["error"]) == (401, name)
    assert set(answer.json) == {"error", "message"}
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    "header", ["", " ", "Bearer", "Bearer ", "Basic YTpi", "DPoP x.y.z", "Bearer a b", "é"]
)
def test_a_header_that_holds_no_token_is_never_anonymous(world: World, header: str) -> None:
    environ = {"HTTP_AUTHORIZATION": header}
    answer = world.client.simulate_get(SKELETON, params={"feed": FEED}, extras=environ)
    assert (answer.status_code, answer.json["error"]) == (401, "BadJwt")


def test_without_a_header_the_viewer_is_anonymous(world: World) -> None:
    assert world.client.simulate_get(SKELETON, params={"feed": FEED}).status_code == 200


def test_refusals_before_the_key_make_no_request_to_the_directory(world: World) -> None:
    requests = len(world.plc.requests)
    for name in ("no exp", "lxm of another method", "aud the AppView", "iss did:key", "alg none", "9 KB"):
        world.ask(REFUSED[name][1](world))
    assert len(world.plc.requests) == requests


def test_a_rotated_key_is_fetched_once_and_a_forger_can_not_force_more(world: World) -> None:
    rosa = Account(plc_did(50))
    world.plc.publish(rosa)
    assert world.ask(rosa.token()) == (200, "")
    old = rosa.key
    rosa.rotate()
    world.plc.publish(rosa)
    world.clock.at += 61  # one forced refresh a minute
    try:
        assert world.ask(rosa.token(now=world.clock.at)) == (200, "")
        requests = len(world.plc.requests)
        rosa.key = old
        for _ in range(5):
            assert world.ask(rosa.token(now=world.clock.at)) == (401, "BadJwtSignature")
        assert len(world.plc.requests) == requests
    finally:
        world.clock.at = START


@given(
    st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,90}")
)
def test_reading_rubbish_raises_nothing_else(text: str) -> None:
    with pytest.raises(TokenError):
        read_token(text, audiences=frozenset({SERVICE_DID}), method=METHOD, now=START)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(claim=st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "lxm", "jti"]), value=_JSON)
def test_a_claim_of_any_type_is_read_or_refused(claim: str, value: object) -> None:
    claims = {"iss": plc_did(1), "aud": SERVICE_DID, "exp": START + 60, "lxm": METHOD, claim: value}
    text = f"{base64url(_HEADER.encode())}.{base64url(json.dumps(claims).encode())}.{base64url(bytes(64))}"
    try:
        token = read_token(text, audiences=frozenset({SERVICE_DID}), method=METHOD, now=START)
    except TokenError:
        return
    assert token.issuer == plc_did(1)


def test_a_private_network_resolves_localhost_and_a_public_one_does_not(tmp_path: Path) -> None:
    clock = Clock()
    with directory() as host, directory() as plc:
        local = Account(f"did:web:localhost%3A{host.port}")
        host.answers["/.well-known/did.json"] = (200, json.dumps(local.document()).encode())
        for plc_url, expected in ((plc.url, 200), ("https://plc.directory", 401)):
            client = TestClient(create_app(config_of(tmp_path, plc_url), now=clock))
            answer = client.simulate_get(SKELETON, params={"feed": FEED}, headers=bearer(local.token()))
            assert answer.status_code == expected
