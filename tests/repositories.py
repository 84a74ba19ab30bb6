"""A directory and a PDS on loopback, whose repositories a test fills with likes."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from histories import did

from pipeline.identifiers import tid_at, tid_from_int
from pipeline.store.fetched_likes import HistoryStore

LIKE = "app.bsky.feed.like"
NOW_US = time.time_ns() // 1000
AUTHOR = did("n")
Records = list[Any]


def know(data_dir: Path, *authors: str) -> None:
    """Let the store know these authors, as if a stream had told of them: by default that of all records here."""
    data_dir.mkdir(parents=True, exist_ok=True)
    store = HistoryStore(data_dir)
    store.intern(authors or [AUTHOR])
    store.close()


def record_of(viewer: str, age_us: int, number: int = 0) -> dict[str, Any]:
    """Return a like record as listRecords gives it; the age is its rkey's."""
    rkey = tid_from_int(tid_at(NOW_US - age_us, number))
    return {
        "uri": f"at://{viewer}/{LIKE}/{rkey}",
        "cid": "bafyreiaxgfger2ojkou77uc6e2r6jawp3twwx42h6agdc5wxi5bdn4bb7e",
        "value": {
            "$type": LIKE,
            "subject": {
                "uri": f"at://{AUTHOR}/app.bsky.feed.post/{tid_from_int(tid_at(NOW_US, number))}",
                "cid": "b",
            },
            "createdAt": "2026-11-20T12:00:00.000Z",
        },
    }


@dataclass
class Repositories:
    """A directory and a PDS on one port of loopback.

    ``revs`` has the number of each repository's latest revision; by default its host does not tell. ``answers`` takes
    over listRecords of a DID.
    """

    records: dict[str, Records] = field(default_factory=dict)
    revs: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Callable[["Any", dict[str, str]], None]] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://localhost:{self._server.server_address[1]}"

    def asked(self) -> list[str]:
        return [path for path in self.requests if "listRecords" in path]

    def answer(self, request: Any) -> None:
        parts = urlsplit(request.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/did:"):
            who = parts.path[1:]
            known = who in self.records or who in self.answers or who in self.documents
            self.send(request, 200 if known else 404, self.documents.get(who) or self.document(who))
        elif parts.path.endswith("getLatestCommit"):
            rev = self.revs.get(query["did"])
            body = {} if rev is None else {"cid": "bafy", "rev": tid_from_int(rev)}
            self.send(request, 501 if rev is None else 200, body)
        elif query["repo"] in self.answers:
            self.answers[query["repo"]](request, query)
        else:
            assert query["collection"] == LIKE
            start, limit = int(query.get("cursor", "0")), int(query["limit"])
            records = self.records[query["repo"]]
            page: dict[str, Any] = {"records": records[start : start + limit]}
            if start + limit < len(records):
                page["cursor"] = str(start + limit)
            self.send(request, 200, page)

    def document(self, who: str) -> dict[str, Any]:
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": self.url}
        return {"id": who, "service": [service]}

    def send(self, request: Any, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"content-length": str(len(data)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)
