"""The timetable: which batch job runs when, and for whom.

Owns: APScheduler's jobs, whose turn it is, and saying when the next is due. Leaves to others: the jobs
themselves; each runs as a process of its own, so that its memory is given back and its failure is only its
own.

    compact      every compact_minutes
    neighbours   of viewers who changed (or of all, when that is due: batch.neighbours); at most a tenth of the time,
                 and at least every neighbours_minutes
    candidates   for everybody, while that takes at most a twentieth of the time, and at least every everybody_minutes
    recent       every candidates_minutes: lists of viewers seen in the last half hour
    fetch        the likes of viewers who came and whom the store does not know, from their repositories
    waiting      neighbours and lists of those who have none: looked for every waiting_seconds, and after a fetch

A restart changes nothing in that: what is due next follows from when a job ran last and how long it took.

One of the first three runs at a time, since each needs the machine and the batch's lock; one that comes due
meanwhile waits its turn, once, however often it came due. The last three go on beside them, and take most of
what the processors have left, since somebody is looking at the screen: a like that has to wait for a run for
everybody would be in nobody's list for minutes.
"""

import logging
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from pipeline.notify import service_manager
from pipeline.run.supervisor import child_environment, run_child
from pipeline.settings import Settings
from pipeline.store.locks import exclusive
from pipeline.store.newest_generation import newest_generation
from pipeline.store.who_is_due import last_run, recent_viewers, unknown_viewers, waiting_viewers

log = logging.getLogger("foryou.schedule")

FIRST_LISTS_SECONDS = 5.0
ALIVE_SECONDS = 5.0
# Ingest and the web app run at 0. At five steps more, a run has a third of the other's share of a processor.
SOON_NICENESS, LATER_NICENESS = 10, 15
# Neighbours change slowly, but in a young store they change fast and cost little: the job takes at most this
# share of the time, and comes round at least every neighbours_minutes.
NEIGHBOURS_TIME_SHARE = 0.1
# A look for those who wait reads the latest visits; every so often one reads those of a whole day.
WIDE_LOOK_SECONDS = 600.0
NARROW_LOOK_SECONDS = 120.0


def run(settings: Settings) -> None:
    """Run the jobs on their timetable until SIGTERM or SIGINT."""
    # A look that takes longer than waiting_seconds makes the next ones fall out, which is as it should be.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with exclusive(settings.data_dir, "schedule"):
        service_manager().ready()
        Timetable(settings, stopping).run()


