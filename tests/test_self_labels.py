"""What authors say of all their posts on their profiles: on every wire, in the store, and on pages."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import libipld
import pytest

from pipeline.identifiers import tid_at, tid_from_int
from pipeline.ingest import firehose, jetstream, jetstream_v2
from pipeline.ingest.records import profile_level
from pipeline.store import self_labels
from pipeline.store.events import EventBatch, Post, ProfileWord
from pipeline.store.landing import Landing
from pipeline.store.model import WithheldFrom
from serving.lists.removed_posts import RemovedPosts
from sql import places
from sql.sqlite import connect

DID = "did:plc:mcc5yghbk7tixqryac2yxku7"
PROFILE = "app.bsky.actor.profile"
NOW_US = 1_779_719_009_132_431
REV = tid_from_int(tid_at(NOW_US))
TIME = "2026-05-25T14:23:29.132431Z"


def record(*values: Any, **more: Any) -> dict[str, Any]:
    labels = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": value} for value in values]}
    return {"$type": PROFILE, "displayName": "x", "labels": labels, **more}


def on_v1(operation: str, rkey: str, profile: dict[str, Any] | None) -> EventBatch:
    body = {"rev": REV, "operation": operation, "collection": PROFILE, "rkey": rkey}
    body |= {} if profile is None else {"record": profile}
    batch = EventBatch()
    event = {"did": DID, "time_us": NOW_US, "kind": "commit", "commit": body}
    jetstream.decode([json.dumps(event)], batch)
    return batch


def on_v2(operation: str, rkey: str, profile: dict[str, Any] | None) -> EventBatch:
    kind = "network.bsky.jetstream.subscribeEvents#commit"
    payload = {"$type": kind, "seq": 5, "did": DID, "time": TIME, "witnessedAt": TIME, "rev": REV}
    payload |= {"operation": operation, "collection": PROFILE, "rkey": rkey}
    payload |= {} if profile is None else {"record": profile}
    batch = EventBatch()
    jetstream_v2.decode([json.dumps({"$type": "message", "payload": payload})], batch)
    return batch


def on_firehose(operation: str, rkey: str, profile: dict[str, Any] | None) -> EventBatch:
    cid, blocks = b"\x01q\x12 " + b"x" * 32, b"\x00"
    if profile is not None:
        block = libipld.encode_dag_cbor(profile)
        size = len(cid) + len(block)
        blocks += bytes([size & 0x7F | 0x80, size >> 7]) + cid + block
    op = {"action": operation, "path": f"{PROFILE}/{rkey}", "cid": None if profile is None else cid}
    body = {"seq": 5, "time": TIME, "repo": DID, "rev": REV, "ops": [op], "blocks": blocks}
    batch = EventBatch()
    firehose.decode(
        [libipld.encode_dag_cbor({"op": 1, "t": "#commit"}) + libipld.encode_dag_cbor(body)], batch
    )
    return batch


@pytest.mark.parametrize("wire", [on_v1, on_v2, on_firehose])
def test_every_wire_reads_profiles(wire: Any):
    def says(level: int) -> list[ProfileWord]:
        return [ProfileWord(DID, level, NOW_US, tid_at(NOW_US))]

    assert wire("create", "self", record("!no-unauthenticated")).profiles == says(1)
    assert wire("update", "self", record("!no-unauthenticated", "!no-promote")).profiles == says(3)
    assert wire("update", "self", {"$type": PROFILE, "displayName": "x"}).profiles == says(0)
    assert wire("delete", "self", None).profiles == says(0)
    assert wire("update", "self", record("porn")).counts == {("event", "profile"): 1}
    assert wire("create", "other", record("porn")).counts == {("drop", "bad_rkey"): 1}
    assert wire("create", "self", None).counts == {("drop", "profile_without_record"): 1}


@pytest.mark.parametrize(
    ("labels", "level"),
    [
        (None, 0), ([], 0), ({"values": "porn"}, 0), ({"values": [7, {"val": 7}, {"no": "val"}]}, 0),
        ({"values": [{"val": "sunny"}]}, 0), ({"values": [{"val": "nudity"}]}, 3), ({"values": [{"val": "!hide"}]}, 3),
        ({"values": [{"val": "sunny"}] * 10 + [{"val": "porn"}]}, 0),  # the lexicon allows ten
    ],
)  # fmt: skip
def test_any_labels_are_read(labels: Any, level: int):
    assert profile_level({"labels": labels}) == level


def word(level: int, rev: int, did: str = DID) -> ProfileWord:
    return ProfileWord(did, level, NOW_US, tid_at(NOW_US) + rev)


def levels(folder: Path) -> dict[str, int]:
    """Return by author from whom pages withhold their one post."""
    with closing(connect(places.landing(folder), read_only=True)) as landing:
        query = "SELECT author_id, rkey, did FROM posts JOIN actors ON actor_id = author_id"
        dids = {(author, rkey): did for author, rkey, did in landing.execute(query)}
    found = RemovedPosts(places.removals(folder)).withheld_among(list(dids))
    return {dids[key]: level for key, level in found.items()}


def test_the_word_with_the_greatest_rev_counts(tmp_path: Path):
    landing = Landing(tmp_path)
    post = Post(DID, tid_at(NOW_US), NOW_US, NOW_US, 0, "", 1)

    def take(*words: ProfileWord) -> dict[str, int]:
        landing.append(EventBatch(profiles=list(words)), "host", "wire")
        return levels(tmp_path)

    landing.append(EventBatch(posts=[post], newest_us=NOW_US), "host", "wire")
    assert take(word(WithheldFrom.NOBODY, 1)) == {}
    assert take(word(WithheldFrom.ANONYMOUS, 3), word(WithheldFrom.EVERYBODY, 2)) == {DID: 1}
    assert take(word(WithheldFrom.EVERYBODY, 3)) == {DID: 1}, "said again"
    assert take(word(WithheldFrom.EVERYBODY, 5)) == {DID: 3}
    assert take(word(WithheldFrom.NOBODY, 4)) == {DID: 3}
    assert take(word(WithheldFrom.NOBODY, 6)) == {}
    assert take(word(WithheldFrom.EVERYBODY, 5)) == {}, "a replay"
    assert take(word(WithheldFrom.EVERYBODY, 7)) == {DID: 3}
    landing.close()


def test_only_authors_who_withhold_something_are_stored_and_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(self_labels, "AUTHORS_MAX", 2)
    landing = Landing(tmp_path)
    many = [word(3 if number < 3 else 0, 1, f"did:plc:{number}") for number in range(6)]
    batch = EventBatch(profiles=many)
    landing.append(batch, "host", "wire")
    assert batch.counts == {("drop", "self_label_no_room"): 1}
    again = EventBatch(profiles=many[:1])
    landing.append(again, "host", "wire")
    landing.close()
    with closing(connect(places.landing(tmp_path), read_only=True)) as store:
        assert store.execute("SELECT count(*) FROM self_labels").fetchone() == (2,)
        assert store.execute("SELECT count(*) FROM actors").fetchone() == (3,)
