"""A small archive of a Jetstream v2: an encoder of sealed segments, and an HTTP server that gives them out.

The encoder writes the real format (its blocks come out of the SDK's decoder as they went in, and a real
segment's rows come out byte by byte), but for the DID filters and the checksum of header and footer, which no
reader of ours looks at. The server speaks listSegments, getSegment with ranges and ETags, planSnapshot and
getBlock, asks for a key, and misbehaves as told.
"""

import hashlib
import json
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import libipld
import zstandard

from pipeline.identifiers import tid_at, tid_from_int

LIKE = "app.bsky.feed.like"
CREATE, UPDATE, DELETE, IDENTITY, ACCOUNT, SYNC, RESYNC = 1, 2, 3, 4, 5, 6, 7
CID = "bafyreiaxgfger2ojkou77uc6e2r6jawp3twwx42h6agdc5wxi5bdn4bb7e"


@dataclass(frozen=True)
class Event:
    """A row of a segment, as it is stored."""

    seq: int
    witnessed_us: int
    kind: int
    did: str
    collection: str = ""
    rkey: str = ""
    payload: bytes = b""
    rev: str = "3migo7fijwi2k"
    indexed_us: int = 0


def like(
    seq: int, witnessed_us: int, did: str, rkey: str, uri: str, kind: int = CREATE, rev: int | None = None
) -> Event:
    record = {
        "$type": LIKE,
        "subject": {"cid": CID, "uri": uri},
        "createdAt": "2026-11-20T12:00:00.000Z",
    }
    payload = libipld.encode_dag_cbor(record)
    return Event(seq, witnessed_us, kind, did, LIKE, rkey, payload, _rev(rev, witnessed_us))


def unlike(seq: int, witnessed_us: int, did: str, rkey: str, rev: int | None = None) -> Event:
    return Event(seq, witnessed_us, DELETE, did, LIKE, rkey, rev=_rev(rev, witnessed_us))


def _rev(rev: int | None, witnessed_us: int) -> str:
    return tid_from_int(tid_at(witnessed_us) if rev is None else rev)


def account(seq: int, witnessed_us: int, did: str, *, active: bool, status: str | None = None) -> Event:
    body: dict[str, Any] = {"did": did, "active": active, "seq": seq, "time": "2026-11-20T12:00:00.000Z"}
    if status is not None:
        body["status"] = status
    return Event(seq, witnessed_us, ACCOUNT, did, payload=libipld.encode_dag_cbor(body))


def sync(seq: int, witnessed_us: int, did: str, rev: int | None = None) -> Event:
    body = {
        "did": did,
        "rev": _rev(rev, witnessed_us),
        "seq": seq,
        "time": "2026-11-20T12:00:00.000Z",
        "blocks": b"",
    }
    return Event(seq, witnessed_us, SYNC, did, payload=libipld.encode_dag_cbor(body))


def encode_block(events: Sequence[Event]) -> bytes:
    """Return a block's columns, uncompressed."""
    texts = [
        [
            event.collection.encode(),
            event.did.encode(),
            event.rkey.encode(),
            event.rev.encode(),
            event.payload,
        ]
        for event in events
    ]
    count = len(events)
    parts = [struct.pack("<I", count)]
    for kind, values in (
        ("Q", [event.seq for event in events]),
        ("q", [event.witnessed_us for event in events]),
        ("q", [event.indexed_us for event in events]),
        ("B", [event.kind for event in events]),
        *((kind, [len(text[column]) for text in texts]) for column, kind in enumerate("BHBBI")),
    ):
        parts.append(struct.pack(f"<{count}{kind}", *values))
    for column in range(5):
        parts += [text[column] for text in texts]
    return b"".join(parts)


def encode_segment(events: Sequence[Event], block_events: int = 4096) -> bytes:
    """Return a sealed segment file."""
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    body, index, offset = [], [], 256
    for start in range(0, len(events), block_events):
        some = events[start : start + block_events]
        plain = encode_block(some)
        frame = compressor.compress(plain)
        times = [event.witnessed_us for event in some]
        index.append(
            struct.pack(
                "<QIIIQQqq", offset, len(frame), len(plain), len(some),
                some[0].seq, some[-1].seq, min(times), max(times),
            )
        )  # fmt: skip
        body.append(struct.pack("<Q", len(frame)) + frame)
        offset += 8 + len(frame)
    footer = b"".join(index)
    times = [event.witnessed_us for event in events] or [0]
    numbers = [event.seq for event in events] or [0]
    end = offset + len(footer)
    rest = struct.pack(
        "<HIIIQQqqQQQQQ", 1, len(index), len(events), len({event.did for event in events}),
        min(numbers), max(numbers), min(times), max(times), offset, end, end, end, offset,
    ).ljust(244, b"\0")  # fmt: skip
    checksum = hashlib.blake2b(rest + footer + b"".join(body), digest_size=8).digest()
    return b"jss0" + checksum + rest + b"".join(body) + footer


@dataclass
class StoredSegment:
    """A segment as the server has it."""

    name: str
    data: bytes

    @property
    def checksum(self) -> str:
        return f"{struct.unpack_from('<Q', self.data, 4)[0]:016x}"

    def entry(self, index: int) -> dict[str, Any]:
        events, _, min_seq, max_seq, first, last = struct.unpack_from("<IIQQqq", self.data, 18)
        return {
            "name": self.name, "index": index, "sizeBytes": len(self.data), "checksum": self.checksum,
            "eventCount": events, "minSeq": min_seq, "maxSeq": max_seq,
            "minWitnessedAt": first, "maxWitnessedAt": last,
        }  # fmt: skip


