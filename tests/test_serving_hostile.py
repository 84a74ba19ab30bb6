"""Two hundred viewers whose DIDs lead to hostile hosts arrive at once: refused in time, and nobody else waits
for it.

FORYOU_TEST_SHOW=1 python -m pytest -s tests/test_serving_hostile.py      prints the latencies
"""

import contextlib
import http.client
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from serving_worlds import (
    FEED,
    SKELETON,
    Account,
    Directory,
    ServingStore,
    bearer,
    blob,
    config_of,
    directory,
    plc_did,
)

from serving.budgets.limits import PLC_SLOTS, WEB_SLOTS, ByClass
from serving.identity.dids import HttpTarget, plc_target, web_target
from serving.identity.fetch import Fetcher
from serving.identity.lookup_slots import Slots
from serving.identity.public_addresses import is_public
from serving.identity.resolver import KeyResolver, KeySource, Resolver
from serving.process.web_server import WebServer

PUBLIC = (
    "127.0.0.2"  # stands for a public address of the hostile hosts: there is no other that a test may use
)
HOSTILE, AT_ONCE = 200, 40
# Where a name leads, one answer after another, the last one for good; None is a lookup that never ends.
NAMES: dict[str, list[list[str] | None]] = {
    "loopback": [["127.0.0.1"]],
    "loopback6": [["::1"]],
    "link-local": [["169.254.169.254"]],
    "private": [["10.0.0.1", "192.168.1.1"]],
    "mapped": [["::ffff:127.0.0.1"]],
    "translated": [["64:ff9b::7f00:1"]],
    "unspecified": [["0.0.0.0"]],
    "changing": [["127.0.0.1"], [PUBLIC], ["127.0.0.1"]],
    "both": [["127.0.0.1", "10.0.0.1", "::1"]],
    "absent": [[]],
    "endless-lookup": [None],
    "redirect": [[PUBLIC]],
    "drips-body": [[PUBLIC]],
    "drips-headers": [[PUBLIC]],
    "silent": [[PUBLIC]],
    "not-listening": [["127.0.0.3"]],
}

REFUSED_AT_ONCE = (
    *("loopback", "loopback6", "link-local", "private", "mapped", "translated", "unspecified"),
    *("changing", "both", "redirect"),
)


def _has(address: str) -> bool:
    try:
        socket.create_server((address, 0)).close()
    except OSError:
        return False
    return True


@dataclass
class Dns:
    """A name server that changes its mind."""

    over: threading.Event = field(default_factory=threading.Event)
    lookups: Counter[str] = field(default_factory=Counter)

    def __call__(self, host: str, _port: int) -> list[str]:
        kind = host.split(".")[0].rstrip("0123456789").rstrip("-")
        answers = NAMES[kind]
        self.lookups[host] += 1
        answer = answers[min(self.lookups[host], len(answers)) - 1]
        if answer is None:
            self.over.wait(20)
            return []
        return answer


@contextmanager
def _hosts(over: threading.Event) -> Iterator[dict[str, int]]:
    """Run the hostile hosts on PUBLIC; give each one's port by name."""

    def drip(start: bytes, piece: bytes) -> Callable[[socket.socket], None]:
        def work(connection: socket.socket) -> None:
            connection.sendall(start)
            while not over.wait(0.1):
                connection.sendall(piece)

        return work

    def redirect(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/secret\r\nContent-Length: 0\r\n\r\n"
        )

    kinds: dict[str, Callable[[socket.socket], object]] = {
        "redirect": redirect,
        "drips-body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" "),
        "drips-headers": drip(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"),
        "silent": lambda _connection: over.wait(30),
    }
    listening = []

    def accept(server: socket.socket, behave: Callable[[socket.socket], object]) -> None:
        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):  # the client left, as it should
                behave(connection)

        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    ports = {}
    for kind, behave in kinds.items():
        server = socket.create_server((PUBLIC, 0))
        listening.append(server)
        ports[kind] = server.getsockname()[1]
        threading.Thread(target=accept, args=(server, behave), daemon=True).start()
    try:
        yield ports
    finally:
        over.set()
        for server in listening:
            server.close()


