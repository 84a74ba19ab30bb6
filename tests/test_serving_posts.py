"""Pages show posts as posts: what the AppView says of them, asked within bounds, remembered, and never needed."""

import html as entities
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from appview_server import newest_posts, small_network, stream_records
from falcon.testing import Result, TestClient
from serving_worlds import (
    ON_PAGES,
    Clock,
    ServingStore,
    blob,
    config_of,
    directory,
    plc_did,
    post_rkey,
    wait_until,
)

from pipeline.simulate.network import SimulatedNetwork
from serving.app import create_app
from serving.pages import appview
from serving.pages.appview import AppViewReader
from serving.pages.post_views import Outside, Stretch, post_card, segments_of

APP = "https://app.example"
CDN = "https://cdn.example"
OUTSIDE = Outside(APP, (CDN,))


@pytest.fixture(autouse=True)
def _enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's AppView is not to be too late."""
    monkeypatch.setattr(appview, "DEADLINE_SECONDS", 120.0)


@pytest.fixture(scope="module")
def network() -> Iterator[SimulatedNetwork]:
    with small_network() as running:
        yield running


def _client(tmp_path: Path, uris: list[str], viewer: str, **changes: Any) -> TestClient:
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(1, len(uris) + 1))
    store.connection.executemany(
        "UPDATE posts SET uri = ? WHERE post_id = ?", [(uri, number) for number, uri in enumerate(uris, 1)]
    )
    store.publish(41, {viewer: blob(range(1, len(uris) + 1))})
    store.close()
    return TestClient(create_app(config_of(tmp_path, **changes), now=Clock()))


def _page(client: TestClient, path: str, query: str = "") -> Result:
    return client.simulate_get(
        path, query_string=query, host="localhost", remote_addr="127.0.0.1", extras=ON_PAGES
    )


def test_a_feed_shows_posts_with_names_texts_and_pictures(tmp_path: Path, network: SimulatedNetwork) -> None:
    uris, people = newest_posts(network, 25), network.world.people
    records = stream_records(network)
    url = network.plc_url
    outside = {"appview_url": url, "image_hosts": (url,), "app_url": APP, "page_posts": True}
    page = _page(_client(tmp_path, uris, people.dids[3], **outside), f"/viewer/{people.dids[3]}")
    assert f"img-src 'self' {url}" in page.headers["content-security-policy"]
    text = entities.unescape(page.text)
    assert f"@{people.handle(3)}" in text
    shown = 0
    for uri in uris:
        record, author = records[uri], people.number[uri.split("/")[2]]
        hidden = [value["val"] for value in record.get("labels", {}).get("values", [])]  # type: ignore[attr-defined]
        hidden += people.self_labels(author)
        if set(hidden) & {"!hide", "!no-unauthenticated"}:
            continue
        shown += 1
        assert str(record["text"]).partition("\n")[0] in text
        assert f"@{people.handle(author)}" in text
        assert f'src="{url}/img/avatar/{people.dids[author]}"' in page.text
        assert f'href="{APP}/profile/{uri.split("/")[2]}/post/{uri.rpartition("/")[2]}"' in page.text
    assert shown > 15
    assert f"{url}/img/scene/" in page.text
    assert "just now" not in page.text
    off = _page(
        _client(tmp_path / "off", uris, people.dids[3], appview_url=url, app_url=APP),
        f"/viewer/{people.dids[3]}",
    )
    assert url not in off.text
    assert off.text.count("A post</a> by") == 25


def test_pictures_of_other_hosts_are_left_out(tmp_path: Path, network: SimulatedNetwork) -> None:
    uris, viewer = newest_posts(network, 25), network.world.people.dids[3]
    client = _client(tmp_path, uris, viewer, appview_url=network.plc_url, image_hosts=(CDN,), page_posts=True)
    page = _page(client, f"/viewer/{viewer}")
    assert "<img" not in page.text
    assert "with pictures or a video" in page.text
    assert f"img-src 'self' {CDN};" in page.headers["content-security-policy"]


def test_without_an_appview_the_page_is_whole_and_says_so(tmp_path: Path) -> None:
    viewer = plc_did(1)
    client = _client(tmp_path, [f"at://{plc_did(5)}/app.bsky.feed.post/3aaaa22222222"], viewer,
                     appview_url="http://127.0.0.1:9", page_posts=True)  # fmt: skip
    page = _page(client, f"/viewer/{viewer}")
    assert page.status_code == 200
    assert "the AppView does not answer" in page.text
    assert "A post</a> by" in page.text


