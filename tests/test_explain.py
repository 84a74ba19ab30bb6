"""``foryou explain``: the batch's own numbers again, and the rule that decided, from the store alone."""

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from analyst_store import FEEDS, SECOND, Store
from batch_tools import settings_for
from explained import Checked, check_list, check_popular
from worlds import World

from pipeline import cli
from pipeline.batch import jobs
from pipeline.explore.explain_command import explain
from pipeline.explore.explanation import Explanation
from pipeline.explore.generation_inputs import ExplainError, GenerationInputs
from pipeline.explore.list_reasons import why
from pipeline.store.model import AccountStatus, PostFlag

CROWD = ("bob", "cat", "dan")


def world() -> World:
    """ann shares two likes with bob, cat and dan; what they liked lately are her candidates."""
    made = World()
    for name in ("ann", *CROWD):
        made.like(name, "old1", hours_ago=60).like(name, "old2", hours_ago=50)
    return made


def told(
    data_dir: Path, made: World, viewer: str, post: str, ranking: dict[str, Any] | None = None
) -> Explanation:
    """Run the batch on a world, without the crowd unless told otherwise, and explain one post of it."""
    jobs.run(
        settings_for(made.write(data_dir), {"crowd_weight": 0.0, "left_out_weight": 0.0} | (ranking or {})),
        "all",
    )
    return explain(data_dir, 1, made.did(viewer), made.uri(post))


def test_every_number_of_many_lists_is_the_batchs(analysts: Store) -> None:
    """tests/bench/bench_explain.py does the same with a thousand lists."""
    viewers = random.Random(3).sample(sorted(analysts.renewed & analysts.lists.keys()), 12)
    checked = Checked()
    with closing(GenerationInputs(analysts.data_dir, 2)) as inputs:
        for viewer in viewers:
            found = check_list(analysts, inputs, viewer, checked)
        for post in sorted(checked.popular)[:3]:
            check_popular(inputs, post, checked)
    assert checked.scores > 100 and checked.weights > 100
    assert checked.worst < 1e-5
    first = found.listed[0]["post_uri"]
    parts = explain(analysts.data_dir, 2, viewers[-1], first).contributors
    assert len(parts) == found.listed[0]["co_likers"]
    similarity = next(row["similarity"] for row in found.scored if row["post_uri"] == first)
    crowd = next(row["crowd"] for row in found.scored if row["post_uri"] == first)
    assert sum(row["part"] for row in parts) + crowd == pytest.approx(similarity, rel=1e-9)


def test_a_feed_beside_the_first_is_explained_by_its_own_inputs(analysts: Store) -> None:
    viewers = sorted(analysts.renewed_in(SECOND) & analysts.lists_of_second.keys())[::9][:5]
    checked = Checked()
    with closing(GenerationInputs(analysts.data_dir, 2, SECOND)) as inputs:
        assert inputs.ranking.half_life_hours == FEEDS[SECOND]["half_life_hours"]
        for viewer in viewers:
            found = check_list(analysts, inputs, viewer, checked, SECOND)
    assert checked.scores > 50 and checked.worst < 1e-5
    whole = why(analysts.data_dir, 2, viewers[-1], {}, public=False, feed=SECOND)
    assert (whole["generation"], whole["usual"]["half_life_hours"]) == (found.generation, 48.0)
    assert [post["was"] for post in whole["posts"]] == list(range(1, len(whole["posts"]) + 1))
    former = why(analysts.data_dir, 2, viewers[-1], {"days_ago": "0"}, public=False, feed=SECOND)
    first = analysts.first_lists[SECOND].get(viewers[-1], [])
    assert [post["post_uri"] for post in former["posts"]] == [item[0] for item in first[:30]]
    with pytest.raises(ExplainError, match="no feed videos: expected one of for-you, moving"):
        GenerationInputs(analysts.data_dir, 2, "videos")


def test_a_post_in_the_list(tmp_path: Path) -> None:
    made = world().post("new", by="eve", hours_ago=2)
    made.like("bob", "new", hours_ago=1).like("cat", "new", hours_ago=0.5)
    found = told(tmp_path, made, "ann", "new")
    assert found.verdict[0] == "in the list at place 1 of 1"
    assert [row["neighbour_did"] for row in found.contributors] == [made.did("cat"), made.did("bob")]
    assert found.contributors[0]["like_age_hours"] == pytest.approx(0.5)
    assert {row["post_uri"] for row in found.shared} == {made.uri("old1"), made.uri("old2")}