@dataclass
class ArchiveServer:
    """Serves segments on loopback, in a thread.

    ``faults`` happen to one getSegment each, in this order: 'STATUS' (an HTML page), '429:HEADER=VALUE',
    'cut:BYTES' (the connection ends after so many), 'ok'. ``rewritten`` takes the place of the segment that is cut
    first, from then on.
    """

    segments: list[StoredSegment]
    key: str | None = "secret-key"
    faults: list[str] = field(default_factory=list)
    rewritten: bytes | None = None
    lost: set[str] = field(default_factory=set)  # listed, but not there
    page: int = 3
    requests: list[tuple[str, str]] = field(default_factory=list)  # path with query, Range header

    def __enter__(self) -> Self:
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                archive.answer(self)

            def do_POST(self) -> None:
                archive.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, method: str) -> list[tuple[str, str]]:
        """Return the requests for one method: their queries and ranges."""
        return [(path, span) for path, span in self.requests if f".{method}" in path]

    def answer(self, request: Any) -> None:
        parts = urlsplit(request.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        self.requests.append((request.path, request.headers.get("range", "")))
        method = parts.path.rpartition(".")[2]
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            self._send(request, 401, {"error": "AuthenticationRequired", "message": "a key is needed"})
        elif method == "listSegments":
            self._list(request, query)
        elif method == "getSegment":
            self._segment(request, query["name"])
        elif method == "planSnapshot":
            self._plan(request, json.loads(body))
        elif method == "getBlock":
            self._block(request, query["segment"], int(query["blockIndex"]))
        else:
            self._send(request, 404, {"error": "MethodNotImplemented", "message": method})

    def _list(self, request: Any, query: dict[str, str]) -> None:
        start = int(query.get("cursor", "0"))
        end = start + min(self.page, int(query.get("limit", "100")))
        page: dict[str, Any] = {
            "segments": [self.segments[i].entry(i) for i in range(start, min(end, len(self.segments)))]
        }
        if end < len(self.segments):
            page["cursor"] = str(end)
        self._send(request, 200, page)

    def _segment(self, request: Any, name: str) -> None:
        fault = self.faults.pop(0) if self.faults else "ok"
        if fault.startswith("429"):
            header, _, value = fault.partition(":")[2].partition("=")
            self._send(request, 429, {"error": "RateLimitExceeded", "message": "bytes"}, {header: value})
            return
        if fault.isdigit():
            self._send(request, int(fault), b"<html>Bad gateway</html>", {"content-type": "text/html"})
            return
        found = next((segment for segment in self.segments if segment.name == name), None)
        if found is None or name in self.lost:
            self._send(request, 404, {"error": "SegmentNotFound", "message": name})
            return
        data, headers, status = found.data, {"etag": f'"{found.checksum}"'}, 200
        span = request.headers.get("range", "").removeprefix("bytes=")
        if span and request.headers.get("if-range", headers["etag"]) == headers["etag"]:
            start, _, end = span.partition("-")
            last = min(int(end), len(data) - 1) if end else len(data) - 1
            if int(start) >= len(data):
                self._send(request, 416, b"", {"content-range": f"bytes */{len(data)}"})
                return
            headers["content-range"] = f"bytes {start}-{last}/{len(data)}"
            data, status = data[int(start) : last + 1], 206
        cut = int(fault.removeprefix("cut:")) if fault.startswith("cut:") else None
        self._send(request, status, data, headers, cut=cut)
        if cut is not None and self.rewritten is not None:
            replaced, self.rewritten = StoredSegment(name, self.rewritten), None
            self.segments = [replaced if segment.name == name else segment for segment in self.segments]

    def _plan(self, request: Any, body: dict[str, Any]) -> None:
        entries = [segment.entry(index) for index, segment in enumerate(self.segments)]
        tip = max((entry["maxSeq"] for entry in entries), default=0)
        tip = min(tip, body.get("beforeSeq") or tip)
        after = body.get("afterSeq", 0)
        wanted = [entry for entry in entries if entry["maxSeq"] > after and entry["minSeq"] <= tip]
        page = wanted[:2]  # a page of two, so that paging happens
        planned = tip if len(page) == len(wanted) else page[-1]["maxSeq"]
        segments = [
            {
                **{key: entry[key] for key in ("name", "index", "checksum", "minSeq", "maxSeq")},
                "mode": "segment",
            }
            for entry in page
        ]
        stats = {"blocksMatched": 0, "entries": len(page), "segmentsExamined": 0, "segmentsMatched": 0}
        answer = {"plannedThroughSeq": planned, "sealedTipSeq": tip, "segments": segments, "stats": stats}
        self._send(request, 200, answer)

    def _block(self, request: Any, name: str, index: int) -> None:
        data = next(segment.data for segment in self.segments if segment.name == name)
        position = 256
        for _ in range(index):
            position += 8 + struct.unpack_from("<Q", data, position)[0]
        length = struct.unpack_from("<Q", data, position)[0]
        self._send(request, 200, data[position + 8 : position + 8 + length])

    def _send(
        self,
        request: Any,
        status: int,
        body: Any,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        request.send_response(status)
        for name, value in {
            "content-type": kind,
            **(headers or {}),
            "content-length": str(len(data)),
        }.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data if cut is None else data[:cut])
        if cut is not None:
            request.close_connection = True


def segments_of(events: Iterable[Event], segment_events: int, block_events: int = 64) -> list[StoredSegment]:
    """Cut events, in the order of seq, into segments."""
    listed = list(events)
    return [
        StoredSegment(
            f"seg_{number:010x}.jss",
            encode_segment(listed[start : start + segment_events], block_events),
        )
        for number, start in enumerate(range(0, len(listed), segment_events))
    ]
