"""The bar: on a terminal a line that is written over, elsewhere nothing."""

import io

from pipeline.progress import Progress


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
    assert terminal.getvalue().endswith("\r\x1b[K" + progress.line())
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
