"""A thousand hostile DIDs for bench_strangers.py: their hosts, their names, and all that they send.

Owns: the hostile side, in a process of its own. Half of the DIDs are in the directory; half are names of five domains
whose owner answers for any name. ``KINDS`` says how their hosts behave.
"""

import http.client
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from serving_worlds import FEED, INTERACTIONS, SKELETON, Account, bearer, plc_did

HOSTILE, FIRST = 1_000, 10_000  # how many DIDs, and the number of the first of the directory's
DOMAINS = 5
KINDS = ("fine", "slow", "huge", "lying", "silent", "dead")  # "dead": the name server does not answer
SEND = "app.bsky.feed.sendInteractions"


def web_did(number: int) -> str:
    """Return one of the names of the five domains."""
    return f"did:web:{KINDS[number % len(KINDS)]}-{number}.hostile{number % DOMAINS}.example"


def run_hosts(key: Account) -> dict[str, int]:
    """Run the hosts of hostile DIDs; return each kind's port. They end with the process."""

    def answer(connection: socket.socket, host: str, lying: bool) -> None:
        document = key.document()
        did = f"did:web:{host}"
        text = json.dumps(document).replace(key.did, "did:web:somebody.else.example" if lying else did)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        connection.sendall((head + text).encode())

    def slow(connection: socket.socket, _host: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.2)

    def huge(connection: socket.socket, _host: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1_000):
            connection.sendall(b" " * 65_536)

    kinds: dict[str, Callable[[socket.socket, str], Any]] = {
        "fine": lambda connection, host: answer(connection, host, False),
        "lying": lambda connection, host: answer(connection, host, True),
        "slow": slow,
        "huge": huge,
        "silent": lambda _connection, _host: time.sleep(30),
        "dead": lambda _connection, _host: None,
    }

    def one(connection: socket.socket, behave: Callable[[socket.socket, str], Any]) -> None:
        with connection, suppress(OSError):
            lines = connection.recv(4_096).decode("latin-1").split("\r\n")
            host = next(line[6:] for line in lines if line.startswith("Host: ")).partition(":")[0]
            behave(connection, host)

    def accept(server: socket.socket, behave: Callable[[socket.socket, str], Any]) -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=one, args=(connection, behave), daemon=True).start()

    ports = {}
    for kind, behave in kinds.items():
        server = socket.create_server(("127.0.0.1", 0), backlog=512)
        ports[kind] = server.getsockname()[1]
        threading.Thread(target=accept, args=(server, behave), daemon=True).start()
    return ports


class Attackers:
    """Sends what hostile DIDs send: ``rate`` requests a second over some connections."""

    def __init__(
        self,
        address: tuple[str, int],
        plc_key: Account,
        web_key: Account,
        honest: list[str],
        posts: list[str],
        rate: float,
    ) -> None:
        self._address, self._rate = address, rate
        self._plc_key, self._web_key = plc_key, web_key
        self._honest, self._posts = honest, posts
        self.answers: Counter[str] = Counter()
        self._until = 0.0

    def run(self, seconds: float, threads: int = 24) -> None:
        """Attack for some seconds."""
        self._until = time.monotonic() + seconds
        workers = [
            threading.Thread(target=self._work, args=(random.Random(number), threads / self._rate))
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, chance: random.Random, pause: float) -> None:
        attacks = {
            self._floods: 6,
            self._invented_posts: 2,
            self._replays: 2,
            self._pages: 6,
            self._invented_dids: 4,
            self._forged: 3,
            self._rubbish: 1,
        }
        due = time.monotonic() + chance.random() * pause
        while (now := time.monotonic()) < self._until:
            if due > now:
                time.sleep(min(due - now, max(self._until - now, 0.0)))
            due += pause
            attack = chance.choices([*attacks], [*attacks.values()])[0]
            with suppress(OSError, http.client.HTTPException):
                attack(chance)

    def _signer(self, chance: random.Random) -> Account:
        number = chance.randrange(HOSTILE)
        if number % 2:
            return _as(self._plc_key, plc_did(FIRST + number))
        return _as(self._web_key, web_did(number))

    def _floods(self, chance: random.Random) -> None:
        signer = self._signer(chance)
        events = [
            {"item": chance.choice(self._posts), "event": f"app.bsky.feed.defs#{event}"}
            for event in chance.choices(["requestLess", "requestMore", "interactionSeen"], k=1_000)
        ]
        self._send("floods", signer.token(SEND, now=time.time()), events)

    def _invented_posts(self, chance: random.Random) -> None:
        uri = f"at://did:web:{'a' * 60}.example/app.bsky.feed.post/3"
        events = [
            {"item": uri + f"{chance.getrandbits(60):012d}"[:12], "event": "app.bsky.feed.defs#requestLess"}
            for _ in range(1_000)
        ]
        self._send("invented posts", self._signer(chance).token(SEND, now=time.time()), events)

    def _replays(self, chance: random.Random) -> None:
        token = self._signer(chance).token(SEND, now=time.time(), jti=...)
        for _ in range(3):
            self._send(
                "replays", token, [{"item": self._posts[0], "event": "app.bsky.feed.defs#interactionSeen"}]
            )

    def _pages(self, chance: random.Random) -> None:
        token = self._signer(chance).token(now=time.time())
        for _ in range(3):
            self._ask("pages", "GET", f"{SKELETON}?feed={FEED}&limit=100", None, bearer(token))

    def _invented_dids(self, chance: random.Random) -> None:
        signer = _as(self._plc_key, plc_did(chance.randrange(10**6, 10**9)))
        self._ask(
            "invented DIDs", "GET", f"{SKELETON}?feed={FEED}", None, bearer(signer.token(now=time.time()))
        )

    def _forged(self, chance: random.Random) -> None:
        """A token of an honest viewer with a wrong signature: it makes the server read their key again."""
        signer = _as(self._plc_key, chance.choice(self._honest))
        self._ask("forged", "GET", f"{SKELETON}?feed={FEED}", None, bearer(signer.token(now=time.time())))

    def _rubbish(self, _chance: random.Random) -> None:
        with socket.create_connection(self._address, timeout=10) as connection:
            head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + b"0\r\n\r\n")
            self.answers[f"rubbish {connection.recv(64)[9:12].decode()}"] += 1

    def _send(self, what: str, token: str, events: list[dict[str, str]]) -> None:
        body = json.dumps({"interactions": events}).encode()
        self._ask(what, "POST", INTERACTIONS, body, bearer(token))

    def _ask(self, what: str, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            self.answers[f"{what} {answer.status}"] += 1
        finally:
            connection.close()


def _as(key: Account, did: str) -> Account:
    """Return an account with another's key."""
    account = object.__new__(Account)
    account.did, account.algorithm, account.key = did, key.algorithm, key.key
    return account
