"""The pages' view of posts, asked of a real AppView about real accounts and posts."""

import time
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from network.conftest import Network
from serving_worlds import ON_PAGES, Clock, ServingStore, blob, config_of
from streams import wait_until

from pipeline.ask_appview import appview_client, ask
from pipeline.backfill.author_profiles import METHOD, levels_of
from serving.app import create_app
from serving.pages.appview import AppViewReader
from serving.pages.post_views import Outside, PostCard

APP = "https://app.example"
TEXT = "héé 日本, @{handle} wrote https://example.com #cats"
SOON_SECONDS = 30.0
SELF_LABELS = "com.atproto.label.defs#selfLabels"


def _facet(text: str, shown: str, **feature: str) -> dict[str, Any]:
    start = len(text[: text.index(shown)].encode())
    index = {"byteStart": start, "byteEnd": start + len(shown.encode())}
    return {"index": index, "features": [feature]}


@pytest.fixture(scope="module")
def said(network: Network) -> dict[str, Any]:
    """Two accounts, a profile, and posts with facets, a quote, a link card and a label."""
    if not network.appview:
        pytest.skip("the AppView needs Debian's postgresql and redis-server")
    ann, bob = network.control("accounts", n=2, prefix="poster")
    profile = {"$type": "app.bsky.actor.profile", "displayName": "Ann A.", "description": "I like cats"}
    network.control(
        "create",
        records=[
            {"did": ann["did"], "collection": "app.bsky.actor.profile", "rkey": "self", "record": profile}
        ],
    )
    text = TEXT.format(handle=bob["handle"])
    facets = [
        _facet(text, f"@{bob['handle']}", **{"$type": "app.bsky.richtext.facet#mention", "did": bob["did"]}),
        _facet(
            text,
            "https://example.com",
            **{"$type": "app.bsky.richtext.facet#link", "uri": "https://example.com"},
        ),
        _facet(text, "#cats", **{"$type": "app.bsky.richtext.facet#tag", "tag": "cats"}),
    ]
    [plain] = network.control(
        "posts", posts=[{"did": ann["did"], "text": text, "facets": facets, "langs": ["ja"]}]
    )
    strong = {"uri": plain["uri"], "cid": plain["cid"]}
    external = {"uri": "https://news.example.com/x", "title": "News", "description": "of today"}
    label = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "porn"}]}
    hidden = label | {"values": [{"val": "!no-unauthenticated"}]}
    others = network.control(
        "posts",
        posts=[
            {
                "did": bob["did"],
                "text": "quoting",
                "embed": {"$type": "app.bsky.embed.record", "record": strong},
            },
            {
                "did": bob["did"],
                "text": "a link",
                "embed": {"$type": "app.bsky.embed.external", "external": external},
            },
            {"did": bob["did"], "text": "adult", "labels": label},
            {"did": bob["did"], "text": "for members", "labels": hidden},
            {"did": bob["did"], "text": "to be deleted"},
        ],
        concurrency=1,
    )
    network.control("likes", likes=[{"did": bob["did"], **strong}])
    network.control("delete", uris=[others[4]["uri"]])
    return {
        "ann": ann,
        "bob": bob,
        "text": text,
        "plain": plain["uri"],
        "others": [post["uri"] for post in others],
    }


def _described(network: Network, said: dict[str, Any]) -> dict[str, PostCard | None]:
    """Ask anew until the AppView has indexed everything."""
    deadline = time.monotonic() + SOON_SECONDS
    while True:
        reader = AppViewReader(network.appview, Outside(APP), enabled=True)
        found = reader.describe([said["plain"], *said["others"]])
        card = found.posts.get(said["plain"])
        deleted = said["others"][4] in found.posts and found.posts[said["others"][4]] is None
        if (
            card is not None
            and card.likes
            and found.posts.get(said["others"][2])
            and card.author.name
            and deleted
        ):
            return found.posts
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_a_real_appview_describes_posts(network: Network, said: dict[str, Any]) -> None:
    posts = _described(network, said)
    card = posts[said["plain"]]
    assert card is not None
    assert (card.author.name, card.author.handle) == ("Ann A.", said["ann"]["handle"])
    assert (card.text, card.language, card.likes, card.replies) == (said["text"], "ja", 1, 0)
    assert [stretch.address for stretch in card.segments if stretch.address] == [
        f"{APP}/profile/{said['bob']['did']}",
        "https://example.com",
        f"{APP}/hashtag/cats",
    ]
    assert abs(time.time() - card.created) < 600
    quoting, linking, adult, members, deleted = (posts[uri] for uri in said["others"])
    assert quoting is not None and quoting.quoted is not None
    assert quoting.quoted.text == said["text"]
    assert linking is not None and linking.link is not None
    assert (linking.link.title, linking.link.host) == ("News", "news.example.com")
    assert adult is not None and adult.warning == "adult content"
    assert members is None
    assert deleted is None


def test_a_page_shows_them(network: Network, said: dict[str, Any], tmp_path: Path) -> None:
    _described(network, said)
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts([1])
    store.connection.execute("UPDATE posts SET uri = ?", (said["plain"],))
    store.publish(1, {said["bob"]["did"]: blob([1])})
    store.close()
    config = config_of(tmp_path, appview_url=network.appview, page_posts=True, explain=("true",))
    client = TestClient(create_app(config, now=Clock(time.time())))
    page = client.simulate_get(
        f"/viewer/{said['bob']['did']}", host="localhost", remote_addr="127.0.0.1", extras=ON_PAGES
    ).text
    assert "Ann A." in page
    assert f"@{said['ann']['handle']}" in page
    assert "I like cats" not in page, "a post's author has no description"
    found = client.simulate_get(
        "/why",
        params={"viewer": said["ann"]["handle"]},
        host="localhost",
        remote_addr="127.0.0.1",
        extras=ON_PAGES,
    ).text
    assert "Nobody has the handle" not in found


def test_it_says_what_authors_want_on_their_profiles(network: Network) -> None:
    """As ``foryou backfill --profiles`` asks; who has no profile record wants nothing, who is gone is left out."""
    if not network.appview:
        pytest.skip("the AppView needs Debian's postgresql and redis-server")
    accounts = [account["did"] for account in network.control("accounts", n=5, prefix="wishes")]
    wishes = (["!no-unauthenticated"], ["!no-promote", "!no-unauthenticated"], [])
    records = [
        {"$type": "app.bsky.actor.profile", "displayName": f"Wishes {values}"}
        | {"labels": {"$type": SELF_LABELS, "values": [{"val": value} for value in values]}}
        for values in wishes
    ]
    network.control(
        "create",
        records=[
            {"did": did, "collection": "app.bsky.actor.profile", "rkey": "self", "record": record}
            for did, record in zip(accounts, records, strict=False)
        ],
    )
    network.control("accountStatus", did=accounts[4], status="deactivate")
    network.control("processAll")
    wanted = dict(zip(accounts, (1, 3, 0, 0), strict=False))
    with appview_client(network.appview) as client:
        wait_until(lambda: levels_of(ask(client, METHOD, {"actors": accounts})) == wanted, SOON_SECONDS)
