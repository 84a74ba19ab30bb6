"""What the timetable goes by: how often everybody is due, who was seen lately, who waits. test_newcomer.py runs it."""

from pathlib import Path

import pytest
from test_batch_tiers import run, town
from worlds import World

from pipeline.settings import load_settings
from pipeline.store.queue import attend, unknown_viewers, waiting_viewers
from sql.sqlite import connect


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [(1.0, 3.0), (15.0, 5.0), (60.0, 20.0), (120.0, 40.0), (180.0, 60.0), (3600.0, 60.0)],
)
def test_everybody_takes_a_twentieth_of_the_time_at_most_unless_an_hour_is_over(
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
