"""What the timetable goes by: how often everybody is due, who was seen lately, who waits. test_newcomer.py runs
it."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from batch_tools import settings_for
from serving_worlds import wait_until
from test_batch_tiers import run, town
from worlds import World

from pipeline.run.timetable import Timetable
from pipeline.settings import load_settings
from pipeline.store.model import DAY_US
from pipeline.store.who_is_due import (
    KNOWN_AFTER_DAYS,
    last_run,
    mark_waiting,
    unknown_viewers,
    waiting_viewers,
)
from serving.budgets import limits
from sql.sqlite import connect


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [(1.0, 2.0), (15.0, 5.0), (60.0, 20.0), (120.0, 40.0), (180.0, 60.0), (3600.0, 60.0)],
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
    mark_waiting(serving, ["did:plc:nobody"], now_us)
    serving.close()
    assert waiting_viewers(tmp_path, now_us + 1) == []
    assert waiting_viewers(tmp_path, now_us + 601_000_000) == ["did:plc:nobody"]
    assert waiting_viewers(tmp_path, now_us + 601_000_000, since_us=now_us) == []  # came before that
    assert waiting_viewers(tmp_path, now_us + 90_000_000_000) == []  # a day ago


def test_what_ran_last_and_how_long_is_told_of_whole_runs_alone(tmp_path: Path) -> None:
    assert last_run(tmp_path, "neighbours") is None
    town().write(tmp_path)
    run(tmp_path)
    serving = connect(tmp_path / "serving.sqlite")
    for job in ("neighbours", "candidates"):
        began_us, seconds = serving.execute(
            "SELECT min(started_us), sum(seconds) FROM runs WHERE job = ?", (job,)
        ).fetchone()
        assert last_run(tmp_path, job) == (began_us, pytest.approx(seconds))
    # One that died in the middle, and one for some viewers, say nothing of when everybody is due.
    before = last_run(tmp_path, "candidates")
    serving.executemany(
        "INSERT INTO runs (run_id, job, step, started_us, seconds, rows, peak_mb, outcome, tier, feed) "
        "VALUES (?, 'candidates', ?, 9e15, 1.0, 1, 1.0, 'done', ?, '')",
        [(90, "product", "all"), (91, "prune generations", "recent")],
    )
    serving.close()
    assert last_run(tmp_path, "candidates") == before


def test_a_restart_goes_on_with_the_timetable(tmp_path: Path) -> None:
    """Neighbours took 60 s four minutes ago, so they are due in six; everybody's lists took 15 s, so in one."""
    town().write(tmp_path)
    run(tmp_path)
    now = 2e9
    serving = connect(tmp_path / "serving.sqlite")
    serving.execute("UPDATE runs SET started_us = ?, seconds = 0", (int((now - 240) * 1e6),))
    for job, seconds in (("neighbours", 60.0), ("candidates", 15.0)):
        serving.execute(
            "UPDATE runs SET seconds = ? WHERE job = ? AND step = (SELECT min(step) FROM runs WHERE job = ?)",
            (seconds, job, job),
        )
    serving.close()
    timetable = Timetable(settings_for(tmp_path), threading.Event())
    for job, minutes in (("neighbours", 180), ("candidates", 3)):
        timetable._add(job, minutes)
    timetable._scheduler.start(paused=True)
    try:
        before = time.monotonic()
        timetable._remember(now)
        after = time.monotonic()
        due = timetable._scheduler.get_job("neighbours")
        assert due is not None
        assert due.next_run_time.timestamp() == pytest.approx(now + 360, abs=1)
        assert due.trigger.interval.total_seconds() == 600
        assert before + 59 < timetable._everybody_due < after + 61
    finally:
        timetable._scheduler.shutdown(wait=False)


@contextmanager
def going(timetable: Timetable, stopping: threading.Event) -> Iterator[None]:
    """Let a timetable run while the block does; it must end then."""
    thread = threading.Thread(target=timetable.run, daemon=True)
    thread.start()
    yield
    stopping.set()
    thread.join(120)
    assert not thread.is_alive()


