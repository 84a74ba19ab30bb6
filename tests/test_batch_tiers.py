"""Runs for some of the viewers: the rows that a run for everybody gives them, and nobody else's touched."""

import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from batch_tools import settings_for, stored_neighbours
from commands import FORKS
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from list_bytes import unpack
from streamed_likes import stream_likes
from test_batch_ranking import EXAMPLES, rankings, worlds
from worlds import NOW_US, World

from pipeline import cli
from pipeline.batch import jobs
from pipeline.batch.inputs.neighbour_files import layers_of
from pipeline.errors import BatchError
from pipeline.feeds import feeds_of
from pipeline.identifiers import tid_at
from pipeline.ranking import Ranking
from pipeline.store.analyst_snapshot import current_snapshot
from pipeline.store.events import EventBatch, Unlike
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.who_is_due import waiting_viewers
from sql import places
from sql.sqlite import connect

START = NOW_US / 1e6


def run(data_dir: Path, job: str = "all", viewers: str = "all", at: float = START, **ranking: Any) -> None:
    """Run a job at a time by the machine's clock."""
    jobs.run(settings_for(data_dir, ranking), job, lambda: at, viewers)


def lists_of(data_dir: Path) -> dict[str, list[tuple[str, float, int, int]]]:
    """Return each viewer's newest list: posts by at-uri, scores, co-likers, sources."""
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    uris = dict(serving.execute("SELECT post_id, uri FROM posts"))
    rows = serving.execute(
        "SELECT v.did, l.items, max(l.generation) FROM lists AS l JOIN viewers AS v USING (viewer_id) GROUP BY v.did"
    ).fetchall()
    serving.close()
    return {did: [(uris[item[0]], *item[1:]) for item in unpack(items)] for did, items, _ in rows}


def generations_of(data_dir: Path) -> dict[str, int]:
    """Return the generation of each viewer's newest list."""
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    rows = serving.execute(
        "SELECT v.did, max(l.generation) FROM lists AS l JOIN viewers AS v USING (viewer_id) GROUP BY v.did"
    ).fetchall()
    serving.close()
    return dict(rows)


def neighbours_of(data_dir: Path) -> dict[int, list[tuple[int, float]]]:
    """Return each viewer's neighbours as the next candidates run sees them."""
    found: dict[int, list[tuple[int, float]]] = {}
    for row in stored_neighbours(data_dir).to_pylist():
        found.setdefault(row["viewer_id"], []).append((row["neighbour_id"], row["weight"]))
    return found


def town(fresh: int = 3) -> World:
    """ann to eve share p1 and p2; bob likes the first of q0, q1 and so on; popular posts are by others."""
    made = World()
    for name in ("ann", "bob", "cat", "dan", "eve"):
        made.like(name, "p1", hours_ago=30).like(name, "p2", hours_ago=29)
    for i in range(fresh):
        made.post(f"q{i}", by=f"author{i}", hours_ago=i + 1).like("bob", f"q{i}", hours_ago=0.5)
    return made


@pytest.mark.parametrize(
    ("job", "viewers"),
    [("compact", "recent"), ("neighbours", "recent"), ("candidates", "changed"), ("neighbours", "waiting"),
     ("candidates", "liked"), ("all", "recent"), ("all", "some")],
)  # fmt: skip
def test_a_tier_goes_with_its_job(tmp_path: Path, job: str, viewers: str):
    with pytest.raises(
        BatchError, match=f"job '{job}' does not go with viewers '{viewers}': neighbours go with"
    ):
        run(town().write(tmp_path), job, viewers)


def test_copies_for_analysts_follow_runs_for_everybody_and_are_a_job_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    town().visit("ann").write(tmp_path)

    def batch(*arguments: str) -> int:
        return cli.main(["batch", "--data-dir", str(tmp_path), *arguments])

    assert batch() == 0
    made = current_snapshot(tmp_path)
    assert made is not None
    for job, viewers in (("candidates", "recent"), ("neighbours", "liked"), ("all", "waiting")):
        assert batch("--job", job, "--viewers", viewers) == 0
        assert current_snapshot(tmp_path) == made  # who waits does not wait for them
    assert batch("--job", "copies") == 0
    renewed = current_snapshot(tmp_path)
    assert renewed != made
    assert batch("--job", "neighbours", "--viewers", "changed") == 0
    assert current_snapshot(tmp_path) != renewed
    assert batch("--job", "copies", "--viewers", "recent") != 0
    assert "copies with all" in capsys.readouterr().err


