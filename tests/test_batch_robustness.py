"""Taste is not easily hijacked: whole batches over worlds with communities, one thing odd in each.

FORYOU_TEST_SHOW=1 python -m pytest -s tests/test_batch_robustness.py      prints what was measured
"""

import os
import random
from pathlib import Path

import pytest
from batch_tools import settings_for
from worlds import World

from pipeline.batch import jobs
from serving.lists.list_bytes import post_ids
from sql.sqlite import connect

COMMUNITIES = ("cats", "birds", "trains")
PEOPLE, AUTHORS, POSTS, OLD, FRESH = 60, 60, 120, 20, 14
PAGE = 30


def community_world() -> World:
    """Three English communities of equal size and a small Welsh one, where people like mostly their own posts."""
    chance = random.Random(3)
    world = World()
    sizes = dict.fromkeys(COMMUNITIES, PEOPLE) | {"rugby": 12}
    for name, people in sizes.items():
        for number in range(POSTS * people // PEOPLE):
            author = f"{name}-author{number % AUTHORS}"
            lang = "cy" if name == "rugby" else "en"
            world.post(f"{name}{number}", by=author, hours_ago=chance.uniform(0.5, 20), langs=lang)
    for name, people in sizes.items():
        posts = POSTS * people // PEOPLE
        for person in range(people):
            for kind, count, ages in (("old", OLD, (90, 700)), ("", FRESH, (0.0, 20))):
                for _ in range(count):
                    other = chance.choice(COMMUNITIES) if chance.random() < 0.1 else name
                    span = posts if other == name else POSTS
                    post = f"{other}{kind}{int(span * chance.random() ** 1.5)}"
                    if (f"{name}-{person}", post) not in world.like_rkeys:
                        world.like(f"{name}-{person}", post, hours_ago=chance.uniform(*ages))
    return world


def likes(
    world: World, viewer: str, community: str, count: int, *, from_hours: float, first: int = 0
) -> None:
    for number in range(count):
        world.like(viewer, f"{community}old{first + number}", hours_ago=from_hours + number)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """One batch for everybody: each viewer's list and, as '', 'cy' …, the fallback lists, as names of posts."""
    world = community_world()
    likes(world, "steady", "cats", 20, from_hours=100)
    likes(world, "slip", "cats", 20, from_hours=100)
    likes(world, "slip", "trains", 1, from_hours=1)
    likes(world, "spree", "cats", 20, from_hours=100)
    likes(world, "spree", "trains", 5, from_hours=1)
    likes(world, "new", "birds", 3, from_hours=2, first=4)
    likes(world, "cymro", "rugby", 6, from_hours=30)
    # Two rings that push a post of their own author; the second also likes what many cats people like.
    world.post("plain-ring", by="spammer1", hours_ago=0.5).post("sly-ring", by="spammer2", hours_ago=0.5)
    for number in range(30):
        world.like(f"fake{number}", "plain-ring", hours_ago=0.1)
    for number in range(5):
        world.like(f"sly{number}", "sly-ring", hours_ago=0.1)
        for post in range(3):
            world.like(f"sly{number}", f"cats{post}", hours_ago=0.2)
    data_dir = world.write(tmp_path_factory.mktemp("robust") / "data")
    for job in ("neighbours", "candidates"):
        jobs.run(settings_for(data_dir), job)
    return read_lists(data_dir, world)


def read_lists(data_dir: Path, world: World) -> dict[str, list[str]]:
    """Return lists and fallback lists from serving.sqlite."""
    names = {world.uri(name): name for name in world.known}
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    uris = dict(serving.execute("SELECT post_id, uri FROM posts"))
    people = {did: name for name in world.actors for did in [world.did(name)]}
    found = {}
    queries = (
        "SELECT v.did, l.items FROM lists AS l JOIN viewers AS v ON v.viewer_id = l.viewer_id",
        "SELECT language, items FROM fallbacks",
    )
    for query in queries:
        for key, items in serving.execute(query):
            found[people.get(key, key)] = [names[uris[post]] for post in post_ids(items)]
    serving.close()
    return found


def share(posts: list[str], community: str) -> float:
    """Return a community's share of the first page."""
    first = posts[:PAGE]
    found = sum(name.startswith(community) for name in first) / len(first)
    if os.environ.get("FORYOU_TEST_SHOW"):
        print(f"{community}: {found:.0%} of the first {len(first)}")
    return found


def test_taste_shows(lists: dict[str, list[str]]) -> None:
    assert share(lists["steady"], "cats") > 0.7
    assert share(lists["steady"], "trains") < 0.2


def test_one_accidental_like_does_not_take_over(lists: dict[str, list[str]]) -> None:
    assert share(lists["slip"], "cats") > 0.7
    assert share(lists["slip"], "trains") < 0.2


def test_neither_do_the_last_five_likes(lists: dict[str, list[str]]) -> None:
    assert share(lists["spree"], "cats") > 0.5
    assert share(lists["spree"], "trains") < 0.35


def test_three_likes_give_something_sensible(lists: dict[str, list[str]]) -> None:
    assert len(lists["new"]) >= PAGE
    assert share(lists["new"], "birds") > 0.5


def test_a_small_community_gets_its_own_posts(lists: dict[str, list[str]]) -> None:
    """Twelve people write and like in Welsh; their newcomer's page is theirs, and so is the fallback list."""
    assert share(lists["cymro"], "rugby") > 0.5
    assert share(lists["cy"], "rugby") == 1.0
    assert share(lists[""], "rugby") < 0.3


def test_a_ring_that_likes_nothing_else_is_in_nobodys_first_page(lists: dict[str, list[str]]) -> None:
    """Thirty fakes on 192 people like one post within minutes: half the size of a community.

    How many it takes in a larger network, and what a sly ring needs: tests/bench/bench_ring.py.
    """
    people = [name for name in lists if "-" in name and not name.startswith(("fake", "sly"))]
    assert len(people) > 150
    assert not [name for name in people if "plain-ring" in lists[name][:PAGE]]


def test_nor_is_a_ring_that_likes_what_a_community_likes(lists: dict[str, list[str]]) -> None:
    """Its accounts are of today, so they count next to nothing yet: newcomer_hours."""
    people = [name for name in lists if "-" in name and not name.startswith(("fake", "sly"))]
    assert not [name for name in people if "sly-ring" in lists[name][:PAGE]]


def test_no_ring_is_on_the_first_page_of_what_is_popular(lists: dict[str, list[str]]) -> None:
    assert not {"plain-ring", "sly-ring"} & set(lists[""][:PAGE])
    assert not {"plain-ring", "sly-ring"} & set(lists["en"][:PAGE])
