"""The pages show a viewer's feed to the person at this machine, and to nobody else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from falcon.testing import Result, TestClient
from serving_worlds import ON_PAGES, Clock, ServingStore, blob, config_of, plc_did, post_uri

from serving.app import create_app
from serving.feed.describe import DidDocument
from serving.pages.html import age_text

VIEWER = plc_did(1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ServingStore]:
    held = ServingStore(tmp_path / "serving.sqlite")
    yield held
    held.close()


@pytest.fixture
def client(tmp_path: Path, store: ServingStore) -> TestClient:
    store.posts(range(1, 130))
    co_likers = [0 if place % 2 else place for place in range(120)]
    lists = {VIEWER: blob(range(1, 121), co_likers=co_likers)}
    lists |= {plc_did(number): blob([1, 2]) for number in range(2, 80)}
    store.publish(41, lists, {"": blob([125], sources=[2])})
    return TestClient(create_app(config_of(tmp_path), now=Clock()))


def _page(client: TestClient, path: str, query: str = "") -> Result:
    return client.simulate_get(
        path, query_string=query, host="localhost", remote_addr="127.0.0.1", extras=ON_PAGES
    )


def test_the_picker_lists_viewers_and_searches(client: TestClient) -> None:
    page = _page(client, "/viewers")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Updated 1 min ago, with likes up to" in page.text
    assert "79 viewers" in page.text
    assert page.text.count('href="/viewer/') == 50
    after = page.text.partition("&amp;after=")[2].partition('"')[0]
    assert _page(client, "/viewers", f"after={after}").text.count('href="/viewer/') == 29
    found = _page(client, "/viewers", f"q={VIEWER[10:20]}").text
    assert found.count('href="/viewer/') == 1
    assert "120 posts" in found
    assert "No viewer found" in _page(client, "/viewers", "q=nobody").text


def test_a_viewers_page_says_what_and_why(client: TestClient) -> None:
    page = _page(client, f"/viewer/{VIEWER}").text
    assert page.count('class="place"') == 25
    author, rkey = post_uri(3).split("/")[2], post_uri(3).rpartition("/")[2]
    assert f'href="https://bsky.app/profile/{author}/post/{rkey}"' in page
    assert "liked by 2 people who share this taste" in page
    assert not re.search(r"\b(you|your)\b", re.sub(r'href="[^"]*"', "", page)), "it is somebody's page"
    assert "popular now" in page
    assert "1 h old" in page
    assert "5 likes" in page
    assert "no list of their own" not in page
    rest = _page(client, f"/viewer/{VIEWER}", "from=100&generation=41").text
    assert rest.count('class="place"') == 20
    assert "Next posts" not in rest


def test_a_viewer_without_a_list_is_shown_what_they_get(client: TestClient) -> None:
    page = _page(client, f"/viewer/{plc_did(999)}").text
    assert "no list of their own" in page
    assert "popular now" in page


def test_a_post_that_is_no_longer_stored_keeps_its_place(client: TestClient, store: ServingStore) -> None:
    store.connection.execute("DELETE FROM posts WHERE post_id = 2")
    assert "no longer stored" in _page(client, f"/viewer/{VIEWER}").text


def test_a_did_web_with_a_port_has_a_working_link(client: TestClient, store: ServingStore) -> None:
    did = "did:web:localhost%3A3000"
    store.publish(42, {did: blob([7])})
    page = _page(client, "/viewers", "q=localhost").text
    assert 'href="/viewer/did:web:localhost%253A3000?feed=for-you"' in page
    assert "no list of their own" not in _page(client, "/viewer/did:web:localhost%253A3000").text


@pytest.mark.parametrize("query", ["from=x", "from=-1", "from=" + "9" * 30, "generation=x", "from=1&from=2"])
def test_malformed_numbers_are_a_400(client: TestClient, query: str) -> None:
    assert _page(client, f"/viewer/{VIEWER}", query).status_code == 400


def test_an_unknown_feed_is_a_404(client: TestClient) -> None:
    assert _page(client, "/viewers", "feed=x").status_code == 404


def test_without_lists_the_pages_say_so(tmp_path: Path) -> None:
    client = TestClient(create_app(config_of(tmp_path), now=Clock()))
    assert "No lists yet" in _page(client, "/viewers").text
    assert "No lists yet" in _page(client, f"/viewer/{VIEWER}").text


@pytest.mark.parametrize(
    ("address", "host", "headers", "status"),
    [
        ("127.0.0.1", "localhost", {}, 200),
        ("127.0.0.1", "127.0.0.1", {}, 200),
        ("::1", "[::1]", {}, 200),
        ("::ffff:127.0.0.1", "localhost", {}, 200),
        ("192.168.1.5", "localhost", {}, 404),
        ("100.101.102.103", "localhost", {}, 404),
        ("203.0.113.9", "localhost", {}, 404),
        ("", "localhost", {}, 404),
        ("127.0.0.1", "feed.example.com", {}, 404),
        ("127.0.0.1", "rebound.evil.example", {}, 404),
        ("127.0.0.1", "localhost.evil.example", {}, 404),
        ("127.0.0.1", "localhost", {"X-Forwarded-For": "127.0.0.1"}, 404),
        ("127.0.0.1", "localhost", {"X-Forwarded-For": ""}, 404),
        ("127.0.0.1", "localhost", {"Forwarded": "for=127.0.0.1"}, 404),
    ],
)
def test_only_a_person_at_this_machine_sees_the_pages(
    client: TestClient, address: str, host: str, headers: dict[str, str], status: int
) -> None:
    for path in ("/viewers", f"/viewer/{VIEWER}"):
        answer = client.simulate_get(path, host=host, remote_addr=address, headers=headers, extras=ON_PAGES)
        assert answer.status_code == status


def test_pages_can_be_turned_off(tmp_path: Path) -> None:
    client = TestClient(create_app(config_of(tmp_path, pages="off"), now=Clock()))
    for path in ("/viewers", f"/viewer/{VIEWER}"):
        assert _page(client, path).status_code == 404


def test_ages() -> None:
    assert [age_text(seconds) for seconds in (-5, 0, 59, 60, 3599, 3600, 86_399, 86_400, 9e5)] == [
        "0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d", "10 d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("hostname", "did", "endpoint"),
    [
        ("feed.example.com", "did:web:feed.example.com", "https://feed.example.com"),
        ("localhost:3000", "did:web:localhost%3A3000", "http://localhost:3000"),
        ("feed.example.com", "did:web:other.example.com", None),
        ("feed.example.com", plc_did(5), None),
    ],
)
def test_the_did_document(tmp_path: Path, hostname: str, did: str, endpoint: str | None) -> None:
    config = config_of(tmp_path, hostname=hostname, service_did=did)
    assert DidDocument(config)
    answer = TestClient(create_app(config)).simulate_get("/.well-known/did.json")
    if endpoint is None:
        assert answer.status_code == 404
        return
    assert answer.json == {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": did,
        "service": [{"id": "#bsky_fg", "type": "BskyFeedGenerator", "serviceEndpoint": endpoint}],
    }


def test_the_description_names_every_feed(tmp_path: Path) -> None:
    config = config_of(tmp_path, feed_rkeys=("for-you", "quiet"))
    answer = TestClient(create_app(config)).simulate_get("/xrpc/app.bsky.feed.describeFeedGenerator")
    assert answer.json == {
        "did": config.service_did,
        "feeds": [{"uri": config.feed_uri("for-you")}, {"uri": config.feed_uri("quiet")}],
    }
