"""Accounts, a directory and stores for the tests of the web app: real keys, real sockets, real SQLite files.

Owns: making them. Leaves to the tests: what they expect of the app.
"""

import base64
import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from list_bytes import blob as blob

from serving.config import ServingConfig
from serving.http.clients import PAGES_LISTENER
from serving.identity import default_resolver, resolver
from serving.identity.fetch import Fetcher
from serving.identity.keys import SigningKey, signing_key
from serving.lists.list_store import tid_number
from serving.viewers.activity_writer import ActivityWriter
from sql import sqlite

ON_PAGES = {
    PAGES_LISTENER: True
}  # of a simulated request that came in at the address of the operator's pages
SERVICE_DID = "did:web:feed.example.com"
PUBLISHER_DID = "did:plc:publisher2222222222222222"[:32]
FEED = f"at://{PUBLISHER_DID}/app.bsky.feed.generator/for-you"
SKELETON = "/xrpc/app.bsky.feed.getFeedSkeleton"
INTERACTIONS = "/xrpc/app.bsky.feed.sendInteractions"
START = 1_790_000_000.0

_CURVES: dict[str, tuple[type[ec.EllipticCurve], bytes, int]] = {
    "ES256K": (
        ec.SECP256K1,
        b"\xe7\x01",
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    ),
    "ES256": (ec.SECP256R1, b"\x80\x24", 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
}


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    at: float = START

    def __call__(self) -> float:
        return self.at


def plc_did(number: int) -> str:
    """Return a did:plc, a different one for each number."""
    digest = hashlib.sha256(str(number).encode()).digest()
    return "did:plc:" + base64.b32encode(digest).decode().lower()[:24]


def base58btc(data: bytes) -> str:
    """Encode in base58btc, without a multibase prefix."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def base64url(data: bytes) -> str:
    """Encode in base64url, unpadded."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Account:
    """A DID with a signing key, which makes tokens."""

    did: str
    algorithm: str = "ES256K"
    key: ec.EllipticCurvePrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """Take a new key."""
        self.key = ec.generate_private_key(_CURVES[self.algorithm][0]())

    def sign(self, signed: bytes, *, high_s: bool = False) -> bytes:
        """Return the 64 bytes of a signature in its low form, or its high one."""
        r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
        order = _CURVES[self.algorithm][2]
        if (s > order // 2) != high_s:
            s = order - s
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def token(
        self,
        method: str = "app.bsky.feed.getFeedSkeleton",
        *,
        now: float = START,
        header: Mapping[str, Any] | None = None,
        high_s: bool = False,
        **claims: Any,
    ) -> str:
        """Return a token as a host makes it, with parts replaced; a claim given as ``...`` is left out."""
        head = {"typ": "JWT", "alg": self.algorithm, **(header or {})}
        body = {
            "iat": int(now),
            "iss": self.did,
            "aud": SERVICE_DID,
            "exp": int(now) + 60,
            "lxm": method,
            "jti": secrets.token_hex(16),
            **claims,
        }
        parts = [
            json.dumps({name: value for name, value in part.items() if value is not ...})
            for part in (head, body)
        ]
        return self.token_of(*parts, high_s=high_s)

    def token_of(self, header: str | bytes, claims: str | bytes, *, high_s: bool = False) -> str:
        """Return a well-signed token of any two texts."""
        parts = [
            base64url(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
            for part in (header, claims)
        ]
        signed = ".".join(parts)
        return f"{signed}.{base64url(self.sign(signed.encode(), high_s=high_s))}"

    def document(self, *, legacy: bool = False) -> dict[str, Any]:
        """Return the DID document, with a Multikey or in the form of 2019."""
        curve_prefix = _CURVES[self.algorithm][1]
        public = self.key.public_key()
        compressed = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        plain = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        names = {"ES256K": "Secp256k1", "ES256": "Secp256r1"}
        kind = f"Ecdsa{names[self.algorithm]}VerificationKey2019" if legacy else "Multikey"
        return {
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": self.did,
            "alsoKnownAs": ["at://somebody.example.com"],
            "verificationMethod": [
                {
                    "id": f"{self.did}#atproto",
                    "type": kind,
                    "controller": self.did,
                    "publicKeyMultibase": "z" + base58btc(plain if legacy else curve_prefix + compressed),
                }
            ],
        }


class OneAccount:
    """A resolver that knows one account's key and asks nobody."""

    def __init__(self, account: Account) -> None:
        self._key = signing_key(account.document(), account.did)

    def signing_key(self, did: str) -> SigningKey:
        """Return the key, whichever DID is given."""
        return self._key

    def refreshed_key(self, did: str) -> SigningKey | None:
        """Know no other."""
        return None


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass
class Directory:
    """A PLC directory, or any host of documents: ``answers`` maps a path to a status and a body."""

    url: str
    port: int
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    connections: int = 0
    # Called before answering with the function that writes raw bytes; it may block, or answer itself (True).
    before: Callable[[Callable[[bytes], None]], bool] | None = None

    def publish(self, *accounts: Account, legacy: bool = False) -> None:
        """Hold the documents of accounts, as a PLC directory does."""
        for account in accounts:
            self.answers[f"/{account.did}"] = (200, json.dumps(account.document(legacy=legacy)).encode())


@contextmanager
def directory(tls: Any = None, *, keeps: bool = False) -> Iterator[Directory]:
    """Run a directory on loopback; ``keeps`` lets clients keep their connections."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if keeps else "HTTP/1.0"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            held.connections += 1

        def do_GET(self) -> None:
            held.requests.append(self.path)
            held.hosts.append(self.headers["Host"])

            def write(data: bytes) -> None:
                self.wfile.write(data)
                self.wfile.flush()

            try:
                if held.before is not None and held.before(write):
                    return
                status, body = held.answers.get(self.path, (404, b'{"message":"no such DID"}'))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in held.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the client left, as it should when it has to wait

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    held = Directory(f"http://127.0.0.1:{port}", port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let web apps of this process that are made from now on wait for the directory as long as a test may take."""
    monkeypatch.setattr(default_resolver, "Fetcher", partial(Fetcher, deadline_seconds=300.0))
    monkeypatch.setattr(resolver, "DEADLINE_SECONDS", 300.0)
    monkeypatch.setattr(resolver, "TURN_SECONDS", 300.0)


def config_of(data_dir: Path, plc_url: str = "http://127.0.0.1:9", **changes: Any) -> ServingConfig:
    """Return a configuration for tests."""
    values: dict[str, Any] = {
        "data_dir": data_dir,
        "hostname": "feed.example.com",
        "service_did": SERVICE_DID,
        "publisher_did": PUBLISHER_DID,
        "feed_rkeys": ("for-you",),
        "listen": ("127.0.0.1", 0),
        "plc_url": plc_url,
        "pages": "local",
        "pages_listen": ("127.0.0.1", 0),
        "threads": 4,
    }
    return ServingConfig(**(values | changes))


def post_uri(post_id: int) -> str:
    """Return the at-uri that ``ServingStore.posts`` gives a post."""
    digits = "234567abcdefghijklmnopqrstuvwxyz"
    rkey = "".join(digits[(post_id >> shift) & 31] for shift in range(35, -1, -5))
    return f"at://{plc_did(post_id % 7)}/app.bsky.feed.post/3aaaa{rkey}"


def post_rkey(post_id: int) -> int:
    """Return the number of the record key in ``post_uri``."""
    number = tid_number(post_uri(post_id).rpartition("/")[2])
    assert number is not None
    return number


class ServingStore:
    """A serving.sqlite that a test writes as the batch does."""

    def __init__(self, path: Path, feeds: Sequence[str] = ("for-you",)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection: sqlite3.Connection = sqlite.connect(path)
        sqlite.migrate(self.connection, "serving")
        self.connection.executemany(
            "INSERT OR IGNORE INTO feeds (feed_id, rkey) VALUES (?, ?)", enumerate(feeds, 1)
        )
        self._viewers: dict[str, int] = {}

    def posts(self, post_ids: Sequence[int]) -> None:
        """Store posts."""
        self.connection.executemany(
            "INSERT OR REPLACE INTO posts "
            "(post_id, author_id, rkey, uri, created_us, likers, last_generation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (post, post % 7, post_rkey(post), post_uri(post), int(START * 1e6) - 3_600_000_000, 5, 1)
                for post in post_ids
            ],
        )

    def publish(
        self,
        generation: int,
        lists: Mapping[str, bytes] | None = None,
        fallbacks: Mapping[str, bytes] | None = None,
        *,
        feed_id: int = 1,
        at: float = START - 60,
    ) -> None:
        """Commit a generation with lists by DID and fallback lists by language."""
        lists, fallbacks = lists or {}, fallbacks or {}
        self.connection.execute("BEGIN IMMEDIATE")
        for did, items in lists.items():
            viewer = self._viewers.setdefault(did, len(self._viewers) + 1)
            self.connection.execute("INSERT OR IGNORE INTO viewers VALUES (?, ?)", (viewer, did))
            self.connection.execute(
                "INSERT INTO lists VALUES (?, ?, ?, ?)", (feed_id, viewer, generation, items)
            )
        for language, items in fallbacks.items():
            self.connection.execute(
                "INSERT INTO fallbacks VALUES (?, ?, ?, ?)", (feed_id, language, generation, items)
            )
        self.connection.execute(
            "INSERT INTO generations (generation, snapshot_us, published_us, lists, items) VALUES (?, ?, ?, ?, ?)",
            (generation, int(at * 1e6) - 30_000_000, int(at * 1e6), len(lists), 0),
        )
        self.connection.execute("COMMIT")

    def prune(self, before: int) -> None:
        """Remove the lists of generations before one, as far as a newer list replaces them."""
        for table, owner in (("lists", "viewer_id"), ("fallbacks", "language")):
            self.connection.execute(
                f"DELETE FROM {table} WHERE generation < (SELECT max(newer.generation) FROM {table} AS newer"
                f" WHERE newer.{owner} = {table}.{owner} AND newer.generation <= ?)",
                (before,),
            )

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Wait for a condition; tell whether it came true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def flush(writer: ActivityWriter, seconds: float = 120.0) -> bool:
    """Wait until all that was recorded is written; False when that takes longer."""
    writer._wake.set()
    return wait_until(lambda: writer.state()["queued"] == 0, seconds)
