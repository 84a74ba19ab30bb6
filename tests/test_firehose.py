"""The firehose wire: the recorded frames say what the recorded Jetstream lines of the same window say."""

import asyncio
import struct
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import libipld
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SettingError
from pipeline.ingest import car, firehose, jetstream, jetstream_v2
from pipeline.ingest.wires import subscription, wire_of
from pipeline.store.events import EventBatch, StreamPosition

DID = "did:plc:mcc5yghbk7tixqryac2yxku7"
TIME = "2026-07-04T14:38:08.085Z"
TIME_US = 1_783_175_888_085_000
RELAY = "wss://bsky.network/xrpc/com.atproto.sync.subscribeRepos"


def frame(kind: str, **body: Any) -> bytes:
    content = {"seq": 7, "time": TIME, **body}
    return libipld.encode_dag_cbor({"op": 1, "t": kind}) + libipld.encode_dag_cbor(content)


def decoded(*messages: bytes | str) -> EventBatch:
    batch = EventBatch()
    firehose.decode(messages, batch)
    return batch


@pytest.fixture(scope="module")
def frames(real_bytes: Path) -> list[bytes]:
    data = zstandard.ZstdDecompressor().decompress((real_bytes / "frames.bin.zst").read_bytes(), 1 << 26)
    found, start = [], 0
    while start < len(data):
        (length,) = struct.unpack_from("<I", data, start)
        found.append(data[start + 4 : start + 4 + length])
        start += 4 + length
    return found


def test_the_recorded_frames_say_what_the_recorded_lines_say(frames: list[bytes], real_bytes: Path) -> None:
    here = decoded(*frames)
    there = EventBatch()
    for line in (real_bytes / "expected_v1.jsonl").read_bytes().splitlines():
        jetstream.decode([line], there)

    def without_times(batch: EventBatch) -> dict[str, list[Any]]:
        return {
            "likes": sorted((*like[:4], like.rev) for like in batch.likes),
            "unlikes": sorted((*unlike[:2], unlike.rev) for unlike in batch.unlikes),
            "posts": sorted((post.author, post.rkey, post.flags, post.langs) for post in batch.posts),
            "deletions": sorted(deletion[:2] for deletion in batch.post_deletions),
            "accounts": sorted(change[:2] for change in batch.accounts),
        }

    assert without_times(here) == without_times(there)
    assert len(here.likes) > 100
    kept = {key: count for key, count in here.counts.items() if key[0] == "event"}
    assert kept == {key: count for key, count in there.counts.items() if key[0] == "event"}


def test_an_account_and_an_identity() -> None:
    batch = decoded(frame("#account", did=DID, active=False, status="deleted"), frame("#identity", did=DID))
    assert [(change.did, change.seen_us) for change in batch.accounts] == [(DID, TIME_US)]
    assert batch.counts == {("event", "account"): 1, ("event", "identity"): 1}
    assert (batch.value, batch.event_us) == (7, TIME_US)


def test_a_repository_set_to_another_state() -> None:
    batch = decoded(frame("#sync", did=DID, rev="3mmoojp7etg2g", blocks=b""))
    assert batch.resets == [DID]
    assert batch.counts == {("event", "sync"): 1}


def test_a_future_cursor_voids_it() -> None:
    error = libipld.encode_dag_cbor({"op": -1}) + libipld.encode_dag_cbor({"error": "FutureCursor"})
    batch = decoded(error)
    assert batch.cursor_is_void
    assert batch.counts == {("connection", "error_FutureCursor"): 1}


def test_of_several_operations_on_a_record_in_one_commit_the_last_counts() -> None:
    path = "app.bsky.feed.like/3mmoojp7etg2g"
    made = {"action": "create", "path": path, "cid": b"\x01q\x12 " + b"x" * 32}
    batch = decoded(
        frame("#commit", repo=DID, rev="3mmoojp7etg2g", ops=[made, {"action": "delete", "path": path}])
    )
    assert len(batch.unlikes) == 1
    assert batch.counts["event", "operation_replaced"] == 1
    assert not batch.likes
    again = decoded(
        frame("#commit", repo=DID, rev="3mmoojp7etg2g", ops=[{"action": "delete", "path": path}, made])
    )
    # Without its block the record is malformed, and whatever was under its key is no longer there.
    assert len(again.unlikes) == 1
    assert ("drop", "bad_blocks") in again.counts


