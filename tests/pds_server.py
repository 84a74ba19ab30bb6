"""A small PDS and PLC directory on loopback that speaks the XRPC calls of publishing, with the real one's answers.

Its refusals (names, statuses, swapRecord) are those of the reference PDS, against which
tests/network/test_publish.py runs the same command.
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from serving_worlds import Account, base64url

PASSWORD = "abcd-efgh-ijkl-mnop"
MAIN_PASSWORD = "the main password"


def cid_of(content: bytes) -> str:
    """The CID of raw bytes."""
    digest = b"\x01\x55\x12\x20" + hashlib.sha256(content).digest()
    return "b" + base64.b32encode(digest).decode().lower().rstrip("=")


class RefusedError(Exception):
    """An XRPC error to answer."""

    def __init__(self, status: int, error: str, message: str = "") -> None:
        super().__init__(error)
        self.status, self.body = status, {"error": error, "message": message or error}


@dataclass
class Pds:
    """The server's state, and every call it got."""

    account: Account
    url: str = ""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    documents: dict[str, tuple[int, Any]] = field(default_factory=dict)  # by path: other hosts' answers
    sessions: set[str] = field(default_factory=set)
    refuse_login: RefusedError | None = None
    before_write: Any = None  # called before a write, as somebody else's write at that moment

    @property
    def writes(self) -> list[str]:
        """The calls that change something."""
        return [
            call
            for call in self.calls
            if call.partition("Record")[0] in ("put", "delete") or "upload" in call
        ]

    def document(self) -> dict[str, Any]:
        """The account's DID document."""
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": self.url}
        return self.account.document() | {"service": [service]}

    def answer(self, name: str, query: dict[str, str], body: bytes, headers: Any) -> Any:
        self.calls.append(name)
        token = (headers["Authorization"] or "").removeprefix("Bearer ")
        if name == "createSession":
            return self._login(json.loads(body))
        if name == "getRecord":
            return self._record(query["rkey"])
        if token not in self.sessions:
            raise RefusedError(401, "InvalidToken")
        if name == "deleteSession":
            self.sessions.clear()
            return None
        if name == "uploadBlob":
            cid = cid_of(body)
            self.blobs[cid] = body
            return {
                "blob": {
                    "$type": "blob",
                    "ref": {"$link": cid},
                    "mimeType": headers["Content-Type"],
                    "size": len(body),
                }
            }
        if name == "getServiceAuth":
            claims = {"aud": query["aud"]}
            return {"token": self.account.token(query["lxm"], now=time.time(), **claims)}
        return self._write(name, json.loads(body))

    def _login(self, body: dict[str, str]) -> dict[str, str]:
        if self.refuse_login is not None:
            raise self.refuse_login
        if body["identifier"] != self.account.did or body["password"] not in (PASSWORD, MAIN_PASSWORD):
            raise RefusedError(401, "AuthenticationRequired", "Invalid identifier or password")
        scope = "com.atproto.access" if body["password"] == MAIN_PASSWORD else "com.atproto.appPass"
        access = (
            f"{base64url(b'{}')}.{base64url(json.dumps({'scope': scope}).encode())}.{base64url(b'signature')}"
        )
        self.sessions |= {access, "refresh"}
        return {
            "did": self.account.did,
            "handle": "publisher.test",
            "accessJwt": access,
            "refreshJwt": "refresh",
        }

    def _record(self, rkey: str) -> dict[str, Any]:
        if rkey not in self.records:
            raise RefusedError(400, "RecordNotFound", "Could not locate record")
        record = self.records[rkey]
        return {"uri": f"at://{self.account.did}/x/{rkey}", "cid": self.cid(rkey), "value": record}

    def cid(self, rkey: str) -> str | None:
        """A record's CID, None when there is none; real ones are of DAG-CBOR, but only equality counts."""
        record = self.records.get(rkey)
        return None if record is None else cid_of(json.dumps(record, sort_keys=True).encode())

    def _write(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.before_write is not None:
            self.before_write()
        assert (body["repo"], body["collection"]) == (self.account.did, "app.bsky.feed.generator")
        rkey = body["rkey"]
        if body["swapRecord"] != self.cid(rkey):
            raise RefusedError(400, "InvalidSwap", "Record was at another CID")
        if name == "deleteRecord":
            del self.records[rkey]
            return {}
        record = body["record"]
        if record["$type"] != body["collection"] or not {"did", "displayName", "createdAt"} <= record.keys():
            raise RefusedError(400, "InvalidRecord", "Invalid app.bsky.feed.generator record")
        if "avatar" in record and record["avatar"]["ref"]["$link"] not in self.blobs:
            raise RefusedError(400, "BlobNotFound")
        self.records[rkey] = record
        return {"uri": f"at://{self.account.did}/{body['collection']}/{rkey}", "cid": self.cid(rkey)}


@contextmanager
def pds(account: Account) -> Iterator[Pds]:
    """Run a PDS that holds one account's repository, and is the PLC directory that says so."""
    held = Pds(account)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if parts.path in held.documents:
                self._answer(*held.documents[parts.path])
            elif parts.path == f"/{held.account.did}":
                self._answer(200, held.document())
            elif parts.path.startswith("/xrpc/com.atproto."):
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                try:
                    self._answer(200, held.answer(parts.path.rpartition(".")[2], query, body, self.headers))
                except RefusedError as refused:
                    self._answer(refused.status, refused.body)
            else:
                self._answer(404, {"message": "nothing here"})

        do_POST = do_GET  # noqa: N815 - the name http.server asks for

        def _answer(self, status: int, body: Any) -> None:
            content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "https://elsewhere.example/")
            if content:
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
