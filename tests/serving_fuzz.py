"""Random and mutated requests for the web app, as bytes, and a client that sends them and judges what comes back.

Owns: making requests (good ones, and ones spoilt in one or more of many ways), sending them over open
connections, and what counts as wrong: a 500, an answer that is no HTTP, an error that has no XRPC form, or no
answer in time. Leaves to others: the server and its memory (``test_serving_fuzz``, ``bench/fuzz_serving``).
"""

import gzip
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from serving_worlds import FEED, INTERACTIONS, SKELETON, Account, post_uri

ANSWER_SECONDS = 10.0
PATHS = (
    SKELETON, SKELETON, SKELETON, SKELETON, INTERACTIONS, INTERACTIONS, "/", "/why", "/viewers", "/viewer/x",
    "/health",
    "/metrics", "/dashboard", "/robots.txt", "/.well-known/did.json", "/xrpc/app.bsky.feed.describeFeedGenerator",
    "/xrpc/a.b.c", "/xrpc/", "//", "/%", "/%00", "/..%2f..%2fetc/passwd", "/\xff", "*",
    "http://other.example/x", "/xrpc",
)  # fmt: skip
METHODS = (
    "GET",
    "GET",
    "GET",
    "POST",
    "POST",
    "HEAD",
    "OPTIONS",
    "PUT",
    "DELETE",
    "TRACE",
    "get",
    "",
    "G E T",
    "X" * 40,
)
TEXTS = (
    "", "0", "1", "-1", "30", "100", "101", "1e3", "9" * 30, "null", "[]", "{}", "\0", "%00", "%ff%fe", "%", "%zz",
    "é", "\u2028",
    "' OR 1=1 --", "<script>", "../../x", "a" * 3000, "\t", " ", "did:plc:x", "at://", FEED, FEED + "x", FEED.upper(),
    "😀",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1e308, 2**63, 2**200, "", "x", [], {}, [[]], {"a": {}}, "\ud800", "\0", post_uri(1), FEED,
    "app.bsky.feed.defs#requestLess", "app.bsky.feed.defs#interactionSeen", "app.bsky.feed.defs#", "requestLess",
)  # fmt: skip
EVENTS = ("requestLess", "requestMore", "interactionSeen", "interactionLike")
HEADERS = (
    "Accept-Language: *", "Accept-Language: ", "Accept-Language: en;q=x,,;q=1,pt-BR", "Accept-Language: " + "a," * 800,
    "Content-Encoding: gzip", "Content-Encoding: br", "Expect: 100-continue", "Expect: x", "Connection: close",
    "Connection: upgrade", "X-Forwarded-For: 1", "X-Request-Id: \x7f", "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity", "Content-Length: 5", "Content-Length: -1", "Content-Length: +3", 
    "Content-Length: 999999999999999999",
    "Range: bytes=0-", "Cookie: a=b", ": nothing", "NoColon", " folded", "Host: ", "Host: a\tb", 
    "Authorization: Basic x",
    "Authorization: Bearer", "Authorization: bearer x.y.z", "X: " + "y" * 20_000, "X: " + "y" * 40_000,
    "\xff\xfe: \xff",
)  # fmt: skip

_DEEP = b"[" * 50_000
_BOMB = gzip.compress(b" " * 3_000_000)


