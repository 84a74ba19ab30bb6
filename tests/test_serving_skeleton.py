"""getFeedSkeleton as a client sees it: parameters, lists, cursors, languages, and what a request leaves behind."""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from falcon.testing import TestClient
from serving_worlds import (
    FEED,
    PUBLISHER_DID,
    SKELETON,
    Account,
    Clock,
    Directory,
    ServingStore,
    bearer,
    blob,
    config_of,
    directory,
    flush,
    plc_did,
    post_uri,
)

from serving.app import create_app
from serving.feed.page_cursors import Cursor, CursorCodec, installation_key
from serving.viewers.activity_writer import ActivityWriter


@dataclass
class World:
    """An app over a store with a list for alice and fallbacks."""

    folder: Path
    plc: Directory
    clock: Clock
    client: TestClient
    activity: ActivityWriter
    store: ServingStore
    alice: Account
    newcomer: Account

    def get(self, viewer: Account | None = None, headers: Any = None, **params: Any) -> falcon.testing.Result:
        merged = dict(headers or {})
        if viewer is not None:
            merged |= bearer(viewer.token(now=self.clock.at))
        return self.client.simulate_get(SKELETON, params={"feed": FEED, **params}, headers=merged)

    def walk(self, viewer: Account | None, limit: int, **params: Any) -> list[str]:
        """Return the posts of all pages, each but the last full, the last without a cursor."""
        posts: list[str] = []
        while True:
            page = self.get(viewer, limit=limit, **params).json
            posts += [item["post"] for item in page["feed"]]
            if "cursor" not in page:
                return posts
            assert len(page["feed"]) == limit
            assert len(page["cursor"]) < 100
            params["cursor"] = page["cursor"]


def uris(post_ids: Any) -> list[str]:
    return [post_uri(post) for post in post_ids]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    with directory() as plc:
        alice, newcomer = Account(plc_did(1)), Account(plc_did(2), "ES256")
        plc.publish(alice, newcomer)
        activity = ActivityWriter(tmp_path / "activity.sqlite", now=clock)
        store = ServingStore(tmp_path / "serving.sqlite")
        store.posts(range(1, 400))
        store.publish(
            7,
            {alice.did: blob(range(1, 121), co_likers=[4] * 120)},
            {
                "": blob(range(200, 260), sources=[2] * 60),
                "pt": blob(range(300, 310), sources=[2] * 10),
                "ja": blob([]),
            },
        )
        client = TestClient(create_app(config_of(tmp_path, plc.url), now=clock, activity=activity))
        yield World(tmp_path, plc, clock, client, activity, store, alice, newcomer)
        activity.close()
        store.close()


def test_a_viewer_gets_their_list_and_the_page_is_what_the_lexicon_says(world: World) -> None:
    answer = world.get(world.alice, limit=3)
    page = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-store"
    assert "content-language" not in answer.headers
    assert page["feed"] == [{"post": post_uri(post), "feedContext": "c4.7"} for post in (1, 2, 3)]
    assert set(page) == {"feed", "cursor", "reqId"}
    assert isinstance(page["cursor"], str)
    assert 0 < len(page["reqId"]) <= 100
    assert "|" not in page["reqId"]


def test_the_default_limit_is_fifty(world: World) -> None:
    assert len(world.get(world.alice).json["feed"]) == 50


@pytest.mark.parametrize("limit", [1, 7, 30, 60, 100])
def test_joined_pages_are_the_list(world: World, limit: int) -> None:
    assert world.walk(world.alice, limit) == uris(range(1, 121))
    assert world.walk(None, limit) == uris(range(200, 260))


def test_a_list_that_ends_with_the_page_has_no_cursor(world: World) -> None:
    assert "cursor" not in world.get(None, limit=60).json
    assert "cursor" in world.get(None, limit=59).json


def test_pages_come_from_one_generation_to_the_end(world: World) -> None:
    first = world.get(world.alice, limit=50).json
    world.store.publish(8, {world.alice.did: blob(range(120, 0, -1))}, {"": blob([399])})
    rest = world.walk(world.alice, 50, cursor=first["cursor"])
    assert [item["post"] for item in first["feed"]] + rest == uris(range(1, 121))
    assert world.get(world.alice, limit=2).json["feed"][0]["post"] == post_uri(120)


