"""The timetable's jobs get their turns, and systemd's watchdog is fed only as long as they do."""

import os
import signal
import socket
from pathlib import Path

import commands
import pytest
from streams import wait_until
from test_lying_clocks import old_store

from pipeline.run.job_turns import IDLE_SECONDS, JobTurns

QUEUES = {"neighbours": "default", "candidates": "default", "waiting": "waiting"}
INTERVALS = {"neighbours": 10_800.0, "candidates": 180.0, "waiting": 10.0}


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_job_that_is_due_and_does_not_begin_is_noticed() -> None:
    clock = Clock()
    turns = JobTurns(QUEUES, 10_800.0, clock)
    clock.seconds = IDLE_SECONDS
    assert turns.complaint(INTERVALS) == ""
    clock.seconds += 1  # a queue is busy for no reason: due every ten seconds, idle for a minute
    assert turns.complaint(INTERVALS) == "waiting last began 61 s ago, although it is due every 10 s"
    with turns.turn("waiting"):
        pass
    assert turns.complaint(INTERVALS) == ""
    clock.seconds = 3 * 180 + 1
    with turns.turn("waiting"):
        pass
    assert turns.complaint(INTERVALS) == "candidates last began 541 s ago, although it is due every 180 s"


def test_one_that_waits_for_another_is_no_defect_unless_that_runs_for_days() -> None:
    clock = Clock()
    turns = JobTurns(QUEUES, 10_800.0, clock)
    queue = {job: seconds for job, seconds in INTERVALS.items() if job != "waiting"}
    with turns.turn("neighbours"):
        clock.seconds = 8 * 10_800.0
        assert turns.complaint(queue) == ""
        clock.seconds += 1
        assert turns.complaint(queue) == "neighbours has been running for 86401 s"
    assert turns.complaint(queue) == ""  # those that waited begin now
    clock.seconds += IDLE_SECONDS + 1
    assert "neighbours last began" in turns.complaint(queue)


def test_a_run_that_fails_was_a_turn() -> None:
    clock = Clock()
    turns = JobTurns(QUEUES, 10_800.0, clock)
    clock.seconds = 100.0
    with pytest.raises(KeyError), turns.turn("waiting"):
        raise KeyError
    assert turns.complaint(INTERVALS) == ""
    clock.seconds += IDLE_SECONDS + 1
    assert "waiting last began" in turns.complaint(INTERVALS)


def children(process: int) -> list[int]:
    """Return a process's children and theirs."""
    lists = Path(f"/proc/{process}/task").glob("*/children")  # each thread has its own
    own = [int(child) for each in lists for child in each.read_text().split()]
    return [each for child in own for each in (child, *children(child))]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_systemd_is_not_told_that_all_is_well_while_a_job_hangs(tmp_path: Path) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    old_store(data_dir)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(60)
        minutes = {f"{job}_minutes": "0.02" for job in ("compact", "neighbours", "candidates", "everybody")}
        env = commands.environment(data_dir, **minutes)
        env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        with commands.running("schedule", env=env, log=log) as process:
            # The first is of the run that makes the first lists; after it the timetable goes by its jobs.
            wait_until(lambda: log.read_text().count("batch: candidates: ") >= 2)
            stopped: list[int] = []

            def hang() -> bool:
                for child in children(process.pid):
                    try:
                        if b"batch" in Path(f"/proc/{child}/cmdline").read_bytes():
                            os.kill(child, signal.SIGSTOP)
                            stopped.append(child)
                    except OSError:
                        pass  # it has just ended
                return bool(stopped)

            wait_until(hang)
            wait_until(lambda: "has been running for" in log.read_text())
            heard.setblocking(False)
            try:
                while heard.recv(100):
                    pass
            except BlockingIOError:
                pass
            heard.settimeout(12)
            with pytest.raises(TimeoutError):
                heard.recv(100)
            for child in stopped:
                os.kill(child, signal.SIGCONT)
            wait_until(lambda: "jobs get their turns again" in log.read_text())
            heard.settimeout(30)
            assert heard.recv(100) == b"WATCHDOG=1"
            assert commands.stop(process) == 0
