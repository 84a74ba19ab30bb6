"""Places that try posts few have seen: how many, which posts, and the same ones in every run and explanation."""

import random
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from analyst_store import RANKING, Store
from batch_tools import settings_for
from test_experiments import lists_of

from pipeline.batch import jobs
from pipeline.batch.lists import trial_places
from pipeline.explore.explain_command import explain
from pipeline.explore.list_reasons import why
from sql.sqlite import connect

SHARE = 0.1
TRIAL = {**RANKING, "trial_share": SHARE, "trial_max_likers": 4, "list_length": 200}


@pytest.mark.parametrize("share", [0.0, 0.01, 1 / 30, 0.1, 0.3, 0.5])
def test_never_more_places_than_the_share(share: float) -> None:
    places = np.array([trial_places.is_place(place, share) for place in range(3000)])
    so_far = np.cumsum(places)
    assert (so_far <= share * np.arange(1, 3001) + 1e-6).all()
    assert so_far[-1] >= 3000 * share - 1


def test_a_draw_is_in_proportion_to_the_score() -> None:
    scores = {10**18: 1.0, 10**18 + 777: 2.0, 10**18 + 99_991: 5.0}
    drawn = [
        min(scores, key=lambda rkey: trial_places.turn(viewer, hour, rkey, scores[rkey]))
        for viewer in range(100)
        for hour in range(494_000, 494_100)
    ]
    for rkey, score in scores.items():
        assert drawn.count(rkey) / 10_000 == pytest.approx(score / 8, abs=0.02)


@pytest.fixture(scope="module")
def stores(analysts: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same store, with lists that try posts and with lists that do not."""
    found = {}
    for name, share in (("plain", 0.0), ("tried", SHARE)):
        found[name] = tmp_path_factory.mktemp("explore") / name
        shutil.copytree(analysts.data_dir, found[name])
        jobs.run(settings_for(found[name], TRIAL | {"trial_share": share}), "candidates")
    return found


def likers_of(data_dir: Path) -> dict[str, int]:
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    likers = dict(serving.execute("SELECT uri, likers FROM posts"))
    serving.close()
    return likers


def test_few_posts_move_forward_and_all_else_stays(stores: dict[str, Path]) -> None:
    plain, tried, likers = lists_of(stores["plain"]), lists_of(stores["tried"]), likers_of(stores["tried"])
    assert plain.keys() == tried.keys()
    moved = changed = 0
    for viewer, items in tried.items():
        was = {item[0]: place for place, item in enumerate(plain[viewer])}
        # At the end of a list, another post of an author may find no place far enough from the rest of theirs.
        apart = {item[0] for item in items} ^ was.keys()
        assert {post.split("/")[2] for post in apart} <= {post.split("/")[2] for post in was}
        changed += len(apart)
        places = [place for place, item in enumerate(items) if item[3] == 3]
        assert len(places) <= SHARE * len(items)
        for place in places:
            assert items[place][2] > 0  # neighbours liked it
            assert likers[items[place][0]] <= 4
            assert was[items[place][0]] > place
        rest = [item[0] for item in items if item[3] != 3 and item[0] in was]
        order = [was[post] for post in rest]
        # Spacing apart, the others keep their order: one that had to stand back may come earlier or later.
        assert sum(a > b for a, b in pairwise(order)) <= len(order) * 0.2
        moved += len(places)
    assert moved > 30
    assert changed <= sum(map(len, tried.values())) * 0.002
    sources = {item[3] for items in plain.values() for item in items}
    assert sources == {1, 2}


def test_who_was_seen_lately_gets_the_same_draw(stores: dict[str, Path], tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(stores["tried"], data)
    wanted = lists_of(data)
    activity = connect(data / "activity.sqlite")
    came = {row[0].removeprefix("did:plc:") for row in activity.execute("SELECT viewer_did FROM visits")}
    last = activity.execute("SELECT max(last_us) FROM visits").fetchone()[0]
    activity.close()
    serving = connect(data / "serving.sqlite")
    serving.execute("DELETE FROM lists")
    serving.close()
    jobs.run(settings_for(data, TRIAL), "candidates", lambda: last / 1e6 + 1, "recent")
    found = lists_of(data)
    assert found == {
        name: wanted[name] for name in found
    }  # some who came have an old list, and none of this run
    assert found.keys() <= came
    assert len(found) > 20
    assert any(item[3] == 3 for items in found.values() for item in items)


def test_explanations_draw_the_same(stores: dict[str, Path]) -> None:
    found = lists_of(stores["tried"])
    tried = [viewer for viewer, items in found.items() if any(item[3] == 3 for item in items[:30])]
    for viewer in random.Random(1).sample(tried, 5):
        told = why(stores["tried"], 1, f"did:plc:{viewer}", {}, public=False)
        sources = {1: "co-likers", 2: "popular", 3: "trial"}
        assert [(post["post_uri"], post["source"]) for post in told["posts"]] == [
            (item[0], sources[item[3]]) for item in found[viewer][:30]
        ]
        post = next(item[0] for item in found[viewer] if item[3] == 3)
        verdict = explain(stores["tried"], 1, f"did:plc:{viewer}", post).verdict
        assert verdict[0].endswith(", to be tried")
