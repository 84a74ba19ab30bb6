"""History from an archive: what ends in the lake is what a plain model of the events says, after any number of
ends."""

import random
import time
from contextlib import ExitStack
from pathlib import Path

import commands
import duckdb
import pytest
from archive_server import ArchiveServer, Event, like, segments_of, unlike
from backfill_tools import TODAY, backfill, events_of, lake_contents
from histories import POST, History, did
from streams import wait_until

from pipeline.identifiers import rkey_to_int, tid_at, tid_from_int
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US
from sql import places
from sql.sqlite import connect, migrate

KILLS = 12


def landing_that_begins_on(data_dir: Path, day: int) -> None:
    store = connect(data_dir / "landing.sqlite")
    migrate(store, "landing")
    store.execute("INSERT INTO actors (did) VALUES ('did:plc:earlier')")
    store.execute(
        "INSERT INTO likes VALUES (?, ?, 1, 1, ?, ?, 1)",
        (day, tid_at(day * DAY_US), tid_at(day * DAY_US), day * DAY_US),
    )
    store.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", ((day + 1) * DAY_US,))
    store.close()


@pytest.mark.parametrize("seed", range(4))
def test_the_lake_holds_what_the_events_say(tmp_path: Path, seed: int) -> None:
    history = History(TODAY - 9, seed).grow(days=9, a_day=150)
    with ArchiveServer(segments_of(events_of(history), segment_events=170, block_events=40)) as server:
        result = backfill(tmp_path, server, "--days", "7")
        assert result.returncode == 0, result.stderr
        assert lake_contents(tmp_path) == history.expected(TODAY - 7, TODAY)
        assert places.closed_days(tmp_path) == set(range(TODAY - 7, TODAY))
        # Asking again fetches nothing; asking for more fetches what is missing, and changes nothing else.
        server.requests.clear()
        before = {day: places.likes(tmp_path, day).read_bytes() for day in places.closed_days(tmp_path)}
        assert backfill(tmp_path, server, "--days", "7").returncode == 0
        assert server.asked("getSegment") == []
        assert backfill(tmp_path, server, "--days", "9").returncode == 0
        assert {day: places.likes(tmp_path, day).read_bytes() for day in before} == before
        assert lake_contents(tmp_path) == history.expected(TODAY - 9, TODAY)


def test_an_archive_that_ends_in_the_middle_of_a_day(tmp_path: Path) -> None:
    """Of an empty store the last whole day is the first to be made, but what came after it counts."""
    history = History(TODAY - 6, 7).grow(days=6, a_day=150)
    with ArchiveServer(segments_of(history.events, segment_events=100)) as server:
        assert backfill(tmp_path, server, "--days", "6").returncode == 0
    assert places.closed_days(tmp_path) == set(range(TODAY - 6, TODAY - 1))
    assert lake_contents(tmp_path) == history.expected(TODAY - 6, TODAY - 1)


def test_no_more_than_the_lake_keeps_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "foryou.toml").write_text("[ranking]\nseed_window_days = 4\n")
    history = History(TODAY - 7, 8).grow(days=7, a_day=200)
    data = tmp_path / "data"
    with ArchiveServer(segments_of(events_of(history), segment_events=100)) as server:
        result = backfill(data, server, "--days", "30")
        assert result.returncode == 0
    assert "the lake keeps 4 days" in result.stderr
    assert lake_contents(data) == history.expected(TODAY - 4, TODAY)


def test_the_newest_days_are_there_when_a_run_ends_early(tmp_path: Path) -> None:
    history = History(TODAY - 5, 9).grow(days=5, a_day=100)
    stored = segments_of(events_of(history), segment_events=50)
    with ArchiveServer(stored) as server:
        lost = server.segments[3].name
        server.lost.add(lost)
        result = backfill(tmp_path, server, "--days", "5")
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].startswith("foryou: 127.0.0.1:")
        there = places.closed_days(tmp_path)
        assert there and there == set(range(min(there), TODAY)) and min(there) > TODAY - 5
        server.lost.clear()
        assert backfill(tmp_path, server, "--days", "5").returncode == 0
    assert lake_contents(tmp_path) == history.expected(TODAY - 5, TODAY)


def test_tombstones_are_kept_only_where_they_may_be_needed(tmp_path: Path) -> None:
    day_us = (TODAY - 2) * DAY_US
    uri = f"at://{did('n')}/{POST}/{tid_from_int(tid_at(day_us))}"
    honest, ahead = tid_from_int(tid_at(day_us + 1)), tid_from_int(tid_at(day_us + 3 * DAY_US))
    events = [
        like(n, day_us + n * 1000, did("b"), rkey, uri) for n, rkey in enumerate((honest, "x", ahead, "z"), 1)
    ]
    events += [unlike(n, day_us + n * 1000, did("b"), rkey) for n, rkey in enumerate((honest, "x", "y"), 11)]
    events.append(Event(20, TODAY * DAY_US + 1, 4, did("b")))
    with ArchiveServer(segments_of(events, segment_events=50)) as server:
        assert backfill(tmp_path, server, "--days", "2").returncode == 0
    path = tmp_path / "lake" / "unlikes" / f"day={places.day_name(TODAY - 2)}" / "unlikes.parquet"
    rows = duckdb.sql(
        f"SELECT rkey, seen_us FROM read_parquet('{path}', hive_partitioning = false)"
    ).fetchall()
    assert rows == [(rkey_to_int("y"), day_us + 13_000)]
    assert {rkey for _, (_, rkey, _, _) in lake_contents(tmp_path)} == {rkey_to_int(ahead), rkey_to_int("z")}


