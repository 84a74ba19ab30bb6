"""Ten times "show less", as somebody new to the feed would try it: before, on the next fetch, after the next
batch.

FORYOU_TEST_SHOW=1 python -m pytest -s tests/test_batch_show_less.py      prints the shares
"""

import base64
import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from batch_tools import settings_for
from falcon.testing import TestClient
from serving_worlds import FEED, INTERACTIONS, SKELETON, Account, Clock, OneAccount, bearer, config_of, flush
from worlds import World

from pipeline.batch import jobs
from pipeline.ranking import Ranking
from serving.app import create_app
from serving.viewers.activity_writer import ActivityWriter

COMMUNITIES = ("cats", "birds", "trains", "chess")
PEOPLE, AUTHORS, POSTS = 120, 150, 300  # of each community
LIKES_OLD, LIKES_FRESH = 30, 30  # of each person
STRAY = 0.1  # of a person's likes, those outside the community


class _World(World):
    """A world whose DIDs have the syntax of real ones."""

    def did(self, name: str) -> str:
        digest = hashlib.sha256(name.encode()).digest()
        return "did:plc:" + base64.b32encode(digest).decode().lower()[:24]


def a_network(chance: random.Random) -> World:
    """Four communities that like their own posts mostly; ann, who is new, liked eight of cats and eight of birds."""
    world = _World()
    for community in COMMUNITIES:
        for number in range(POSTS):
            author = f"{community}-author{number % AUTHORS}"
            world.post(f"{community}{number}", by=author, hours_ago=chance.uniform(0.5, 20))
    for community in COMMUNITIES:
        for person in range(PEOPLE):
            name = f"{community}-{person}"
            for kind, count, ages in (("old", LIKES_OLD, (90, 700)), ("", LIKES_FRESH, (0.0, 20))):
                for _ in range(count):
                    other = chance.choice(COMMUNITIES) if chance.random() < STRAY else community
                    post = f"{other}{kind}{int(POSTS * chance.random() ** 1.5)}"
                    if (name, post) not in world.like_rkeys:
                        world.like(name, post, hours_ago=chance.uniform(*ages))
    for community in ("cats", "birds"):
        for number in range(8):
            world.like("ann", f"{community}old{number * 3}", hours_ago=chance.uniform(24, 72))
    return world


def shares(posts: list[str], community_of: Callable[[str], str]) -> dict[str, float]:
    """Return each community's share of the first sixty posts."""
    first = [community_of(post) for post in posts[:60]]
    return {community: round(first.count(community) / len(first), 3) for community in COMMUNITIES}


def measured(data_dir: Path, ranking: dict[str, float]) -> list[dict[str, float]]:
    """Return the communities' shares before, on the next fetch, and after the next batch."""
    world = a_network(random.Random(7))
    account = Account(world.did("ann"))
    world.write(data_dir)
    settings = settings_for(data_dir, ranking)
    names = {world.uri(name): name.rstrip("0123456789") for name in world.known}
    clock = Clock(world.now_us / 1e6)
    activity = ActivityWriter(data_dir / "activity.sqlite", now=clock)
    client = TestClient(
        create_app(config_of(data_dir), now=clock, resolver=OneAccount(account), activity=activity)
    )

    def fetch() -> list[str]:
        posts: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(2):
            page = client.simulate_get(
                SKELETON,
                params={"feed": FEED, "limit": "30", **cursor},
                headers=bearer(account.token(now=clock.at)),
            ).json
            posts += [item["post"] for item in page["feed"]]
            cursor = {"cursor": page["cursor"]} if "cursor" in page else {}
        clock.at += 60
        return posts

    def batch() -> None:
        for job in ("neighbours", "candidates"):
            jobs.run(settings, job)

    batch()
    before = fetch()
    unwanted = [post for post in before if names[post] == "birds"][:10]
    body = {"interactions": [{"item": post, "event": "app.bsky.feed.defs#requestLess"} for post in unwanted]}
    token = account.token("app.bsky.feed.sendInteractions", now=clock.at)
    client.simulate_post(INTERACTIONS, body=json.dumps(body).encode(), headers=bearer(token))
    next_fetch = fetch()
    authors = {post.split("/")[2] for post in unwanted}
    assert not authors & {post.split("/")[2] for post in next_fetch}
    assert flush(activity)
    batch()
    after = fetch()
    activity.close()
    assert not set(unwanted) & set(after)
    return [shares(posts, names.__getitem__) for posts in (before, next_fetch, after)]


def test_ten_times_show_less_ends_a_community_and_leaves_the_other(tmp_path: Path):
    figures = {}
    weights = (
        (0.0, 0.5, 1.0, 2.0, 4.0) if os.environ.get("FORYOU_TEST_SHOW") else (Ranking().seed_weight_less,)
    )
    for weight in weights:
        figures[weight] = measured(tmp_path / str(weight), {"seed_weight_less": weight})
        for when, found in zip(("before", "next fetch", "next batch"), figures[weight], strict=True):
            print(
                f"weight {weight:3}  {when:11}",
                "  ".join(f"{name} {share:5.0%}" for name, share in found.items()),
            )
    before, at_once, after = figures[Ranking().seed_weight_less]
    assert before["birds"] > 0.2
    assert before["cats"] > 0.3
    assert at_once["birds"] < 0.1
    assert at_once["cats"] > 0.6
    assert after["birds"] < 0.1
    assert after["cats"] > 0.6
