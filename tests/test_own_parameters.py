"""A reader's own parameters: their list is the one that a feed with these parameters gives everybody."""

import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batch_tools import (
    by_kernel,
    by_oracle,
    candidates_by_sql,
    duck,
    neighbours_by_sql,
    put_neighbours,
    read_ranked,
    settings_for,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_batch_feeds import settings_of
from test_batch_ranking import close, rankings, worlds
from test_batch_tiers import lists_of
from worlds import NOW_US, World

from pipeline.batch import jobs
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.lists.checks import check_relations, sampled
from pipeline.batch.lists.make_lists import Staging, stage_lists
from pipeline.explore.explain_command import explain
from pipeline.explore.list_reasons import why
from pipeline.progress import Progress
from pipeline.ranking import OWN_PARAMETERS, Ranking, with_own
from serving.feed.paging import PageRequest, page_of
from serving.lists.list_store import ListStore
from sql.sqlite import connect

EXAMPLES = int(os.environ.get("FORYOU_TEST_WORLDS", "8"))
Own = dict[str, Any]
VALUES: dict[str, st.SearchStrategy[float]] = {
    "half_life_hours": st.sampled_from([0.5, 6, 240]),
    "popularity_exponent": st.sampled_from([0, 0.5, 1.5]),
    "crowd_weight": st.sampled_from([0, 0.3, 3]),
    "left_out_weight": st.sampled_from([0, 0.3, 3]),
    "max_neighbours": st.sampled_from([1, 2, 300]),
    "max_per_author": st.sampled_from([1, 2, 5]),
    "author_spacing": st.sampled_from([0, 1, 5]),
}


@st.composite
def settings_of_readers(draw: st.DrawFn) -> dict[str, Own]:
    """Return what some of the actors set: one of two sets of parameters."""
    assert VALUES.keys() == set(OWN_PARAMETERS)
    some = draw(st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=2))
    return {
        name: draw(st.sampled_from(some)) for name in draw(st.sets(st.sampled_from("abcdef"), min_size=1))
    }


def with_settings(world: World, own: dict[str, Own]) -> World:
    for name, parameters in own.items():
        world.sets(name, **parameters)
    return world


def finished(world: World, ranking: Ranking, near: Any, left_out: Any) -> dict[int, list[tuple[Any, ...]]]:
    """Return each viewer's finished list, (post, source, score, co-likers), made with given neighbours and checked."""
    connection = duck(world, ranking)
    rows = [
        (viewer, other, weight, place + 1, left_out[viewer])
        for viewer in sorted(near)
        for place, (other, weight) in enumerate(near[viewer])
    ]
    put_neighbours(connection, rows)
    sql_steps.set_variables(connection, {"window_hours": ranking.post_max_age_hours})
    for name in sql_steps.BEFORE_CANDIDATES:
        sql_steps.run_file(connection, name)
    with tempfile.TemporaryDirectory() as folder:
        staging = Staging(Path(folder), Path(folder), 1, 0, Progress("candidates"))
        entries = stage_lists(Snapshot(connection, world.now_us, [], 0), ranking, staging)
        with sampled(connection, entries):
            check_relations(connection)
        query = (
            "SELECT viewer_id, author_id, rkey, source, score, co_likers FROM lists "
            "JOIN candidate_posts USING (post_no) ORDER BY viewer_id, position"
        )
        found: dict[int, list[tuple[Any, ...]]] = {}
        for viewer, author, rkey, source, score, co_likers in connection.execute(query).fetchall():
            found.setdefault(viewer, []).append(((author, rkey, source), score, co_likers))
    connection.close()
    return found


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), rankings(), settings_of_readers())
def test_a_list_is_what_a_feed_with_these_parameters_gives_everybody(
    world: World, ranking: Ranking, own: dict[str, Own]
) -> None:
    """By the oracle, which knows no parameters of one reader's own: SQL, kernel, and the finished list."""
    near, _, left_out = by_oracle(world, ranking)
    of_viewer = {viewer: with_own(ranking, own.get(name, {})) for name, viewer in world.actors.items()}
    expected: dict[int, Any] = {}
    expected_finished: dict[int, Any] = {}
    for parameters in set(of_viewer.values()):
        theirs = {viewer for viewer, mine in of_viewer.items() if mine == parameters}
        all_near, lists, rest = by_oracle(world, parameters)
        expected |= {viewer: lists[viewer] for viewer in theirs & lists.keys()}
        whole = finished(world, parameters, all_near, rest)
        expected_finished |= {viewer: whole[viewer] for viewer in theirs & whole.keys()}
    with_settings(world, own)
    connection = duck(world, ranking)
    neighbours_by_sql(connection, ranking)
    candidates_by_sql(connection, ranking)
    assert close(read_ranked(connection), expected)
    connection.close()
    with tempfile.TemporaryDirectory() as folder:
        _, lists, _ = by_kernel(world, ranking, Path(folder), [(0, 2**31 - 1)])
    assert close(lists, expected)
    assert close(finished(world, ranking, near, left_out), expected_finished)


