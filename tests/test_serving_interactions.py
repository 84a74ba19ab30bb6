"""sendInteractions keeps what a verified viewer did, within bounds, and forgives the rest."""

import base64
import gzip
import json
import sqlite3
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient
from serving_worlds import (
    FEED,
    INTERACTIONS,
    SERVICE_DID,
    START,
    Account,
    Clock,
    ServingStore,
    base64url,
    bearer,
    config_of,
    directory,
    flush,
    plc_did,
    post_uri,
)

from serving.app import create_app
from serving.feed import send_interactions as module
from serving.identity.tokens import read_token
from serving.identity.used_tokens import _ORDERS, UsedTokens
from serving.viewers.activity_queue import ShownPage
from serving.viewers.activity_writer import ActivityWriter

METHOD = "app.bsky.feed.sendInteractions"
PREFIX = "app.bsky.feed.defs#"


@dataclass
class World:
    """An app and a viewer."""

    folder: Path
    clock: Clock
    client: TestClient
    activity: ActivityWriter
    alice: Account

    def send(self, interactions: Any, token: str | None = None, **more: Any) -> Result:
        token = token or self.alice.token(METHOD, now=self.clock.at)
        body = json.dumps({"interactions": interactions, **more}).encode()
        return self.client.simulate_post(INTERACTIONS, body=body, headers=bearer(token))

    def rows(self, columns: str = "viewer_did, post_uri, event") -> list[tuple[Any, ...]]:
        assert flush(self.activity)
        if not (self.folder / "activity.sqlite").exists():
            return []
        with sqlite3.connect(self.folder / "activity.sqlite") as connection:
            return connection.execute(f"SELECT {columns} FROM interactions ORDER BY 1, 2, 3").fetchall()

    def ignored(self) -> dict[str, int]:
        return dict(self.client.simulate_get("/health").json["activity"]["ignored"])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(1_001))
    with directory() as plc:
        alice = Account(plc_did(1))
        plc.publish(alice)
        store.publish(1, {alice.did: b""})
        store.close()
        activity = ActivityWriter(tmp_path / "activity.sqlite", now=clock)
        app = create_app(config_of(tmp_path, plc.url), now=clock, activity=activity)
        yield World(tmp_path, clock, TestClient(app), activity, alice)
        activity.close()


def _event(post: int, event: str = "interactionSeen", **more: Any) -> dict[str, Any]:
    return {"item": post_uri(post), "event": PREFIX + event, **more}


def test_events_are_stored_with_what_came_back(world: World) -> None:
    answer = world.send([_event(1, "requestLess", feedContext="c7.41", reqId="41.0.9f")], feed=FEED)
    assert (answer.status_code, answer.json) == (200, {})
    assert world.rows("viewer_did, post_uri, event, feed_rkey, feed_context, req_id, received_us") == [
        (world.alice.did, post_uri(1), "requestLess", "for-you", "c7.41", "41.0.9f", int(START * 1e6))
    ]


def test_a_repeated_event_changes_its_time_only(world: World) -> None:
    world.send([_event(1, feedContext="c1.1")])
    world.clock.at += 5
    world.send([_event(1, feedContext="c2.2")])
    assert world.rows("post_uri, feed_context, received_us") == [
        (post_uri(1), "c1.1", int((START + 5) * 1e6))
    ]


def test_all_known_events_are_taken_and_others_counted(world: World) -> None:
    world.send([_event(1, event) for event in sorted(module.EVENTS)])
    world.send(
        [_event(1, "interactionYodel"), {"item": post_uri(1), "event": "requestLess"}, {"item": post_uri(1)}]
    )
    assert [row[2] for row in world.rows()] == sorted(module.EVENTS)
    assert world.ignored() == {"event": 3}