def test_a_pruned_generation_goes_on_in_the_current_one(world: World) -> None:
    first = world.get(world.alice, limit=50).json
    world.store.publish(8, {world.alice.did: blob(range(120, 0, -1))})
    world.store.prune(8)
    rest = world.walk(world.alice, 20, cursor=first["cursor"])
    assert rest == uris(range(120, 50, -1))  # what was shown since the first page does not come again


def test_an_older_list_never_stands_in_for_a_pruned_one(world: World) -> None:
    world.store.publish(8, {world.alice.did: blob(range(120, 0, -1))})
    cursor = world.get(world.alice, limit=50).json["cursor"]
    world.store.publish(9, {world.alice.did: blob(range(201, 261))})
    world.store.connection.execute("DELETE FROM lists WHERE generation = 8")
    page = world.get(world.alice, limit=10, cursor=cursor).json
    assert [item["post"] for item in page["feed"]] == uris(range(201, 211))


def test_a_pruned_fallback_goes_on_at_the_same_place_for_nobody_in_particular(world: World) -> None:
    first = world.get(None, limit=20).json
    world.store.publish(8, fallbacks={"": blob(range(259, 199, -1))})
    world.store.prune(8)
    page = world.get(None, limit=10, cursor=first["cursor"]).json
    assert [item["post"] for item in page["feed"]] == uris(range(239, 229, -1))


def test_a_generation_without_a_new_list_keeps_the_old_one(world: World) -> None:
    world.store.publish(8, {plc_did(77): blob([1])})
    assert world.walk(world.alice, 50) == uris(range(1, 121))


def test_a_viewer_without_a_list_gets_what_is_popular_in_their_language(world: World) -> None:
    for header, language, first in (
        ("pt", "pt", 300),
        ("xx,pt-BR,en", "pt", 300),
        ("en;q=0.9, pt;q=0.8", "pt", 300),
        ("en,de", None, 200),
        ("ja", None, 200),  # an empty list is as good as none
        ("*", None, 200),
        ("", None, 200),
        ("pt;q=0", None, 200),
        ("\x00,;;q=,é" * 50, None, 200),
    ):
        for viewer in (None, world.newcomer):
            answer = world.get(viewer, {"Accept-Language": header}, limit=1)
            assert answer.json["feed"][0] == {"post": post_uri(first), "feedContext": "p.7"}
            assert answer.headers.get("content-language") == language


def test_later_pages_of_a_fallback_stay_in_its_language(world: World) -> None:
    page = world.get(None, {"Accept-Language": "pt"}, limit=4).json
    following = world.get(None, {"Accept-Language": "en"}, limit=4, cursor=page["cursor"])
    assert [item["post"] for item in following.json["feed"]] == uris(range(304, 308))
    assert following.headers["content-language"] == "pt"


def test_a_viewer_whose_list_appears_while_they_scroll_keeps_scrolling(world: World) -> None:
    page = world.get(world.newcomer, limit=20).json
    world.store.publish(8, {world.newcomer.did: blob(range(1, 50))})
    rest = world.walk(world.newcomer, 20, cursor=page["cursor"])
    assert rest == uris(range(220, 260))
    assert world.get(world.newcomer, limit=2).json["feed"][0]["post"] == post_uri(1)


def test_posts_not_stored_or_malformed_are_left_out_and_the_page_is_filled(world: World) -> None:
    world.store.connection.execute("DELETE FROM posts WHERE post_id BETWEEN 3 AND 40 OR post_id > 110")
    world.store.connection.execute(
        "UPDATE posts SET uri = 'at://x.example/app.bsky.feed.post/3' WHERE post_id = 42"
    )
    world.store.connection.execute("UPDATE posts SET uri = uri || '#x' WHERE post_id = 43")
    assert world.walk(world.alice, 10) == uris([1, 2, 41, *range(44, 111)])


def test_an_empty_list_gives_what_is_popular(world: World) -> None:
    world.store.publish(8, {world.alice.did: blob([])})
    assert world.get(world.alice, limit=5).json["feed"][0]["feedContext"] == "p.7"