ABSENT: dict[str, tuple[Any, str]] = {
    "liked": (lambda w: w.like("ann", "new", hours_ago=0.2), "the viewer has already liked it"),
    "less": (lambda w: w.interaction("ann", "new", "requestLess"), "answered it with 'show less'"),
    "nobody near": (
        lambda w: w.post("far", by="eve").like("zoe", "far"),
        "none of the viewer's neighbours liked",
    ),
    "not liked": (lambda w: w.post("far", by="eve"), "nobody has liked it lately"),
    "long ago": (
        lambda w: w.post("far", by="eve", hours_ago=90).like("bob", "far", hours_ago=70),
        "its last like is 70 hours ago: only likes of the last 48",
    ),
    "old": (lambda w: w.post("far", by="eve", hours_ago=340).like("bob", "far"), "340 hours old"),
    "unknown": (lambda w: w.like("bob", "far"), "the store does not know the post"),
    "reply": (lambda w: w.post("far", by="eve", flags=PostFlag.REPLY).like("bob", "far"), "it is a reply"),
    "adult": (lambda w: w.post("far", by="eve", flags=PostFlag.ADULT).like("bob", "far"), "adult content"),
    "hidden": (lambda w: w.post("far", by="eve", flags=PostFlag.HIDE).like("bob", "far"), "the label !hide"),
    "deleted": (
        lambda w: w.post("far", by="eve", deleted=True).like("bob", "far"),
        "the post was deleted",
    ),
    "own": (lambda w: w.post("far", by="ann").like("bob", "far"), "it is the viewer's own post"),
    "hidden_accounts": (
        lambda w: w.post("far", by="fay").actor("fay", AccountStatus.SUSPENDED).like("bob", "far"),
        "its author's account is suspended",
    ),
}


@pytest.mark.parametrize("name", ABSENT)
def test_a_post_not_in_the_list(tmp_path: Path, name: str) -> None:
    change, reason = ABSENT[name]
    made = world().post("new", by="eve", hours_ago=2).post("else", by="gus", hours_ago=3)
    for post in ("new", "else"):
        made.like("bob", post, hours_ago=1)
    change(made)
    found = told(tmp_path, made, "ann", "far" if "far" in made.posts else "new")
    assert found.verdict[0] == "not in the list"
    assert reason in found.verdict[1]
    assert len(found.verdict) == 2


def test_the_cap_the_length_and_the_places_between(tmp_path: Path) -> None:
    made = world()
    for number in range(5):
        made.post(f"eve{number}", by="eve", hours_ago=1 + number).like("bob", f"eve{number}", hours_ago=0.5)
    for number in range(4):
        made.post(f"gus{number}", by=f"gus{number}", hours_ago=8 + number).like(
            "bob", f"gus{number}", hours_ago=0.5
        )
    ranking = {"list_length": 5, "max_per_author": 3, "author_spacing": 1}
    capped = told(tmp_path, made, "ann", "eve3", ranking)
    assert "3 better posts of its author are in the list" in capped.verdict[1]
    beyond = explain(tmp_path, 1, made.did("ann"), made.uri("gus2"))
    assert "beyond the list's 5 posts" in beyond.verdict[1]
    moved = explain(tmp_path, 1, made.did("ann"), made.uri("eve1"))
    assert moved.verdict[0] == "in the list at place 3 of 5"
    assert moved.verdict[-1] == "moved back: 1 places must lie between two posts of one author"
    forward = explain(tmp_path, 1, made.did("ann"), made.uri("gus0"))
    assert forward.verdict[0] == "in the list at place 2 of 5"
    assert "place 4 after the cap per author" in forward.verdict
    assert forward.verdict[-1].startswith("moved forward")


