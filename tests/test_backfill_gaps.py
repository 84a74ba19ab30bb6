"""What a stream missed, fetched from an archive: every partial day becomes whole, and the likes are the record's."""

import random
import time
from pathlib import Path

import commands
import pytest
from archive_server import ArchiveServer, Event, segments_of
from backfill_tools import TODAY, backfill, events_of, gaps_left, holds, partial_days, readers_see, stream
from histories import History
from streams import wait_until

from pipeline.lake.compact import compact
from pipeline.ranking import Ranking
from pipeline.store.model import DAY_US, HOUR_US, keys_of_day
from sql import places
from sql.sqlite import connect

NOON_US = 12 * HOUR_US
NOW_US = TODAY * DAY_US + 2 * HOUR_US  # how far the stream has come


def history(seed: int, days: int = 6) -> History:
    return History(TODAY - days, seed, unseen=False).grow(days=days, a_day=150)


def archive_of(past: History) -> ArchiveServer:
    return ArchiveServer(segments_of(events_of(past), segment_events=40, block_events=20))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_gaps_and_a_partial_first_day_are_healed(tmp_path: Path, seed: int, folded: bool) -> None:
    """Done-when: 'status' has no partial day, and the likes are exactly the record's."""
    past = history(seed)
    start = (TODAY - 5) * DAY_US
    pieces = [
        (start + 5 * HOUR_US, start + 9 * HOUR_US), (start + 14 * HOUR_US, start + 2 * DAY_US + NOON_US),
        (start + 3 * DAY_US + HOUR_US, start + 4 * DAY_US + 20 * HOUR_US), (start + 5 * DAY_US, NOW_US),
    ]  # fmt: skip
    stream(tmp_path, past, *pieces)
    if folded:
        list(compact(tmp_path, Ranking(), 1))
    assert len(partial_days(tmp_path)) >= 3
    with archive_of(past) as server:
        result = backfill(tmp_path, server, "--gaps")
        assert result.returncode == 0, result.stderr
        assert partial_days(tmp_path) == []
        assert len(server.asked("getSegment")) < len(server.segments), "only what is missing is fetched"
        list(compact(tmp_path, Ranking(), 1))
        assert holds(tmp_path, past, TODAY - 5)
        server.requests.clear()
        assert "nothing is missing" in backfill(tmp_path, server, "--gaps").stderr
        assert server.requests == []
        # A further day is history: with it, the store has all there is.
        assert backfill(tmp_path, server, "--days", "7").returncode == 0
    assert readers_see(tmp_path) == past.exist()


def test_days_between_days_that_the_store_has(tmp_path: Path) -> None:
    """A store with days D-6 and D-1, and an archive with all days: --days fetches what is between."""
    past = history(3, days=8)
    stream(
        tmp_path, past, ((TODAY - 6) * DAY_US, (TODAY - 5) * DAY_US), ((TODAY - 1) * DAY_US, NOW_US),
    )  # fmt: skip
    list(compact(tmp_path, Ranking(), 1))
    with archive_of(past) as server:
        result = backfill(tmp_path, server, "--days", "10")
        assert result.returncode == 0, result.stderr
    assert readers_see(tmp_path) == past.exist()
    assert places.closed_days(tmp_path) >= set(range(TODAY - 8, TODAY))


def test_an_archive_that_was_cut_at_midnight_and_a_stream_that_began_at_noon(tmp_path: Path) -> None:
    """Nobody told what was between: it stays missing, and is said so, until the archive has it."""
    past = history(4, days=4)
    begin, midnight = (TODAY - 1) * DAY_US + NOON_US, (TODAY - 1) * DAY_US
    stream(tmp_path, past, (begin, NOW_US))
    early = [event for event in past.events if event.witnessed_us < midnight]
    with ArchiveServer(segments_of(early, segment_events=40)) as server:
        for flags in (["--gaps"], ["--days", "5"]):
            result = backfill(tmp_path, server, *flags)
            assert result.returncode == 0, result.stderr
            assert result.stderr.count("run again later") == 1
            assert len(partial_days(tmp_path)) == 1
        server.segments = segments_of(events_of(past), segment_events=40)
        assert backfill(tmp_path, server, "--gaps").returncode == 0
        assert partial_days(tmp_path) == []
        assert holds(tmp_path, past, TODAY - 1)
        assert backfill(tmp_path, server, "--days", "5").returncode == 0
    assert readers_see(tmp_path) == past.exist()


def test_a_gap_in_a_day_that_is_open(tmp_path: Path) -> None:
    """No file may exist for it: its words go to landing.sqlite, and to the lake when it closes."""
    past = history(5, days=2)
    start = (TODAY - 1) * DAY_US
    stream(
        tmp_path, past, (start - DAY_US, start + 6 * HOUR_US), (start + 18 * HOUR_US, TODAY * DAY_US + 60_000_000)
    )  # fmt: skip
    with archive_of(past) as server:
        result = backfill(tmp_path, server, "--gaps")
        assert result.returncode == 0, result.stderr
    assert TODAY - 1 not in places.closed_days(tmp_path)
    assert readers_see(tmp_path) == past.exist()
    assert partial_days(tmp_path) == []
    stream(tmp_path, past, (NOW_US, NOW_US))
    list(compact(tmp_path, Ranking(), 1))
    assert TODAY - 1 in places.closed_days(tmp_path)
    assert readers_see(tmp_path) == past.exist()