def test_recent_renews_the_lists_of_those_seen_lately_alone(tmp_path: Path):
    """ann asked ten minutes ago, cat an hour ago: only ann's list tells of the new post."""
    town(3).visit("ann", hours_ago=1 / 6).visit("cat", hours_ago=1).write(tmp_path)
    run(tmp_path)
    former = lists_of(tmp_path)
    town(4).visit("ann", hours_ago=1 / 6).visit("cat", hours_ago=1).write(tmp_path)
    run(tmp_path, "candidates", "recent")
    found = lists_of(tmp_path)
    assert len(found["did:plc:ann"]) == 4
    assert {did: items for did, items in found.items() if did != "did:plc:ann"} == {
        did: items for did, items in former.items() if did != "did:plc:ann"
    }
    assert generations_of(tmp_path) == {did: 2 if did == "did:plc:ann" else 1 for did in former}
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    told = serving.execute("SELECT DISTINCT job, tier, feed FROM runs WHERE run_id = 2").fetchall()
    serving.close()
    assert told == [("candidates", "recent", "")]
    assert not (
        tmp_path / "explore" / "00000003"
    ).exists()  # analysts keep the lists of the run for everybody


def test_recent_does_nothing_when_nobody_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    town().visit("ann", hours_ago=2).write(tmp_path)
    run(tmp_path)
    with caplog.at_level("INFO", "foryou.batch"):
        run(tmp_path, "candidates", "recent")
    assert "nobody asked for a feed lately" in caplog.text
    assert set(generations_of(tmp_path).values()) == {1}


def test_a_list_that_no_run_for_some_renews_is_not_forgotten(tmp_path: Path):
    """Partial runs for more than a day: the others' lists stay, and so do the posts and fallbacks they need."""
    town(3).visit("ann").write(tmp_path)
    run(tmp_path)
    for number in (1, 2):
        town(3 + number).visit("ann", hours_ago=-13 * number).write(tmp_path)
        run(tmp_path, "candidates", "recent", START + 13 * 3600 * number)
    found = lists_of(tmp_path)
    assert len(found["did:plc:ann"]) == 5
    assert len(found["did:plc:cat"]) == 3
    run(tmp_path, "candidates", "all", START + 40 * 3600)
    assert {len(items) for items in lists_of(tmp_path).values()} == {5}


def test_a_newcomer_gets_neighbours_and_a_list_beside_a_running_batch(tmp_path: Path):
    """zoe came and her likes were fetched: she waits, is seen to, and waits no more; the neighbours job takes over."""
    town().visit("ann").write(tmp_path)
    run(tmp_path)
    before = generations_of(tmp_path)
    made = town().visit("ann").visit("zoe")
    made.like("zoe", "p1", hours_ago=2)
    made.write(tmp_path)
    with jobs.exclusive(tmp_path, "batch"):
        run(tmp_path, "all", "waiting", START + 1)
    assert generations_of(tmp_path) == {**before, "did:plc:zoe": 2}
    assert [item[0] for item in lists_of(tmp_path)["did:plc:zoe"]] == [made.uri(f"q{i}") for i in range(3)]
    near = neighbours_of(tmp_path)[made.id("zoe")]
    run(tmp_path, "all", "waiting", START + 2)  # nobody waits
    assert max(generations_of(tmp_path).values()) == 2
    run(tmp_path, "candidates", "all", START + 3)  # of her whom the file of neighbours does not have yet
    assert "did:plc:zoe" in generations_of(tmp_path)
    run(tmp_path, "neighbours", "changed", START + 4)
    assert not (tmp_path / "lake" / "neighbours-newer.parquet").exists()
    assert [name for name, _ in neighbours_of(tmp_path)[made.id("zoe")]] == [name for name, _ in near]


