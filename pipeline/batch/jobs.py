"""The batch's jobs: what ``foryou batch --job`` and the timetable run.

Owns: ``run``, the lock, the log, and the record of each step in the table ``runs`` of serving.sqlite. Leaves to
others: what a job does.

A job is a generator. It yields (step, rows) whenever everything it has done so far is whole on the disk. So a test
can stop it between any two steps, and a killed process leaves what the last finished step left.
"""

import errno
import logging
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import NamedTuple

import duckdb

from pipeline.batch.candidates_job import FeedToPublish, candidates
from pipeline.batch.engine import Engine
from pipeline.batch.engines import open_engine
from pipeline.batch.engines.local import LOCAL
from pipeline.batch.few_viewers_job import waiting_candidates, waiting_neighbours
from pipeline.batch.inputs.few_viewers import FewViewersInputs
from pipeline.batch.inputs.neighbour_files import NeighbourFiles, files_of, remove_unused
from pipeline.batch.memory import within_memory
from pipeline.batch.neighbours_job import liked_neighbours, neighbours
from pipeline.batch.publish.deleted_accounts import remove_deleted_accounts
from pipeline.batch.tiers import BESIDE, JOBS, TIER_HELP, TIERS
from pipeline.blocking.in_force import bring_into_force
from pipeline.blocking.rule_file import RulesError
from pipeline.errors import BatchError, StoreError
from pipeline.feeds import Feed, feeds_of
from pipeline.lake.compact import compact
from pipeline.progress import Progress, Step
from pipeline.ranking import Ranking
from pipeline.settings import Settings
from pipeline.store.any_likes import has_likes, no_likes_text
from pipeline.store.locks import exclusive
from pipeline.store.picked import number_pickers
from pipeline.store.who_is_due import (
    last_commit,
    mark_likes,
    mark_waiting,
    recent_viewers,
    viewers_with_settings,
    waiting_viewers,
)
from sql import places
from sql.sqlite import SchemaError, connect, migrate

KEEP_RUNS_DAYS = 30
MADE = ("waiting viewers", "viewers", "product", "lists")  # steps whose rows tell how much a part did
LONGEST_STEPS, NAMED_SECONDS = 3, 1.0

# No room, no memory, a broken file: the operator can repair these, so they become one line.
REPAIRABLE = (
    MemoryError,
    OSError,
    sqlite3.Error,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.InvalidInputException,
)

log = logging.getLogger("foryou.batch")


class NoLikesError(BatchError):
    """Ingest has stored no like yet."""


def run(
    settings: Settings,
    job: str,
    clock: Callable[[], float] = time.time,
    viewers: str = "all",
    memory: tuple[float, str] | None = None,
) -> None:
    """Run one job, or all three in order, now.

    ``viewers`` is a tier. "all" is everybody. "changed" computes the neighbours of viewers who liked or answered
    something since. "liked" does so for viewers seen in the last half hour alone. "recent" makes their lists.
    "waiting", with job "all", makes neighbours and lists of viewers who have none, or whose likes and answers their
    list does not know. A run of the last three tiers may go on beside one of each other tier. ``memory`` is what
    ``memory.before_libraries`` returned.

    Raises NoLikesError when a single job finds no likes; "all" says so in the log and returns. Raises BatchError or
    StoreError when a job fails; what was published before stays.
    """
    if job not in (*JOBS, "all"):
        raise BatchError(f"unknown job {job!r}: expected one of {', '.join(JOBS)}, all")
    if job not in TIERS.get(viewers, ()):
        raise BatchError(f"job {job!r} does not go with viewers {viewers!r}: {TIER_HELP}")
    feeds = feeds_of(settings)
    beside = viewers if viewers in BESIDE else ""
    folder = places.working(settings.data_dir, beside)
    with exclusive(settings.data_dir, beside or "batch"):
        if not has_likes(settings.data_dir):
            text = no_likes_text(settings.data_dir)
            if job != "all":
                raise NoLikesError(text)
            log.info("%s", text)
            return
        _bring_rules_into_force(settings)
        feeds = tuple(_within_memory(feed, memory) for feed in feeds)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            serving = connect(places.serving(settings.data_dir))
            migrate(serving, "serving")
        except (sqlite3.Error, SchemaError) as error:
            raise StoreError(f"{places.serving(settings.data_dir)}: {error}") from error
        try:
            run_id = _new_run(serving, clock)
            names = JOBS if job == "all" else (job,)
            # Whoever waits for a run beside the others waits less than a cluster takes to begin.
            with nullcontext(LOCAL) if beside or job == "compact" else open_engine(settings) as engine:
                batch = BatchRun(settings, feeds, serving, clock, viewers, engine)
                for part in waiting_parts(batch) if viewers == "waiting" else batch_parts(batch, names):
                    _follow(serving, run_id, part, clock)
        finally:
            serving.close()
            shutil.rmtree(folder, ignore_errors=True)


