"""History from an archive: what readers see is what a plain model of the events says, after any number of ends."""

import random
import time
from pathlib import Path

import commands
import pytest
from archive_server import ArchiveServer, Event, like, segments_of
from backfill_tools import TODAY, backfill, events_of, holds, readers_see, stream, whole_today  # noqa: F401
from histories import POST, History, did

from pipeline.identifiers import tid_at, tid_from_int
from pipeline.store.model import DAY_US, HOUR_US
from sql import places
from sql.sqlite import connect

KILLS = 12


@pytest.mark.parametrize("seed", range(4))
def test_the_store_holds_what_the_events_say(tmp_path: Path, seed: int) -> None:
    history = History(TODAY - 9, seed).grow(days=9, a_day=150)
    with ArchiveServer(segments_of(events_of(history), segment_events=170, block_events=40)) as server:
        result = backfill(tmp_path, server, "--days", "7")
        assert result.returncode == 0, result.stderr
        assert holds(tmp_path, history, TODAY - 7)
        assert places.closed_days(tmp_path) >= set(range(TODAY - 7, TODAY))
        # Asking again fetches nothing; asking for more fetches what is missing, and changes nothing else.
        server.requests.clear()
        assert backfill(tmp_path, server, "--days", "7").returncode == 0
        assert server.asked("getSegment") == []
        assert backfill(tmp_path, server, "--days", "10").returncode == 0
        assert readers_see(tmp_path) == history.exist()
    assert list((tmp_path / "backfill").iterdir()) == []


def test_an_archive_that_ends_in_the_middle_of_a_day(tmp_path: Path) -> None:
    """What it has of that day is in the store, and the rest is missing, until a stream begins or it has more."""
    history = History(TODAY - 6, 7).grow(days=6, a_day=150)
    half = (TODAY - 1) * DAY_US + DAY_US // 2
    early = [event for event in history.events if event.witnessed_us < half]
    with ArchiveServer(segments_of(early, segment_events=100)) as server:
        assert backfill(tmp_path, server, "--days", "7").returncode == 0
        assert places.closed_days(tmp_path) >= set(range(TODAY - 6, TODAY - 1))
        assert TODAY - 1 not in places.closed_days(tmp_path)
        assert readers_see(tmp_path) != history.exist()
        server.segments = segments_of(events_of(history), segment_events=100)
        assert backfill(tmp_path, server, "--days", "7").returncode == 0
        assert readers_see(tmp_path) == history.exist()


def test_a_stream_that_begins_after_the_archive_ends_leaves_a_gap_between(tmp_path: Path) -> None:
    history = History(TODAY - 4, 7, unseen=False).grow(days=4, a_day=150)
    end, begin = (TODAY - 2) * DAY_US, (TODAY - 1) * DAY_US + 5 * HOUR_US
    early = [event for event in history.events if event.witnessed_us < end]
    with ArchiveServer(segments_of(early, segment_events=100)) as server:
        assert backfill(tmp_path, server, "--days", "5").returncode == 0
        stream(tmp_path, history, (begin, TODAY * DAY_US + 2 * HOUR_US))
        ((from_us, to_us),) = rows(tmp_path, "SELECT from_us, to_us FROM gaps WHERE healed_us = 0")
        assert from_us == early[-1].witnessed_us and to_us == begin
        server.segments = segments_of(events_of(history), segment_events=100)
        assert backfill(tmp_path, server, "--gaps").returncode == 0
    assert readers_see(tmp_path) == history.exist()
    assert rows(tmp_path, "SELECT from_us FROM gaps WHERE healed_us = 0") == []


def test_no_more_than_the_lake_keeps_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "foryou.toml").write_text("[ranking]\nseed_window_days = 4\n")
    history = History(TODAY - 7, 8).grow(days=7, a_day=200)
    data = tmp_path / "data"
    with ArchiveServer(segments_of(events_of(history), segment_events=100)) as server:
        result = backfill(data, server, "--days", "30")
        assert result.returncode == 0
    assert "the lake keeps 4 days" in result.stderr
    assert holds(data, history, TODAY - 4)
    assert min(places.closed_days(data)) == TODAY - 4