def test_the_viewers_page_names_people_by_what_they_like(tmp_path: Path, network: SimulatedNetwork) -> None:
    people = network.world.people
    client = _client(
        tmp_path, newest_posts(network, 2), people.dids[7], appview_url=network.plc_url, page_posts=True
    )
    page = entities.unescape(_page(client, "/viewers").text)
    assert f"@{people.handle(7)}" in page
    assert people.about(7) in page


def test_the_home_page_shows_what_is_popular_to_everybody(tmp_path: Path, network: SimulatedNetwork) -> None:
    uris, records = newest_posts(network, 8), stream_records(network)
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(1, 9))
    store.connection.executemany(
        "UPDATE posts SET uri = ? WHERE post_id = ?", [(uri, number) for number, uri in enumerate(uris, 1)]
    )
    store.publish(41, {plc_did(1): blob([8])}, {"": blob(range(1, 8), sources=[2] * 7)})
    store.close()
    known = {"appview_url": network.plc_url, "page_posts": True}
    client = TestClient(create_app(config_of(tmp_path, **known), now=Clock()))
    page = entities.unescape(
        client.simulate_get("/", host="feed.example.com", remote_addr="203.0.113.9").text
    )
    assert page.count("<article") == 5
    assert sum(str(records[uri]["text"]).partition("\n")[0] in page for uri in uris[:7]) == 5
    assert 'property="og:image"' in page and 'name="description"' in page
    off = TestClient(create_app(config_of(tmp_path), now=Clock()))
    assert "<article" not in off.simulate_get("/", host="feed.example.com").text


def test_answers_are_remembered_and_deleted_posts_too(network: SimulatedNetwork) -> None:
    uris = newest_posts(network, 30)
    with directory() as counted:
        counted.before = lambda _write: False
        reader = AppViewReader(network.plc_url, OUTSIDE, enabled=True)
        first = reader.describe([*uris, "at://did:plc:nobody/app.bsky.feed.post/3aaaa22222222"])
        assert first.complete
        assert len(first.posts) == 31
        assert first.posts["at://did:plc:nobody/app.bsky.feed.post/3aaaa22222222"] is None
        reader._url = counted.url  # whoever asks now gets a 404
        again = reader.describe(uris)
        assert again.complete
        assert again.posts == {uri: first.posts[uri] for uri in uris}
        assert counted.requests == []


def test_a_slow_appview_costs_a_page_its_deadline_and_later_pages_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(appview, "DEADLINE_SECONDS", 0.3)
    monkeypatch.setattr(appview, "PAUSE_SECONDS", 300.0)
    release = threading.Event()

    def hold(_write: Any) -> bool:
        release.wait(120)
        return True

    with directory() as slow:
        slow.before = hold
        reader = AppViewReader(slow.url, OUTSIDE, enabled=True)
        began = time.monotonic()
        found = reader.describe([f"at://did:plc:{n}/app.bsky.feed.post/3aaaa22222222" for n in range(1_000)])
        assert time.monotonic() - began < 60
        assert not found.complete
        assert not found.posts
        assert wait_until(lambda: reader._queued == 0)  # the fetches fail by their own deadline
        asked = len(slow.requests)
        assert not reader.describe(["at://did:plc:x/app.bsky.feed.post/3aaaa22222222"]).complete
        assert len(slow.requests) == asked <= appview.FETCHING_MOST  # nobody is asked, so nobody waits
        release.set()


def test_rubbish_from_the_appview_is_no_answer() -> None:
    path = "/xrpc/app.bsky.feed.getPosts?uris=at%3A%2F%2Fx"
    for body in (b"rubbish", b"[]", b'{"posts": 5}', b"{}"):
        with directory() as odd:
            odd.answers[path] = (200, body)
            found = AppViewReader(odd.url, OUTSIDE, enabled=True).describe(["at://x"])
            assert not found.complete, body
    with directory() as odd:
        odd.answers[path] = (200, json.dumps({"posts": [5, {}, {"uri": "at://x"}, {"uri": 1}]}).encode())
        found = AppViewReader(odd.url, OUTSIDE, enabled=True).describe(["at://x"])
        assert found.complete
        assert found.posts == {"at://x": None}