def test_an_answer_is_heard_at_once(tmp_path: Path):
    """ann answers q0 with "show less": the next look makes her list anew, without it and once."""
    town().visit("ann").like("cat", "q0").like("cat", "q1").write(tmp_path)
    run(tmp_path)
    made = (
        town()
        .visit("ann")
        .like("cat", "q0")
        .like("cat", "q1")
        .like("dan", "q2")
        .interaction("ann", "q0", "requestLess", hours_ago=-0.01)
    )
    made.write(tmp_path)
    run(tmp_path, "all", "waiting", START + 60)
    assert lists_of(tmp_path)["did:plc:ann"][0][0] == made.uri("q2")
    assert made.uri("q0") not in {item[0] for item in lists_of(tmp_path)["did:plc:ann"]}
    generation = max(generations_of(tmp_path).values())
    run(tmp_path, "all", "waiting", START + 61)
    assert max(generations_of(tmp_path).values()) == generation == 2


def test_likes_from_a_repository_are_heard_at_once(tmp_path: Path):
    """A viewer of whom no list could be made is tried again as soon as likes of theirs are fetched."""
    made = town().visit("ann").visit("zoe").actor("zoe")
    made.write(tmp_path)
    run(tmp_path)
    run(tmp_path, "all", "waiting", START + 1)
    assert "did:plc:zoe" not in lists_of(tmp_path)
    landing = connect(places.landing(tmp_path))
    author, rkey = made.posts["p1"]
    landing.execute(
        "INSERT INTO like_words SELECT ?1, ?2, ?1, ?3, ?4, ?5, 2, commit_no + 1 FROM last_commit",
        (made.time(27) << 10, made.id("zoe"), author, rkey, made.time(27)),
    )
    landing.execute(
        "INSERT INTO fetched_viewers (did, fetched_us, likes, outcome, commit_no) "
        "VALUES ('did:plc:zoe', ?, 1, 'done', 2)",
        (int(START * 1e6) + 2_000_000,),
    )
    landing.close()
    run(tmp_path, "all", "waiting", START + 3)
    assert len(lists_of(tmp_path)["did:plc:zoe"]) == 3


def purge(data_dir: Path) -> None:
    """Let ingest remove what is in the lake."""
    landing = Landing(data_dir)
    retention = Retention(landing, data_dir, 90.0)
    while retention.step():
        pass
    landing.close()


def words_of(data_dir: Path, rkey: int) -> int:
    """Return how many words landing.sqlite has about records with a key."""
    landing = connect(places.landing(data_dir), read_only=True)
    found = landing.execute("SELECT count(*) FROM like_words WHERE rkey = ?", (rkey,)).fetchone()[0]
    landing.close()
    return int(found)


def test_changed_works_out_those_who_liked_and_keeps_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """fay likes p1 a minute later: hers are new; the others' stay as they were, fay not among them."""
    town().write(tmp_path)
    run(tmp_path)
    former = neighbours_of(tmp_path)
    later = World(NOW_US + 60_000_000)
    for name in ("ann", "bob", "cat", "dan", "eve"):
        later.like(name, "p1", hours_ago=30 + 1 / 60).like(name, "p2", hours_ago=29 + 1 / 60)
    for i in range(3):
        later.post(f"q{i}", by=f"author{i}", hours_ago=i + 1 + 1 / 60).like(
            "bob", f"q{i}", hours_ago=0.5 + 1 / 60
        )
    later.like("fay", "p1", hours_ago=1 / 120).write(tmp_path)
    with caplog.at_level("INFO", "foryou.batch"):
        run(tmp_path, "neighbours", "changed", START + 1)
    assert "neighbours changed: viewers 1, " in caplog.text
    found = neighbours_of(tmp_path)
    assert len(found.pop(later.id("fay"))) == 5
    assert found == former
    run(tmp_path, "neighbours", "all", START + 2)
    assert later.id("fay") in {other for other, _ in neighbours_of(tmp_path)[later.id("ann")]}


@pytest.mark.parametrize("steps", [("unlike",), ("close", "unlike"), ("close", "unlike", "fold")])
def test_who_takes_a_like_back_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, steps: tuple[str, ...]
):
    """fay no longer likes p1, the only post she shares with others: the next run knows, whatever moved to the lake."""
    made = town().like("fay", "p1", hours_ago=29).like("fay", "only", hours_ago=28)
    made.write(tmp_path)
    if "close" in steps:
        run(tmp_path, "compact")
        purge(tmp_path)
    run(tmp_path, "neighbours")
    assert made.id("fay") in neighbours_of(tmp_path)
    store = Landing(tmp_path)
    key = made.like_rkeys["fay", "p1"]
    unlike = Unlike(made.did("fay"), key, NOW_US + 1_000_000, tid_at(NOW_US + 1_000_000))
    batch = EventBatch(unlikes=[unlike], newest_us=NOW_US + 2_000_000)
    store.append(batch, "one.example", "firehose")
    store.close()
    if "fold" in steps:
        run(tmp_path, "compact")
        purge(tmp_path)
        assert words_of(tmp_path, key) == 0
    with caplog.at_level("INFO", "foryou.batch"):
        run(tmp_path, "neighbours", "changed", START + 1)
    assert "neighbours changed: viewers 1, " in caplog.text
    assert made.id("fay") not in neighbours_of(tmp_path)


