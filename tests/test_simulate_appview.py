"""The simulated AppView says of posts and people what the stream said of them."""

import html
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from atproto import models

from pipeline.simulate.ground_truth import ground_truth
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import World, WorldParameters

END_US = 1_783_036_800_000_000
PARAMETERS = WorldParameters(users=400, days=1, seed=5, end_us=END_US, communities=24)
POSTS, PROFILES = "app.bsky.feed.getPosts", "app.bsky.actor.getProfiles"


@pytest.fixture(scope="module")
def network() -> Iterator[SimulatedNetwork]:
    with SimulatedNetwork(World(PARAMETERS), speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def stream(network: SimulatedNetwork) -> dict[str, dict[str, Any]]:
    """What the stream says of the newest posts, by at-uri."""
    found = {}
    for event in map(orjson.loads, network.world.lines()):
        commit = event.get("commit", {})
        if commit.get("collection") == "app.bsky.feed.post" and isinstance(commit.get("record"), dict):
            found[f"at://{event['did']}/app.bsky.feed.post/{commit['rkey']}"] = commit
    return dict(list(found.items())[-400:])


def ask(network: SimulatedNetwork, method: str, **query: Any) -> Any:
    answer = httpx.get(f"{network.plc_url}/xrpc/{method}", params=query)
    answer.raise_for_status()
    return answer.json()


def hydrated(network: SimulatedNetwork, uris: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(uris), 25):
        posts = ask(network, POSTS, uris=uris[start : start + 25])["posts"]
        found |= {post["uri"]: post for post in posts}
    return found


def test_a_post_is_what_the_stream_said(network: SimulatedNetwork, stream: dict[str, dict[str, Any]]) -> None:
    truth = ground_truth(network.world, END_US - 1)
    posts = hydrated(network, list(stream))
    likes: dict[str, int] = {}
    for like in truth.likes():
        likes[like.subject] = likes.get(like.subject, 0) + 1
    missing = {uri for uri in stream if uri not in posts}
    assert len(posts) > 300
    hidden = {uri for uri in stream if uri.split("/")[2] in truth.accounts or uri in truth.deleted_posts}
    assert {
        uri for uri in missing if orjson.dumps(stream[uri]["record"].get("text")) != b'"rubbish"'
    } <= hidden
    for uri, post in posts.items():
        record = {"$type": "app.bsky.feed.post", **stream[uri]["record"]}
        assert (post["record"], post["cid"]) == (record, stream[uri]["cid"])
        assert post["likeCount"] == likes.get(uri, 0)
        assert models.get_or_create(post, models.AppBskyFeedDefs.PostView), "it has the lexicon's form"
    kinds = {post["embed"]["$type"] for post in posts.values() if "embed" in post}
    assert kinds == {f"app.bsky.embed.{kind}#view" for kind in ("images", "video", "external", "record")}
    assert any(post["labels"] for post in posts.values())


def test_a_post_is_about_its_community_in_its_language(
    network: SimulatedNetwork, stream: dict[str, dict[str, Any]]
) -> None:
    tags = {
        feature.get("tag")
        for commit in stream.values()
        for facet in commit["record"].get("facets", [])
        for feature in facet["features"]
    }
    topics = {network.world.people.communities.topic(number) for number in range(24)}
    assert len(tags & topics) > 8
    for commit in stream.values():
        text = commit["record"].get("text", "").encode()
        for facet in commit["record"].get("facets", []):
            shown = text[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode()
            assert shown[0] in "#@" or shown.endswith("...")


def test_deleted_posts_and_hidden_people_are_left_out(network: SimulatedNetwork) -> None:
    truth = ground_truth(network.world, END_US - 1)
    assert truth.deleted_posts
    assert hydrated(network, list(truth.deleted_posts)[:25]) == {}
    hidden = list(truth.accounts)[:5]
    assert ask(network, PROFILES, actors=hidden) == {"profiles": []}


def test_people_have_names_and_faces(network: SimulatedNetwork) -> None:
    people = network.world.people
    actors = [people.dids[3], people.handle(4), "did:plc:nobody", "person.example"]
    found = ask(network, PROFILES, actors=actors)["profiles"]
    assert [person["did"] for person in found] == people.dids[3:5]
    assert [person["handle"] for person in found] == [people.handle(3), people.handle(4)]
    for person in found:
        picture = httpx.get(person["avatar"])
        assert picture.headers["content-type"] == "image/svg+xml"
        assert picture.text.startswith("<svg")
        assert models.get_or_create(person, models.AppBskyActorDefs.ProfileViewDetailed)
    assert len({httpx.get(person["avatar"]).text for person in found}) == 2
    resolved = ask(network, "com.atproto.identity.resolveHandle", handle=people.handle(9))
    assert resolved == {"did": people.dids[9]}


def test_links_of_the_app_lead_to_posts_and_people(
    network: SimulatedNetwork, stream: dict[str, dict[str, Any]]
) -> None:
    people = network.world.people
    posts = hydrated(network, list(stream)[-25:])
    uri, post = next(iter(posts.items()))
    _, _, did, _, rkey = uri.split("/")
    page = httpx.get(f"{network.plc_url}/profile/{did}/post/{rkey}")
    assert page.headers["content-type"].startswith("text/html")
    assert html.escape(post["record"]["text"].partition("\n")[0]) in page.text
    assert "<script" not in httpx.get(f"{network.plc_url}/hashtag/%3Cscript%3E").text
    assert people.handle(5) in httpx.get(f"{network.plc_url}/profile/{people.dids[5]}").text
    assert people.dids[5] in httpx.get(f"{network.plc_url}/profile/{people.handle(5)}").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/profile/did:plc:nobody", 404),
        ("/profile/did:plc:nobody/post/3k", 404),
        ("/profile/x/feed/for-you", 200),
        ("/profile/x/other/y", 404),
        ("/hashtag/%3Cscript%3E", 200),
        (f"/xrpc/{POSTS}", 400),
        (f"/xrpc/{POSTS}?" + "&".join(["uris=at://x"] * 26), 400),
        (f"/xrpc/{POSTS}?uris=rubbish", 200),
        (f"/xrpc/{PROFILES}?actors=x", 200),
        ("/xrpc/com.atproto.identity.resolveHandle?handle=who.example", 400),
        ("/xrpc/app.bsky.feed.getTimeline", 501),
        ("/img/avatar/", 404),
        ("/img/other/x", 404),
    ],
)
def test_other_requests(network: SimulatedNetwork, path: str, status: int) -> None:
    assert httpx.get(network.plc_url + path).status_code == status