def _resolver(plc: Directory, inside: Directory, ports: dict[str, int], dns: Dns) -> KeyResolver:
    """Return a resolver as an installation has it, on this fake internet."""

    def target(did: str) -> HttpTarget:
        host = web_target(did).host
        kind = host.split(".")[0].rstrip("0123456789").rstrip("-")
        return HttpTarget("http", host, ports.get(kind, inside.port), "/.well-known/did.json")

    hosts = Fetcher(
        allowed=lambda address: address in (PUBLIC, "127.0.0.3") or is_public(address), lookup=dns
    )
    return Resolver(
        {
            "plc": KeySource(
                lambda did: plc_target(plc.url, did),
                Fetcher(allowed=lambda _address: True),
                Slots(PLC_SLOTS),
                ByClass(1_000, 1_000),
                True,
            ),
            "web": KeySource(target, hosts, Slots(WEB_SLOTS), ByClass(1_000, 1_000), False),
        }
    )


def _ask(address: tuple[str, int], headers: dict[str, str]) -> tuple[int, float]:
    began = time.monotonic()
    connection = http.client.HTTPConnection(*address, timeout=120)
    try:
        connection.request("GET", f"{SKELETON}?feed={quote(FEED)}&limit=30", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began
    finally:
        connection.close()


@pytest.mark.skipif(not _has(PUBLIC), reason=f"this machine's loopback has no {PUBLIC}")
def test_hostile_hosts_are_refused_in_time_and_others_do_not_wait(tmp_path: Path) -> None:
    known = [Account(plc_did(number)) for number in range(10)]
    kinds = list(NAMES)
    names = [f"{kinds[number % len(kinds)]}-{number}.host{number}.example" for number in range(HOSTILE)]
    one = Account("did:web:x.example")  # its key signs for all of them; it is never looked at
    dns = Dns()
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(1, 61))
    store.publish(1, {account.did: blob(range(1, 61)) for account in known}, {"": blob([1])}, at=time.time())
    store.close()
    with directory(keeps=True) as plc, directory(keeps=True) as inside, _hosts(dns.over) as ports:
        plc.publish(*known)
        server = WebServer(config_of(tmp_path, plc.url), resolver=_resolver(plc, inside, ports, dns))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            answers: list[tuple[int, float]] = []
            todo = []
            for name in names:
                one.did = f"did:web:{name}"
                todo.append(bearer(one.token(now=time.time())))

            def arrive() -> None:
                while todo:
                    try:
                        headers = todo.pop()
                    except IndexError:
                        return
                    answers.append(_ask(server.address, headers))

            def usual(count: int) -> list[tuple[int, float]]:
                return [
                    _ask(server.address, bearer(known[place % 10].token(now=time.time())))
                    for place in range(count)
                ]

            for kind in REFUSED_AT_ONCE:
                one.did = f"did:web:{kind}-0.alone.example"
                assert _ask(server.address, bearer(one.token(now=time.time())))[0] == 401, kind
            usual(20)  # keys are fetched once
            before = usual(100)
            threads = [threading.Thread(target=arrive) for _ in range(AT_ONCE)]
            for each in threads:
                each.start()
            beside = usual(40)
            while any(each.is_alive() for each in threads):
                beside += usual(5)
            for each in threads:
                each.join()
        finally:
            server.stop()
            thread.join(120)
    assert inside.requests == [], "something inside was reached"
    assert len(answers) == HOSTILE
    assert {status for status, _ in answers} <= {401, 502, 503}
    assert max(seconds for _, seconds in answers) < 10, "the deadline is 3 s, and 1.5 s for one's turn"
    assert {status for status, _ in before + beside} == {200}
    if os.environ.get("FORYOU_TEST_SHOW"):
        for name, rows in (("hostile", answers), ("known, before", before), ("known, beside", beside)):
            ordered = sorted(seconds for _, seconds in rows)
            p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
            print(
                f"{name:14} {len(rows):4} requests  p50 {p50 * 1e3:7.1f} ms  p99 {p99 * 1e3:7.1f} ms  "
                f"max {ordered[-1] * 1e3:7.1f} ms  {dict(Counter(status for status, _ in rows))}"
            )
