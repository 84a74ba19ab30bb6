"""The post that a feed begins with, and the links of describeFeedGenerator."""

import time
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from serving_worlds import FEED, SKELETON, ServingStore, blob, config_of

from pipeline.errors import SettingError
from pipeline.settings import load_settings
from serving.app import create_app

PINNED = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3mmoojp7etg2g"
PIN = {"post": PINNED, "reason": {"$type": "app.bsky.feed.defs#skeletonReasonPin"}}


def client_of(folder: Path, posts: int, pinned: str = PINNED) -> TestClient:
    store = ServingStore(folder / "serving.sqlite")
    if posts:
        store.posts(range(1, posts + 1))
        store.publish(1, {}, {"": blob(range(1, posts + 1))}, at=time.time())
    store.close()
    return TestClient(create_app(config_of(folder, pinned_posts={"for-you": pinned})))


def page(client: TestClient, **params: Any) -> tuple[list[dict[str, Any]], str]:
    answer = client.simulate_get(SKELETON, params={"feed": FEED, **params})
    assert answer.status_code == 200, answer.text
    return answer.json["feed"], answer.json.get("cursor", "")


def test_a_pinned_post_begins_the_first_page_and_no_other(tmp_path: Path):
    client = client_of(tmp_path, 10)
    first, cursor = page(client, limit=4)
    assert first[0] == PIN and len(first) == 4
    rest, end = page(client, limit=10, cursor=cursor)
    assert end == ""
    uris = [item["post"] for item in first[1:] + rest]
    assert len(uris) == len(set(uris)) == 10
    assert PINNED not in uris
    assert all("reason" not in item for item in first[1:] + rest)


def test_a_poll_gets_what_may_be_new(tmp_path: Path):
    [only], _ = page(client_of(tmp_path, 10), limit=1)
    assert only["post"] != PINNED


def test_a_post_that_is_in_the_list_too_is_shown_once(tmp_path: Path):
    plain = page(client_of(tmp_path / "plain", 10, ""), limit=100)[0]
    chosen = plain[3]["post"]
    shown = [item["post"] for item in page(client_of(tmp_path / "pinned", 10, chosen), limit=100)[0]]
    assert shown == [chosen, *(item["post"] for item in plain if item["post"] != chosen)]


def test_without_lists_the_pinned_post_is_there(tmp_path: Path):
    assert page(client_of(tmp_path, 0)) == ([PIN], "")


def test_links_are_described_when_they_are_set(tmp_path: Path):
    def described(**links: str) -> Any:
        client = TestClient(create_app(config_of(tmp_path, **links)))
        return client.simulate_get("/xrpc/app.bsky.feed.describeFeedGenerator").json

    assert "links" not in described()
    assert described(terms_url="https://a.example/t")["links"] == {"termsOfService": "https://a.example/t"}
    both = described(terms_url="https://a.example/t", privacy_policy_url="https://a.example/p")
    assert both["links"] == {"termsOfService": "https://a.example/t", "privacyPolicy": "https://a.example/p"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f'pinned = "{PINNED}"', ""),
        (f'pinned = "https://bsky.app/profile/{PINNED.split("/")[2]}/post/3mmoojp7etg2g?x"', ""),
        ('pinned = "https://bsky.app/profile/alice.example/post/3mmoojp7etg2g"', "[feeds.for-you] pinned = "),
        ("pinned = 7", "must be a string"),
        ('labels = "porn"', "must be a list of strings"),
        ('labels = ["porm"]', "'porm' is no label of a record"),
    ],
)
def test_what_a_table_says_of_its_feed(tmp_path: Path, line: str, said: str):
    (tmp_path / "foryou.toml").write_text(f"[feeds.for-you]\n{line}\n")
    if said:
        with pytest.raises(SettingError) as caught:
            load_settings({}, {}, tmp_path)
        assert said in str(caught.value)
    else:
        assert load_settings({}, {}, tmp_path).pinned_posts == {"for-you": PINNED}


def test_addresses_of_policies_are_https(tmp_path: Path):
    environment = {"FORYOU_TERMS_URL": "http://a.example/terms"}
    with pytest.raises(SettingError, match="expected an https:// address"):
        load_settings({}, environment, tmp_path)
    settings = load_settings({}, {"FORYOU_TERMS_URL": "https://a.example/terms"}, tmp_path)
    assert load_settings({}, settings.environment(), tmp_path).terms_url == "https://a.example/terms"