def test_a_run_that_ends_early_leaves_nothing_that_seems_whole(tmp_path: Path) -> None:
    history = History(TODAY - 5, 9).grow(days=5, a_day=100)
    stored = segments_of(events_of(history), segment_events=50)
    with ArchiveServer(stored) as server:
        server.lost.add(server.segments[3].name)
        result = backfill(tmp_path, server, "--days", "6")
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].startswith("foryou: 127.0.0.1:")
        assert TODAY - 1 in places.closed_days(tmp_path), "the newest days come first"
        assert rows(tmp_path, "SELECT * FROM began") == []
        server.lost.clear()
        server.requests.clear()
        assert backfill(tmp_path, server, "--days", "6").returncode == 0
        assert len(server.asked("getSegment")) < len(stored), "it goes on where it ended"
    assert readers_see(tmp_path) == history.exist()
    assert rows(tmp_path, "SELECT seen_us FROM began") == [(history.events[0].witnessed_us,)]


def test_killed_at_any_moment_it_ends_with_the_same_likes(tmp_path: Path) -> None:
    history = History(TODAY - 6, 11).grow(days=6, a_day=250)
    stored = segments_of(events_of(history), segment_events=50, block_events=20)
    with ArchiveServer(stored) as server:
        choose = random.Random(5)
        env = commands.environment(tmp_path, archive_key="secret-key", archive_url=server.url)
        kills = 0
        for _ in range(KILLS):
            server.requests.clear()
            fetches = choose.randint(1, 3)
            with commands.running("backfill", "--days", "7", env=env) as process:
                while len(server.asked("getSegment")) < fetches and process.poll() is None:
                    time.sleep(0.005)
                time.sleep(choose.uniform(0, 0.1))  # into decoding, spooling, or a day's fold
                kills += process.poll() is None
                process.kill()
        assert kills >= 10
        result = backfill(tmp_path, server, "--days", "7")
        assert result.returncode == 0, result.stderr
    assert readers_see(tmp_path) == history.exist()
    assert list((tmp_path / "backfill").iterdir()) == []


def rows(data_dir: Path, query: str) -> list[tuple[int, ...]]:
    store = connect(data_dir / "landing.sqlite", read_only=True)
    found = store.execute(query).fetchall()
    store.close()
    return found


def test_accounts_that_are_known_to_be_deleted_are_left_out(tmp_path: Path) -> None:
    noon = (TODAY - 3) * DAY_US + DAY_US // 2
    uri = f"at://{did('n')}/{POST}/{tid_from_int(tid_at(noon))}"
    events = [
        like(n, noon + n, did(who), tid_from_int(tid_at(noon + n)), uri) for n, who in enumerate("bcd", 1)
    ]
    events.append(Event(9, TODAY * DAY_US + 600_000_000, 4, did("b")))
    history = History(TODAY - 1, 1)
    history._say((TODAY - 1) * DAY_US + 5, 0, did("b"), "deleted")
    history._say((TODAY - 1) * DAY_US + 6, 0, did("c"), "deactivated")
    stream(tmp_path, history, ((TODAY - 1) * DAY_US, TODAY * DAY_US + 2 * HOUR_US))
    with ArchiveServer(segments_of(events, segment_events=50)) as server:
        result = backfill(tmp_path, server, "--days", "5")
    assert result.returncode == 0, result.stderr
    assert {record[0] for record in readers_see(tmp_path)} == {did("c"), did("d")}


@pytest.mark.parametrize("hours_off", [-30, 30])
def test_days_are_not_counted_from_a_clock_that_the_stream_contradicts(
    tmp_path: Path, hours_off: int
) -> None:
    now_us = time.time_ns() // 1000
    stream(tmp_path, History(TODAY, 1), (now_us - 40 * HOUR_US, now_us + hours_off * HOUR_US))
    with ArchiveServer([]) as server:
        result = backfill(tmp_path, server, "--days", "5")
    assert result.returncode == 1
    assert "let ingest catch up first, or set the clock" in result.stderr.splitlines()[-1]


def test_an_estimate_fetches_nothing(tmp_path: Path) -> None:
    history = History(TODAY - 2, 3).grow(days=2, a_day=60)
    with ArchiveServer(segments_of(events_of(history), segment_events=50)) as server:
        result = backfill(tmp_path, server, "--days", "2", "--estimate")
        assert result.returncode == 0
        assert server.asked("getSegment") == []
    assert f"missing: {places.day_name(TODAY - 2)}" in result.stderr
    assert readers_see(tmp_path) == set()
    assert "to fetch" in result.stderr
