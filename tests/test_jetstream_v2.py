"""The Jetstream v2 wire: the same events in another envelope, with a dictionary or without."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest import jetstream, jetstream_v2
from pipeline.ingest.jetstream_v2 import MessageDecoder, decode
from pipeline.ingest.records import time_us_of_text
from pipeline.store.events import EventBatch
from pipeline.store.model import time_us_of

DID = "did:plc:mcc5yghbk7tixqryac2yxku7"
AUTHOR = "did:plc:vfnmgxg2yscfliemmcxzyfyh"
TID = "3mmoojp7etg2g"
NOW = 1_779_719_009_132_431


def text_of(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us // 10**6, UTC).replace(microsecond=time_us % 10**6)
    return moment.isoformat().replace("+00:00", "Z")


def from_v1(event: dict[str, Any], seq: int) -> dict[str, Any]:
    """Return what v2 says of an event of v1."""
    payload: dict[str, Any] = {
        "$type": f"network.bsky.jetstream.subscribeEvents#{event['kind']}",
        "seq": seq,
        "did": event["did"],
        "time": text_of(event["time_us"]),
        "witnessedAt": text_of(event["time_us"]),
    }
    if event["kind"] == "commit":
        payload |= event["commit"]
    else:
        payload[event["kind"]] = event[event["kind"]]
    return {"$type": "message", "payload": payload}


def like(**changes: Any) -> dict[str, Any]:
    record = {"subject": {"cid": "b", "uri": f"at://{AUTHOR}/app.bsky.feed.post/{TID}"}}
    commit = {"rev": TID, "operation": "create", "collection": jetstream.LIKE, "rkey": TID, "record": record}
    event = from_v1({"did": DID, "time_us": NOW, "kind": "commit", "commit": commit}, 5)
    event["payload"] |= changes
    return event


def decoded(event: Any) -> EventBatch:
    batch = EventBatch()
    decode([event if isinstance(event, bytes) else json.dumps(event)], batch)
    return batch


def test_the_recorded_window_says_the_same_on_both_wires(real_bytes: Path) -> None:
    dictionary = (real_bytes / "subscribe_events_20260811.zdict").read_bytes()
    assert jetstream_v2.dictionary_id(dictionary) == 20260811
    compress = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(dictionary)).compress
    one, two, plain = EventBatch(), EventBatch(), EventBatch()
    decode_compressed = MessageDecoder(dictionary)
    for number, line in enumerate((real_bytes / "expected_v1.jsonl").read_bytes().splitlines(), 1):
        jetstream.decode([line], one)
        message = json.dumps(from_v1(json.loads(line), number)).encode()
        decode_compressed([compress(message)], two)
        decode([message], plain)
    assert two == plain
    assert (one.likes, one.unlikes, one.posts) == (two.likes, two.unlikes, two.posts)
    assert (one.post_deletions, one.accounts, one.counts) == (two.post_deletions, two.accounts, two.counts)
    assert len(two.likes) > 100
    assert (two.value, two.event_us) == (number, one.event_us)


def test_the_time_a_host_witnessed_counts() -> None:
    """``time`` may come from an import; it is no place to resume from."""
    assert decoded(like(time="2024-01-01T00:00:00Z")).event_us == NOW
    event = like()
    del event["payload"]["witnessedAt"]
    assert decoded(event).event_us == NOW


@given(
    st.datetimes(datetime(2019, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(["Z", ".5Z", ".123Z", ".123456Z", ".1234567Z", ".Z", ".12x456Z", "z", ".123+00:00", ""]),
    st.sampled_from(["T", " ", "t"]),
)
def test_times_are_read_quickly_as_they_are_read_slowly(moment: datetime, end: str, between: str) -> None:
    text = moment.strftime(f"%Y-%m-%d{between}%H:%M:%S") + end
    try:
        wanted = datetime.fromisoformat(text)
    except ValueError:
        wanted = moment
    aware = wanted.tzinfo is not None and wanted > datetime(2020, 1, 1, tzinfo=UTC)
    assert time_us_of_text(text) == (time_us_of(wanted) if aware else None)


def test_a_future_cursor_voids_it() -> None:
    info = {"$type": "network.bsky.jetstream.subscribeEvents#info", "name": "FutureCursor"}
    batch = decoded({"$type": "message", "payload": info})
    assert batch.cursor_is_void
    assert batch.counts == {("connection", "info_FutureCursor"): 1}
    assert decoded({"$type": "error", "error": "ConsumerTooSlow"}).counts == {
        ("connection", "error_frame"): 1
    }


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b"no json", "not_json"),
        ([], "not_an_event"),
        ({"$type": "message", "payload": 3}, "not_an_event"),
        (like(seq="5"), "bad_time"),
        (like(seq=0), "bad_time"),
        (like(witnessedAt=None, time="soon"), "bad_time"),
        (like(did="alice"), "bad_did"),
        (like(rkey="no/rkey"), "bad_rkey"),
        (like(record=None), "like_without_record"),
        (like(operation="bless"), "unknown_operation"),
        (like(collection="app.bsky.feed.repost"), "other_collection"),
    ],
)
def test_what_is_dropped_is_counted_by_reason(event: Any, reason: str) -> None:
    assert decoded(event).counts == {("drop", reason): 1}


@given(st.binary(max_size=200))
def test_no_bytes_raise(message: bytes) -> None:
    batch = EventBatch()
    MessageDecoder(None)([message], batch)
    assert batch.counts.total() == 1


def test_rubbish_in_place_of_a_compressed_message(real_bytes: Path) -> None:
    batch = EventBatch()
    MessageDecoder((real_bytes / "subscribe_events_20260811.zdict").read_bytes())([b"rubbish"], batch)
    assert batch.counts == {("drop", "not_zstd"): 1}


@pytest.mark.parametrize("tells_its_size", [True, False])
def test_a_small_frame_of_a_huge_message_is_left_out(real_bytes: Path, tells_its_size: bool) -> None:
    dictionary = (real_bytes / "subscribe_events_20260811.zdict").read_bytes()
    known = zstandard.ZstdCompressionDict(dictionary)
    compressor = zstandard.ZstdCompressor(dict_data=known, write_content_size=tells_its_size)
    frame = compressor.compress(b" " * (jetstream_v2.MESSAGE_BYTES_MAX + 1))
    good = compressor.compress(json.dumps(like()).encode())
    batch = EventBatch()
    MessageDecoder(dictionary)([frame, good], batch)
    assert batch.counts == {("drop", "not_zstd"): 1, ("event", "like"): 1}


@pytest.mark.parametrize(
    "change",
    [{"record": {"subject": 7}}, {"operation": "update"}, {"rev": None}, {"witnessedAt": "soon"}, {}],
)
def test_the_quick_way_says_what_the_careful_one_says(change: dict[str, Any]) -> None:
    careful = EventBatch()
    with patch.object(jetstream_v2, "_decode_message", side_effect=msgspec.DecodeError):
        decode([json.dumps(like(**change))], careful)
    assert decoded(like(**change)) == careful


def test_the_address() -> None:
    base = f"wss://jet.example/xrpc/{jetstream_v2.PATH}"
    query = parse_qs(urlsplit(jetstream_v2.subscribe_url(base + "?cursor=1&kinds=commit", 7, 20260811)).query)
    assert query == {
        "collections": ["app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.actor.profile"],
        "cursor": ["7"],
        "zstdDictionary": ["20260811"],
    }
    assert jetstream_v2.dictionary_url(base) == f"https://jet.example{jetstream_v2.DICTIONARY_PATH}"
