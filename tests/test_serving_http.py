"""Requests that could mean two things are refused, answers are not guessed at, and only this machine sees its pages."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving_worlds import (
    FEED,
    INTERACTIONS,
    PUBLISHER_DID,
    SKELETON,
    Account,
    ServingStore,
    bearer,
    blob,
    config_of,
    directory,
    plc_did,
    post_uri,
    wait_until,
)

from serving.process.connections import Parser
from serving.process.web_server import WebServer

PATHS = ("/viewers", "/dashboard", "/metrics", f"/viewer/{plc_did(1)}")


@contextmanager
def _running(server: WebServer) -> Iterator[WebServer]:
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(120)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(1, 10))
    store.publish(1, {plc_did(1): blob(range(1, 10))}, {"": blob([1])}, at=time.time())
    store.close()
    with _running(WebServer(config_of(tmp_path))) as running:
        yield running


def _raw(address: tuple[str, int], request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back."""
    with socket.create_connection(address, timeout=120) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


def _get(address: tuple[str, int], path: str, host: str = "localhost") -> bytes:
    return _raw(address, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("first_line", "headers", "body"),
    [
        ("POST /a HTTP/1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("POST /a HTTP/1.1", "transfer-encoding: chunked\r\ncontent-length: 0\r\n", b"0\r\n\r\n"),
        ("POST /a HTTP/1.0", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("POST /a HTTP/1.0", "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("POST /a HTTP/1.1", "Content-Length: 5\r\nContent-Length: 6\r\n", b"12345"),
        ("GET /robots.txt HTTP/1.1", "Host: evil.example\r\n", b""),
    ],
)
def test_a_request_of_two_lengths_or_two_hosts_is_refused(
    server: WebServer, first_line: str, headers: str, body: bytes
) -> None:
    smuggled = b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request = f"{first_line}\r\nHost: localhost\r\n{headers}\r\n".encode() + body + smuggled
    answer = _raw(server.address, request)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert answer.count(b"\r\nDate: ") == 1, "what followed was not read as a request"


def test_a_refused_request_can_be_named_in_a_log(server: WebServer) -> None:
    """Where the client left before its refusal was written, waitress failed over the path, and kept the connection."""
    parser = Parser(server._servers[0].adj)
    parser.received(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert parser.error is not None
    assert parser.path == ""


def test_a_request_without_a_host_is_refused(server: WebServer) -> None:
    assert b" 400 " in _raw(server.address, b"GET /robots.txt HTTP/1.1\r\n\r\n")
    assert b" 200 " in _raw(server.address, b"GET /robots.txt HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (f"GET {SKELETON}?feed={FEED}", 200),
        (f"GET {SKELETON}", 400),
        (f"POST {INTERACTIONS}", 401),
        ("GET /nothing", 404),
        ("GET /xrpc/app.bsky.feed.nothing", 501),
        ("GET /.well-known/did.json", 200),
        ("GET /health", 200),
        ("GET bad request line", 400),
        ("POST /robots.txt", 405),
    ],
)
def test_no_answer_is_taken_for_something_else(server: WebServer, request_line: str, status: int) -> None:
    request = f"{request_line} HTTP/1.1\r\nHost: feed.example.com\r\nConnection: close\r\n\r\n"
    answer = _raw(server.address, request.encode())
    assert f" {status} ".encode() in answer.partition(b"\r\n")[0]
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert head.count(b"x-content-type-options: nosniff") == 1


def test_the_operators_pages_are_at_their_own_address_alone(server: WebServer) -> None:
    for path in PATHS:
        assert _get(server.pages_address, path).startswith(b"HTTP/1.1 200 ")
        assert _get(server.address, path).startswith(b"HTTP/1.1 404 ")
        assert _get(server.pages_address, path, host="rebound.evil.example").startswith(b"HTTP/1.1 404 ")


def test_a_plain_tcp_forwarder_makes_no_stranger_local(server: WebServer) -> None:
    """It connects from this machine, adds no header, and the stranger writes the Host."""
    outside = socket.create_server(("127.0.0.1", 0))

    def forward() -> None:
        while True:
            try:
                taken, _ = outside.accept()
            except OSError:
                return
            with taken, socket.create_connection(server.address) as inside:
                inside.sendall(taken.recv(65_536))
                inside.shutdown(socket.SHUT_WR)
                while chunk := inside.recv(65_536):
                    taken.sendall(chunk)

    threading.Thread(target=forward, daemon=True).start()
    for path in PATHS:
        assert _get(outside.getsockname(), path).startswith(b"HTTP/1.1 404 ")
    assert _get(outside.getsockname(), "/robots.txt").startswith(b"HTTP/1.1 200 ")
    outside.close()


_PROGRAM = f"""
import os, sys
from pathlib import Path
from serving.config import ServingConfig
from serving.process.workers import run
os.umask(0o022)
run(ServingConfig(Path(sys.argv[1]), "feed.example.com", "did:web:feed.example.com", "{PUBLISHER_DID}",
                  ("for-you",), ("127.0.0.1", 0), sys.argv[2], "local", 4, 1, ("127.0.0.1", 0)))
"""


def test_what_the_web_app_makes_is_its_users_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    alice = Account(plc_did(1))
    with directory() as plc:
        plc.publish(alice)
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(data_dir), plc.url],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        assert process.stderr is not None
        try:
            port = int(process.stderr.readline().rpartition(":")[2])
            token = bearer(alice.token(now=time.time()))["Authorization"]
            request = f"GET {SKELETON}?feed={FEED} HTTP/1.0\r\nAuthorization: {token}\r\n\r\n"
            assert b" 200 " in _raw(("127.0.0.1", port), request.encode())
            store = ServingStore(data_dir / "serving.sqlite")  # the batch's; here it is the test's own
            store.posts([1])
            store.close()
            token = bearer(alice.token("app.bsky.feed.sendInteractions", now=time.time()))["Authorization"]
            event = {"item": post_uri(1), "event": "app.bsky.feed.defs#requestLess"}
            body = json.dumps({"interactions": [event]})
            head = f"POST {INTERACTIONS} HTTP/1.0\r\nAuthorization: {token}\r\nContent-Length: {len(body)}"
            assert b" 200 " in _raw(("127.0.0.1", port), f"{head}\r\n\r\n{body}".encode())
            made = {"activity.sqlite", "keys.sqlite", "cursor.key"}
            assert wait_until(lambda: made <= {path.name for path in data_dir.iterdir()})
            open_to = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data_dir.iterdir()}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
            process.stderr.close()
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert all(not mode & 0o077 for name, mode in open_to.items() if not name.startswith("serving")), open_to