def test_killed_at_any_moment_it_ends_with_the_same_lake(tmp_path: Path) -> None:
    history = History(TODAY - 6, 11).grow(days=6, a_day=250)
    stored = segments_of(events_of(history), segment_events=50, block_events=20)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    with ArchiveServer(stored) as server:
        assert backfill(undisturbed, server, "--days", "6").returncode == 0
        choose = random.Random(5)
        env = commands.environment(killed, archive_key="secret-key", archive_url=server.url)
        kills = 0
        for _ in range(KILLS):
            server.requests.clear()
            fetches = choose.randint(1, 3)
            with commands.running("backfill", "--days", "6", env=env) as process:
                while len(server.asked("getSegment")) < fetches and process.poll() is None:
                    time.sleep(0.005)
                time.sleep(choose.uniform(0, 0.1))  # into decoding, spooling, or a day's writing
                kills += process.poll() is None
                process.kill()
        assert kills >= 10
        result = backfill(killed, server, "--days", "6")
        assert result.returncode == 0, result.stderr
    assert lake_contents(killed) == lake_contents(undisturbed) == history.expected(TODAY - 6, TODAY)
    for day in places.closed_days(undisturbed):
        assert places.likes(killed, day).read_bytes() == places.likes(undisturbed, day).read_bytes()
    assert list((killed / "backfill").glob("*/download/*")) == []
    assert list((killed / "backfill").glob("*/rows/*")) == []


def test_days_that_the_store_knows_are_left_alone(tmp_path: Path) -> None:
    history = History(TODAY - 6, 3).grow(days=6, a_day=60)
    landing_that_begins_on(tmp_path, TODAY - 2)
    with ArchiveServer(segments_of(events_of(history), segment_events=50)) as server:
        result = backfill(tmp_path, server, "--days", "5")
        assert result.returncode == 0, result.stderr
        assert places.closed_days(tmp_path) == {TODAY - 5, TODAY - 4, TODAY - 3}
        for day in places.closed_days(tmp_path):  # a day's tombstones are there before its likes
            assert (
                tmp_path / "lake" / "unlikes" / f"day={places.day_name(day)}" / "unlikes.parquet"
            ).exists()
        assert backfill(tmp_path, server, "--days", "2").returncode == 0
        assert "nothing to fetch" in backfill(tmp_path, server, "--days", "2").stderr


def test_an_archive_that_does_not_reach_the_store_is_refused(tmp_path: Path) -> None:
    """Days between the two could never be filled later."""
    history = History(TODAY - 6, 3).grow(days=3, a_day=60)
    landing_that_begins_on(tmp_path, TODAY - 2)
    with ArchiveServer(segments_of(history.events, segment_events=50)) as server:
        result = backfill(tmp_path, server, "--days", "5")
    assert result.returncode == 1
    assert f"not yet to the end of {places.day_name(TODAY - 3)}" in result.stderr.splitlines()[-1]
    assert places.closed_days(tmp_path) == set()


def test_accounts_that_are_known_to_be_deleted_are_left_out(tmp_path: Path) -> None:
    landing_that_begins_on(tmp_path, TODAY - 1)
    store = connect(tmp_path / "landing.sqlite")
    store.execute("INSERT INTO actors (did, status, deleted_us) VALUES (?, 4, ?)", (did("b"), TODAY * DAY_US))
    store.execute("INSERT INTO actors (did, status) VALUES (?, 1)", (did("c"),))
    store.close()
    noon = (TODAY - 3) * DAY_US + DAY_US // 2
    uri = f"at://{did('n')}/{POST}/{tid_from_int(tid_at(noon))}"
    events = [
        like(n, noon + n, did(who), tid_from_int(tid_at(noon + n)), uri) for n, who in enumerate("bcd", 1)
    ]
    events.append(Event(9, TODAY * DAY_US + 1, 4, did("b")))
    with ArchiveServer(segments_of(events, segment_events=50)) as server:
        assert backfill(tmp_path, server, "--days", "5").returncode == 0
    assert {record[0] for _, record in lake_contents(tmp_path)} == {did("c"), did("d")}


def test_it_waits_for_the_lock_of_the_lake_only_to_commit(tmp_path: Path) -> None:
    history = History(TODAY - 2, 3).grow(days=2, a_day=60)
    with ArchiveServer(segments_of(events_of(history), segment_events=50)) as server:
        env = commands.environment(tmp_path, archive_key="secret-key", archive_url=server.url)
        log = tmp_path / "log"
        with ExitStack() as lock:
            lock.enter_context(exclusive(tmp_path, "batch"))
            with commands.running("backfill", "--days", "2", env=env, log=log) as process:
                wait_until(lambda: "waiting for a batch job" in log.read_text())
                assert places.closed_days(tmp_path) == set()
                # A day that somebody else puts there meanwhile stays as it is.
                theirs = places.likes(tmp_path, TODAY - 1)
                theirs.parent.mkdir(parents=True)
                theirs.write_bytes(b"theirs")
                lock.close()
                assert process.wait(30) == 0
    assert theirs.read_bytes() == b"theirs"
    assert places.closed_days(tmp_path) == {TODAY - 2, TODAY - 1}


def test_an_estimate_fetches_nothing(tmp_path: Path) -> None:
    history = History(TODAY - 2, 3).grow(days=2, a_day=60)
    with ArchiveServer(segments_of(events_of(history), segment_events=50)) as server:
        result = backfill(tmp_path, server, "--days", "2", "--estimate")
        assert result.returncode == 0
        assert server.asked("getSegment") == []
    assert f"{places.day_name(TODAY - 2)} to {places.day_name(TODAY - 1)}" in result.stderr
    assert "to fetch" in result.stderr
