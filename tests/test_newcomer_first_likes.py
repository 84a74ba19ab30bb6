"""Who opens the feed before they have liked anything, and who is said to be deactivated though they are not."""

import time
from pathlib import Path
from typing import Any

import commands
import pytest
from repositories import NOW_US as CLOCK_US
from repositories import Repositories, record_of
from streamed_likes import stream_likes
from streams import wait_until
from test_batch_tiers import START, lists_of, run, town
from worlds import NOW_US, World, small_town

from pipeline.backfill import fetch_waiting
from pipeline.identifiers import post_uri, tid_at
from pipeline.ranking import Ranking
from pipeline.store.events import AccountChange, EventBatch, Like
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US, HOUR_US, AccountStatus
from pipeline.store.who_is_due import FEW_LIKES, waiting_viewers
from serving.identity.repository_reader import RepositoryReader
from sql import places
from sql.sqlite import connect, has_tables, migrate

SECOND = 1_000_000
ZOE = "did:plc:zoe"


def test_likes_after_the_first_look_are_seen_at_once(tmp_path: Path) -> None:
    """zoe opens the feed and nothing is known of her; then the stream reports what she likes."""
    made = town().visit("ann").visit("zoe")
    made.write(tmp_path)
    run(tmp_path)
    run(tmp_path, "all", "waiting", START + 1)
    assert ZOE not in lists_of(tmp_path)
    stream_likes(tmp_path, made, ZOE, ["p1"], NOW_US + 5 * SECOND)
    assert waiting_viewers(tmp_path, NOW_US + 6 * SECOND, rows=1, since_us=NOW_US - 100 * SECOND) == [ZOE]
    run(tmp_path, "all", "waiting", START + 6)
    assert len(lists_of(tmp_path)[ZOE]) == 3
    # Nothing new, so nobody waits. More likes count soon, and they need no other visit.
    assert waiting_viewers(tmp_path, NOW_US + 90 * SECOND) == []
    stream_likes(tmp_path, made, ZOE, ["p1", "p2"], NOW_US + 8 * SECOND)
    assert waiting_viewers(tmp_path, NOW_US + 9 * SECOND) == []
    assert waiting_viewers(tmp_path, NOW_US + 300 * SECOND, since_us=NOW_US + 200 * SECOND) == [ZOE]
    run(tmp_path, "all", "waiting", START + 300)
    assert waiting_viewers(tmp_path, NOW_US + 600 * SECOND) == []


def test_whoever_has_many_likes_is_followed_while_they_scroll(tmp_path: Path) -> None:
    """Behind all others, and not before a run for waiting viewers has been over four times as long as it took."""
    made = town().visit("zoe")
    for number in range(FEW_LIKES + 1):
        made.post(f"z{number}", by="someone", hours_ago=2)
    made.write(tmp_path)
    run(tmp_path)
    run(tmp_path, "all", "waiting", START + 1)
    everything = [f"z{number}" for number in range(FEW_LIKES)]
    stream_likes(tmp_path, made, ZOE, everything, NOW_US + 5 * SECOND)
    assert waiting_viewers(tmp_path, NOW_US + 6 * SECOND) == [ZOE]
    run(tmp_path, "all", "waiting", START + 6)
    stream_likes(tmp_path, made, ZOE, ["p1"], NOW_US + 50 * SECOND)
    _set_runs(tmp_path, NOW_US + 6 * SECOND, 0.1)
    assert waiting_viewers(tmp_path, NOW_US + 40 * SECOND) == []  # had a list a moment ago
    assert waiting_viewers(tmp_path, NOW_US + 90 * SECOND) == [ZOE]
    visits = connect(places.activity(tmp_path))
    newcomers = [f"did:plc:newcomer{number}" for number in range(3)]
    rows = [(did, "for-you", "en", NOW_US, NOW_US) for did in newcomers]
    visits.executemany("INSERT INTO visits VALUES (?, ?, ?, 1, ?, ?)", rows)
    visits.close()
    assert waiting_viewers(tmp_path, NOW_US + 90 * SECOND) == [*newcomers, ZOE]
    assert (
        waiting_viewers(tmp_path, NOW_US + 130 * SECOND) == newcomers
    )  # scrolls no more: others renew the list
    _set_runs(tmp_path, NOW_US + 6 * SECOND, 30.0)
    assert waiting_viewers(tmp_path, NOW_US + 100 * SECOND) == newcomers  # a run took long, a moment ago


