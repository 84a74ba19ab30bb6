"""A real labeler, Ozone, beside a real PDS: what it labels, takes back and takes down, seen in the feed's skeleton."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commands
import httpx
import pytest
from list_bytes import blob
from network.conftest import Network
from serving_worlds import ServingStore
from streams import free_port, wait_until

from pipeline.identifiers import post_uri
from sql import places
from sql.sqlite import connect

SECONDS = 10.0
SKELETON = "app.bsky.feed.getFeedSkeleton"
EVENT = "tools.ozone.moderation.defs#modEvent"
POSTS = 6


@dataclass
class Feed:
    """A running feed whose lists have all posts; ``took`` says how long each change needed to reach the skeleton."""

    network: Network
    data_dir: Path
    port: int
    viewer: str
    posts: list[dict[str, Any]]
    took: dict[str, float]

    def page(self, *, signed: bool) -> set[str]:
        service = f"did:web:localhost%3A{self.port}"
        headers = {}
        if signed:
            token = self.network.control("serviceJwt", did=self.viewer, aud=service, lxm=SKELETON)
            headers = {"Authorization": f"Bearer {token if isinstance(token, str) else token['token']}"}
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}/xrpc/{SKELETON}",
            params={"feed": f"at://{service}/app.bsky.feed.generator/for-you"},
            headers=headers,
            timeout=20,
        )
        assert answer.status_code == 200, answer.text
        return {item["post"] for item in answer.json()["feed"]}

    def moderate(
        self, what: str, event: str, subject: dict[str, Any], shown: Callable[[], bool], **fields: Any
    ) -> None:
        """Let a moderator do something, and wait until the skeleton shows it."""
        began = time.monotonic()
        self.network.control("modEvent", event={"$type": EVENT + event, **fields}, subject=subject)
        wait_until(shown, SECONDS)
        self.took[what] = round(time.monotonic() - began, 2)

    def shows(self, *missing: str) -> Callable[[], bool]:
        """Return whether both skeletons have all posts but these."""
        wanted = {post["uri"] for post in self.posts} - set(missing)
        return lambda: self.page(signed=True) == self.page(signed=False) == wanted


@pytest.fixture(scope="module")
def feed(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feed]:
    if not network.labeler:
        pytest.skip("the labeler needs Debian's postgresql and redis-server")
    folder, port = tmp_path_factory.mktemp("labeler"), free_port()
    viewer, ann, bob = (account["did"] for account in network.control("accounts", n=3, prefix="labelled"))
    texts = [{"did": (ann, bob)[number % 2], "text": f"to be labelled {number}"} for number in range(POSTS)]
    posts = network.control("posts", posts=texts)
    data_dir = folder / "data"
    env = commands.environment(
        data_dir, stream_url=network.firehose, plc_url=network.plc, labelers=network.labeler,
        hostname=f"localhost:{port}", listen=f"127.0.0.1:{port}",
    )  # fmt: skip
    uris = {post["uri"] for post in posts}
    with commands.running("ingest", env=env, log=folder / "ingest.log"):
        wait_until(lambda: uris <= set(stored(data_dir)), 60)
        publish(data_dir, viewer, stored(data_dir), uris)
        with commands.running("serve", env=env, log=folder / "serve.log"):
            wait_until(lambda: answers(port), 60)
            running = Feed(network, data_dir, port, viewer, posts, {})
            yield running
    print(json.dumps(running.took))


def stored(data_dir: Path) -> dict[str, tuple[int, int]]:
    """Return the stored posts, with author's number and record key."""
    try:
        with closing(connect(places.landing(data_dir), read_only=True)) as landing:
            query = "SELECT did, rkey, author_id FROM posts JOIN actors ON actor_id = author_id"
            return {post_uri(did, rkey): (author, rkey) for did, rkey, author in landing.execute(query)}
    except sqlite3.OperationalError:
        return {}


def publish(data_dir: Path, viewer: str, found: dict[str, tuple[int, int]], uris: set[str]) -> None:
    store = ServingStore(places.serving(data_dir))
    rows = [(place, *found[uri], uri, 1, 5, 1) for place, uri in enumerate(sorted(uris), 1)]
    store.connection.executemany(
        "INSERT INTO posts (post_id, author_id, rkey, uri, created_us, likers, last_generation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    every = range(1, len(rows) + 1)
    popular = blob(every, sources=[2] * len(rows))
    store.publish(1, {viewer: blob(every, co_likers=[4] * len(rows))}, {"": popular})
    store.close()


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
    except httpx.HTTPError:
        return False
    return True


def label(create: list[str], negate: list[str], **more: Any) -> dict[str, Any]:
    return {"createLabelVals": create, "negateLabelVals": negate, **more}


def test_labels_takedowns_and_their_reversals_reach_the_skeleton(feed: Feed):
    post = feed.posts[0]
    about_post = {"$type": "com.atproto.repo.strongRef", "uri": post["uri"], "cid": post["cid"]}
    author = post["uri"].split("/")[2]
    about_author = {"$type": "com.atproto.admin.defs#repoRef", "did": author}
    of_author = [each["uri"] for each in feed.posts if author in each["uri"]]
    wait_until(feed.shows(), SECONDS)
    feed.moderate("a post labelled", "Label", about_post, feed.shows(post["uri"]), **label(["porn"], []))
    feed.moderate("negated", "Label", about_post, feed.shows(), **label([], ["porn"]))
    feed.moderate("an account labelled", "Label", about_author, feed.shows(*of_author), **label(["spam"], []))
    feed.moderate("its negation", "Label", about_author, feed.shows(), **label([], ["spam"]))
    feed.moderate("a post taken down", "Takedown", about_post, feed.shows(post["uri"]))
    feed.moderate("that reversed", "ReverseTakedown", about_post, feed.shows())
    feed.moderate("an account taken down", "Takedown", about_author, feed.shows(*of_author))
    feed.moderate("its reversal", "ReverseTakedown", about_author, feed.shows())


def test_a_label_for_an_hour_ends(feed: Feed):
    """Ozone's shortest time is an hour, so the store's end is moved to now."""
    post = feed.posts[1]
    about = {"$type": "com.atproto.repo.strongRef", "uri": post["uri"], "cid": post["cid"]}
    hour = label(["!hide"], [], durationInHours=1)
    feed.moderate("a post labelled for an hour", "Label", about, feed.shows(post["uri"]), **hour)
    with closing(connect(places.landing(feed.data_dir))) as landing:
        (until_us,) = landing.execute("SELECT until_us FROM labels WHERE val = '!hide'").fetchone()
        assert abs(until_us / 1e6 - time.time() - 3600) < 60
        landing.execute("UPDATE labels SET until_us = 1 WHERE val = '!hide'")
    began = time.monotonic()
    wait_until(feed.shows(), SECONDS)
    feed.took["expired"] = round(time.monotonic() - began, 2)