def _bring_rules_into_force(settings: Settings) -> None:
    """Take over the operator's rules: accounts have numbers by now that they had not when the rules were made."""
    try:
        bring_into_force(settings.data_dir)
    except (RulesError, StoreError) as error:  # a full disk stops the run where it stores something
        log.warning("%s; the rules that were in force before stay", error)


def _within_memory(feed: Feed, memory: tuple[float, str] | None) -> Feed:
    fitting = within_memory(feed.ranking, memory)  # which variants can't change

    def bounded(ranking: Ranking) -> Ranking:
        return replace(ranking, block_viewers=fitting.block_viewers, memory_limit_gb=fitting.memory_limit_gb)

    return feed.with_rankings(bounded)


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What the parts of one run have in common."""

    settings: Settings
    feeds: tuple[Feed, ...]
    serving: sqlite3.Connection
    clock: Callable[[], float]
    viewers: str
    engine: Engine = LOCAL

    @property
    def files(self) -> list[NeighbourFiles]:
        """The files of neighbours that the feeds need."""
        return files_of(self.settings.data_dir, self.feeds)

    @property
    def rkeys(self) -> tuple[str, ...]:
        """The record keys of all feeds."""
        return tuple(feed.rkey for feed in self.feeds)

    def files_for(self, feed: Feed) -> NeighbourFiles:
        """Return the files of neighbours that one feed needs."""
        return next(files for files in self.files if feed.rkey in files.rkeys)

    def name_of(self, feed: Feed) -> str:
        """Return what the log calls a feed: nothing when there is only one."""
        return feed.rkey if len(self.feeds) > 1 else ""


@dataclass(frozen=True, slots=True)
class Part:
    """One job for one tier of viewers and, where it matters, one feed; advancing the steps does the work."""

    job: str
    tier: str
    feed: str
    steps: Iterator[Step]
    progress: Progress

    @property
    def label(self) -> str:
        """What the log calls the part."""
        return " ".join(filter(None, (self.job, self.tier if self.tier != "all" else "", self.feed)))


def batch_parts(batch: BatchRun, names: Sequence[str]) -> Iterator[Part]:
    """Yield the parts of a run in order; each must be done before the next is asked for."""
    threads, data_dir, tier = batch.settings.batch_threads, batch.settings.data_dir, batch.viewers
    lately = tier in ("liked", "recent")
    wanted = recent_viewers(data_dir, int(batch.clock() * 1e6)) if lately else None
    if wanted is not None and not wanted:
        log.info("%s: nobody asked for a feed lately", names[0])
        return
    for name in names:
        if name == "compact":
            removal = remove_deleted_accounts(data_dir, batch.serving)
            steps: Iterator[Step] = chain(compact(data_dir, batch.feeds[0].ranking, threads), removal)
            yield Part(name, tier, "", steps, Progress(name))
        elif wanted is not None and name == "neighbours":
            began_us = int(batch.clock() * 1e6)
            for number, files in enumerate(batch.files):
                note = partial(_mark_liked, batch.serving, began_us)
                progress = Progress(name)
                steps = liked_neighbours(files, wanted, threads, note, progress)
                yield Part(name, tier, files.rkeys[0] if number else "", steps, progress)
        elif name == "neighbours":
            for number, files in enumerate(batch.files):
                feed_name = files.rkeys[0] if number else ""
                progress = Progress(f"{name} {feed_name}".strip())
                changed = tier == "changed"
                steps = neighbours(
                    files,
                    threads,
                    engine=batch.engine,
                    changed_only=changed,
                    clock=batch.clock,
                    progress=progress,
                )
                yield Part(name, tier, feed_name, steps, progress)
            remove_unused(data_dir, batch.files)
        else:
            for feed in batch.feeds:
                progress = Progress(f"{name} {batch.name_of(feed)}".strip())
                to_publish = FeedToPublish(feed, batch.rkeys, wanted)
                steps = candidates(
                    batch.files_for(feed),
                    to_publish,
                    threads,
                    batch.serving,
                    batch.clock,
                    progress,
                    batch.engine,
                )
                yield Part(name, tier, batch.name_of(feed), steps, progress)


def _mark_liked(serving: sqlite3.Connection, began_us: int, likes: Mapping[str, int], commit_no: int) -> None:
    """Record that a run knows these viewers' likes: they need not wait for one of their own."""
    mark_waiting(serving, list(likes), began_us, commit_no)
    mark_likes(serving, likes)


