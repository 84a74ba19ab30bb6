"""The timetable: who is computed when, told by the runs it leaves."""

import sqlite3
import time
from pathlib import Path

import commands
import pytest
from streams import wait_until
from test_batch_tiers import run, town
from worlds import World

from pipeline.settings import load_settings
from pipeline.store.queue import attend, unknown_viewers, waiting_viewers
from sql.sqlite import connect


def tiers(data_dir: Path) -> set[tuple[str, str]]:
    """Return (job, tier) of every run that was recorded."""
    try:
        serving = connect(data_dir / "serving.sqlite", read_only=True)
    except sqlite3.OperationalError:
        return set()
    try:
        return set(serving.execute("SELECT DISTINCT job, tier FROM runs WHERE outcome = 'done'"))
    except sqlite3.OperationalError:
        return set()
    finally:
        serving.close()


def test_some_often_everybody_seldom_and_the_first_at_once(tmp_path: Path) -> None:
    """A store with somebody who asks just now: lists for all, then of those seen lately; then somebody new comes."""
    hours_since = (time.time() - town().now_us / 1e6) / 3600
    town().visit("ann", hours_ago=-hours_since).write(tmp_path)
    env = commands.environment(
        tmp_path,
        candidates_minutes="0.02",
        neighbours_minutes="1000",
        everybody_minutes="1000",
        waiting_seconds="0.3",
        plc_url="http://127.0.0.1:9",
    )
    with commands.running("schedule", env=env, log=tmp_path / "log") as schedule:
        wait_until(lambda: tiers(tmp_path) >= {("candidates", "all"), ("candidates", "recent")}, 200)
        activity = connect(tmp_path / "activity.sqlite")
        now_us = time.time_ns() // 1000
        activity.execute(
            "INSERT INTO visits VALUES ('did:plc:eve', 'for-you', 'en', 1, ?, ?)", (now_us, now_us)
        )
        activity.close()
        serving = connect(tmp_path / "serving.sqlite")
        serving.execute(
            "DELETE FROM lists WHERE viewer_id = (SELECT viewer_id FROM viewers WHERE did = 'did:plc:eve')"
        )
        serving.close()
        wait_until(lambda: ("candidates", "waiting") in tiers(tmp_path), 200)
        assert commands.stop(schedule) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [(1.0, 5.0), (75.0, 5.0), (300.0, 20.0), (600.0, 40.0), (3600.0, 60.0)],
)
def test_everybody_takes_a_quarter_of_the_time_at_most_unless_an_hour_is_over(
    tmp_path: Path, seconds: float, minutes: float
) -> None:
    assert load_settings({}, {}, tmp_path).everybody_after(seconds) == minutes


def test_nobody_waits_where_there_is_no_store(tmp_path: Path) -> None:
    assert waiting_viewers(tmp_path, 0) == []
    assert unknown_viewers(tmp_path, 0) == []
    (tmp_path / "serving.sqlite").touch()
    town().visit("ann").write(tmp_path)
    assert waiting_viewers(tmp_path, World().now_us) == []
    assert unknown_viewers(tmp_path, World().now_us - 1) == ["did:plc:ann"]


def test_one_for_whom_no_list_could_be_made_is_left_alone_for_a_while(tmp_path: Path) -> None:
    made = town().visit("ann").visit("nobody")
    made.write(tmp_path)
    run(tmp_path)
    now_us = made.now_us
    assert waiting_viewers(tmp_path, now_us) == ["did:plc:nobody"]
    serving = connect(tmp_path / "serving.sqlite")
    attend(serving, ["did:plc:nobody"], now_us)
    serving.close()
    assert waiting_viewers(tmp_path, now_us + 1) == []
    assert waiting_viewers(tmp_path, now_us + 601_000_000) == ["did:plc:nobody"]
    assert waiting_viewers(tmp_path, now_us + 601_000_000, since_us=now_us) == []  # came before that
    assert waiting_viewers(tmp_path, now_us + 90_000_000_000) == []  # a day ago