@pytest.mark.parametrize(
    "item",
    [
        None,
        "",
        5,
        "https://bsky.app/profile/x/post/y",
        "at://alice.example.com/app.bsky.feed.post/3aaa",
        f"at://{plc_did(1)}/app.bsky.feed.generator/for-you",
        f"at://{plc_did(1)}/app.bsky.feed.post/",
        f"at://{plc_did(1)}/app.bsky.feed.post/3aaa/x",
        f"at://{plc_did(1)}/app.bsky.feed.post/3aaa?x=1",
        f"at://{plc_did(1)}/app.bsky.feed.post/{'x' * 513}",
        f"AT://{plc_did(1)}/app.bsky.feed.post/3aaa",
        f"at://{plc_did(1)}/app.bsky.feed.post/3a\n",
        f"at://{plc_did(1)}/app.bsky.feed.post/3aaaaaaaaaaaa1",  # no TID: 1 is not of its alphabet
        f"at://{plc_did(1)}/app.bsky.feed.post/3aaaaaaaaaaaaa",  # 14 characters
        f"at://{plc_did(1)}a/app.bsky.feed.post/3aaaaaaaaaaaa",  # longer than a did:plc is
        "at://did:web:" + "a" * 254 + ".example/app.bsky.feed.post/3aaaaaaaaaaaa",
    ],
)
def test_what_is_no_post_is_passed_over(world: World, item: object) -> None:
    assert world.send([{"item": item, "event": PREFIX + "interactionSeen"}, _event(2)]).status_code == 200
    assert [row[1] for row in world.rows()] == [post_uri(2)]
    assert world.ignored() == {"item": 1}


@pytest.mark.parametrize("text", ["a|b", "x" * 2000, "'; DROP TABLE", 7, None, [], "", "c7.41\n", "\ud800"])
def test_a_context_that_is_not_ours_is_not_stored(world: World, text: object) -> None:
    body = json.dumps({"interactions": [_event(1, feedContext=text, reqId=text)]}).encode()
    token = bearer(world.alice.token(METHOD))
    answer = world.client.simulate_post(INTERACTIONS, body=body, headers=token)
    if text == "\ud800":
        assert answer.status_code == 400  # no JSON text can hold half a character
        return
    assert answer.status_code == 200
    assert world.rows("feed_context, req_id, event") == [("", "", "interactionSeen")]


def test_a_token_is_taken_once(world: World) -> None:
    token = world.alice.token(METHOD)
    assert world.send([_event(1)], token).status_code == 200
    answer = world.send([_event(2)], token)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert [row[1] for row in world.rows()] == [post_uri(1)]
    assert world.ignored() == {"replay": 1}


@pytest.mark.parametrize("jti", ["", ...])
def test_a_token_without_an_identity_of_its_own_is_taken_once_too(world: World, jti: object) -> None:
    token = world.alice.token(METHOD, jti=jti)
    assert world.send([_event(1)], token).status_code == 200
    assert world.send([_event(2)], token).status_code == 503
    assert world.send([_event(3)], world.alice.token(METHOD, jti=jti)).status_code == 200
    assert {row[1] for row in world.rows()} == {post_uri(1), post_uri(3)}


@pytest.mark.parametrize("jti", ["once", ...])
@pytest.mark.parametrize("algorithm", ["ES256K", "ES256"])
def test_the_other_form_of_a_signature_is_the_same_token(algorithm: str, jti: object) -> None:
    """(r, n - s) verifies wherever (r, s) does, and anybody can compute it."""
    signer = Account(plc_did(1), algorithm)
    token = signer.token(METHOD, jti=jti)
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    other = raw[:32] + (_ORDERS[algorithm] - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    read = [
        read_token(text, audiences=frozenset({SERVICE_DID}), method=METHOD, now=START)
        for text in (token, f"{signed}.{base64url(other)}")
    ]
    used = UsedTokens(lambda: START)
    assert [used.use(each, known=True) for each in read] == ["new", "used"]


def test_a_post_that_this_feed_does_not_have_is_ignored(world: World) -> None:
    unknown = post_uri(5_000)
    assert world.send([_event(1), {"item": unknown, "event": PREFIX + "requestLess"}]).status_code == 200
    assert [row[1] for row in world.rows()] == [post_uri(1)]
    assert world.ignored() == {"post": 1}


def test_a_post_that_was_served_counts_although_its_list_is_gone(world: World) -> None:
    shown = ShownPage(world.alice.did, "for-you", 1, 1, [post_uri(5_000)], [1], int(START * 1e6))
    world.activity.record([shown])
    assert flush(world.activity)
    assert world.send([_event(5_000, "requestLess")]).status_code == 200
    assert [row[1] for row in world.rows()] == [post_uri(5_000)]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"interactions":null}', b'{"interactions":{}}', b'{"interactions":[NaN]}',
     b"\xff\xfe", b"[" * 50_000, b'{"interactions":[' + b"[" * 5000 + b"]" * 5000 + b"]}"],
)  # fmt: skip
def test_a_malformed_body_is_a_400(world: World, body: bytes) -> None:
    answer = world.client.simulate_post(INTERACTIONS, body=body, headers=bearer(world.alice.token(METHOD)))
    assert (answer.status_code, answer.json["error"]) == (400, "InvalidRequest")


