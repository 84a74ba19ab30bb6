"""A start without public likes: picks are seeds of people whom no stream named, taken back, and forgotten."""

import sqlite3
from contextlib import closing
from pathlib import Path

from test_batch_tiers import START, lists_of, run, town
from test_viewer_forgotten import found_in, in_web_app
from worlds import World

from pipeline.operate.viewer.forget import forget
from pipeline.store.picked import number_pickers
from pipeline.store.who_is_due import waiting_viewers
from serving.viewers.known_to_us import take_back
from sql import places
from sql.sqlite import open_migrated

ZOE = "did:plc:zoe"  # of whom no stream has reported anything


def picked(data_dir: Path, world: World, *posts: str, at: float = START, viewer: str = ZOE) -> None:
    """Let a viewer pick posts."""
    with closing(open_migrated(places.activity(data_dir), "activity")) as activity:
        activity.executemany(
            "INSERT INTO interactions VALUES (?, ?, 'pick', 'for-you', '', '', ?)",
            [(viewer, world.uri(post), int(at * 1e6)) for post in posts],
        )


def names_of(data_dir: Path) -> list[str]:
    with closing(sqlite3.connect(places.landing(data_dir))) as landing:
        return [did for (did,) in landing.execute("SELECT did FROM actors ORDER BY actor_id")]


def of_neighbours(data_dir: Path) -> set[str]:
    """Return the posts of ZOE's list that somebody with her taste liked."""
    return {post for post, _, co_likers, _ in lists_of(data_dir)[ZOE] if co_likers}


def test_who_picked_has_a_list_after_the_next_run_for_waiting_viewers(tmp_path: Path) -> None:
    world = town()
    world.write(tmp_path)
    run(tmp_path)
    before = lists_of(tmp_path)
    picked(tmp_path, world, "p1", "p2")
    assert waiting_viewers(tmp_path, int(START * 1e6)) == [ZOE]
    run(tmp_path, "all", "waiting", START + 1)
    found = lists_of(tmp_path)
    assert {post for post, *_ in found[ZOE]} == {world.uri(f"q{number}") for number in range(3)}
    assert {did: found[did] for did in before} == before
    assert waiting_viewers(tmp_path, int((START + 2) * 1e6)) == []
    run(tmp_path, at=START + 3)  # a run for everybody finds the same
    assert lists_of(tmp_path) == found


def test_picks_that_were_taken_back_count_for_nothing(tmp_path: Path) -> None:
    world = town().like("fay", "s1", hours_ago=30).like("gus", "s1", hours_ago=30)
    world.post("t1", by="hal", hours_ago=1).like("fay", "t1", hours_ago=0.5)
    world.write(tmp_path)
    picked(tmp_path, world, "p1", "s1")
    assert number_pickers(tmp_path, [ZOE, "did:plc:nobody"]) == 1
    run(tmp_path)
    assert of_neighbours(tmp_path) == {world.uri(name) for name in ("q0", "q1", "q2", "t1")}
    take_back(places.activity(tmp_path), ZOE, world.uri("p1"), int((START + 5) * 1e6))
    assert waiting_viewers(tmp_path, int((START + 6) * 1e6)) == [ZOE]
    run(tmp_path, "all", "waiting", START + 6)
    assert of_neighbours(tmp_path) == {world.uri("t1")}
    take_back(places.activity(tmp_path), ZOE, world.uri("s1"), int((START + 7) * 1e6))
    run(tmp_path, "all", "waiting", START + 8)
    run(tmp_path, "neighbours", "changed", START + 9)
    run(tmp_path, "candidates", "all", START + 2 * 86_400)  # a list that nothing renews stays for a day
    assert ZOE not in lists_of(tmp_path)
    assert "did:plc:ann" in lists_of(tmp_path)


def test_nobody_gets_a_number_without_a_pick_or_twice(tmp_path: Path) -> None:
    world = town().visit("ann")
    world.write(tmp_path)
    before = names_of(tmp_path)
    assert number_pickers(tmp_path, [ZOE, "did:plc:ann"]) == 0
    picked(tmp_path, world, "p1")
    picked(tmp_path, world, "p1", viewer="did:plc:ann")
    assert number_pickers(tmp_path, [ZOE, "did:plc:ann"]) == 1
    assert number_pickers(tmp_path, [ZOE, "did:plc:ann"]) == 0
    assert names_of(tmp_path) == [*before, ZOE]


def test_forgetting_takes_the_name_of_who_only_picked_out_of_every_file(tmp_path: Path) -> None:
    world = town()
    world.write(tmp_path)
    picked(tmp_path, world, "p1", "p2")
    picked(tmp_path, world, "p1", "p2", viewer="did:plc:yan")
    number_pickers(tmp_path, [ZOE, "did:plc:yan"])
    run(tmp_path)
    with closing(sqlite3.connect(places.landing(tmp_path))) as landing:  # yan's first like is public
        landing.execute(
            "INSERT INTO like_words SELECT rkey + 1, (SELECT actor_id FROM actors WHERE did = 'did:plc:yan'), rev, "
            "author_id, post_rkey, seen_us, marks, commit_no FROM like_words LIMIT 1"
        )
        landing.commit()
    assert {Path(name).name for name in found_in(tmp_path, ZOE)} >= {
        "landing.sqlite", "activity.sqlite", "serving.sqlite", "actors.parquet"
    }  # fmt: skip
    report = forget(tmp_path, ZOE, in_web_app(tmp_path), 10**18)
    assert found_in(tmp_path, ZOE) == set(), report
    forget(tmp_path, "did:plc:yan", in_web_app(tmp_path), 10**18)
    assert {Path(name).name for name in found_in(tmp_path, "did:plc:yan")} == {
        "landing.sqlite",
        "actors.parquet",
    }
    names = names_of(tmp_path)
    assert "did:plc:yan" in names
    assert sum(name.startswith("forgotten:") for name in names) == 1
    run(tmp_path, at=START + 1)
    assert ZOE not in lists_of(tmp_path)
