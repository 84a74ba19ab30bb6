"""The timetable: which batch job runs when.

Owns: APScheduler's jobs, and saying when the next is due. Leaves to others: the jobs themselves; each runs
as a process of its own, so that its memory is given back and its failure is only its own.

One job runs at a time, since each needs the machine and the batch's lock; one that comes due meanwhile waits
its turn, once, however often it came due.
"""

import logging
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from pipeline.notify import service_manager
from pipeline.processes import child_environment, run_child
from pipeline.settings import Settings
from pipeline.store.generations import newest_generation
from pipeline.store.locks import exclusive

log = logging.getLogger("foryou.schedule")

FIRST_LISTS_SECONDS = 5.0
ALIVE_SECONDS = 5.0
# Neighbours change slowly, but in a young store they change fast and cost little: the job takes at most this
# share of the time, and comes round at least every neighbours_minutes.
NEIGHBOURS_TIME_SHARE = 0.1


def run(settings: Settings) -> None:
    """Run the jobs on their timetable until SIGTERM or SIGINT."""
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
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._scheduler.add_listener(self._report_defect, EVENT_JOB_ERROR)

    def run(self) -> None:
        """Run until the stopping event is set."""
        self._make_first_lists()
        if not self._stopping.is_set():
            self._add("compact", self._settings.compact_minutes)
            self._add("neighbours", self._settings.neighbours_minutes)
            self._add("candidates", self._settings.candidates_minutes)
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
            self._run_job("all")
            if newest_generation(self._settings.data_dir) or self._stopping.wait(FIRST_LISTS_SECONDS):
                return

    def _add(self, job: str, minutes: float) -> None:
        self._scheduler.add_job(
            self._run_job, IntervalTrigger(minutes=minutes), args=(job,), id=job, name=job
        )
        log.info("%s every %g minutes", job, minutes)

    def _run_job(self, job: str) -> None:
        began = time.monotonic()
        status = run_child(["batch", "--job", job], self._environment, self._stopping)
        seconds = time.monotonic() - began
        if self._stopping.is_set():
            return
        if status != 0:
            log.warning("%s failed after %.1f s (status %d); the timetable goes on", job, seconds, status)
        if job == "neighbours":
            self._space_neighbours(seconds)
        scheduled = self._scheduler.get_job(job)
        if scheduled is not None:
            log.info("%s took %.1f s; next due %s", job, seconds, f"{scheduled.next_run_time:%H:%M:%SZ}")

    def _space_neighbours(self, seconds: float) -> None:
        settings = self._settings
        minutes = seconds / NEIGHBOURS_TIME_SHARE / 60
        minutes = min(max(minutes, settings.candidates_minutes), settings.neighbours_minutes)
        self._scheduler.reschedule_job("neighbours", trigger=IntervalTrigger(minutes=minutes))

    def _report_defect(self, event: JobExecutionEvent) -> None:
        log.error("%s could not be run: %s", event.job_id, event.exception)
