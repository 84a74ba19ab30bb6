"""The Jetstream v1 wire: what is decoded, what is dropped and under which name."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identifiers import rkey_to_int, tid_to_int
from pipeline.ingest import jetstream
from pipeline.ingest.jetstream import decode, subscribe_url
from pipeline.store.events import EventBatch
from pipeline.store.model import AccountStatus, PostFlag, WordMark

DID = "did:plc:mcc5yghbk7tixqryac2yxku7"
AUTHOR = "did:plc:vfnmgxg2yscfliemmcxzyfyh"
TID = "3mmoojp7etg2g"
NOW = 1_779_719_009_132_431
REV = tid_to_int(TID)
KEY_US = (REV or 0) >> 10  # no post is younger than its key


def commit(
    collection: str = "app.bsky.feed.like", operation: str = "create", **changes: Any
) -> dict[str, Any]:
    body = {"rev": TID, "operation": operation, "collection": collection, "rkey": TID} | changes
    return {"did": DID, "time_us": NOW, "kind": "commit", "commit": body}


def like(uri: Any = f"at://{AUTHOR}/app.bsky.feed.post/{TID}", **changes: Any) -> dict[str, Any]:
    record = {
        "$type": "app.bsky.feed.like",
        "createdAt": "2026-05-25T14:23:28.778Z",
        "subject": {"cid": "b", "uri": uri},
    }
    return commit(record=record, **changes)


def post(**fields: Any) -> dict[str, Any]:
    return commit(
        "app.bsky.feed.post", record={"text": "hello", "createdAt": "2026-05-25T14:00:00Z"} | fields
    )


def decoded(event: Any) -> EventBatch:
    batch = EventBatch()
    decode([event if isinstance(event, str | bytes) else json.dumps(event)], batch)
    return batch


def test_a_like() -> None:
    batch = decoded(like())
    assert batch.likes == [(DID, tid_to_int(TID), AUTHOR, tid_to_int(TID), NOW, REV, 0)]
    assert batch.counts == {("event", "like"): 1}
    assert (batch.value, batch.event_us, batch.newest_us) == (NOW, NOW, NOW)


def test_an_unlike_and_an_update() -> None:
    assert decoded(commit(operation="delete")).unlikes == [(DID, tid_to_int(TID), NOW, REV)]
    batch = decoded(like(operation="update"))
    assert batch.unlikes == []
    assert [(found.rev, found.marks) for found in batch.likes] == [(REV, WordMark.AGAIN)]


def test_what_was_a_like_and_is_none_now_is_gone() -> None:
    """After an update always; a new record of an old key may have been one before."""
    nothing = {"$type": "app.bsky.feed.like", "subject": {"uri": "at://did:plc:x/app.bsky.feed.generator/y"}}
    for operation, rkey in (("update", TID), ("create", "self")):
        batch = decoded(commit(operation=operation, rkey=rkey, record=nothing))
        assert [found.rev for found in batch.unlikes] == [REV]
        assert batch.likes == []


def test_a_like_whose_rkey_is_no_tid_meets_its_unlike() -> None:
    made = decoded(like(rkey="self")).likes[0].rkey
    assert made == decoded(commit(operation="delete", rkey="self")).unlikes[0].rkey == rkey_to_int("self")
    assert made < 0


def quote(collection: str, images: dict[str, Any] | None = None) -> dict[str, Any]:
    """The embed of a record of a collection, with pictures beside it or without."""
    embed = {
        "$type": "app.bsky.embed.record",
        "record": {"uri": f"at://{DID}/app.bsky.{collection}/{TID}", "cid": "b"},
    }
    return {"$type": "app.bsky.embed.recordWithMedia", "record": embed, "media": images} if images else embed


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({}, 0),
        ({"reply": {"root": {}, "parent": {}}}, PostFlag.REPLY),
        ({"embed": {"$type": "app.bsky.embed.images", "images": []}}, PostFlag.IMAGES),
        ({"embed": {"$type": "app.bsky.embed.gallery", "items": []}}, PostFlag.IMAGES),
        ({"embed": {"$type": "app.bsky.embed.video"}}, PostFlag.VIDEO),
        ({"embed": {"$type": "app.bsky.embed.video", "presentation": "default"}}, PostFlag.VIDEO),
        ({"embed": {"$type": "app.bsky.embed.video", "presentation": "gif"}}, 0),
        ({"embed": quote("feed.post")}, PostFlag.QUOTE),
        ({"embed": quote("feed.generator")}, 0),
        ({"embed": quote("graph.list")}, 0),
        ({"embed": quote("graph.starterpack")}, 0),
        (
            {"embed": quote("feed.post", images={"$type": "app.bsky.embed.images"})},
            PostFlag.QUOTE | PostFlag.IMAGES,
        ),
        ({"embed": quote("graph.list", images={"$type": "app.bsky.embed.images"})}, PostFlag.IMAGES),
        ({"embed": {"$type": "app.bsky.embed.recordWithMedia", "record": 7, "media": None}}, 0),
        ({"embed": {"$type": "app.bsky.embed.record", "record": {"uri": 7}}}, 0),
        ({"embed": 7}, 0),
        ({"embed": {"$type": ["x"]}}, 0),
        ({"labels": {"values": [{"val": "porn"}]}}, PostFlag.ADULT),
        ({"labels": {"values": [{"val": "!hide"}, {"val": 3}, None]}}, PostFlag.HIDE),
        ({"labels": {"values": [{"val": "!no-promote"}]}}, PostFlag.HIDE),
        ({"labels": {"values": [{"val": "!no-unauthenticated"}]}}, PostFlag.SIGNED_IN),
        ({"labels": []}, 0),
    ],
)
def test_post_flags(fields: dict[str, Any], flags: int) -> None:
    assert decoded(post(**fields)).posts[0].flags == flags


@pytest.mark.parametrize(
    ("langs", "kept"),
    [
        (["en"], "en"),
        (["pt-BR", "EN", "en-GB"], "pt,en"),
        (["en", "de", "fr", "es"], "en,de,fr"),
        ("en", ""),
        ([7, None, "x", "toolong"], ""),
        (None, ""),
    ],
)
def test_post_langs(langs: Any, kept: str) -> None:
    assert decoded(post(langs=langs)).posts[0].langs == kept


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2026-05-25T14:23:28.778Z", 1_779_719_008_778_000),
        ("2026-05-25T16:23:28.778+02:00", 1_779_719_008_778_000),
        ("2026-05-25T14:23:28", 1_779_719_008_000_000),
        ("2099-01-01T00:00:00Z", KEY_US),
        ("1812-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00+23:59", 0),
        ("yesterday", KEY_US),
        (12, KEY_US),
        (None, KEY_US),
        ("2" * 1000, KEY_US),
    ],
)
def test_when_a_post_was_made(created: Any, expected: int) -> None:
    assert decoded(post(createdAt=created)).posts[0].created_us == expected


def account(body: Any) -> dict[str, Any]:
    return {"did": DID, "time_us": NOW, "kind": "account", "account": body}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"active": True}, AccountStatus.ACTIVE),
        ({"active": True, "status": "desynchronized"}, AccountStatus.ACTIVE),
        ({"active": False, "status": "deleted"}, AccountStatus.DELETED),
        ({"active": False, "status": "takendown"}, AccountStatus.TAKENDOWN),
        ({"active": False, "status": "news to us"}, AccountStatus.INACTIVE),
        ({"active": False, "status": 7}, AccountStatus.INACTIVE),
        ({"active": False}, AccountStatus.INACTIVE),
    ],
)
def test_account_status(body: Any, status: AccountStatus) -> None:
    assert decoded(account(body)).accounts == [(DID, status, NOW)]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("", "not_json"),
        ('{"did":', "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        ("[" * 100_000, "not_json"),
        ([], "not_an_event"),
        (None, "not_an_event"),
        ({}, "bad_time"),
        (like() | {"time_us": str(NOW)}, "bad_time"),
        (like() | {"time_us": True}, "bad_time"),
        (like() | {"time_us": -1}, "bad_time"),
        (like() | {"time_us": 10**30}, "bad_time"),
        (like() | {"did": None}, "bad_did"),
        (like() | {"did": "alice.example.com"}, "bad_did"),
        (like() | {"kind": "surprise"}, "unknown_kind"),
        (like() | {"kind": ["commit"]}, "unknown_kind"),
        (like() | {"commit": None}, "commit_without_body"),
        (commit("app.bsky.feed.repost"), "other_collection"),
        (commit(["app.bsky.feed.like"]), "other_collection"),  # type: ignore[arg-type]
        (like(rkey=None), "bad_rkey"),
        (like(rkey="a/b"), "bad_rkey"),
        (like(operation="upsert"), "unknown_operation"),
        (like(operation=None), "unknown_operation"),  # type: ignore[arg-type]
        (commit(), "like_without_record"),
        (commit(record=7), "like_without_record"),
        (commit(record={}), "like_without_subject"),
        (commit(record={"subject": "at://x"}), "like_without_subject"),
        (like(uri=None), "like_without_subject"),
        (like(uri=f"at://{AUTHOR}/app.bsky.feed.generator/x"), "like_of_no_post"),
        (like(uri="x" * 1_000_000), "like_of_no_post"),
        (commit("app.bsky.feed.post", rkey="self", record={}), "post_rkey_no_tid"),
        (commit("app.bsky.feed.post"), "post_without_record"),
        (account(None), "account_without_active"),
        (account({"active": "yes"}), "account_without_active"),
    ],
)
def test_what_is_dropped_is_counted_by_reason(event: Any, reason: str) -> None:
    batch = decoded(event)
    assert batch.counts == {("drop", reason): 1}
    assert not (batch.likes or batch.unlikes or batch.posts or batch.post_deletions or batch.accounts)


def test_a_dropped_event_still_moves_the_cursor() -> None:
    assert decoded(like(uri=None)).value == NOW


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_decoding_never_raises(data: st.DataObject) -> None:
    event: Any = data.draw(
        st.sampled_from([like(), post(), account({"active": False}), commit(operation="delete")])
    )
    event = json.loads(json.dumps(event))
    for _ in range(data.draw(st.integers(1, 3))):
        target = event
        while True:
            key = data.draw(st.sampled_from(sorted(target)))
            if isinstance(target[key], dict) and target[key] and data.draw(st.booleans()):
                target = target[key]
                continue
            target[key] = data.draw(json_values)
            break
    batch = decoded(event)
    assert sum(batch.counts.values()) == 1


@given(st.binary(max_size=200))
def test_decoding_bytes_never_raises(message: bytes) -> None:
    batch = EventBatch()
    decode([message], batch)
    assert batch.counts.total() == 1


EMBED = {"$type": "app.bsky.embed.recordWithMedia", "media": {"$type": "app.bsky.embed.images", "images": []}}
POSTS = [
    post(langs=["en-US", "pt"], reply={"root": {"uri": "at://x"}}, embed=EMBED),
    post(labels={"values": [{"val": "porn"}, {"val": "!hide"}]}, embed={"$type": "app.bsky.embed.video"}),
]


@given(st.data())
def test_the_quick_way_says_what_the_careful_one_says(data: st.DataObject) -> None:
    event: Any = json.loads(
        json.dumps(data.draw(st.sampled_from([like(), commit(operation="delete"), post(), *POSTS])))
    )
    target = event
    while isinstance(target, dict) and target:
        key = data.draw(st.sampled_from(sorted(target)))
        if isinstance(target[key], dict) and data.draw(st.integers(0, 3)):
            target = target[key]
            continue
        target[key] = data.draw(json_values | st.sampled_from(["update", TID, f"at://{AUTHOR}/x/y", 1.0]))
        break
    message = orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS) if _small(event) else json.dumps(event)
    quick, careful = EventBatch(), EventBatch()
    decode([message], quick)
    with patch.object(jetstream, "_decode_event", side_effect=msgspec.DecodeError):
        decode([message], careful)
    assert quick == careful


def _small(value: Any) -> bool:
    """Whether a value's numbers fit what orjson writes."""
    if isinstance(value, dict):
        return all(_small(inner) for inner in value.values())
    if isinstance(value, list):
        return all(_small(inner) for inner in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def test_the_address() -> None:
    parts = urlsplit(subscribe_url("wss://jet.example/subscribe?maxMessageSizeBytes=9&cursor=1", 7))
    assert parts._replace(query="").geturl() == "wss://jet.example/subscribe"
    assert parse_qs(parts.query) == {
        "maxMessageSizeBytes": ["9"],
        "cursor": ["7"],
        "wantedCollections": ["app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.actor.profile"],
    }


def test_the_recorded_window(real_bytes: Path) -> None:
    batch = EventBatch()
    lines = (real_bytes / "expected_v1.jsonl").read_bytes().splitlines()
    decode(lines, batch)
    events = [orjson.loads(line) for line in lines]
    likes = [e for e in events if e["kind"] == "commit" and e["commit"]["collection"] == "app.bsky.feed.like"]
    created = [e for e in likes if e["commit"]["operation"] == "create"]
    about_posts = [e for e in created if "/app.bsky.feed.post/" in e["commit"]["record"]["subject"]["uri"]]
    assert len(batch.likes) == len(about_posts) > 100
    assert batch.counts["drop", "like_of_no_post"] == len(created) - len(about_posts)
    assert batch.counts["event", "post"] == 17
    assert batch.counts["event", "account"] == batch.counts["event", "identity"] == 1
    assert batch.counts.total() == len(lines)