OWN: Own = {
    "half_life_hours": 240,
    "popularity_exponent": 0.5,
    "crowd_weight": 0.1,
    "left_out_weight": 0,
    "max_neighbours": 2,
    "max_per_author": 2,
    "author_spacing": 0,
}
EXPERIMENT = "[experiments.age.young]\nshare = 1.0\nhalf_life_hours = 0.5\n"


def town() -> World:
    """Twelve people share three likes and more; three writers' nine posts are liked, the older the more."""
    made = World()
    for number, name in enumerate("abcdefghijkl"):
        for seed in range(3 + number % 4):
            made.like(name, f"s{seed}", hours_ago=90 + seed)
    for number in range(9):
        made.post(f"q{number}", by=f"w{number // 3}", hours_ago=1 + 3 * number, langs="en")
        for name in "bcdefghijkl"[: 2 + number]:
            made.like(name, f"q{number}", hours_ago=0.5 + number / 10)
    return made.visit("a").visit("l")


def posts_of(data_dir: Path, name: str) -> Any:
    return lists_of(data_dir)[f"did:plc:{name}"]


def test_what_a_reader_sets_is_in_force_after_the_next_run_of_any_kind(tmp_path: Path) -> None:
    """Before: as everybody's; on the next page, too; after the next run as a feed with these parameters would give."""
    everybody = tmp_path / "everybody"
    jobs.run(settings_for(town().write(everybody), OWN), "all", lambda: NOW_US / 1e6)
    expected = posts_of(everybody, "a")
    data_dir = town().write(tmp_path / "data")
    jobs.run(settings_for(data_dir), "all", lambda: NOW_US / 1e6)
    before = {name: posts_of(data_dir, name) for name in "al"}
    assert [post[0] for post in before["a"]] != [post[0] for post in expected]
    town().sets("a", **OWN).write(data_dir)
    assert posts_of(data_dir, "a") == before["a"]
    for job, tier in (("candidates", "all"), ("candidates", "recent"), ("all", "waiting")):
        jobs.run(settings_for(data_dir), job, lambda: NOW_US / 1e6 + 1, tier)
        assert posts_of(data_dir, "a") == expected
        assert posts_of(data_dir, "l") == before["l"]
        with closing(connect(data_dir / "serving.sqlite")) as serving:
            serving.execute(
                "DELETE FROM lists WHERE viewer_id IN (SELECT viewer_id FROM viewers WHERE did LIKE '%:a')"
            )
            serving.execute("DELETE FROM waiting_runs")


def test_an_explanation_is_by_the_readers_own_parameters_and_the_public_learns_nothing(
    tmp_path: Path,
) -> None:
    data_dir = town().sets("a", **OWN).write(tmp_path / "own")
    plain = town().write(tmp_path / "plain")
    for folder in (data_dir, plain):
        jobs.run(settings_for(folder), "all", lambda: NOW_US / 1e6)
    did, listed = "did:plc:a", [post[0] for post in posts_of(data_dir, "a")]
    told = explain(data_dir, 1, did)
    assert {name: told.parameters[name] for name in OWN} == OWN
    assert [row["post_uri"] for row in told.listed] == listed
    scores = {row["post_uri"]: row["score"] for row in told.scored}
    for post, score, *_ in posts_of(data_dir, "a"):
        assert scores[post] == pytest.approx(score, rel=1e-5)
    assert told.neighbours == 2
    found = why(data_dir, 1, did, {}, public=False)
    assert [post["post_uri"] for post in found["posts"]] == listed
    assert {name: found["usual"][name] for name in OWN} == OWN
    usual = {name: getattr(Ranking(), name) for name in OWN}
    assert why(data_dir, 1, did, dict(usual), public=False)["neighbours"] == 11  # a slider is moved up again
    public = [why(folder, 1, did, {}, public=True) for folder in (data_dir, plain)]
    assert public[0] == public[1]
    assert {name: public[0]["parameters"][name] for name in OWN} == usual


def test_whoever_has_parameters_of_their_own_is_in_no_experiment(tmp_path: Path) -> None:
    data_dir = town().sets("a", half_life_hours=240).write(tmp_path / "data")
    jobs.run(settings_of(tmp_path, EXPERIMENT), "all", lambda: NOW_US / 1e6)
    with ListStore(data_dir / "serving.sqlite").read() as snapshot:
        assert snapshot is not None
        variants = [
            page_of(snapshot, PageRequest("for-you", f"did:plc:{name}", (), 30)).variant for name in "al"
        ]
    assert variants == ["age/control", "age/young"]  # whose page then carries none (test_me.py)
    alone = town().write(tmp_path / "alone" / "data")
    jobs.run(settings_for(alone, {"half_life_hours": 240}), "all", lambda: NOW_US / 1e6)
    assert posts_of(data_dir, "a") == posts_of(alone, "a")


def test_nobody_has_more_neighbours_than_the_feed() -> None:
    feed = Ranking(max_neighbours=100)
    assert with_own(feed, {"max_neighbours": 300, "max_per_author": 1, "list_length": 1}) == Ranking(
        max_neighbours=100, max_per_author=1
    )