def waiting_parts(batch: BatchRun) -> Iterator[Part]:
    """Yield the parts of a run for viewers who wait; none when nobody does, or before there are neighbours."""
    began_us = int(batch.clock() * 1e6)
    dids = waiting_viewers(batch.settings.data_dir, began_us)
    if not dids or not batch.files[0].path.exists():
        log.info(
            "%s",
            "no neighbours yet: everybody waits for the first run" if dids else "nobody waits for a list",
        )
        return
    threads = batch.settings.batch_threads
    number_pickers(batch.settings.data_dir, dids)
    mark_waiting(batch.serving, dids, began_us, last_commit(batch.settings.data_dir))
    own = viewers_with_settings(batch.settings.data_dir, dids)
    variants = [(feed, variant) for feed in batch.feeds for variant in feed.variants]
    windows = [files.ranking.seed_window_days * 24.0 for files in batch.files]
    windows += [variant.ranking.post_max_age_hours for _, variant in variants]
    ranking = batch.files[0].ranking
    with closing(FewViewersInputs(batch.settings.data_dir, ranking, threads, max(windows))) as inputs:
        for number, files in enumerate(batch.files):
            steps = waiting_neighbours(inputs, files, dids, partial(mark_likes, batch.serving))
            yield Part(
                "neighbours", "waiting", files.rkeys[0] if number else "", steps, Progress("neighbours")
            )
        for feed, variant in variants:
            wanted = [did for did in dids if variant.has(did, own)]
            if wanted:
                to_publish = FeedToPublish(feed, batch.rkeys, wanted)
                progress = Progress("candidates")
                steps = waiting_candidates(
                    inputs,
                    batch.files_for(feed),
                    to_publish,
                    variant,
                    threads,
                    batch.serving,
                    batch.clock,
                    progress,
                )
                yield Part("candidates", "waiting", batch.name_of(feed), steps, progress)


class StepTotal(NamedTuple):
    """What the record says of a step, all its turns together."""

    started_us: int
    seconds: float = 0.0
    rows: int = 0


def _new_run(serving: sqlite3.Connection, clock: Callable[[], float]) -> int:
    oldest_us = int((clock() - KEEP_RUNS_DAYS * 86_400) * 1e6)
    serving.execute("DELETE FROM runs WHERE started_us < ?", (oldest_us,))
    return int(serving.execute("SELECT coalesce(max(run_id), 0) + 1 FROM runs").fetchone()[0])


def _follow(serving: sqlite3.Connection, run_id: int, part: Part, clock: Callable[[], float]) -> None:
    """Do a part's steps; log and record each one when the next begins."""
    began, last = time.perf_counter(), "start"
    started_us = int(clock() * 1e6)
    totals: dict[str, StepTotal] = {}
    try:
        for step, rows in part.steps:
            now = time.perf_counter()
            total = totals.get(step, StepTotal(started_us))
            totals[step] = total._replace(seconds=total.seconds + now - began, rows=total.rows + rows)
            part.progress.start(f"after {step}")  # the next one has no name yet
            if step != last and last in totals:
                _report(serving, run_id, part, last, totals[last])
            began, last, started_us = now, step, int(clock() * 1e6)
        if last in totals:
            _report(serving, run_id, part, last, totals[last])
        part.progress.clear()
        log.info("%s: %s", part.label, _summary(totals))
    except Exception as error:
        part.progress.clear()
        outcome = _outcome(error)
        failed = StepTotal(started_us, time.perf_counter() - began)
        where = f"after {last}" if totals else "at the start"
        with suppress(sqlite3.Error):  # the disk may be too full for this as well
            _record(serving, run_id, part, where, failed, outcome)
        if not isinstance(error, REPAIRABLE):
            raise  # an error of ours with its own line, or a defect with its traceback
        raise BatchError(f"{part.label}, {where}: {outcome}") from error


def _summary(totals: Mapping[str, StepTotal]) -> str:
    """Return one line for all of a part: what it made, how long that took, and what took longest."""
    made = [f"{name} {totals[name].rows:,}" for name in MADE if name in totals]
    seconds = sum(total.seconds for total in totals.values())
    text = ", ".join([*made, f"{seconds:.1f} s"])
    longest = sorted(totals, key=lambda name: -totals[name].seconds)[:LONGEST_STEPS]
    named = [
        f"{name} {totals[name].seconds:.1f} s" for name in longest if totals[name].seconds >= 0.1 * seconds
    ]
    return f"{text} ({', '.join(named)})" if seconds >= NAMED_SECONDS and named else text


def _outcome(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; what was stored stays: free some space and run it again"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _report(serving: sqlite3.Connection, run_id: int, part: Part, step: str, total: StepTotal) -> None:
    part.progress.clear()
    # A log has one line for each part, the table all steps; whoever looks on sees them come.
    level = logging.INFO if part.progress.is_shown else logging.DEBUG
    log.log(level, "%s: %s: %d rows, %.2f s", part.label, step, total.rows, total.seconds)
    _record(serving, run_id, part, step, total, "done")


def _record(
    serving: sqlite3.Connection, run_id: int, part: Part, step: str, total: StepTotal, outcome: str
) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak / (1024 if sys.platform != "darwin" else 1 << 20)
    serving.execute(
        "INSERT OR REPLACE INTO runs (run_id, job, step, started_us, seconds, rows, peak_mb, outcome, tier, feed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, part.job, step, *total, peak_mb, outcome, part.tier, part.feed),
    )