def test_a_full_pass_is_due_when_the_parameters_changed_or_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    town().write(tmp_path)
    run(tmp_path, "neighbours")
    with caplog.at_level("INFO", "foryou.batch"):
        run(tmp_path, "neighbours", "changed", START + 0.1)
        assert "neighbours changed: viewers 0, " in caplog.text
        caplog.clear()
        run(tmp_path, "neighbours", "changed", START + 0.2, likers_exponent=1.0)
        run(tmp_path, "neighbours", "changed", START + 86_401, likers_exponent=1.0)
    assert "viewers changed" not in caplog.text


def forget_neighbours(data_dir: Path, viewers: set[int]) -> None:
    """Remove what was computed of some viewers."""
    places.newer_neighbours(places.neighbours(data_dir)).unlink(missing_ok=True)
    for path in (path for layer in layers_of(places.neighbours(data_dir)) for path in layer):
        rows = pq.read_table(path)
        others = pc.invert(pc.is_in(rows.column("viewer_id"), pa.array(sorted(viewers), pa.int32())))
        pq.write_table(rows.filter(others), path)


def test_who_was_seen_lately_and_likes_has_new_neighbours_within_minutes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """ann and cat were seen lately and fay was not; ann and fay like something: ann alone is computed."""
    made = town().visit("ann", hours_ago=1 / 6).visit("cat", hours_ago=1 / 6)
    made.like("fay", "q1", hours_ago=40).like("gil", "q1", hours_ago=40)
    made.write(tmp_path)
    run(tmp_path)
    run(tmp_path, "all", "waiting", START + 1)
    former, at_us = neighbours_of(tmp_path), NOW_US + 200_000_000
    stream_likes(tmp_path, made, "did:plc:ann", ["q1"], at_us)
    stream_likes(tmp_path, made, "did:plc:fay", ["p1"], at_us + 1)
    with caplog.at_level("INFO", "foryou.batch"):
        run(tmp_path, "neighbours", "liked", START + 201)
    assert "neighbours liked: viewers 1, " in caplog.text
    found = neighbours_of(tmp_path)
    assert {made.id("fay"), made.id("gil")} < {other for other, _ in found.pop(made.id("ann"))}
    assert found == {viewer: rows for viewer, rows in former.items() if viewer != made.id("ann")}
    assert waiting_viewers(tmp_path, at_us + 50_000_000) == []  # what ann liked is known
    run(tmp_path, "candidates", "recent", START + 202)
    caplog.clear()
    with caplog.at_level("INFO", "foryou.batch"):
        run(tmp_path, "neighbours", "liked", START + 400)
    assert (
        "neighbours liked: viewers 1, " in caplog.text
    )  # a like is looked at again for a minute of the stream
    run(tmp_path, "neighbours", "all", START + 500)
    assert neighbours_of(tmp_path)[made.id("ann")]


def test_nobody_is_followed_before_there_are_neighbours(tmp_path: Path):
    town().visit("ann", hours_ago=1 / 6).write(tmp_path)
    run(tmp_path, "neighbours", "liked")
    assert not places.neighbours(tmp_path).exists()