def test_a_seen_post_stands_behind(tmp_path: Path) -> None:
    made = world()
    for number in range(3):
        made.post(f"p{number}", by=f"eve{number}", hours_ago=1 + number).like(
            "bob", f"p{number}", hours_ago=0.5
        )
    made.interaction("ann", "p0", "interactionSeen")
    found = told(tmp_path, made, "ann", "p0")
    assert found.verdict == [
        "in the list at place 3 of 3",
        "place 1 by score among 3 scored posts",
        "already seen, so it comes after the unseen posts",
    ]


def test_a_popular_post_fills_the_list(tmp_path: Path) -> None:
    made = world().post("new", by="eve").like("bob", "new", hours_ago=1).post("far", by="gus")
    for number in range(5):
        made.like(f"zoe{number}", "far", hours_ago=1)
    found = told(tmp_path, made, "ann", "far")
    assert "as a popular post" in found.verdict[0]
    listed = next(row for row in found.listed if row["post_uri"] == made.uri("far"))
    assert found.popular_score == pytest.approx(listed["score"], rel=1e-5)


def test_what_the_crowd_alone_brings(tmp_path: Path) -> None:
    made = world().post("new", by="eve").like("bob", "new", hours_ago=1).post("far", by="gus")
    for number in range(5):
        made.like(f"zoe{number}", "far", hours_ago=1)
    found = told(tmp_path, made, "ann", "far", {"crowd_weight": 0.1})
    row = next(row for row in found.scored if row["post_uri"] == made.uri("far"))
    assert row["co_likers"] == 0 and 0 < row["crowd"] == row["similarity"]
    assert "as a popular post" in found.verdict[0] and "no neighbour liked it" in found.verdict[1]
    assert [item["source"] for item in found.listed] == ["co-likers", "popular"]


def test_a_viewer_without_neighbours(tmp_path: Path) -> None:
    made = world().post("new", by="eve").like("bob", "new").like("lone", "apart", hours_ago=5)
    found = told(tmp_path, made, "lone", "new")
    assert found.listed == [] and found.neighbours == 0
    assert "no neighbours, hence no list" in found.verdict[1]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = world().post("new", by="eve", hours_ago=2).like("bob", "new", hours_ago=1)
    folder = made.write(tmp_path_factory.mktemp("explain") / "data")
    jobs.run(settings_for(folder), "all")
    return folder


def test_the_command_speaks_to_people_and_programs(data_dir: Path, capsys: Any) -> None:
    made = world().post("new", by="eve", hours_ago=2)
    uri = made.uri("new")
    page = uri.replace("at://", "https://bsky.app/profile/").replace("app.bsky.feed.post", "post")
    assert cli.main(["explain", "plc:ann", page, "--data-dir", str(data_dir)]) == 0
    text = capsys.readouterr().out
    for words in (
        uri,
        "in the list at place 1 of 1",
        "score",
        "decay",
        "liked by neighbours",
        "shared seeds",
    ):
        assert words in text
    assert cli.main(["explain", "did:plc:ann", "--data-dir", str(data_dir)]) == 0
    assert uri in capsys.readouterr().out
    assert cli.main(["explain", "did:plc:ann", uri, "--json", "--data-dir", str(data_dir)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["viewer"] == "did:plc:ann" and found["post"] == uri
    assert found["scored"][0]["score"] == pytest.approx(found["listed"][0]["score"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nobody",), "nobody in the store is called 'nobody'"),
        (("ann.bsky.social",), "handles are not stored"),
        (("did:plc:",), "may be any of did:plc:ann, "),
        (("did:plc:ann", "nonsense"), "'nonsense' is not a post"),
        (("did:plc:ann", "https://bsky.app/profile/ann.bsky.social/post/3l4ovrxb2nk2x"), "with the DID"),
        (("did:plc:ann", "at://did:plc:noone/app.bsky.feed.post/3l4ovrxb2nk2x"), "called 'did:plc:noone'"),
    ],
)
def test_a_mistake_is_one_clear_line(
    data_dir: Path, capsys: Any, arguments: tuple[str, ...], complaint: str
) -> None:
    assert cli.main(["explain", "--data-dir", str(data_dir), *arguments]) == 1
    said = capsys.readouterr().err
    assert complaint in said and len(said.splitlines()) == 1


def test_without_lists_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExplainError, match=r"no lists yet in .*: run 'foryou batch' first"):
        explain(tmp_path, 1, "did:plc:ann")
