"""What strangers nest thousands deep, or make too large, is dropped and counted wherever it comes in."""

import ast
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import libipld
import pytest
from archive_server import ACCOUNT, CREATE, LIKE, Event, encode_segment, like
from commands import stop
from streams import LineStream, wait_until
from test_backfill_archive import our_rows
from test_firehose import DID, decoded, frame
from test_ingest import counters, ingest, query
from test_seek import BEGIN_US, SEQS, TIMES, found

from pipeline.backfill.archive import Archive
from pipeline.backfill.viewer_repository import _page_of
from pipeline.errors import BackfillError
from pipeline.identifiers import tid_at, tid_from_int
from pipeline.ingest import cbor, firehose, jetstream, jetstream_v2
from pipeline.operate.feed_record.service_check import OutsideError, fetch_json
from pipeline.operate.status.web_app_status import web_app_figures
from pipeline.store.events import EventBatch
from pipeline.store.model import DAY_US

ROOT = Path(__file__).resolve().parents[1]
DEPTHS = [1_200, 3_000, 1_000_000]
KEY = "3mmoojp7etg2g"
URI = f"at://{DID}/app.bsky.feed.post/{KEY}"
HEADER = libipld.encode_dag_cbor({"op": 1, "t": "#commit"})


def nested(kind: str, depth: int) -> bytes:
    return {"array": b"\x81", "map": b"\xa1\x61a"}[kind] * depth + b"\x01"


def nested_json(kind: str, depth: int) -> str:
    opening, closing = {"array": ("[", "]"), "map": ('{"a":', "}")}[kind]
    return opening * depth + "1" + closing * depth


SHAPES = pytest.mark.parametrize(
    ("kind", "depth"), [(kind, depth) for kind in ("array", "map") for depth in DEPTHS]
)


def cid_of(number: int) -> bytes:
    return b"\x01\x71\x12\x20" + bytes([number]) * 32


def car_of(*blocks: bytes) -> bytes:
    """Return a CAR whose n-th block has the n-th CID."""
    head = libipld.encode_dag_cbor({"version": 1, "roots": []})
    return b"".join(
        varint(len(part)) + part for part in (head, *(cid_of(n) + block for n, block in enumerate(blocks)))
    )


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def commit(*records: bytes, **body: Any) -> bytes:
    """Return the frame of a commit that creates these likes."""
    ops = [
        {"action": "create", "path": f"{LIKE}/{KEY[:-1]}{'234567abc'[n]}", "cid": cid_of(n)}
        for n in range(len(records))
    ]
    return frame("#commit", **{"repo": DID, "rev": KEY, "ops": ops, "blocks": car_of(*records)} | body)


GOOD = libipld.encode_dag_cbor({"$type": LIKE, "subject": {"uri": URI, "cid": "bafy"}})


def like_with(value: bytes) -> bytes:
    """Return a like that has one field more, of these bytes."""
    return b"\xa2\x61x" + value + b"\x67subject" + libipld.encode_dag_cbor({"uri": URI})


@SHAPES
def test_frames_of_a_relay(kind: str, depth: int) -> None:
    deep = nested(kind, depth)
    for message in (deep, deep + HEADER, HEADER + deep, HEADER + b"\xa1\x63seq" + deep):
        batch = decoded(message, commit(GOOD))
        assert batch.counts == {("drop", "frame_too_deep"): 1, ("event", "like"): 1}
        assert batch.value == 7


@SHAPES
def test_a_record_of_a_commit_drops_that_record_alone(kind: str, depth: int) -> None:
    batch = decoded(commit(GOOD, like_with(nested(kind, depth)[:2_000_000]), GOOD))
    assert batch.counts == {
        ("event", "like"): 2, ("drop", "record_too_deep"): 1, ("drop", "like_without_record"): 1
    }  # fmt: skip


def test_what_is_not_deep_counts() -> None:
    assert decoded(commit(like_with(nested("array", 500)))).counts == {("event", "like"): 1}


@pytest.mark.parametrize("error", [[], {}, [[]], 7, None])
def test_an_error_frame_may_name_anything(error: Any) -> None:
    message = libipld.encode_dag_cbor({"op": -1}) + libipld.encode_dag_cbor({"error": error})
    assert decoded(message).counts == {("connection", "error_other"): 1}


def test_too_large_a_frame_or_record() -> None:
    large = like_with(b"\x9a" + (cbor.RECORD_BYTES_MAX).to_bytes(4, "big") + b"\x80" * cbor.RECORD_BYTES_MAX)
    assert decoded(commit(large, GOOD)).counts == {
        ("event", "like"): 1, ("drop", "record_too_large"): 1, ("drop", "like_without_record"): 1
    }  # fmt: skip
    whole = commit(GOOD, blob=bytes(cbor.FRAME_BYTES_MAX))
    assert decoded(whole, commit(GOOD)).counts == {("event", "like"): 1, ("drop", "frame_too_large"): 1}