@settings(
    max_examples=max(4, EXAMPLES // 10),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a second an example: shrinking would take long
)
@given(worlds(), rankings(), st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3))
def test_a_run_for_some_gives_the_rows_of_a_run_for_all(
    tmp_path_factory: pytest.TempPathFactory, world: World, ranking: Ranking, asked: set[str]
):
    """Waiting, liked, recent and all: the same neighbours and lists, to the last bit, for whom the run is."""
    data = tmp_path_factory.mktemp("tiers")
    answered = {row[0] for row in world.interactions if row[2] in ("requestLess", "requestMore", "pick")}
    # Who answers has come; who picked posts and liked nothing has no number before.
    asked = asked | {name for name in "abcdef" if world.did(name) in answered}
    for name in sorted(asked):
        world.actor(name, world.status.get(name, 0)).visit(name)
    if not world.likes:
        return
    world.write(data)
    parameters = {name: getattr(ranking, name) for name in ranking.__dataclass_fields__}
    run(data, at=START, **parameters)
    neighbours, lists = neighbours_of(data), lists_of(data)
    serving = sqlite3.connect(data / "serving.sqlite", isolation_level=None)
    serving.execute("DELETE FROM lists")
    serving.close()
    run(data, "all", "waiting", START + 1, **parameters)
    dids = {world.did(name) for name in asked}
    assert neighbours_of(data) == neighbours
    assert lists_of(data) == {did: items for did, items in lists.items() if did in dids}
    run(data, "candidates", "recent", START + 2, **parameters)
    assert lists_of(data) == {did: items for did, items in lists.items() if did in dids}
    forget_neighbours(data, {world.id(name) for name in asked})
    run(data, "neighbours", "liked", START + 3, **parameters)
    assert neighbours_of(data) == neighbours


def test_a_list_from_a_later_snapshot_stays(tmp_path: Path):
    """While a run for everybody is at work, ann likes q0 and her list is renewed: the older lists leave it alone."""
    made = town().visit("ann")
    made.write(tmp_path)
    run(tmp_path)
    before = lists_of(tmp_path)
    settings = settings_for(tmp_path, {})
    serving = connect(tmp_path / "serving.sqlite")
    everybody = jobs.BatchRun(settings, feeds_of(settings), serving, lambda: START + 10, "all")
    steps = next(jobs.batch_parts(everybody, ["candidates"])).steps
    while next(steps)[0] != "checks":
        pass
    landing = connect(places.landing(tmp_path))
    landing.execute("UPDATE watermark SET seen_us = seen_us + 1000000")
    landing.execute(
        "INSERT INTO like_words "
        "SELECT (w.seen_us - 10) * 1024, ?, (w.seen_us - 8) * 1024, p.author_id, p.rkey, w.seen_us - 5, 0, 2 "
        "FROM watermark AS w, posts AS p JOIN actors AS a ON a.actor_id = p.author_id WHERE a.did = 'did:plc:author0'",
        (made.id("ann"),),
    )
    landing.close()
    run(tmp_path, "candidates", "recent", START + 11)
    renewed = lists_of(tmp_path)["did:plc:ann"]
    assert len(renewed) == len(before["did:plc:ann"]) - 1
    list(steps)
    serving.close()
    assert lists_of(tmp_path) == {**before, "did:plc:ann": renewed}
    assert [*(tmp_path / "explore").glob("*/feed_lists/*/0000000003-00000.parquet")]


def run_in_child(data_dir: Path, viewers: str) -> None:
    """Run for some viewers, in a process to be killed."""
    run(data_dir, "all" if viewers == "waiting" else "neighbours", viewers, START + 1)


def test_runs_for_some_are_killed_at_any_moment(tmp_path: Path):
    """kill -9 at random moments of both kinds: lists stay whole, and the next run makes what was left."""
    made = town().visit("ann")
    made.write(tmp_path)
    run(tmp_path)
    neighbours, lists = neighbours_of(tmp_path), lists_of(tmp_path)
    serving = connect(tmp_path / "serving.sqlite")
    serving.execute("DELETE FROM lists WHERE viewer_id = ?", (made.id("ann"),))
    serving.close()
    moments = random.Random(3)
    for viewers in ("waiting", "changed", "waiting", "changed"):
        child = FORKS.Process(target=run_in_child, args=(tmp_path, viewers))
        child.start()
        time.sleep(moments.uniform(0.05, 0.5))
        child.kill()
        child.join()
        found = lists_of(tmp_path)
        assert {**found, "did:plc:ann": lists["did:plc:ann"]} == lists
        assert neighbours_of(tmp_path) == neighbours
    run(tmp_path, "all", "waiting", START + 700)
    run(tmp_path, "neighbours", "changed", START + 701)
    assert lists_of(tmp_path) == lists
    assert neighbours_of(tmp_path) == neighbours