@dataclass
class Requests:
    """An endless stream of requests; the same for the same seed, but for the tokens' own randomness."""

    seed: int
    accounts: Sequence[Account]
    cursors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        now = time.time()
        methods = ("app.bsky.feed.getFeedSkeleton", "app.bsky.feed.sendInteractions")
        self._tokens = {
            method: [
                account.token(method, now=now, exp=int(now) + 3500) for account in self.accounts for _ in range(8)
            ]
            for method in methods
        }  # fmt: skip

    def next(self) -> bytes:
        """Return one request: one in four is good, the others are spoilt somewhere, some of them in their bytes."""
        chance = self._chance
        spoil = 0.0 if chance.random() < 0.25 else chance.choice((0.1, 0.3, 0.6))

        def odd() -> bool:
            return chance.random() < spoil

        path = chance.choice(PATHS if odd() else (SKELETON, SKELETON, INTERACTIONS))
        posted = path == INTERACTIONS
        method = chance.choice(METHODS) if odd() else ("POST" if posted else "GET")
        query = "" if posted and not odd() else self._query(odd)
        version = chance.choice(("HTTP/1.0", "HTTP/9.9", "HTTP/", "x", "")) if odd() else "HTTP/1.1"
        lines = [f"{method} {path}{query} {version}"]
        lines.append("Host: feed.example.com")
        if chance.random() < 0.85:
            lines.append(f"Authorization: Bearer {self._token(path, odd)}")
        if chance.random() < 0.5:
            lines.append("Accept-Language: en,pt")
        while odd():
            lines.insert(chance.randrange(1, len(lines) + 1), chance.choice(HEADERS))
        body = self._body(odd) if posted or odd() else b""
        if body or posted:
            lines.append(
                f"Content-Length: {len(body) if not odd() else chance.choice((0, 1, len(body) * 2, 10**9))}"
            )
        raw = "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body
        return self._damaged(raw) if odd() and odd() else raw

    def _query(self, odd: Callable[[], bool]) -> str:
        chance = self._chance
        pairs = [("feed", chance.choice(TEXTS) if odd() else FEED)]
        if chance.random() < 0.8:
            pairs.append(
                ("limit", chance.choice(TEXTS) if odd() else str(chance.choice((1, 8, 30, 50, 100))))
            )
        if self.cursors and chance.random() < 0.4:
            cursor = chance.choice(self.cursors)
            pairs.append(("cursor", self._mutated(cursor) if odd() else cursor))
        while odd():
            pairs.append(
                (
                    chance.choice(("feed", "limit", "cursor", "q", "viewer", "x" * 50, "")),
                    chance.choice(TEXTS),
                )
            )
        chance.shuffle(pairs)
        return "?" + "&".join(f"{name}={value.replace(' ', '+')}" for name, value in pairs)

    def _token(self, path: str, odd: Callable[[], bool]) -> str:
        chance = self._chance
        fits = "app.bsky.feed.sendInteractions" if path == INTERACTIONS else "app.bsky.feed.getFeedSkeleton"
        token = chance.choice(self._tokens[chance.choice(list(self._tokens)) if odd() else fits])
        if odd():
            return self._mutated(token)
        if odd():
            parts = token.split(".")
            chance.shuffle(parts)
            return ".".join(parts[: chance.randrange(4)])
        return token

    def _body(self, odd: Callable[[], bool]) -> bytes:
        chance = self._chance
        entries = []
        for _ in range(chance.choice((0, 1, 1, 3, 20))):
            entry: object = {
                "item": post_uri(chance.randrange(1, 400)),
                "event": "app.bsky.feed.defs#" + chance.choice(EVENTS),
                "feedContext": "c3.1",
                "reqId": "1.0.abc",
            }  # fmt: skip
            if odd() and isinstance(entry, dict):
                entry[chance.choice(("item", "event", "feedContext", "reqId", "x"))] = chance.choice(VALUES)
            entries.append(chance.choice(VALUES) if odd() else entry)
        document: object = {"interactions": entries}
        if odd() and isinstance(document, dict):
            document[chance.choice(("interactions", "feed"))] = chance.choice(VALUES)
        body = json.dumps(chance.choice(VALUES) if odd() else document).encode()
        if odd():
            body = chance.choice(
                (
                    gzip.compress(body, 1), body[: len(body) // 2], b"\xff" * 100, b"5\r\n" + body, _DEEP, _BOMB,
                )
            )  # fmt: skip
        return body

    def _mutated(self, text: str) -> str:
        chance = self._chance
        place = chance.randrange(len(text) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            return text[:place]
        if kind == 1:
            return text[:place] + chance.choice("aA0_-.=+/é ") + text[place + 1 :]
        if kind == 2:
            return text + text[:place]
        return text[:place] + chance.choice(TEXTS) + text[place:]

    def _damaged(self, raw: bytes) -> bytes:
        chance = self._chance
        place = chance.randrange(len(raw) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            return raw[:place]
        if kind == 1:
            return raw[:place] + chance.randbytes(chance.randrange(1, 50)) + raw[place:]
        if kind == 2:
            return raw.replace(b"\r\n", b"\n")
        if kind == 3:
            return raw[:place] + raw[place + chance.randrange(1, 30) :]
        if kind == 4:
            return raw + raw
        return chance.randbytes(chance.randrange(1, 300)) + b"\r\n\r\n"


@dataclass
class Client:
    """Sends requests to one address and keeps the connection as long as the server does."""

    address: tuple[str, int]
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _socket: socket.socket | None = None

    def send(self, raw: bytes) -> dict[str, object]:
        """Send a request; return the JSON of its answer, {} when there is none."""
        began = time.monotonic()
        try:
            reused = self._socket is not None
            if self._socket is None:
                self._socket = socket.create_connection(self.address, timeout=ANSWER_SECONDS)
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.sendall(raw)
            head, body = self._answer(began, raw)
            if not head and reused:  # closed as we wrote, after an error on the former request: try a new one
                self.close()
                return self.send(raw)
        except TimeoutError:
            self._fault("no answer in time", raw)
            self.close()
            return {}
        except OSError:
            self.statuses["reset"] += 1
            self.close()
            return {}
        self.slowest = max(self.slowest, time.monotonic() - began)
        if not head:
            self.statuses["closed"] += 1
            return {}
        return self._judge(head, body, raw)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, began: float, raw: bytes) -> tuple[bytes, bytes]:
        """Read one answer; a server that waits for more learns that nothing follows."""
        assert self._socket is not None
        data, ended = b"", _lacks_something(raw)
        if ended:
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.settimeout(0.25)
        while True:
            head, end, body = data.partition(b"\r\n\r\n")
            if end:
                length = _length(head)
                if head.startswith(b"HTTP/1.1 100"):
                    data = body
                    continue
                if length is not None and (len(body) >= length or raw.startswith(b"HEAD")):
                    if (
                        ended
                        or b"connection: close" in head.lower()
                        or len(body) > length
                        or raw.startswith(b"HEAD")
                    ):
                        self.close()
                    return head, b"" if raw.startswith(b"HEAD") else body[:length]
            try:
                chunk = self._socket.recv(65_536)
            except TimeoutError:
                if time.monotonic() - began > ANSWER_SECONDS:
                    raise
                if not ended:
                    self._socket.shutdown(socket.SHUT_WR)
                    ended = True
                continue
            if not chunk:
                self.close()
                return head if end else b"", b"" if raw.startswith(b"HEAD") else body
            data += chunk

    def _judge(self, head: bytes, body: bytes, raw: bytes) -> dict[str, object]:
        status = head[9:12].decode("ascii", "replace")
        self.statuses[status] += 1
        if not head.startswith(b"HTTP/1.") or not status.isdecimal():
            self._fault("no HTTP", raw)
            return {}
        if status == "500":
            self._fault("500", raw)
        if b"application/json" not in head or not body:
            return {}
        try:
            found = json.loads(body)
        except ValueError:
            self._fault("no JSON", raw)
            return {}
        if status >= "400" and not ({"error", "message"} <= set(found) or "ok" in found):
            self._fault("an error without its form", raw)
        return found if isinstance(found, dict) else {}

    def _fault(self, what: str, raw: bytes) -> None:
        if len(self.faults) < 20:
            self.faults.append(f"{what}: {raw[:600]!r}")


def _lacks_something(raw: bytes) -> bool:
    """Tell whether a server may rightly wait for more of a request."""
    head, end, body = raw.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")[1:]
    declared = [line.partition(b":")[2].strip() for line in lines if line.startswith(b"content-length")]
    chunked = any(line.startswith(b"transfer-encoding") for line in lines)
    return not end or chunked or any(text.isdigit() and int(text) > len(body) for text in declared)


def _length(head: bytes) -> int | None:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0 if head[9:12] in (b"204", b"304") else None


def fuzz(address: tuple[str, int], requests: Requests, count: int, client: Client | None = None) -> Client:
    """Send so many requests, and feed cursors that come back into later ones."""
    client = client or Client(address)
    for _ in range(count):
        answer = client.send(requests.next())
        cursor = answer.get("cursor")
        if isinstance(cursor, str):
            requests.cursors = [*requests.cursors[-50:], cursor]
    client.close()
    return client