class Timetable:
    """The jobs of one installation and when they are due."""

    def __init__(self, settings: Settings, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._environment = child_environment(settings)
        self._everybody_due = 0.0  # on the monotonic clock
        self._wide_look = {"fetch": 0.0, "waiting": 0.0}  # likewise
        self._scheduler = BackgroundScheduler(
            executors={name: ThreadPoolExecutor(1) for name in ("default", "recent", "fetch", "waiting")},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._scheduler.add_listener(self._report_defect, EVENT_JOB_ERROR)

    def run(self) -> None:
        """Run until the stopping event is set."""
        self._make_first_lists()
        if not self._stopping.is_set():
            settings = self._settings
            self._add("compact", settings.compact_minutes)
            self._add("neighbours", settings.neighbours_minutes)
            self._add("candidates", settings.candidates_minutes)
            self._remember(time.time())
            self._scheduler.add_job(
                self._renew_recent,
                IntervalTrigger(minutes=settings.candidates_minutes),
                id="recent",
                name="recent",
                executor="recent",
            )
            seconds = settings.waiting_seconds
            for name, look in (("fetch", self._fetch), ("waiting", self._see_to_waiting)):
                self._scheduler.add_job(
                    look, IntervalTrigger(seconds=seconds), id=name, name=name, executor=name
                )
            log.info("viewers without a list are looked for every %g seconds", seconds)
            self._scheduler.start()
            while not self._stopping.wait(ALIVE_SECONDS):
                if self._is_on_time():
                    service_manager().alive()
            self._scheduler.shutdown(wait=True)

    def _is_on_time(self) -> bool:
        """Tell whether the scheduler still moves its jobs on: each is due in the future, also while one runs."""
        late = datetime.now(UTC) - timedelta(minutes=1)
        return all(job.next_run_time > late for job in self._scheduler.get_jobs())

    def _make_first_lists(self) -> None:
        """Run everything, again and again, until there are lists to serve: a fresh store has no likes yet."""
        while newest_generation(self._settings.data_dir) == 0:
            self._run_child("all", ["batch", "--job", "all"])
            if newest_generation(self._settings.data_dir) or self._stopping.wait(FIRST_LISTS_SECONDS):
                return

    def _add(self, job: str, minutes: float) -> None:
        self._scheduler.add_job(
            self._run_job, IntervalTrigger(minutes=minutes), args=(job,), id=job, name=job
        )
        log.info("%s every %g minutes", job, minutes)

    def _remember(self, now: float) -> None:
        """Go on where the timetable stopped, as far as the record of runs tells; ``now`` is in seconds since 1970."""
        neighbours, everybody = (
            last_run(self._settings.data_dir, job) for job in ("neighbours", "candidates")
        )
        if neighbours is not None:
            began_us, seconds = neighbours
            due = began_us / 1e6 + self._space_neighbours(seconds) * 60
            soonest = now + self._settings.candidates_minutes * 60
            self._scheduler.modify_job(
                "neighbours", next_run_time=datetime.fromtimestamp(max(due, soonest), UTC)
            )
        if everybody is not None:
            began_us, seconds = everybody
            due = began_us / 1e6 + self._settings.everybody_after(seconds) * 60
            self._everybody_due = time.monotonic() + due - now

    def _run_job(self, job: str) -> None:
        began = time.monotonic()
        arguments = ["batch", "--job", job]
        everybody = job == "candidates"
        if everybody and began < self._everybody_due:
            return
        if job == "neighbours":
            arguments += ["--viewers", "changed"]
        done = self._run_child(job, arguments, LATER_NICENESS)
        seconds = time.monotonic() - began
        if self._stopping.is_set():
            return
        if job == "neighbours":
            self._space_neighbours(seconds)
        if everybody and done:
            # Half a tick early, so that a timer's tolerance does not cost a whole one.
            minutes = self._settings.everybody_after(seconds) - self._settings.candidates_minutes / 2
            self._everybody_due = began + minutes * 60
        scheduled = self._scheduler.get_job(job)
        if scheduled is not None:
            log.info("%s took %.1f s; next due %s", job, seconds, f"{scheduled.next_run_time:%H:%M:%SZ}")

    def _renew_recent(self) -> None:
        """Make the lists of those who were seen lately, if anybody was."""
        began = time.monotonic()
        if recent_viewers(self._settings.data_dir, time.time_ns() // 1000):
            self._run_child("recent", ["batch", "--job", "candidates", "--viewers", "recent"])
            log.info("lists of viewers seen lately took %.1f s", time.monotonic() - began)

    def _fetch(self) -> None:
        """Fetch likes when somebody came whom nobody has looked for; now and then see to those whose host failed."""
        since_us, wide = self._look("fetch")
        if wide or unknown_viewers(self._settings.data_dir, since_us):
            self._run_child("fetch", ["backfill", "--waiting"])
            if not wide:
                self._scheduler.modify_job("waiting", next_run_time=datetime.now(UTC))

    def _see_to_waiting(self) -> None:
        """Make neighbours and lists for those who wait, if anybody does."""
        since_us, wide = self._look("waiting")
        now_us = time.time_ns() // 1000
        if waiting_viewers(self._settings.data_dir, now_us, since_us=None if wide else since_us, rows=1):
            self._run_child("waiting", ["batch", "--viewers", "waiting"])

    def _look(self, job: str) -> tuple[int, bool]:
        """Return from when on visits are to be looked at, and whether a look at a whole day's is due."""
        now = time.monotonic()
        wide = now >= self._wide_look[job]
        if wide:
            self._wide_look[job] = now + WIDE_LOOK_SECONDS
        return int((time.time() - NARROW_LOOK_SECONDS - self._settings.waiting_seconds) * 1e6), wide

    def _run_child(self, job: str, arguments: Sequence[str], niceness: int = SOON_NICENESS) -> bool:
        """Run a command to its end; tell whether it went well."""
        began = time.monotonic()
        status = run_child(arguments, self._environment, self._stopping, niceness)
        if status != 0 and not self._stopping.is_set():
            seconds = time.monotonic() - began
            log.warning("%s failed after %.1f s (status %d); the timetable goes on", job, seconds, status)
        return status == 0

    def _space_neighbours(self, seconds: float) -> float:
        """Return how many minutes after a neighbours job that took so long the next one is due, and go by it."""
        settings = self._settings
        minutes = seconds / NEIGHBOURS_TIME_SHARE / 60
        minutes = min(max(minutes, settings.candidates_minutes), settings.neighbours_minutes)
        self._scheduler.reschedule_job("neighbours", trigger=IntervalTrigger(minutes=minutes))
        return minutes

    def _report_defect(self, event: JobExecutionEvent) -> None:
        log.error("%s could not be run: %s", event.job_id, event.exception)
