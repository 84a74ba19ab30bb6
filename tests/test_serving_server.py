"""The real server on a real socket: how it starts, bounds what comes in, and ends."""

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving_worlds import (
    FEED,
    INTERACTIONS,
    SKELETON,
    Account,
    ServingStore,
    be_patient,
    bearer,
    blob,
    config_of,
    directory,
    plc_did,
    post_uri,
    wait_until,
)

from serving.budgets.limits import ByClass
from serving.config import ServingConfig
from serving.identity import default_resolver
from serving.process import connections
from serving.process import web_server as server_module
from serving.process.web_server import WebServer
from serving.web_errors import ServingError

_QUERY = f"{SKELETON}?feed={FEED}"


@contextmanager
def _running(config: ServingConfig) -> Iterator[WebServer]:
    server = WebServer(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(120)
        assert not thread.is_alive()


def _get(server: WebServer, path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return _get_at(server.address, path, **headers)


def _get_page(server: WebServer, path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return _get_at(server.pages_address, path, **headers)


def _get_at(address: tuple[str, int], path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(*address, timeout=120)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, body, names
    finally:
        connection.close()


def test_a_fresh_installation_answers_and_picks_the_store_up(tmp_path: Path) -> None:
    with _running(config_of(tmp_path / "data")) as server:
        assert json.loads(_get(server, _QUERY)[1]) == {"feed": []}
        assert _get(server, "/health")[0] == 503
        store = ServingStore(tmp_path / "data" / "serving.sqlite")
        store.posts([5])
        store.publish(1, {}, {"": blob([5])}, at=time.time())
        assert json.loads(_get(server, _QUERY)[1])["feed"][0]["post"] == post_uri(5)
        assert _get(server, "/health")[0] == 200
        store.close()


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=rf"^can't listen on 127\.0\.0\.1:{port}: .*") as caught:
            WebServer(config_of(tmp_path, listen=("127.0.0.1", port)))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.77", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_one_clear_line(tmp_path: Path, host: str) -> None:
    with pytest.raises(ServingError, match="can't listen on"):
        WebServer(config_of(tmp_path, listen=(host, 8080)))


def test_it_listens_on_ipv6(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with _running(config_of(tmp_path, listen=("::1", 0))) as server:
        assert _get(server, "/robots.txt")[0] == 200


def test_errors_of_every_kind_have_the_xrpc_form(tmp_path: Path) -> None:
    with _running(config_of(tmp_path)) as server:
        for path, status, name in (
            ("/xrpc/app.bsky.feed.getTimeline", 501, "MethodNotImplemented"),
            ("/xrpc/", 501, "MethodNotImplemented"),
            (INTERACTIONS, 405, "MethodNotAllowed"),
            ("/nothing", 404, "NotFound"),
            (SKELETON, 400, "InvalidRequest"),
            (f"{_QUERY}x", 400, "UnknownFeed"),
            ("/%ff%00%0d%0a", 404, "NotFound"),
        ):
            answer = _get(server, path)
            assert (answer[0], json.loads(answer[1])["error"]) == (status, name)
            assert answer[2]["content-type"] == "application/json"
        assert _get(server, "/nothing")[2].get("server") is None


def test_head_and_options_are_cheap(tmp_path: Path) -> None:
    with _running(config_of(tmp_path)) as server:
        for method, path, status in (
            ("HEAD", "/health", 503),
            ("HEAD", "/.well-known/did.json", 200),
            ("OPTIONS", SKELETON, 200),
        ):
            connection = http.client.HTTPConnection(*server.address, timeout=120)
            connection.request(method, path)
            answer = connection.getresponse()
            assert answer.status == status
            assert answer.read() == b""
            connection.close()


def _raw(server: WebServer, data: bytes) -> bytes:
    with socket.create_connection(server.address, timeout=120) as connection:
        connection.sendall(data)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass  # the server hung up before it had read all that was sent
        return received


def test_rubbish_on_the_wire_is_a_400_and_the_server_lives(tmp_path: Path) -> None:
    with _running(config_of(tmp_path)) as server:
        for data in (
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\nConnection: close\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n",
        ):
            answer = _raw(server, data)
            assert answer.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4", b"HTTP/1.0 5", b"HTTP/1.1 5"))
            assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "message"}
        long = b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\nConnection: close\r\n\r\n"
        assert _raw(server, long)[9:12] in {b"431", b""}
        assert _get(server, "/robots.txt")[0] == 200


def test_chunked_and_oversized_bodies_are_bounded(tmp_path: Path) -> None:
    with directory() as plc, _running(config_of(tmp_path, plc.url)) as server:
        alice = Account(plc_did(1))
        plc.publish(alice)

        def post(body: bytes, framing: str) -> bytes:
            token = alice.token("app.bsky.feed.sendInteractions", now=time.time())
            head = (
                f"POST {INTERACTIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\nConnection: close\r\n{framing}\r\n\r\n"
            )
            return _raw(server, head.encode() + body)

        chunked = b'12\r\n{"interactions":[]\r\n1\r\n}\r\n0\r\n\r\n'
        assert post(chunked, "Transfer-Encoding: chunked").startswith(b"HTTP/1.1 200")
        answer = post(b" " * 300_000, "Content-Length: 300000")
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"PayloadTooLarge" in answer
        answer = post(b"", "Content-Length: 3000000")
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"PayloadTooLarge" in answer


def test_forwarded_requests_do_not_see_the_pages(tmp_path: Path) -> None:
    with _running(config_of(tmp_path)) as server:
        local = f"localhost:{server.pages_address[1]}"
        assert _get_page(server, "/viewers", Host=local)[0] == 200
        for name, value in (
            ("X-Forwarded-For", "203.0.113.9"),
            ("Forwarded", "for=203.0.113.9"),
            ("X-Real-IP", "203.0.113.9"),
            ("Via", "1.1 caddy"),
            ("Host", "feed.example.com"),
        ):
            assert _get_page(server, "/viewers", **{"Host": local, name: value})[0] == 404


def test_slow_directories_do_not_hold_every_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is known is answered while twelve requests wait for the directory and eighteen found no slot."""
    be_patient(monkeypatch)
    monkeypatch.setattr(default_resolver, "PLC_SLOTS", ByClass(12, 12))
    monkeypatch.setattr(server_module, "SLOTS", 12)
    gate = threading.Event()
    with directory() as plc, _running(config_of(tmp_path, plc.url, threads=2)) as server:
        known = Account(plc_did(1))
        plc.publish(known)
        assert _get(server, _QUERY, **bearer(known.token(now=time.time())))[0] == 200
        plc.before = lambda _write: not gate.wait(120)
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda number=number: statuses.append(
                    _get(server, _QUERY, **bearer(Account(plc_did(number)).token(now=time.time())))[0]
                )
            )
            for number in range(100, 130)
        ]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: len(statuses) >= 18)  # those who found no slot
        for _ in range(5):
            assert _get(server, _QUERY, **bearer(known.token(now=time.time())))[0] == 200
        assert len(statuses) == 18  # the others wait still
        gate.set()
        for thread in threads:
            thread.join(120)
        assert statuses.count(503) >= 18


def _ask(server: WebServer, account: Account, answers: list[int]) -> threading.Thread:
    """Ask for a page in a thread; the status goes into ``answers``."""
    headers = bearer(account.token(now=time.time()))
    thread = threading.Thread(target=lambda: answers.append(_get(server, _QUERY, **headers)[0]))
    thread.start()
    return thread


def test_beyond_capacity_the_answer_is_a_429_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)
    monkeypatch.setattr(server_module, "SLOTS", 0)
    monkeypatch.setattr(server_module, "WAITING_MAX", 2)
    gate = threading.Event()
    accounts = [Account(plc_did(number)) for number in range(8)]
    with directory() as plc, _running(config_of(tmp_path, plc.url, threads=1)) as server:
        plc.publish(*accounts)
        plc.before = lambda _write: not gate.wait(120)
        answers: list[int] = []
        threads = [_ask(server, accounts[0], answers)]
        assert wait_until(lambda: bool(plc.requests))  # the only thread waits for the directory
        waiting = server._servers[0].task_dispatcher.queue
        for number in (1, 2):
            threads.append(_ask(server, accounts[number], answers))
            assert wait_until(lambda number=number: len(waiting) == number)
        connection = http.client.HTTPConnection(*server.address, timeout=120)
        for _ in range(3):  # each at once, and the connection stays
            connection.request("GET", "/health")
            refused = connection.getresponse()
            assert refused.status == 429
            assert json.loads(refused.read())["error"] == "RateLimitExceeded"
        assert answers == []
        gate.set()
        for thread in threads:
            thread.join(120)
        assert answers == [200, 200, 200]
        connection.request("GET", "/robots.txt")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_connection_beyond_the_bound_takes_the_place_of_an_idle_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    monkeypatch.setattr(connections.Server, "connections_max", 4)
    gate = threading.Event()
    accounts = [Account(plc_did(number)) for number in range(4)]
    with directory() as plc, _running(config_of(tmp_path, plc.url)) as server:
        plc.publish(*accounts)
        idle = [socket.create_connection(server.address) for _ in range(4)]
        assert wait_until(lambda: len(server._servers[0].active_channels) == 4)
        assert _get(server, "/robots.txt")[0] == 200
        idle[0].settimeout(120)
        assert idle[0].recv(10) == b""
        plc.before = lambda _write: not gate.wait(120)
        answers: list[int] = []
        threads = [_ask(server, account, answers) for account in accounts]
        assert wait_until(lambda: len(plc.requests) == 4)  # all four places are in use
        status, body, _ = _get(server, "/robots.txt")
        assert (status, json.loads(body)["error"]) == (429, "RateLimitExceeded")
        gate.set()
        for thread in threads:
            thread.join(120)
        assert answers == [200] * 4
        for connection in idle:
            connection.close()


def test_a_storm_of_newcomers_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred viewers nobody has seen, over forty connections, and a directory that takes 20 ms."""
    be_patient(monkeypatch)
    accounts = [Account(plc_did(number)) for number in range(300)]
    with directory(keeps=True) as plc, _running(config_of(tmp_path, plc.url)) as server:
        plc.publish(*accounts)
        plc.before = lambda _write: bool(time.sleep(0.02))
        answers: list[int] = []
        todo = [bearer(account.token(now=time.time())) for account in accounts]

        def work() -> None:
            while todo:
                try:
                    headers = todo.pop()
                except IndexError:
                    return
                answers.append(_get(server, _QUERY, **headers)[0])

        threads = [threading.Thread(target=work) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert answers == [200] * 300
        assert len(plc.requests) == 300
        assert plc.connections <= default_resolver.PLC_FETCHING.known


_PROGRAM = """
import sys
from pathlib import Path
from serving.config import ServingConfig
from serving.web_errors import ServingError
from serving.process.workers import run
try:
    run(ServingConfig(Path(sys.argv[1]), "feed.example.com", "did:web:feed.example.com", sys.argv[3],
                      ("for-you",), ("127.0.0.1", int(sys.argv[4])), sys.argv[2], "local", 4))
except ServingError as error:
    sys.exit(str(error))
"""


@contextmanager
def _process(folder: Path, plc_url: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    publisher = FEED.split("/")[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(folder), plc_url, publisher, str(port)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert process.stderr is not None
    try:
        yield process, process.stderr.readline()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(120)
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_writes_what_is_queued(tmp_path: Path, number: signal.Signals) -> None:
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts([1])
    store.close()
    with directory() as plc, _process(tmp_path, plc.url) as (process, line):
        assert line.startswith("foryou: the web app listens on http://127.0.0.1:")
        port = int(line.rpartition(":")[2])
        alice = Account(plc_did(1))
        plc.publish(alice)
        event = {"item": post_uri(1), "event": "app.bsky.feed.defs#requestLess"}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        token = alice.token("app.bsky.feed.sendInteractions", now=time.time())
        connection.request("POST", INTERACTIONS, json.dumps({"interactions": [event]}), bearer(token))
        assert connection.getresponse().read() == b"{}"
        idle = socket.create_connection(("127.0.0.1", port))  # a connection that is kept open
        process.send_signal(number)
        assert process.wait(server_module.IDLE_SECONDS - 10) == 0  # it does not wait for the idle connection
        idle.close()
        connection.close()
        with sqlite3.connect(tmp_path / "activity.sqlite") as activity:
            assert activity.execute("SELECT event FROM interactions").fetchall() == [("requestLess",)]


def test_a_request_that_runs_at_the_end_is_finished(tmp_path: Path) -> None:
    with directory() as plc, _process(tmp_path, plc.url) as (process, line):
        port = int(line.rpartition(":")[2])
        alice = Account(plc_did(1))
        plc.publish(alice)

        gate = threading.Event()

        def slowly(_write: Callable[[bytes], None]) -> bool:
            gate.wait(120)
            return False

        plc.before = slowly
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("GET", _QUERY, headers=bearer(alice.token(now=time.time())))
        assert wait_until(lambda: bool(plc.requests))
        process.terminate()
        threading.Timer(0.3, gate.set).start()
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"feed":[]}')
        assert process.wait(120) == 0
        connection.close()


def test_a_second_server_on_the_port_exits_with_one_line(tmp_path: Path) -> None:
    with _process(tmp_path, "http://127.0.0.1:9") as (_first, line):
        port = int(line.rpartition(":")[2])
        with _process(tmp_path, "http://127.0.0.1:9", port) as (second, complaint):
            assert second.wait(120) == 1
            assert complaint.startswith(f"can't listen on 127.0.0.1:{port}: ")