def test_a_day_whose_files_were_lost_is_fetched_again(tmp_path: Path) -> None:
    past = history(6)
    stream(tmp_path, past, ((TODAY - 6) * DAY_US, NOW_US))
    list(compact(tmp_path, Ranking(), 1))
    assert readers_see(tmp_path) == past.exist()
    store = connect(places.landing(tmp_path))
    first, end = keys_of_day(TODAY - 3)
    store.execute("DELETE FROM like_words WHERE rkey >= ? AND rkey < ?", (first, end))  # as retention does
    store.close()
    for folder in (places.likes(tmp_path, TODAY - 3).parent, places.changes(tmp_path)[TODAY - 3].path.parent):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert readers_see(tmp_path) != past.exist()
    with archive_of(past) as server:
        assert backfill(tmp_path, server, "--gaps").returncode == 0
    # A like with a key of the future was told of before its key's day: the archive's earlier segments have it.
    assert holds(tmp_path, past, TODAY - 6, (TODAY - 3) * DAY_US)
    assert TODAY - 3 in places.closed_days(tmp_path)


def test_killed_at_any_moment_a_gap_is_healed_or_still_there(tmp_path: Path) -> None:
    past = history(7)
    start = (TODAY - 5) * DAY_US
    stream(
        tmp_path, past, ((TODAY - 6) * DAY_US, start + 5 * HOUR_US), (start + 3 * DAY_US + NOON_US, NOW_US)
    )
    list(compact(tmp_path, Ranking(), 1))
    with archive_of(past) as server:
        choose, kills = random.Random(3), 0
        env = commands.environment(tmp_path, archive_key="secret-key", archive_url=server.url)
        for _ in range(10):
            server.requests.clear()
            fetches = choose.randint(0, 4)
            with commands.running("backfill", "--gaps", env=env) as process:
                while len(server.asked("getSegment")) < fetches and process.poll() is None:
                    time.sleep(0.005)
                time.sleep(choose.uniform(0, 0.1))
                kills += process.poll() is None
                process.kill()
            assert gaps_left(tmp_path) == 1 or readers_see(tmp_path) == past.exist()
        assert kills >= 2
        assert backfill(tmp_path, server, "--gaps").returncode == 0
    assert gaps_left(tmp_path) == 0
    assert readers_see(tmp_path) == past.exist()


def test_gaps_and_folds_at_the_same_time(tmp_path: Path) -> None:
    """Compaction and a backfill write files of the same days in turns."""
    past = history(8)
    start = (TODAY - 5) * DAY_US
    stream(
        tmp_path, past, ((TODAY - 6) * DAY_US, start + 5 * HOUR_US), (start + 3 * DAY_US + NOON_US, NOW_US)
    )
    with archive_of(past) as server:
        env = commands.environment(tmp_path, archive_key="secret-key", archive_url=server.url)
        with commands.running("backfill", "--gaps", env=env, log=tmp_path / "log") as process:
            while process.poll() is None:
                list(compact(tmp_path, Ranking(), 1))
        assert process.returncode == 0, (tmp_path / "log").read_text()
    list(compact(tmp_path, Ranking(), 1))
    assert readers_see(tmp_path) == past.exist()


def test_an_estimate_of_gaps_fetches_nothing(tmp_path: Path) -> None:
    past = history(9, days=3)
    stream(tmp_path, past, ((TODAY - 2) * DAY_US + NOON_US, NOW_US))
    with archive_of(past) as server:
        result = backfill(tmp_path, server, "--gaps", "--estimate")
        assert result.returncode == 0
        assert server.asked("getSegment") == []
    assert f"missing: {places.day_name(TODAY - 2)} 00:00:00Z to" in result.stderr
    assert len(partial_days(tmp_path)) == 1


def test_an_empty_store_has_no_gaps(tmp_path: Path) -> None:
    with ArchiveServer([]) as server:
        result = backfill(tmp_path, server, "--gaps")
        assert result.returncode == 0 and "the store is empty" in result.stderr
        assert server.requests == []


def test_what_an_archive_began_after_stays_missing(tmp_path: Path) -> None:
    past = history(10, days=4)
    start = (TODAY - 4) * DAY_US
    stream(tmp_path, past, (start, start + 3 * HOUR_US), (start + 20 * HOUR_US, NOW_US))
    late = [event for event in events_of(past) if event.witnessed_us > start + 2 * DAY_US]
    with ArchiveServer(segments_of(late, segment_events=40)) as server:
        result = backfill(tmp_path, server, "--gaps")
        assert result.returncode == 0 and "does not have it any more" in result.stderr
        assert server.asked("getSegment") == []
    assert gaps_left(tmp_path) == 1


def test_words_without_a_revision_are_of_their_time(tmp_path: Path) -> None:
    past = history(11, days=3)
    stream(tmp_path, past, ((TODAY - 3) * DAY_US, (TODAY - 2) * DAY_US), ((TODAY - 1) * DAY_US, NOW_US))
    unstamped = [
        Event(e.seq, e.witnessed_us, e.kind, e.did, e.collection, e.rkey, e.payload, "")
        for e in events_of(past)
    ]
    with ArchiveServer(segments_of(unstamped, segment_events=40)) as server:
        assert backfill(tmp_path, server, "--gaps").returncode == 0
    assert readers_see(tmp_path) == past.exist()


def test_the_schedule_heals_by_itself_when_it_has_a_key(tmp_path: Path) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    past = history(12, days=3)
    stream(data, past, ((TODAY - 2) * DAY_US + NOON_US, NOW_US))
    list(compact(data, Ranking(), 1))
    with archive_of(past) as server:
        env = commands.environment(data, archive_key="secret-key", archive_url=server.url)
        assert commands.run("batch", env=env).returncode == 0
        with commands.running("schedule", env=env, log=log) as process:
            wait_until(lambda: partial_days(data) == [])
            assert commands.stop(process) == 0
    assert "secret-key" not in log.read_text()
    assert holds(data, past, TODAY - 2)
