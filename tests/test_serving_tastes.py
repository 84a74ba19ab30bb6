"""Several times "show less" of one kind: the kind goes to the list's end at once; one time, and all else, does
not."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from batch_tools import settings_for
from falcon.testing import TestClient
from hypothesis import given
from hypothesis import strategies as st
from serving_worlds import (
    FEED,
    INTERACTIONS,
    SKELETON,
    START,
    Account,
    Clock,
    OneAccount,
    ServingStore,
    bearer,
    blob,
    config_of,
    flush,
    plc_did,
    post_uri,
)
from worlds import World

from pipeline.batch import jobs
from serving.app import create_app
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.list_order import LESS_MIN, NEAR_BITS, unwanted
from sql import sqlite

ALICE = Account(plc_did(1))
POSTS = list(range(1, 61))
ODD_KIND, EVEN_KIND = 0x5555_5555_5555_5555, -0x5555_5555_5555_5556  # all bits differ


def _sketch(post: int) -> int:
    return (ODD_KIND if post % 2 else EVEN_KIND) ^ (0b11 << post % 40)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ServingStore]:
    held = ServingStore(tmp_path / "serving.sqlite")
    held.posts(POSTS)
    held.connection.executemany(
        "INSERT INTO taste_sketches VALUES (?, ?)", [(post, _sketch(post)) for post in POSTS]
    )
    held.publish(1, {ALICE.did: blob(POSTS)}, at=START)
    yield held
    held.close()


class _Viewer:
    def __init__(self, folder: Path) -> None:
        self.activity = ActivityWriter(folder / "activity.sqlite", now=Clock())
        app = create_app(config_of(folder), now=Clock(), resolver=OneAccount(ALICE), activity=self.activity)
        self.client = TestClient(app)

    def posts(self) -> list[str]:
        answer = self.client.simulate_get(
            SKELETON, params={"feed": FEED, "limit": "60"}, headers=bearer(ALICE.token())
        )
        return [item["post"] for item in answer.json["feed"]]

    def answers(self, event: str, *posts: int) -> None:
        entries = [{"item": post_uri(post), "event": f"app.bsky.feed.defs#{event}"} for post in posts]
        token = ALICE.token("app.bsky.feed.sendInteractions")
        body = json.dumps({"interactions": entries})
        assert self.client.simulate_post(INTERACTIONS, body=body, headers=bearer(token)).status_code == 200


def _kinds(posts: list[str]) -> list[int]:
    kind = {post_uri(post): post % 2 for post in POSTS}
    return [kind[post] for post in posts]


def test_three_of_a_kind_move_the_kind_behind_and_a_restart_keeps_it(
    store: ServingStore, tmp_path: Path
) -> None:
    viewer = _Viewer(tmp_path)
    viewer.answers("requestLess", 1, 3)
    assert _kinds(viewer.posts())[:4] != [0] * 4, "two may be about the posts"
    viewer.answers("requestLess", 5)
    kinds = _kinds(viewer.posts())
    assert kinds == sorted(kinds), "every even one first"
    assert 1 in kinds, "they are still there, at the end"
    assert flush(viewer.activity)
    assert viewer.activity.close()
    again = _kinds(_Viewer(tmp_path).posts())
    assert again == sorted(again)


def test_what_is_liked_of_the_kind_counts_against_it(store: ServingStore, tmp_path: Path) -> None:
    viewer = _Viewer(tmp_path)
    viewer.answers("requestLess", 1, 3, 5)
    viewer.answers("interactionLike", 7)
    assert _kinds(viewer.posts())[:4] != [0] * 4
    viewer.answers("requestLess", 9)
    assert _kinds(viewer.posts())[:4] == [0] * 4
    viewer.answers("requestMore", 9)
    assert _kinds(viewer.posts())[:4] != [0] * 4


@given(
    posts=st.lists(st.integers(1, 30), unique=True),
    less=st.lists(st.integers(1, 30), unique=True, max_size=8),
    more=st.lists(st.integers(1, 30), unique=True, max_size=8),
    sketches=st.dictionaries(st.integers(1, 30), st.integers(-(2**63), 2**63 - 1)),
)
def test_unwanted_by_its_definition(
    posts: list[int], less: list[int], more: list[int], sketches: dict[int, int]
) -> None:
    def near(post: int, others: list[int]) -> int:
        bits = {name: np.binary_repr(value, 64) for name, value in sketches.items()}
        return sum(
            sum(a != b for a, b in zip(bits[post], bits[other], strict=True)) <= NEAR_BITS
            for other in others
            if other in bits
        )

    expected = {
        post for post in posts if post in sketches and near(post, less) - near(post, more) >= LESS_MIN
    }
    assert unwanted(posts, less, more, sketches) == expected


def test_the_batch_writes_close_sketches_for_what_the_same_people_like(tmp_path: Path) -> None:
    world = World()
    for community in ("cats", "birds"):
        for number in range(10):
            world.post(f"{community}{number}", by=f"{community}-author{number}", hours_ago=number + 0.5)
        for person in range(12):
            for number in range(10):
                if (person + number) % 3:
                    world.like(f"{community}-{person}", f"{community}{number}", hours_ago=0.3)
    jobs.run(settings_for(world.write(tmp_path)), "all")
    serving = sqlite.connect(tmp_path / "serving.sqlite", read_only=True)
    rows = serving.execute("SELECT uri, sketch FROM posts JOIN taste_sketches USING (post_id)").fetchall()
    serving.close()
    kind = {world.uri(name): name.rstrip("0123456789") for name in world.known}
    within, between = [], []
    for uri, sketch in rows:
        for other, theirs in rows:
            differing = ((sketch ^ theirs) & (2**64 - 1)).bit_count()
            (within if kind[uri] == kind[other] else between).append(differing)
    assert len(rows) == 20
    assert max(within) <= NEAR_BITS
    assert min(between) > NEAR_BITS