def test_no_list_at_all_is_an_empty_page(tmp_path: Path) -> None:
    client = TestClient(create_app(config_of(tmp_path), now=Clock()))
    assert client.simulate_get(SKELETON, params={"feed": FEED}).json == {"feed": []}
    store = ServingStore(tmp_path / "serving.sqlite")
    assert client.simulate_get(SKELETON, params={"feed": FEED}).json == {"feed": []}
    store.posts([5])
    store.publish(1, {}, {"": blob([5])})
    assert client.simulate_get(SKELETON, params={"feed": FEED}).json["feed"][0]["post"] == post_uri(5)
    store.close()


def test_a_store_that_is_replaced_is_picked_up(world: World) -> None:
    assert world.get(None, limit=5).json["feed"][0]["post"] == post_uri(200)
    world.store.close()
    for path in world.folder.glob("serving.sqlite*"):
        path.unlink()
    assert world.get(None, limit=5).json == {"feed": []}
    world.store = ServingStore(world.folder / "serving.sqlite")
    world.store.posts([9])
    world.store.publish(1, {}, {"": blob([9])})
    assert world.get(None, limit=5).json["feed"][0]["post"] == post_uri(9)


def test_a_store_that_another_is_renamed_over_is_picked_up(world: World) -> None:
    assert world.get(None, limit=5).json["feed"][0]["post"] == post_uri(200)
    world.store.close()
    other = ServingStore(world.folder / "other.sqlite")
    other.posts([9])
    other.publish(1, {}, {"": blob([9])})
    other.close()
    for path in world.folder.glob("serving.sqlite-*"):
        path.unlink()  # the log of the old file; with it, SQLite would read the old pages
    (world.folder / "other.sqlite").replace(world.folder / "serving.sqlite")
    assert world.get(None, limit=5).json["feed"][0]["post"] == post_uri(9)


def test_a_store_that_is_no_database_is_a_503_and_its_repair_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "serving.sqlite"
    path.write_bytes(b"rubbish, and quite a lot of it " * 100)
    client = TestClient(create_app(config_of(tmp_path), now=Clock()))
    answer = client.simulate_get(SKELETON, params={"feed": FEED})
    assert (answer.status_code, answer.json["error"]) == (503, "NotEnoughResources")
    health = client.simulate_get("/health")
    assert health.status_code == 503
    assert str(tmp_path) not in health.text
    path.unlink()
    assert client.simulate_get(SKELETON, params={"feed": FEED}).json == {"feed": []}


def test_a_damaged_list_is_a_503(world: World) -> None:
    world.store.publish(8, {world.alice.did: b"123"})
    answer = world.get(world.alice)
    assert (answer.status_code, answer.json["error"]) == (503, "NotEnoughResources")


def test_a_store_of_a_newer_program_is_a_503(world: World) -> None:
    world.store.connection.execute("INSERT INTO _migrations VALUES (99, 'serving/0099_x')")
    client = TestClient(create_app(config_of(world.folder, world.plc.url), now=world.clock))
    assert client.simulate_get(SKELETON, params={"feed": FEED}).status_code == 503


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "1e1", "abc", "", " 5", "٥", "9" * 400])
def test_a_limit_out_of_bounds_is_a_400(world: World, limit: str) -> None:
    answer = world.get(None, limit=limit)
    assert (answer.status_code, answer.json["error"]) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "feed",
    [
        "at://did:plc:other/app.bsky.feed.generator/for-you",
        FEED + "/",
        FEED + "x",
        FEED.replace("generator", "post"),
        f"at://{PUBLISHER_DID}/app.bsky.feed.generator/",
        "",
        "for-you",
        "\x00",
        "' OR 1=1 --",
    ],
)
def test_a_feed_that_is_not_ours_is_unknown(world: World, feed: str) -> None:
    answer = world.client.simulate_get(SKELETON, params={"feed": feed})
    assert (answer.status_code, answer.json["error"]) == (400, "UnknownFeed")


def test_missing_and_repeated_parameters_are_400(world: World) -> None:
    for query in ("", "limit=5", f"feed={FEED}&feed={FEED}", f"feed={FEED}&limit=1&limit=2"):
        answer = world.client.simulate_get(SKELETON, query_string=query)
        assert (answer.status_code, answer.json["error"]) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "cursor", ["x", "0", "eof", "1699999999::bafy", "a" * 40, "é" * 40, "=" * 40, "A" * 6000]
)
def test_a_cursor_that_is_not_ours_is_a_400(world: World, cursor: str) -> None:
    answer = world.get(world.alice, cursor=cursor)
    assert (answer.status_code, answer.json["error"]) == (400, "InvalidRequest")
    assert "BadCursor" in answer.json["message"]


