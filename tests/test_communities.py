"""Communities to begin with: handfuls of popular posts that the same people like, and that differ from each other."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
from test_batch_tiers import run
from worlds import World

from pipeline.batch.lists.communities import COMMUNITIES, HANDFUL, handfuls
from sql import places

KINDS = ("birds", "cats", "chess", "dance")


def a_world() -> World:
    """Four kinds of posts, each liked by twelve people of its own; a fan of everything; cats and chess are German."""
    world = World()
    for number, kind in enumerate(KINDS):
        for post in range(8):
            langs = "de" if kind in ("cats", "chess") else "en"
            name = f"{kind}{post}"
            world.post(name, by=f"{kind}-author{post}", hours_ago=2 + number / 10, langs=langs)
            for liker in range(12):
                if (liker + post) % 4:
                    world.like(f"{kind}-fan{liker}", name, hours_ago=0.5)
            world.like("fan-of-all", name, hours_ago=0.4)
    return world


def stored(data_dir: Path) -> dict[str, list[list[str]]]:
    """Return the communities of each language, their posts as at-uris."""
    found: dict[str, dict[int, list[str]]] = {}
    with closing(sqlite3.connect(places.serving(data_dir))) as store:
        query = "SELECT language, community, uri FROM communities ORDER BY language, community, place"
        for language, community, uri in store.execute(query):
            found.setdefault(language, {}).setdefault(community, []).append(uri)
    return {language: list(some.values()) for language, some in found.items()}


def test_a_community_is_of_one_kind_and_the_first_ones_are_of_all_kinds(tmp_path: Path) -> None:
    world = a_world()
    world.write(tmp_path)
    run(tmp_path, fallback_min_posts=10)
    kinds = {world.uri(name): name.rstrip("0123456789") for name in world.known}
    found = stored(tmp_path)
    assert set(found) == {"", "de", "en"}
    for language, wanted in (("", set(KINDS)), ("de", {"cats", "chess"}), ("en", {"birds", "dance"})):
        of_each = [{kinds[post] for post in community} for community in found[language]]
        assert all(len(some) == 1 for some in of_each)
        first = set().union(*of_each[: len(wanted)])
        assert first == wanted
        posts = [post for community in found[language] for post in community]
        assert len(posts) == len(set(posts))
        for community in found[language]:
            assert 2 <= len(community) <= HANDFUL
            assert len({post.split("/")[2] for post in community}) == len(community)


def test_a_withheld_post_is_in_none(tmp_path: Path) -> None:
    world = a_world()
    for post in range(8):
        world.withhold(f"cats{post}", 1)  # for people who are not signed in
    world.write(tmp_path)
    run(tmp_path)
    assert not any(
        "cats" in post for some in stored(tmp_path).values() for community in some for post in community
    )


def test_there_are_so_many_at_most_and_none_of_nothing() -> None:
    chance = np.random.default_rng(5)
    posts = np.arange(300)
    liked, likers = chance.integers(0, 300, 40_000), chance.integers(0, 20_000, 40_000)
    found = handfuls(posts, posts % 90, liked, likers)
    assert len(found) == COMMUNITIES
    nothing = np.zeros(0, np.int64)
    assert handfuls(nothing, nothing, nothing, nothing) == []
    assert handfuls(np.arange(3), np.arange(3), np.arange(3), np.arange(3)) == []  # nobody likes two
