"""Progress: on a terminal one line that is redrawn; elsewhere nothing, or a line in the log now and then."""

import io
import logging

import pytest

from pipeline.progress import LOG_SECONDS, Progress, bytes_text, duration_text


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that moves when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_sees_the_step_the_share_and_the_time_left():
    clock, terminal = Clock(), Terminal()
    progress = Progress("candidates", terminal, clock)
    progress.start("likes")
    progress.start("product", 1000)
    clock.now += 30
    progress.add(250)
    assert progress.line() == (
        "candidates: product [######..................] 250 of 1,000 viewers, 90 s left (30 s)"
    )
    assert terminal.getvalue().endswith("\r\x1b[K" + progress.line()[:79])
    assert "\n" not in terminal.getvalue()
    progress.clear()
    assert terminal.getvalue().endswith("\r\x1b[K")
    written = terminal.getvalue()
    progress.clear()  # nothing is there to be taken away
    assert terminal.getvalue() == written


def test_a_log_sees_nothing_of_it():
    log = io.StringIO()
    progress = Progress("candidates", log, Clock())
    progress.start("product", 10)
    progress.add(10)
    progress.clear()
    assert log.getvalue() == ""


def test_many_small_blocks_are_not_drawn_one_by_one():
    clock, terminal = Clock(), Terminal()
    progress = Progress("neighbours", terminal, clock)
    progress.start("product", 1000)
    before = len(terminal.getvalue())
    for _ in range(500):
        progress.add(1)
    assert len(terminal.getvalue()) == before
    clock.now += 1
    progress.add(1)
    assert "501 of 1,000" in terminal.getvalue()


def test_bytes_are_shown_with_their_rate_and_an_earlier_run_does_not_count_for_it():
    clock = Clock()
    progress = Progress("backfill", io.StringIO(), clock, unit="bytes")
    progress.start("2026-11-20", 2_000_000, 500_000)
    assert progress.line() == "backfill: 2026-11-20 [######..................] 500 kB of 2.0 MB (0 s)"
    clock.now += 10
    progress.add(500_000)
    assert progress.line() == (
        "backfill: 2026-11-20 [############............] 1.0 MB of 2.0 MB, 50.0 kB/s, 20 s left (10 s)"
    )


def test_a_log_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture):
    clock, caplog_name = Clock(), "foryou.backfill"
    caplog.set_level(logging.INFO)
    progress = Progress("backfill", io.StringIO(), clock, unit="bytes", log=logging.getLogger(caplog_name))
    progress.start("lines", 1000)
    progress.add(10)
    assert caplog.messages == []
    clock.now += LOG_SECONDS
    progress.add(10)
    progress.add(10)
    assert caplog.messages == [
        "backfill: lines [........................] 20 bytes of 1.0 kB, 1 bytes/s, 24 min left (30 s)"
    ]


def test_amounts_and_durations_are_written_for_people():
    assert [bytes_text(n) for n in (0, 999, 1500, 250_000, 3e9, 5e12)] == [
        "0 bytes", "999 bytes", "1.5 kB", "250 kB", "3.0 GB", "5.0 TB",
    ]  # fmt: skip
    assert [duration_text(n) for n in (-5, 5, 99, 300, 5999, 7500, 172_800, 1e6)] == [
        "0 s", "5 s", "99 s", "5 min", "1 h 40 min", "2 h 05 min", "2 d 0 h", "11 d 13 h",
    ]  # fmt: skip