def _set_runs(data_dir: Path, started_us: int, seconds: float) -> None:
    store = connect(places.serving(data_dir))
    store.execute("UPDATE runs SET started_us = ?, seconds = 0 WHERE tier = 'waiting'", (started_us,))
    store.execute("UPDATE runs SET seconds = ? WHERE tier = 'waiting' AND step = 'product'", (seconds,))
    store.close()


def test_the_timetable_makes_a_list_within_a_minute_of_six_likes(tmp_path: Path) -> None:
    """The real timetable and its processes; the newcomer's repository is empty when they come."""
    newcomer = "did:plc:" + "z" * 24
    made = small_town(CLOCK_US)
    made.visit("ann").write(tmp_path)
    with Repositories(records={newcomer: []}) as hosts:
        env = commands.environment(
            tmp_path, plc_url=hosts.url, waiting_seconds="1", candidates_minutes="60", everybody_minutes="60"
        )
        with commands.running("schedule", env=env, log=tmp_path / "log"):
            wait_until(lambda: "looking for viewers" in (tmp_path / "log").read_text())
            activity = connect(places.activity(tmp_path))
            now_us = time.time_ns() // 1000
            activity.execute(
                "INSERT INTO visits VALUES (?, 'for-you', 'en', 1, ?, ?)", (newcomer, now_us, now_us)
            )
            activity.close()
            wait_until(lambda: _was_in_a_run(tmp_path, newcomer))
            assert newcomer not in lists_of(tmp_path)
            began = time.monotonic()
            liked = [f"p{number}" for number in range(6)]
            stream_likes(tmp_path, made, newcomer, liked, time.time_ns() // 1000)
            wait_until(lambda: newcomer in lists_of(tmp_path))
            print(f"a list {time.monotonic() - began:.1f} s after six likes")
    expected = {made.uri(f"q{number}") for number in range(5)}
    assert {item[0] for item in lists_of(tmp_path)[newcomer]} >= expected


def _was_in_a_run(data_dir: Path, viewer: str) -> bool:
    store = connect(places.serving(data_dir), read_only=True)
    try:
        query = "SELECT count(*) FROM waiting_runs WHERE viewer_did = ?"
        return bool(store.execute(query, (viewer,)).fetchone()[0])
    finally:
        store.close()


# Accounts of which the host they left says that they are deactivated.

MOVED = "did:plc:" + "m" * 24
WORD_US = CLOCK_US - 3 * HOUR_US


def report_inactive(data_dir: Path, status: AccountStatus, *, likes: int = 0) -> None:
    """Let the stream report likes of an account, and then that it is not active."""
    made = World(CLOCK_US)
    made.like("ann", "p1")
    landing = Landing(data_dir)
    batch = EventBatch(newest_us=CLOCK_US, low_us=CLOCK_US)
    for number in range(likes):
        key = tid_at(WORD_US - HOUR_US + number)
        batch.likes.append(Like(MOVED, key, "did:plc:p1", number, key >> 10, key))
    batch.accounts = [AccountChange(MOVED, status, WORD_US)]
    landing.append(batch, "one.example", "firehose")
    landing.close()


def visit_now(data_dir: Path) -> None:
    activity = connect(places.activity(data_dir))
    migrate(activity, "activity")
    now_us = time.time_ns() // 1000
    activity.execute(
        "INSERT OR REPLACE INTO visits VALUES (?, 'for-you', 'en', 1, ?, ?)", (MOVED, now_us, now_us)
    )
    activity.close()


def status_of(data_dir: Path) -> int:
    assert has_tables(places.landing(data_dir), "actors")
    store = connect(places.landing(data_dir), read_only=True)
    (status,) = store.execute("SELECT status FROM actors WHERE did = ?", (MOVED,)).fetchone()
    store.close()
    return int(status)


def fetch(data_dir: Path, hosts: Repositories) -> None:
    fetch_waiting.run_waiting(data_dir, RepositoryReader(hosts.url), Ranking())


@pytest.mark.parametrize(
    ("status", "later_us", "after"),
    [
        (AccountStatus.DEACTIVATED, HOUR_US, AccountStatus.ACTIVE),
        (AccountStatus.DEACTIVATED, -HOUR_US, AccountStatus.DEACTIVATED),
        (AccountStatus.DEACTIVATED, None, AccountStatus.DEACTIVATED),
        (AccountStatus.TAKENDOWN, HOUR_US, AccountStatus.TAKENDOWN),
        (AccountStatus.SUSPENDED, HOUR_US, AccountStatus.SUSPENDED),
    ],
)
def test_who_moved_is_active_when_their_repository_is_written_to(
    tmp_path: Path, status: AccountStatus, later_us: int | None, after: AccountStatus
) -> None:
    """Though the store has many likes of theirs, so that their repository would not be read otherwise."""
    report_inactive(tmp_path, status, likes=FEW_LIKES + 5)
    visit_now(tmp_path)
    revs = {} if later_us is None else {MOVED: tid_at(WORD_US + later_us)}
    with Repositories(records={MOVED: [record_of(MOVED, DAY_US)]}, revs=revs) as hosts:
        fetch(tmp_path, hosts)
    assert status_of(tmp_path) == after


def test_a_repository_that_can_not_be_read_says_nothing(tmp_path: Path) -> None:
    report_inactive(tmp_path, AccountStatus.DEACTIVATED)
    visit_now(tmp_path)

    def refuse(request: Any, _query: dict[str, str]) -> None:
        hosts.send(request, 400, {"error": "RepoDeactivated"})

    with Repositories(revs={MOVED: tid_at(CLOCK_US)}, answers={MOVED: refuse}) as hosts:
        fetch(tmp_path, hosts)
    assert status_of(tmp_path) == AccountStatus.DEACTIVATED


def test_who_was_fetched_before_that_word_is_looked_at_again(tmp_path: Path) -> None:
    """After ten minutes of the stream's time, not of thirty days; and not again once they are active."""
    report_inactive(tmp_path, AccountStatus.ACTIVE)
    visit_now(tmp_path)
    with Repositories(records={MOVED: []}, revs={MOVED: tid_at(WORD_US - HOUR_US)}) as hosts:
        fetch(tmp_path, hosts)
        report_inactive(tmp_path, AccountStatus.DEACTIVATED)
        for minutes, asked in ((9, 1), (11, 2), (12, 2)):
            landing = Landing(tmp_path)
            at_us = CLOCK_US + minutes * 60 * SECOND
            landing.append(EventBatch(newest_us=at_us, low_us=at_us), "one.example", "firehose")
            landing.close()
            hosts.revs[MOVED] = tid_at(WORD_US + HOUR_US)
            fetch(tmp_path, hosts)
            assert len(hosts.asked()) == asked
    assert status_of(tmp_path) == AccountStatus.ACTIVE


def test_who_moved_gets_a_list(tmp_path: Path) -> None:
    made = World(CLOCK_US)
    for name in ("ann", "bob", "cat"):
        made.like(name, "p1", hours_ago=30).like(name, "p2", hours_ago=29)
    made.post("q", by="author", hours_ago=2).like("bob", "q", hours_ago=1)
    made.visit("ann").write(tmp_path)
    report_inactive(tmp_path, AccountStatus.DEACTIVATED)
    now = CLOCK_US / 1e6
    run(tmp_path, at=now)
    visit_now(tmp_path)
    run(tmp_path, "all", "waiting", now + 1)
    assert MOVED not in lists_of(tmp_path)
    likes = []
    for number, post in enumerate(("p1", "p2")):
        author, post_rkey = made.posts[post]
        name = next(name for name, found in made.actors.items() if found == author)
        record = record_of(MOVED, DAY_US + number)
        record["value"]["subject"]["uri"] = post_uri(made.did(name), post_rkey)
        likes.append(record)
    with Repositories(records={MOVED: likes}, revs={MOVED: tid_at(CLOCK_US - 2 * HOUR_US)}) as hosts:
        fetch(tmp_path, hosts)
    run(tmp_path, "all", "waiting", time.time())
    assert MOVED in lists_of(tmp_path)
