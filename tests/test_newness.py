"""Whoever wants to be somebody's neighbour counts from what a stream reported, not from what their own server says."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from test_batch_tiers import START, neighbours_of, run
from worlds import NOW_US, World

from pipeline.explore.explain_command import explain
from pipeline.identifiers import tid_at
from pipeline.lake.compact import compact
from pipeline.ranking import Ranking
from pipeline.store.fetch_admission import HistoryLike, Statement
from pipeline.store.fetched_likes import DONE, HistoryStore
from pipeline.store.model import DAY_US, HOUR_US
from sql import places

OLD = [f"old{number}" for number in range(20)]
RING = [f"bot{number}" for number in range(10)]
POSTS = [f"p{number}" for number in range(5)]


def town() -> World:
    """ann and twenty people of her taste like five posts of a week ago."""
    world = World().visit("ann").visit("bot0")
    for name in ("ann", *OLD):
        for number, post in enumerate(POSTS):
            world.like(name, post, hours_ago=24 * 7 + number)
    for name in RING:
        world.actor(name)
    return world


def fetch(data_dir: Path, world: World, name: str, listed: Iterable[tuple[int, str]]) -> None:
    """Let somebody's repository list likes by their keys."""
    names = {number: name for name, number in world.actors.items()}
    likes = [
        HistoryLike(rkey, world.did(names[world.posts[post][0]]), world.posts[post][1], rkey >> 10)
        for rkey, post in listed
    ]
    store = HistoryStore(data_dir)
    statement = Statement(tid_at(NOW_US), None)
    store.store_viewer(world.did(name), likes, NOW_US, DONE, stream_us=NOW_US, statement=statement)
    store.close()


@pytest.mark.parametrize("merged", [False, True])
def test_a_ring_that_backdates_its_repositories_takes_no_neighbour(tmp_path: Path, merged: bool) -> None:
    """Ten bots' servers list likes of a community's posts with keys of twenty days ago; one has a list all the same."""
    world = town()
    world.write(tmp_path)
    for place, bot in enumerate(RING):
        keys = [tid_at(NOW_US - 20 * DAY_US + number * HOUR_US, place) for number in range(len(POSTS))]
        fetch(tmp_path, world, bot, zip(keys, POSTS, strict=True))
    if merged:
        list(compact(tmp_path, Ranking(), 1))
        assert places.changes(tmp_path)
    old = {world.id(name) for name in OLD}
    for viewers in ("all", "waiting"):
        run(tmp_path, viewers=viewers, at=START + len(viewers))
        near = neighbours_of(tmp_path)
        assert {other for other, _ in near[world.id("ann")]} == old
        assert {other for other, _ in near[world.id("bot0")]} == old | {world.id("ann")}


def test_who_is_fetched_is_as_old_as_the_lake_says(tmp_path: Path) -> None:
    """Before a merge compares them, words of a repository hide likes that a stream reported days ago."""
    world = town()
    world.write(tmp_path)
    list(compact(tmp_path, Ranking(), 1))
    run(tmp_path, newcomer_hours=400.0)
    before = neighbours_of(tmp_path)[world.id("ann")]
    fetch(tmp_path, world, "old0", [(world.like_rkeys["old0", post], post) for post in POSTS])
    run(tmp_path, at=START + 1, newcomer_hours=400.0)
    assert neighbours_of(tmp_path)[world.id("ann")] == before


def test_the_explanation_says_the_batchs_weight(tmp_path: Path) -> None:
    """old0 was first reported 18 hours ago, and their repository lists likes of last week."""
    world = town()
    for post in POSTS:
        key = world.like_rkeys["old0", post]
        world.claimed.add((world.id("old0"), key))
    world.like("old0", "lately", hours_ago=18).post("new", by="eve").like("old0", "new").like("old1", "new")
    world.write(tmp_path)
    run(tmp_path)
    weights = dict(neighbours_of(tmp_path)[world.id("ann")])
    found = explain(tmp_path, 1, world.did("ann"), world.uri("new"))
    for name in ("old0", "old1"):
        shared = [row for row in found.shared if row["neighbour_did"] == world.did(name)]
        total = sum(row["value"] for row in shared) ** found.parameters["overlap_exponent"]
        assert total * shared[0]["scale"] == pytest.approx(weights[world.id(name)], rel=1e-6)
    assert weights[world.id("old0")] < weights[world.id("old1")] / 3