OP = {"action": "create", "path": "app.bsky.feed.like/3mmoojp7etg2g", "cid": b"\x01q\x12 " + b"x" * 32}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "bad_frame"),
        (b"\xff\xff", "bad_frame"),
        ("text", "bad_frame"),
        (libipld.encode_dag_cbor({"op": 1, "t": "#commit"}), "bad_frame"),
        (libipld.encode_dag_cbor([]) * 2, "bad_frame"),
        (frame("#commit", repo=DID, seq="7", ops=[]), "bad_time"),
        (frame("#commit", repo=DID, time="now", ops=[]), "bad_time"),
        (frame("#commit", repo=DID, time="1999-01-01T00:00:00Z", ops=[]), "bad_time"),
        (frame("#commit", repo="alice", ops=[]), "bad_did"),
        (frame("#commit", repo=DID, ops=None), "commit_without_body"),
        (frame("#commit", repo=DID, ops=[7]), "commit_without_body"),
        (frame("#commit", repo=DID, ops=[{**OP, "path": "app.bsky.feed.repost/x"}]), "other_collection"),
        (frame("#surprise", did=DID), "unknown_kind"),
        (frame("#commit", repo=DID, time="2199-01-01T00:00:00Z", ops=[]), "bad_time"),
        (frame("#account", did=DID), "account_without_active"),
    ],
)
def test_what_is_dropped_is_counted_by_reason(message: bytes | str, reason: str) -> None:
    assert decoded(message).counts == {("drop", reason): 1}


@pytest.mark.parametrize("blocks", [None, b"", b"no car at all", 7])
def test_a_like_whose_blocks_are_broken(blocks: Any) -> None:
    batch = decoded(frame("#commit", repo=DID, ops=[OP], blocks=blocks))
    assert batch.counts == {("drop", "bad_blocks"): 1, ("drop", "like_without_record"): 1}
    assert batch.value == 7


def test_a_record_is_found_in_a_car_as_the_whole_decoder_finds_it(frames: list[bytes]) -> None:
    found, reasons = 0, list[str]()
    for whole in frames:
        data = libipld.decode_dag_cbor_multi(whole)[1].get("blocks")
        if not data:
            continue
        blocks = libipld.decode_car(data)[1]
        for cid in blocks:
            assert car.records(data, {cid}, reasons.append) == {cid: blocks[cid]}
        assert car.records(data, set(blocks), reasons.append) == blocks
        assert car.records(data, {b"\x01q\x12 " + bytes(32)}, reasons.append) == {}
        found += len(blocks)
    assert found > 1_000
    assert reasons == []


@given(st.binary(max_size=300))
def test_decoding_bytes_never_raises(message: bytes) -> None:
    assert decoded(message).counts.total() == 1


def test_cut_and_changed_frames_never_raise(frames: list[bytes]) -> None:
    for number, whole in enumerate(frames):
        for place in range(number % 7, len(whole), max(1, len(whole) // 40)):
            decoded(whole[:place])
            decoded(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])


def test_the_wire_is_told_by_the_path() -> None:
    assert wire_of("ws://localhost:6008/subscribe") == "jetstream-v1"
    assert wire_of(f"ws://localhost:6008/xrpc/{jetstream_v2.PATH}") == "jetstream-v2"
    assert wire_of(RELAY) == "firehose"
    with pytest.raises(SettingError, match="its path names no wire"):
        wire_of("wss://bsky.network/")


def cursor_of(url: str, position: StreamPosition | None, start_us: int) -> int:
    address = asyncio.run(subscription(url, position, start_us)).address
    return int(urlsplit(address).query.rpartition("cursor=")[2])


def test_where_to_resume() -> None:
    there = StreamPosition("bsky.network", "firehose", 500, TIME_US)
    assert cursor_of(RELAY, there, 5) == 500
    jet = "wss://jet.example/subscribe"
    assert cursor_of(jet, there, 5) == TIME_US - 30_000_000
    assert cursor_of(jet, None, 5) == 5
    same = StreamPosition("jet.example", "jetstream-v1", TIME_US, TIME_US)
    assert cursor_of(jet, same, 5) == TIME_US - 5_000_000
