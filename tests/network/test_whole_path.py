"""A feed through a real AppView: what foryou doctor sees of it, and a moderation list that is followed."""

import json
import os
import time
from pathlib import Path
from typing import Any

import commands
import httpx
import pytest
from network.conftest import Network
from network.test_publish import serving
from serving_worlds import ServingStore, blob
from streams import free_port, wait_until

from pipeline.blocking.followed_lists import members_of
from pipeline.blocking.rules import LIST_COLLECTION

SOON_SECONDS = 60.0


@pytest.fixture
def env(network: Network, tmp_path: Path) -> dict[str, str]:
    """A publisher with an installation that lists two real posts."""
    if not network.appview:
        pytest.skip("the AppView needs Debian's postgresql and redis-server")
    publisher, author = network.control("accounts", n=2, prefix="path")
    posts = network.control(
        "posts", posts=[{"did": author["did"], "text": f"post {number}"} for number in range(2)]
    )
    data_dir, port = tmp_path / "data", free_port()
    config = tmp_path / "foryou.toml"
    config.write_text(
        f'[feeds.for-you]\npinned = "{posts[1]["uri"]}"\nmedia = "video"\nlabels = ["!no-unauthenticated"]\n'
        'description = "of #cats"\n'
    )
    store = ServingStore(data_dir / "serving.sqlite")
    store.posts([1, 2])
    for number, post in enumerate(posts, 1):
        store.connection.execute("UPDATE posts SET uri = ? WHERE post_id = ?", (post["uri"], number))
    store.publish(1, {}, {"": blob([1, 2])}, at=time.time())
    store.close()
    return commands.environment(
        data_dir,
        hostname=f"localhost:{port}",
        listen=f"127.0.0.1:{port}",
        publisher_did=publisher["did"],
        plc_url=network.plc,
        stream_url=network.firehose,
        appview_url=network.appview,
        config=str(config),
    ) | {"FORYOU_APP_PASSWORD": publisher["password"]}


def finding(env: dict[str, str], check: str) -> dict[str, Any]:
    return next(
        found
        for found in json.loads(commands.run("doctor", "--json", env=env).stdout)
        if found["check"] == check
    )


def test_doctor_follows_a_feed_through_the_appview(network: Network, env: dict[str, str]) -> None:
    with serving(env):
        before = finding(env, "AppView")
        assert before["seen"] == "first mend: feed record"
        assert commands.run("publish", env=env).returncode == 0
        said: list[str] = []

        def is_shown() -> bool:
            said.append(finding(env, "AppView")["seen"])
            return said[-1] == f"{network.appview} shows 2 posts"

        wait_until(is_shown, SOON_SECONDS)
        asked = {"feed": f"at://{env['FORYOU_PUBLISHER_DID']}/app.bsky.feed.generator/for-you"}
        shown = httpx.get(f"{network.appview}/xrpc/app.bsky.feed.getFeed", params=asked).json()["feed"]
        assert [item["post"]["record"]["text"] for item in shown] == ["post 1", "post 0"]
        assert shown[0]["reason"]["$type"] == "app.bsky.feed.defs#reasonPin"
        assert "reason" not in shown[1]
        view = httpx.get(f"{network.appview}/xrpc/app.bsky.feed.getFeedGenerator", params=asked).json()[
            "view"
        ]
        assert view["contentMode"] == "app.bsky.feed.defs#contentModeVideo"
        assert [facet["features"][0]["tag"] for facet in view["descriptionFacets"]] == ["cats"]
        assert all("does not know at://" in text or "none of the 2 posts" in text for text in said[:-1]), said


def test_a_moderation_list_is_followed(network: Network, env: dict[str, str]) -> None:
    owner, *members = network.control("accounts", n=4, prefix="list")
    made = "2026-01-01T00:00:00.000Z"
    record = {
        "$type": LIST_COLLECTION,
        "purpose": "app.bsky.graph.defs#modlist",
        "name": "x",
        "createdAt": made,
    }
    rkey = "3mmoojp7etg2g"
    uri = f"at://{owner['did']}/{LIST_COLLECTION}/{rkey}"
    items = [
        {"$type": "app.bsky.graph.listitem", "subject": member["did"], "list": uri, "createdAt": made}
        for member in members
    ]
    network.control(
        "create",
        records=[{"did": owner["did"], "collection": LIST_COLLECTION, "rkey": rkey, "record": record}]
        + [{"did": owner["did"], "collection": "app.bsky.graph.listitem", "record": item} for item in items],
        concurrency=1,
    )
    data_dir = Path(env["FORYOU_DATA_DIR"])
    address = f"https://bsky.app/profile/{owner['handle']}/lists/{rkey}"

    def is_known() -> bool:
        result = commands.run("block", address, env=env)
        if f"nobody has the handle {owner['handle']}" in result.stderr:  # the AppView has not heard of it yet
            return False
        assert result.returncode == 0, result.stderr
        for path in (data_dir / "lists").glob("*.txt"):
            if not members_of(data_dir, uri):
                os.utime(path, (0, 0))  # due again
        commands.run("block", "--refresh", env=env)
        return sorted(members_of(data_dir, uri)) == sorted(member["did"] for member in members)

    wait_until(is_known, SOON_SECONDS)