def test_lists_of_viewers_seen_lately_are_made_after_their_new_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come due together, again and again; none begins while the other runs, and lists follow every time."""
    town().write(tmp_path)
    run(tmp_path)
    stopping, steps = threading.Event(), list[str]()
    timetable = Timetable(replace(settings_for(tmp_path), candidates_minutes=0.005), stopping)

    def child(job: str, *_: Any, **__: Any) -> bool:
        if job in ("liked", "recent"):
            steps.append(f"{job} begins")
            time.sleep(0.05)
            steps.append(f"{job} ends")
        return True

    monkeypatch.setattr(timetable, "_run_child", child)
    monkeypatch.setattr("pipeline.run.timetable.recent_viewers", lambda *_: ["did:plc:ann"])
    with going(timetable, stopping):
        assert wait_until(lambda: steps.count("liked ends") >= 5)
    assert all(
        first.split()[0] == second.split()[0] for first, second in zip(steps[::2], steps[1::2], strict=True)
    )
    jobs = [step.split()[0] for step in steps[::2]]
    assert jobs[0] == "liked"
    assert all(after == "recent" for job, after in pairwise(jobs) if job == "liked")


def test_viewers_seen_lately_are_served_at_once_after_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town().write(tmp_path)
    run(tmp_path)
    stopping, jobs = threading.Event(), list[str]()
    timetable = Timetable(replace(settings_for(tmp_path), candidates_minutes=60.0), stopping)

    def child(job: str, *_: Any, **__: Any) -> bool:
        jobs.append(job)
        return True

    monkeypatch.setattr(timetable, "_run_child", child)
    monkeypatch.setattr("pipeline.run.timetable.recent_viewers", lambda *_: ["did:plc:ann"])
    with going(timetable, stopping):
        assert wait_until(lambda: {"liked", "recent"} <= {*jobs})


def test_copies_for_analysts_are_made_while_somebody_is_there_and_hold_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town().write(tmp_path)
    run(tmp_path)
    stopping, jobs, served = threading.Event(), list[str](), threading.Event()
    timetable = Timetable(replace(settings_for(tmp_path), candidates_minutes=0.005), stopping)

    def child(job: str, *_: Any, **__: Any) -> bool:
        jobs.append(job)
        if job == "copies":
            served.wait(60)  # until lists were made beside it
        elif "copies" in jobs and jobs.count("recent") > jobs[: jobs.index("copies")].count("recent") + 2:
            served.set()
        return True

    there: list[str] = []
    monkeypatch.setattr(timetable, "_run_child", child)
    monkeypatch.setattr("pipeline.run.timetable.recent_viewers", lambda *_: there)
    with going(timetable, stopping):
        assert wait_until(lambda: jobs.count("neighbours") >= 2)  # due as often
        assert "copies" not in jobs
        there.append("did:plc:ann")
        assert served.wait(60)


def test_it_stops_while_a_job_is_about_to_hurry_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APScheduler waits for its threads with its locks held, so a job that wants one of them then never ends."""
    town().write(tmp_path)
    run(tmp_path)
    began, stopping = threading.Event(), threading.Event()
    timetable = Timetable(replace(settings_for(tmp_path), waiting_seconds=0.05), stopping)

    def fetch() -> None:
        began.set()
        stopping.wait()
        time.sleep(0.5)  # meanwhile the timetable begins to end
        timetable._scheduler.modify_job("waiting", next_run_time=None)

    monkeypatch.setattr(timetable, "_fetch", fetch)
    monkeypatch.setattr(timetable, "_serve_waiting", lambda: None)
    with going(timetable, stopping):
        assert began.wait(120)


def test_all_kinds_of_those_who_wait_are_in_a_run(tmp_path: Path) -> None:
    """Crowds of each kind wait: the known who answered, strangers who did, fetched ones, and those without anything."""
    made = town()
    for number in range(60):
        made.visit(f"nobody{number}").visit(f"known{number}", hours_ago=0.5).visit(f"answers{number}")
        made.visit(f"fetched{number}", hours_ago=0.02)
        made.interaction(f"known{number}", "q0", "requestLess", hours_ago=-0.02)
        made.interaction(f"answers{number}", "q0", "requestLess", hours_ago=-0.001)
    made.write(tmp_path)
    run(tmp_path)
    with closing(connect(tmp_path / "activity.sqlite")) as activity:
        known_day = made.now_us // DAY_US - KNOWN_AFTER_DAYS
        activity.execute("INSERT INTO newest_viewers VALUES (?, 1059)", (known_day,))
    with closing(connect(tmp_path / "landing.sqlite")) as landing:
        landing.executemany(
            "INSERT INTO fetched_viewers (did, fetched_us, likes, outcome) VALUES (?, ?, 1, 'done')",
            [(f"did:plc:fetched{number}", made.now_us) for number in range(60)],
        )
    with closing(connect(tmp_path / "serving.sqlite")) as serving:
        for first, name in ((1_000, "known"), (2_000, "answers")):  # all have lists
            for number in range(60):
                serving.execute(
                    "INSERT INTO viewers VALUES (?, ?)", (first + number, f"did:plc:{name}{number}")
                )
                list_of = "SELECT feed_id, ?, generation, items FROM lists LIMIT 1"
                serving.execute(f"INSERT INTO lists {list_of}", (first + number,))
    now_us = made.now_us + 90_000_000
    found = waiting_viewers(tmp_path, now_us)
    kinds = Counter(did.removeprefix("did:plc:").rstrip("0123456789") for did in found)
    assert kinds == {"known": 13, "fetched": 13, "answers": 12, "nobody": 12}
    # Who answers again and again comes after the others who did.
    with closing(connect(tmp_path / "serving.sqlite")) as serving:
        mark_waiting(serving, found, made.now_us + 1_000_000)
    again = waiting_viewers(tmp_path, now_us)
    assert len({did for did in again if "known" in did} - set(found)) == 13


def test_the_classes_are_those_of_the_web_app() -> None:
    assert KNOWN_AFTER_DAYS == limits.KNOWN_AFTER_DAYS
