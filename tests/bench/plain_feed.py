"""The feed as the common starters serve it, to compare with: one handler, SQLite, no cache but that of keys.

    python tests/bench/plain_feed.py DATABASE PLC_URL         prints the port it listens on

It does the work of the web app's getFeedSkeleton. It verifies the token's claims and signature with
python-cryptography, as the Python SDK does, and gets the key by one HTTP request and keeps it in memory. It reads
thirty posts of the viewer's ranked list and answers JSON. As in the starters, there is a connection per request and a
row per post. waitress runs it with eight threads.
"""

import base64
import json
import logging
import socket
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import waitress
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_keys: dict[str, bytes] = {}


def decoded(part: str) -> bytes:
    """Decode unpadded base64url."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def key_of(did: str, plc_url: str) -> ec.EllipticCurvePublicKey:
    """Return a DID's secp256k1 key."""
    if did not in _keys:
        with urllib.request.urlopen(f"{plc_url}/{did}", timeout=3) as answer:
            text = json.load(answer)["verificationMethod"][0]["publicKeyMultibase"]
        number = 0
        for digit in text[1:]:
            number = number * 58 + _BASE58.index(digit)
        _keys[did] = number.to_bytes(35, "big")[2:]
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), _keys[did])


def viewer_of(header: str, plc_url: str) -> str:
    """Return who signed a token; any exception means that nobody did."""
    text = header.removeprefix("Bearer ").strip()
    head, body, signature = text.split(".")
    claims = json.loads(decoded(body))
    if claims["aud"] != "did:web:feed.example.com" or claims["exp"] < time.time():
        raise ValueError("not for us, or not any more")
    raw = decoded(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key = key_of(claims["iss"], plc_url)
    key.verify(encode_dss_signature(r, s), f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    return str(claims["iss"])


def handler(database: str, plc_url: str) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """Return the WSGI application."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        query = parse_qs(environ["QUERY_STRING"])
        viewer = viewer_of(environ["HTTP_AUTHORIZATION"], plc_url)
        limit, place = int(query["limit"][0]), int(query.get("cursor", ["0"])[0])
        connection = sqlite3.connect(database)
        rows = connection.execute(
            "SELECT uri FROM ranked JOIN posts USING (post_id) WHERE viewer = ? AND place >= ? ORDER BY place LIMIT ?",
            (viewer, place, limit),
        ).fetchall()
        connection.close()
        body = json.dumps(
            {"cursor": str(place + len(rows)), "feed": [{"post": uri} for (uri,) in rows]}
        ).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application


if __name__ == "__main__":
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it says so at every burst
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listening.getsockname()[1], file=sys.stderr, flush=True)
    waitress.serve(handler(sys.argv[1], sys.argv[2]), sockets=[listening], threads=8, ident="")