@SHAPES
def test_records_and_accounts_of_an_archive(tmp_path: Path, kind: str, depth: int) -> None:
    noon, who, deep = (
        20_000 * DAY_US,
        "did:plc:" + "b" * 24,
        nested(kind, depth)[: cbor.RECORD_BYTES_MAX - 128],
    )
    events = [
        Event(1, noon, CREATE, who, LIKE, KEY, like_with(deep)),
        like(2, noon, who, KEY, URI),
        Event(3, noon, ACCOUNT, who, payload=b"\xa1\x61x" + deep),
        Event(4, noon, CREATE, who, LIKE, KEY, bytes(cbor.RECORD_BYTES_MAX + 1)),
        like(5, noon, who, KEY, URI),
    ]
    (tmp_path / "segment").write_bytes(encode_segment(events))
    rows = our_rows(tmp_path / "segment")
    assert sum(word.author is not None for word in rows.words) == 2
    assert rows.counts == {"record_too_deep": 1, "account_too_deep": 1, "record_too_large": 1}
    assert rows.statements == {}


@pytest.mark.parametrize("wire", [jetstream, jetstream_v2])
@SHAPES
def test_lines_of_a_jetstream(wire: Any, kind: str, depth: int) -> None:
    deep = nested_json(kind, depth)
    payload = f'{{"$type":"{jetstream_v2.PATH}#commit","did":"{DID}","record":{deep}}}'
    lines = [deep, f'{{"did":"{DID}","kind":"commit","commit":{deep}}}', f'{{"payload":{payload}}}']
    batch = EventBatch()
    wire.decode([line.encode() for line in lines], batch)
    assert batch.counts == {("drop", "not_json"): 3}


@SHAPES
def test_pages_of_a_repository(kind: str, depth: int) -> None:
    assert _page_of(nested_json(kind, depth).encode()) == (None, None)
    assert _page_of(b'{"records":[' + nested_json(kind, depth).encode() + b"]}") == (None, None)


@contextmanager
def web_server(body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", ["array", "map"])
def test_answers_of_web_servers(kind: str) -> None:
    with web_server(nested_json(kind, 3_000).encode()) as url:
        with httpx.Client() as client, pytest.raises(OutsideError, match="is not a JSON object"):
            fetch_json(client, url, "did.json")
        with Archive(url, "key") as archive, pytest.raises(BackfillError, match="does not answer with JSON"):
            archive.segments()
        found = web_app_figures(url, url)
        assert found is not None and not found["ok"]


def test_a_time_is_found_among_deep_frames() -> None:
    target_us = BEGIN_US + 40 * 3_600_000_000
    cursor, _ = found(target_us, between=[nested("array", 1_200), HEADER + nested("map", 3_000)])
    assert 0 < target_us - BEGIN_US - TIMES[SEQS.index(cursor)] * 1_000_000 <= 200_000_000


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def test_ingest_goes_on_at_every_start(tmp_path: Path) -> None:
    def of_now(number: int) -> bytes:
        rkey = tid_from_int(tid_at(time.time_ns() // 1000) + number)
        ops = [{"action": "create", "path": f"{LIKE}/{rkey}", "cid": cid_of(0)}]
        return commit(GOOD, seq=100 + number, time=now(), rev=rkey, ops=ops)

    deep = [
        nested("array", 1_200),
        HEADER + nested("map", 3_000),
        commit(like_with(nested("array", 3_000)), seq=99, time=now()),
    ]
    stored = "SELECT count(*) FROM likes"
    with LineStream(deep + [of_now(number) for number in range(20)] + deep[:2]) as stream:
        url = stream.url.replace("/subscribe", f"/xrpc/{firehose.PATH}")
        for start in (1, 2):
            with ingest(tmp_path, url, stream_start_hours="1") as process:
                wait_until(lambda: query(tmp_path, stored) == [(20 * start,)])  # noqa: B023
                wait_until(lambda: counters(tmp_path).get(("drop", "frame_too_deep"), 0) >= 4 * start)  # noqa: B023
                stream.append([of_now(20 + number) for number in range(20)])
                wait_until(lambda: query(tmp_path, stored) == [(20 * start + 20,)])  # noqa: B023
                assert process.poll() is None
                assert stop(process) == 0
            assert counters(tmp_path)["drop", "record_too_deep"] >= start


def test_network_bytes_are_decoded_where_depth_is_bounded() -> None:
    """``libipld`` is called in one place, and no answer is read by the decoder that raises RecursionError."""
    for path in (ROOT / "pipeline").rglob("*.py"):
        module = path.relative_to(ROOT).as_posix()
        if module == "pipeline/ingest/cbor.py" or module.startswith(("pipeline/simulate/", "pipeline/demo/")):
            continue
        called = {
            f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert not {name for name in called if name.startswith("libipld.decode")}, module
        assert not {name for name in called if name.endswith(".json")}, module