def test_what_strangers_may_ask_for_has_a_budget(
    network: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appview, "STRANGERS_A_MINUTE", 2)
    uris = newest_posts(network, 100)
    clock = Clock()
    reader = AppViewReader(network.plc_url, OUTSIDE, enabled=True, clock=clock)
    assert len(reader.describe(uris, here=False).posts) == 50
    assert not reader.describe(uris[50:], here=False).posts
    assert reader.describe(uris[50:75], here=True).complete
    clock.at += 60
    assert reader.describe(uris[75:], here=False).complete
    assert reader.describe(uris, here=False).complete, "what is remembered costs nothing"


def test_nesting_ends(network: SimulatedNetwork) -> None:
    """However deep an answer is nested, a card has one quote at most."""
    deep: dict[str, Any] = {}
    quote: dict[str, Any] = {}
    for _ in range(900):
        deep = {"$type": "app.bsky.embed.recordWithMedia#view", "media": deep, "record": {"record": quote}}
        quote = {
            "$type": "app.bsky.embed.record#viewRecord",
            **_view(embed={"$type": "app.bsky.embed.record#view", "record": quote}),
        }
    assert post_card(_view(embed=deep), OUTSIDE) is not None
    card = post_card(_view(embed={"$type": "app.bsky.embed.record#view", "record": quote}), OUTSIDE)
    assert card is not None and card.quoted is not None and card.quoted.quoted is None


def _view(**changes: Any) -> dict[str, Any]:
    author = {"did": "did:plc:a", "handle": "a.example", "displayName": "Ann", "avatar": f"{CDN}/a.jpg"}
    record = {"text": "Hi", "createdAt": "2026-11-24T10:00:00Z", "langs": ["en"]}
    return {"uri": "at://did:plc:a/app.bsky.feed.post/3k", "author": author, "record": record} | changes


def _picture(host: str = CDN) -> dict[str, Any]:
    return {"thumb": f"{host}/t.jpg", "alt": "a cat", "aspectRatio": {"width": 300, "height": 200}}


def test_embeds_become_parts_of_a_card() -> None:
    images = {
        "$type": "app.bsky.embed.images#view",
        "images": [_picture(), _picture("https://evil.example"), 5],
    }
    card = post_card(_view(embed=images), OUTSIDE)
    assert card is not None
    assert [(each.address, each.alt, each.shape) for each in card.pictures] == [
        (f"{CDN}/t.jpg", "a cat", 1.5)
    ]
    video = {"$type": "app.bsky.embed.video#view", "thumbnail": f"{CDN}/v.jpg"}
    card = post_card(_view(embed=video), OUTSIDE)
    assert card is not None and card.video is not None and card.video.address == f"{CDN}/v.jpg"
    external = {
        "uri": "https://www.news.example/x",
        "title": "News",
        "description": "Old",
        "thumb": f"{CDN}/n.jpg",
    }
    card = post_card(_view(embed={"$type": "app.bsky.embed.external#view", "external": external}), OUTSIDE)
    assert card is not None and card.link is not None
    assert (card.link.host, card.link.title) == ("news.example", "News")
    inner = _view(value={"text": "inner", "createdAt": "x"}, embeds=[images])
    del inner["record"]
    quoted = inner | {
        "$type": "app.bsky.embed.record#viewRecord",
        "uri": "at://did:plc:b/app.bsky.feed.post/3k",
    }
    both = {
        "$type": "app.bsky.embed.recordWithMedia#view", "media": images,
        "record": {"$type": "app.bsky.embed.record#view", "record": quoted},
    }  # fmt: skip
    card = post_card(_view(embed=both), OUTSIDE)
    assert card is not None and card.quoted is not None
    assert card.quoted.text == "inner" and card.quoted.pictures and card.pictures
    nested = quoted | {"embeds": [{"$type": "app.bsky.embed.record#view", "record": quoted}]}
    card = post_card(_view(embed={"$type": "app.bsky.embed.record#view", "record": nested}), OUTSIDE)
    assert card is not None and card.quoted is not None and card.quoted.quoted is None


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "https://", "http://[", 5, None]
)
def test_links_lead_to_the_web_alone(address: Any) -> None:
    embed = {"$type": "app.bsky.embed.external#view", "external": {"uri": address, "title": "x"}}
    facets = [{"index": {"byteStart": 0, "byteEnd": 2}, "features": [{"uri": address}]}]
    card = post_card(_view(embed=embed, record={"text": "Hi", "facets": facets}), OUTSIDE)
    assert card is not None
    assert card.link is None
    assert card.segments == (Stretch("Hi"),)


