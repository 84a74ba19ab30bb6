"""The timetable: which batch job runs when, and for whom.

Owns: APScheduler's jobs, and their order. Leaves to others: the jobs
themselves. Each runs as a process of its own, which returns its memory and whose failure affects nothing else.

    compact      every compact_minutes
    neighbours   of viewers who changed, or of all when that is due (batch.neighbours_job); takes at most a tenth of
                 the time, but runs at least every neighbours_minutes
    candidates   for everybody; takes at most a twentieth of the time, but runs at least every everybody_minutes
    liked        every candidates_minutes: neighbours of viewers seen in the last half hour who liked something since;
                 takes at most half of the time
    recent       every candidates_minutes, and after liked: lists of viewers seen in the last half hour. When both are
                 due, liked goes first: beside it the lists would be ready no sooner, and lack what it found
    fetch        from their repositories, the likes of viewers who came and whom the store does not know
    gaps         every hour, from the archive, what the store lacks, if there is a key (FORYOU_ARCHIVE_KEY)
    rules        the members of moderation lists that the operator follows, an hour after they were last fetched
    copies       every candidates_minutes while somebody uses the feed, of small tables, for analysts and the dashboard;
                 takes at most a tenth of the time
    profiles     what authors in lists say on their profiles: looked for every minute (FORYOU_ASK_PROFILES)
    waiting      neighbours and lists of viewers without a list, or who like while they scroll: looked for every
                 waiting_seconds, and after a fetch

A restart does not change the timetable: when a job ran last, and how long it took, says when it is due next. Those for
viewers seen lately are due at once.

Only one of the first three runs at a time, for each needs the whole machine and the batch's lock. One that comes due
meanwhile waits, and then runs once, however often it came due. The others run beside them and take most of the
processor time that is left, because somebody is looking at the screen. If they had to wait for a run for everybody, a
new like would reach no list for minutes.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from pipeline.blocking.followed_lists import due
from pipeline.blocking.rule_file import RulesError, rules_of
from pipeline.clock import MachineClock
from pipeline.errors import StoreError
from pipeline.notify import service_manager
from pipeline.ranking import ranking_from
from pipeline.run.job_turns import JobTurns
from pipeline.run.supervisor import child_environment, run_child
from pipeline.settings import ARCHIVE_KEY, Settings
from pipeline.store.any_likes import has_likes, no_likes_text
from pipeline.store.locks import exclusive
from pipeline.store.newest_generation import newest_generation
from pipeline.store.who_is_due import (
    VIEWERS,
    authors_to_ask_about,
    has_gaps,
    last_run,
    recent_viewers,
    unknown_viewers,
    waiting_viewers,
)
from sql import places
from sql.sqlite import connect

log = logging.getLogger("foryou.schedule")

FIRST_LISTS_SECONDS = 5.0
# Without a like for so long, something is wrong: ingest does not run, or can't reach the stream.
FIRST_LIKES_SECONDS, FIRST_LIKES_AGAIN_SECONDS = 30.0, 600.0
ALIVE_SECONDS = 5.0
# Jobs of one queue run one after the other.
QUEUES = {"compact": "default", "neighbours": "default", "candidates": "default"}
QUEUES |= {"liked": "recent", "recent": "recent"}
QUEUES |= {job: job for job in ("fetch", "gaps", "rules", "profiles", "waiting", "copies")}
# Ingest and the web app run at 0. Nine steps more give a run a seventh of the other run's share of a processor.
SOON_NICENESS, LATER_NICENESS = 10, 19
# Neighbours change slowly, except in a young store, where they cost little. The job takes at most this share of the
# time, but runs at least every neighbours_minutes.
NEIGHBOURS_TIME_SHARE = 0.1
LIKED_TIME_SHARE = 0.5
COPIES_TIME_SHARE = 0.1
# A search for waiting viewers reads the latest visits; once in a while it reads those of a whole day.
WIDE_SEARCH_SECONDS = 600.0
NARROW_SEARCH_SECONDS = 120.0
FETCH_LONG_SECONDS = 30.0  # a run for waiting viewers that took so long may have left somebody
GAPS_SECONDS = 3600.0
RULES_SECONDS = 300.0  # a list whose fetch failed is due again at the next look
PROFILES_SECONDS, PROFILES_AGAIN_SECONDS = 60.0, 600.0  # the second after the AppView did not answer
PROFILES_REST = 50  # looking through the posts of a million lists takes seconds
NO_SECRETS: Mapping[str, str] = {}


def run(settings: Settings) -> None:
    """Run the jobs on their timetable until SIGTERM or SIGINT."""
    # APScheduler warns when a search takes longer than waiting_seconds and skips the next; that is intended.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with exclusive(settings.data_dir, "schedule"):
        serving = places.serving(settings.data_dir)
        if serving.exists():  # restored without its log, which a web app that may not write here needs
            connect(serving).close()
        service_manager().ready()
        Timetable(settings, stopping).run()


class Timetable:
    """The jobs of one installation and when they are due."""

    def __init__(self, settings: Settings, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._environment = child_environment(settings)
        self._archive_key = os.environ.get(ARCHIVE_KEY, "").strip()
        # On the monotonic clock.
        self._everybody_due = self._liked_due = self._profiles_due = self._copies_due = 0.0
        self._machine = MachineClock()
        longest = max(settings.compact_minutes, settings.neighbours_minutes, settings.everybody_minutes)
        self._turns = JobTurns(QUEUES, longest * 60)
        self._complaint = ""
        self._wide_search_due = {"fetch": 0.0, "waiting": 0.0}  # likewise
        self._scheduler = BackgroundScheduler(
            executors={name: ThreadPoolExecutor(1) for name in set(QUEUES.values())},
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
            # Who was seen lately has waited while nothing ran.
            self._add_job("liked", self._follow_likes, settings.candidates_minutes * 60, at_once=True)
            self._add_job("recent", self._renew_recent, settings.candidates_minutes * 60, at_once=True)
            seconds = settings.waiting_seconds
            self._add_job("fetch", self._fetch, seconds)
            self._add_job("waiting", self._serve_waiting, seconds)
            log.info("looking for viewers without a list every %g seconds", seconds)
            self._add_job("rules", self._refresh_lists, RULES_SECONDS)
            self._add_job("copies", self._copy_tables, settings.candidates_minutes * 60)
            if settings.ask_profiles == "on":
                self._add_job("profiles", self._ask_profiles, PROFILES_SECONDS, at_once=True)
            if self._archive_key:
                self._add_job("gaps", self._fill_gaps, GAPS_SECONDS, at_once=True)
            self._scheduler.start()
            while not self._stopping.wait(ALIVE_SECONDS):
                step = self._machine.step_seconds()
                if step:
                    self._make_due(step)
                if self._is_on_time():
                    service_manager().alive()
            # While APScheduler waits for a job in shutdown, that job can't reach it: both would wait for ever.
            self._turns.wait_until_none_runs()
            self._scheduler.shutdown(wait=True)

    def _make_due(self, step: float) -> None:
        """Make every job due now: APScheduler goes by this machine's clock, which was just set."""
        log.warning("this machine's clock was set by %+.0f s: every job is due now", step)
        self._everybody_due = 0.0
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC))

    def _is_on_time(self) -> bool:
        """Tell whether the scheduler still works, and jobs that are due begin; log what is wrong, once."""
        late, jobs = datetime.now(UTC) - timedelta(minutes=1), self._scheduler.get_jobs()
        complaint = self._turns.complaint({job.id: job.trigger.interval.total_seconds() for job in jobs})
        if not all(job.next_run_time > late for job in jobs):  # each is due in the future, even while it runs
            complaint = "the scheduler does not go on"
        if bool(complaint) != bool(self._complaint):
            log.error("%s", f"{complaint}: is this stuck?" if complaint else "jobs get their turns again")
        self._complaint = complaint
        return not complaint

    def _make_first_lists(self) -> None:
        """Run all jobs repeatedly until there are lists to serve, once there is a like to make them of."""
        data_dir = self._settings.data_dir
        say_at = time.monotonic() + FIRST_LIKES_SECONDS
        while newest_generation(data_dir) == 0:
            if self._has_likes():
                self._run_child("all", ["batch", "--job", "all"], alive=service_manager().alive)
                if newest_generation(data_dir):
                    return
            elif time.monotonic() >= say_at:
                log.warning("%s", no_likes_text(data_dir))
                say_at = time.monotonic() + FIRST_LIKES_AGAIN_SECONDS
            service_manager().alive()
            if self._stopping.wait(FIRST_LISTS_SECONDS):
                return

    def _has_likes(self) -> bool:
        try:
            return has_likes(self._settings.data_dir)
        except StoreError as error:
            log.warning("%s", error)
            return False

    def _add(self, job: str, minutes: float) -> None:
        self._add_job(job, partial(self._run_job, job), minutes * 60)
        log.info("%s every %g minutes", job, minutes)

    def _add_job(self, job: str, work: Callable[[], None], seconds: float, *, at_once: bool = False) -> None:
        """Add a job that is due every so many seconds, for the first time after so many or at once."""

        def in_turn() -> None:
            with self._turns.turn(job):
                if not self._stopping.is_set():
                    work()

        trigger = IntervalTrigger(seconds=seconds)
        self._scheduler.add_job(in_turn, trigger, id=job, name=job, executor=QUEUES[job])
        if at_once:
            self._scheduler.modify_job(job, next_run_time=datetime.now(UTC))

    def _remember(self, now: float) -> None:
        """Resume the timetable from the record of runs; ``now`` is in seconds since 1970."""
        neighbours, everybody = (
            last_run(self._settings.data_dir, job) for job in ("neighbours", "candidates")
        )
        if neighbours is not None:
            began_us, seconds = neighbours
            space = self._space_neighbours(seconds) * 60
            soonest = now + self._settings.candidates_minutes * 60
            due = max(
                min(began_us / 1e6, now) + space, soonest
            )  # the record may be of a clock that was ahead
            self._scheduler.modify_job("neighbours", next_run_time=datetime.fromtimestamp(due, UTC))
        if everybody is not None:
            began_us, seconds = everybody
            due = min(began_us / 1e6, now) + self._settings.everybody_after(seconds) * 60
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
            self._everybody_due = self._due_after(began, self._settings.everybody_after(seconds) * 60)

    def _due_after(self, began: float, seconds: float) -> float:
        """Return when a job that began is due again, so many seconds later."""
        # Half an interval early, so that an inexact timer does not skip a whole one.
        return began + seconds - self._settings.candidates_minutes * 30

    def _follow_likes(self) -> None:
        """Renew the neighbours of viewers who were seen lately and liked something, then their lists."""
        began = time.monotonic()
        if began < self._liked_due or not recent_viewers(self._settings.data_dir, time.time_ns() // 1000):
            return
        self._run_child("liked", ["batch", "--job", "neighbours", "--viewers", "liked"])
        self._liked_due = self._due_after(began, (time.monotonic() - began) / LIKED_TIME_SHARE)
        if not self._stopping.is_set():
            self._scheduler.modify_job("recent", next_run_time=datetime.now(UTC))

    def _renew_recent(self) -> None:
        """Make the lists of viewers seen lately, if there are any."""
        if recent_viewers(self._settings.data_dir, time.time_ns() // 1000):
            self._run_child("recent", ["batch", "--job", "candidates", "--viewers", "recent"])

    def _copy_tables(self) -> None:
        """Renew analysts' copies of the small tables and the dashboard's figures, while somebody uses the feed."""
        began = time.monotonic()
        if began < self._copies_due or not recent_viewers(self._settings.data_dir, time.time_ns() // 1000):
            return
        self._run_child("copies", ["batch", "--job", "copies"], LATER_NICENESS)
        self._copies_due = self._due_after(began, (time.monotonic() - began) / COPIES_TIME_SHARE)

    def _fetch(self) -> None:
        """Fetch the likes of new viewers; once in a while, also of those whose host failed."""
        since_us, wide = self._search_from("fetch")
        if wide or unknown_viewers(self._settings.data_dir, since_us):
            began = time.monotonic()
            self._run_child("fetch", ["backfill", "--waiting"])
            if time.monotonic() - began > FETCH_LONG_SECONDS:
                self._wide_search_due |= {"fetch": 0.0, "waiting": 0.0}
            if not wide:
                self._scheduler.modify_job("waiting", next_run_time=datetime.now(UTC))

    def _fill_gaps(self) -> None:
        """Fetch from the archive what the store lacks, if it lacks anything; only that process gets the key."""
        window_days = ranking_from(self._settings.ranking).seed_window_days
        if has_gaps(self._settings.data_dir, window_days):
            key = {ARCHIVE_KEY: self._archive_key}
            self._run_child("gaps", ["backfill", "--gaps"], LATER_NICENESS, secrets=key)

    def _refresh_lists(self) -> None:
        """Fetch the members of followed lists that are due."""
        try:
            rules = rules_of(self._settings.data_dir)
        except RulesError:  # ingest and the batch say so
            return
        if due(self._settings.data_dir, rules, time.time()):
            self._run_child("rules", ["block", "--refresh"], LATER_NICENESS)

    def _ask_profiles(self) -> None:
        """Ask what authors in lists say on their profiles, if somebody is due."""
        if time.monotonic() < self._profiles_due:
            return
        began = time.monotonic()
        due = authors_to_ask_about(self._settings.data_dir, time.time_ns() // 1000)
        rest = (time.monotonic() - began) * PROFILES_REST
        if due and not self._run_child("profiles", ["backfill", "--profiles"], LATER_NICENESS):
            rest = PROFILES_AGAIN_SECONDS
        self._profiles_due = time.monotonic() + rest

    def _serve_waiting(self) -> None:
        """Make neighbours and lists for viewers who wait, if there are any."""
        since_us, wide = self._search_from("waiting")

        def waiting() -> list[str]:
            since = None if wide else since_us
            return waiting_viewers(self._settings.data_dir, time.time_ns() // 1000, since_us=since)

        before: list[str] = []
        found = waiting()
        # When a run can't take them all, the next one begins at once.
        while found and found != before and self._run_child("waiting", ["batch", "--viewers", "waiting"]):
            if len(found) < VIEWERS or self._stopping.is_set():
                break
            before, found = found, waiting()

    def _search_from(self, job: str) -> tuple[int, bool]:
        """Return the time from which on visits are read, and whether a search of a whole day is due."""
        now = time.monotonic()
        wide = now >= self._wide_search_due[job]
        if wide:
            self._wide_search_due[job] = now + WIDE_SEARCH_SECONDS
        return int((time.time() - NARROW_SEARCH_SECONDS - self._settings.waiting_seconds) * 1e6), wide

    def _run_child(
        self,
        job: str,
        arguments: Sequence[str],
        niceness: int = SOON_NICENESS,
        alive: Callable[[], None] = lambda: None,
        secrets: Mapping[str, str] = NO_SECRETS,
    ) -> bool:
        """Run a command to its end; tell whether it succeeded."""
        began = time.monotonic()
        status = run_child(arguments, {**self._environment, **secrets}, self._stopping, niceness, alive)
        if status != 0 and not self._stopping.is_set():
            seconds = time.monotonic() - began
            log.warning("%s failed after %.1f s (status %d); the timetable continues", job, seconds, status)
        return status == 0

    def _space_neighbours(self, seconds: float) -> float:
        """Reschedule neighbours after a job that took so long; return the minutes from its start to the next."""
        settings = self._settings
        minutes = seconds / NEIGHBOURS_TIME_SHARE / 60
        minutes = min(max(minutes, settings.candidates_minutes), settings.neighbours_minutes)
        self._scheduler.reschedule_job("neighbours", trigger=IntervalTrigger(minutes=minutes))
        return minutes

    def _report_defect(self, event: JobExecutionEvent) -> None:
        log.error("%s could not run: %s", event.job_id, event.exception)