def test_entries_that_are_no_objects_are_counted(world: World) -> None:
    assert world.send([None, 1, "x", [], _event(1)]).status_code == 200
    assert len(world.rows()) == 1
    assert world.ignored() == {"malformed": 4}


def test_more_than_a_thousand_interactions_are_refused(world: World) -> None:
    assert world.send([_event(1)] * 1001).status_code == 400
    assert world.send([_event(post) for post in range(1000)]).status_code == 200
    assert len(world.rows()) == 1000


def test_a_feed_that_is_not_ours_is_refused(world: World) -> None:
    assert (
        world.send([_event(1)], feed="at://did:plc:x/app.bsky.feed.generator/y").json["error"]
        == "UnknownFeed"
    )
    assert world.send([_event(1)], feed=5).json["error"] == "UnknownFeed"
    assert world.send([_event(1)], feed="").status_code == 200


def test_what_is_beyond_a_viewers_minute_is_refused_whole(world: World, monkeypatch: Any) -> None:
    """Each was answered 200, and what was beyond the limit was dropped."""
    world.clock.at = 1_790_000_040.0
    for _ in range(3):
        assert world.send([_event(post) for post in range(1_000)]).status_code == 200
    answer = world.send([_event(1, "requestLess")])
    assert (answer.status_code, answer.json["error"]) == (503, "NotEnoughResources")
    assert world.ignored() == {"room": 1}
    world.clock.at += 60
    assert world.send([_event(1, "requestLess")]).status_code == 200
    assert (world.alice.did, post_uri(1), "requestLess") in world.rows()


def test_who_is_not_verified_is_refused(world: World) -> None:
    body = json.dumps({"interactions": [_event(1)]})
    assert world.client.simulate_post(INTERACTIONS, body=body).status_code == 401
    reading = bearer(world.alice.token("app.bsky.feed.getFeedSkeleton"))
    answer = world.client.simulate_post(INTERACTIONS, body=body, headers=reading)
    assert answer.json["error"] == "BadJwtLexiconMethod"
    assert world.rows() == []


def test_bodies_are_bounded_as_sent_and_as_unpacked(world: World) -> None:
    def post(body: bytes, encoding: str | None = None) -> Result:
        headers = bearer(world.alice.token(METHOD))
        if encoding:
            headers["Content-Encoding"] = encoding
        return world.client.simulate_post(INTERACTIONS, body=body, headers=headers)

    small = json.dumps({"interactions": [_event(1)]}).encode()
    assert post(b" " * (module.BODY_MAX_BYTES - len(small)) + small).status_code == 200
    large = b" " * (module.BODY_MAX_BYTES + 1)
    assert post(large).json["error"] == "PayloadTooLarge"
    assert post(gzip.compress(large), "gzip").json["error"] == "PayloadTooLarge"
    bomb = gzip.compress(b" " * 100_000_000)
    tracemalloc.start()
    try:
        assert post(bomb, "gzip").json["error"] == "PayloadTooLarge"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert post(gzip.compress(small), "gzip").status_code == 200
    assert post(gzip.compress(small)[:-3], "gzip").status_code == 400
    assert post(small, "gzip").status_code == 400
    assert post(small, "br").json["error"] == "UnsupportedMediaType"