def test_a_cursor_of_another_feed_is_a_400(world: World) -> None:
    codec = CursorCodec(installation_key(world.folder / "cursor.key"))
    cursor = codec.encode(Cursor("other", False, "", 7, 10))
    assert world.get(world.alice, cursor=cursor).status_code == 400


def test_a_personal_cursor_shows_no_one_elses_list(world: World) -> None:
    cursor = world.get(world.alice, limit=10).json["cursor"]
    for viewer in (None, world.newcomer):
        posts = [item["post"] for item in world.get(viewer, limit=5, cursor=cursor).json["feed"]]
        assert posts == uris(range(210, 215))


def test_a_place_beyond_the_end_is_an_empty_last_page(world: World) -> None:
    codec = CursorCodec(installation_key(world.folder / "cursor.key"))
    for place in (120, 121, 2**32 - 1):
        page = world.get(world.alice, cursor=codec.encode(Cursor("for-you", False, "", 7, place))).json
        assert page["feed"] == []
        assert "cursor" not in page


def _visits(world: World) -> list[tuple[Any, ...]]:
    assert flush(world.activity)
    if not (world.folder / "activity.sqlite").exists():
        return []
    with sqlite3.connect(world.folder / "activity.sqlite") as connection:
        return connection.execute("SELECT viewer_did, feed_rkey, languages, pages FROM visits").fetchall()


def test_page_views_of_signed_in_viewers_are_recorded_and_polls_are_not(world: World) -> None:
    for _ in range(3):
        world.get(world.alice, limit=1)
        world.get(world.alice, limit=8)
        world.get(None, limit=30)
    assert _visits(world) == []
    page = world.get(world.alice, {"Accept-Language": "en-US,pt;q=0.5"}, limit=30).json
    world.get(world.alice, limit=30, cursor=page["cursor"])
    assert _visits(world) == [(world.alice.did, "for-you", "en,pt", 2)]


def test_a_repeated_read_is_answered_again(world: World) -> None:
    headers = bearer(world.alice.token())
    answers = [
        world.client.simulate_get(SKELETON, params={"feed": FEED, "limit": "2"}, headers=headers).json["feed"]
        for _ in range(2)
    ]
    assert [len(answer) for answer in answers] == [2, 2]


def test_a_directory_that_is_down_is_a_502_not_a_401(tmp_path: Path) -> None:
    client = TestClient(create_app(config_of(tmp_path), now=Clock()))
    answer = client.simulate_get(SKELETON, params={"feed": FEED}, headers=bearer(Account(plc_did(1)).token()))
    assert (answer.status_code, answer.json["error"]) == (502, "UpstreamFailure")


def test_the_cursor_key_is_the_owners_alone_and_survives_a_restart(world: World) -> None:
    path = world.folder / "cursor.key"
    assert path.stat().st_mode & 0o777 == 0o600
    cursor = world.get(world.alice, limit=10).json["cursor"]
    again = TestClient(create_app(config_of(world.folder, world.plc.url), now=world.clock))
    headers = bearer(world.alice.token())
    answer = again.simulate_get(SKELETON, params={"feed": FEED, "cursor": cursor}, headers=headers)
    assert answer.json["feed"][0]["post"] == post_uri(11)


def test_several_feeds_stay_apart(tmp_path: Path) -> None:
    store = ServingStore(tmp_path / "serving.sqlite", ("for-you", "quiet"))
    store.posts(range(1, 10))
    store.publish(1, {}, {"": blob([1])}, feed_id=1)
    store.publish(2, {}, {"": blob([2])}, feed_id=2)
    config = config_of(tmp_path, feed_rkeys=("for-you", "quiet", "new"))
    client = TestClient(create_app(config, now=Clock()))
    for rkey, expected in (("for-you", [1]), ("quiet", [2]), ("new", [])):
        page = client.simulate_get(SKELETON, params={"feed": config.feed_uri(rkey)}).json
        assert [item["post"] for item in page["feed"]] == uris(expected)
    store.close()


def test_every_context_fits_the_pattern_that_comes_back(world: World) -> None:
    for item in world.get(world.alice, limit=100).json["feed"]:
        assert re.fullmatch(r"[a-z][0-9]{0,5}\.[0-9]{1,19}", item["feedContext"])