def test_labels_warn_or_hide() -> None:
    def warning(*values: str, neg: bool = False) -> str | None:
        card = post_card(_view(labels=[{"val": value, "neg": neg} for value in values]), OUTSIDE)
        return None if card is None else card.warning

    assert warning() == ""
    assert warning("porn") == "adult content"
    assert warning("porn", neg=True) == ""
    assert warning("!no-unauthenticated") is None
    private = {**_view()["author"], "labels": [{"val": "!no-unauthenticated"}]}
    assert post_card(_view(author=private), OUTSIDE) is None


def test_facets_count_bytes() -> None:
    text = "héé 日本 @ann #tag https://x"

    def facet(shown: str, **feature: str) -> dict[str, Any]:
        start = text.encode().index(shown.encode())
        return {"index": {"byteStart": start, "byteEnd": start + len(shown.encode())}, "features": [feature]}

    facets = [facet("#tag", tag="t/g"), facet("@ann", did="did:plc:a"), facet("https://x", uri="https://x")]
    found = segments_of(text, facets, APP)
    assert found == (
        Stretch("héé 日本 "), Stretch("@ann", f"{APP}/profile/did:plc:a"), Stretch(" "),
        Stretch("#tag", f"{APP}/hashtag/t%2Fg"), Stretch(" "), Stretch("https://x", "https://x"),
    )  # fmt: skip
    for start, end in ((2, 5), (-1, 3), (5, 2), (0, 999), (True, 2), ("0", 2), (None, None)):
        odd = {"index": {"byteStart": start, "byteEnd": end}, "features": [{"tag": "x"}]}
        assert "".join(each.text for each in segments_of(text, [odd], APP)) == text
    overlapping = [facet("@ann #tag", tag="a"), facet("#tag", tag="b")]
    assert "".join(each.text for each in segments_of(text, overlapping, APP)) == text
    for odd_facets in (None, 5, [5], [{}], [{"index": 5, "features": []}], [{"index": {}, "features": [5]}]):
        assert segments_of(text, odd_facets, APP) == (Stretch(text),)


def test_the_adult_content_of_a_post_is_behind_a_warning(tmp_path: Path, network: SimulatedNetwork) -> None:
    records = stream_records(network)
    adult = {"porn", "sexual", "nudity"}

    def labels(uri: str) -> set[str]:
        found: Any = records.get(uri, {}).get("labels", {})
        return {each["val"] for each in found.get("values", [])}

    labelled = [uri for uri in newest_posts(network, 10_000) if labels(uri) <= adult and labels(uri)]
    assert labelled
    viewer = network.world.people.dids[3]
    client = _client(tmp_path, labelled[:1], viewer, appview_url=network.plc_url, page_posts=True)
    page = _page(client, f"/viewer/{viewer}").text
    assert re.search(r'<details class="warning"><summary>Hidden: [\w ]+\. Show it</summary>', page)


def test_pages_have_their_files_and_errors_their_page(tmp_path: Path) -> None:
    client = TestClient(create_app(config_of(tmp_path), now=Clock()))
    home = _page(client, "/").text
    addresses = re.findall(r'"(/assets/[^"?]+\?v=\w+)"', home)
    assert {Path(address.partition("?")[0]).name for address in addresses} >= {"style.css", "icon.svg"}
    for address in (*addresses, "/favicon.ico"):
        path, _, query = address.partition("?")
        answer = _page(client, path, query)
        assert answer.status_code == 200
        assert answer.content
        assert "max-age" in answer.headers["cache-control"]
    assert _page(client, "/assets/base.html").status_code == 404
    browser = {"Accept": "text/html,*/*"}
    for path in ("/nothing", "/viewers"):
        answer = client.simulate_get(
            path, headers=browser, host="feed.example.com", remote_addr="203.0.113.9"
        )
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text
    for path in ("/xrpc/nothing", "/nothing"):
        answer = client.simulate_get(path, headers=browser if path.startswith("/xrpc") else {})
        assert set(answer.json) == {"error", "message"}


def test_the_numbers_of_the_store_stay_where_nothing_is_known(tmp_path: Path) -> None:
    assert post_rkey(1)
    client = _client(tmp_path, [f"at://{plc_did(5)}/app.bsky.feed.post/3aaaa22222222"], plc_did(1))
    assert "5 likes" in _page(client, f"/viewer/{plc_did(1)}").text
