"""The batch's jobs: what ``foryou batch --job`` and the schedule run.

Owns: ``run``, the lock, the log, and the record of each step in serving.sqlite's ``runs``. Leaves to others:
what a job does.

A job is a generator that yields (step, rows) whenever what it has done so far is whole on the disk, so a test
can stop it between any two steps, and a killed process leaves what a finished step left.
"""

import errno
import logging
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import duckdb

from pipeline.batch import snapshot
from pipeline.batch.candidates import candidates
from pipeline.batch.compact import compact
from pipeline.batch.departed import purge_departed
from pipeline.batch.neighbours import neighbours
from pipeline.errors import BatchError, StoreError
from pipeline.ranking import Ranking, ranking_from
from pipeline.settings import Settings
from pipeline.store.locks import exclusive
from sql.sqlite import SchemaError, connect, migrate

JOBS = ("compact", "neighbours", "candidates")
KEEP_RUNS_DAYS = 30

# No room, no memory, a file that is broken: the operator can mend these, so they become one line.
MENDABLE = (
    MemoryError,
    OSError,
    sqlite3.Error,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.InvalidInputException,
)

log = logging.getLogger("foryou.batch")

Step = tuple[str, int]


class NoLikesError(BatchError):
    """There is nothing to work on yet: ingest has stored no like."""


def run(settings: Settings, job: str, clock: Callable[[], float] = time.time) -> None:
    """Run one job, or all three in order, now.

    Raises NoLikesError when a single job finds no likes; "all" says so in the log and returns. Raises
    BatchError or StoreError when a job fails; what was published before stays.
    """
    if job not in (*JOBS, "all"):
        raise BatchError(f"{job!r} is no job of the batch; known: {', '.join(JOBS)}, all")
    ranking = ranking_from(settings.ranking)
    with exclusive(settings.data_dir, "batch"):
        if not snapshot.has_likes(settings.data_dir):
            text = f"no likes yet in {settings.data_dir}: run 'foryou ingest' first"
            if job != "all":
                raise NoLikesError(text)
            log.info("%s", text)
            return
        shutil.rmtree(snapshot.temporary_dir(settings.data_dir), ignore_errors=True)
        try:
            serving = connect(settings.data_dir / "serving.sqlite")
            migrate(serving, "serving")
        except (sqlite3.Error, SchemaError) as error:
            raise StoreError(f"{settings.data_dir / 'serving.sqlite'}: {error}") from error
        try:
            run_id = _new_run(serving, clock)
            for name in JOBS if job == "all" else (job,):
                _follow(serving, run_id, name, steps(settings, ranking, serving, name, clock), clock)
        finally:
            serving.close()
            shutil.rmtree(snapshot.temporary_dir(settings.data_dir), ignore_errors=True)


def steps(
    settings: Settings, ranking: Ranking, serving: sqlite3.Connection, job: str, clock: Callable[[], float]
) -> Iterator[Step]:
    """Return the steps of one job; advancing the iterator does them."""
    if job == "compact":
        return chain(
            compact(settings.data_dir, ranking, settings.batch_threads),
            purge_departed(settings.data_dir, serving),
        )
    if job == "neighbours":
        return neighbours(settings.data_dir, ranking, settings.batch_threads)
    return candidates(settings.data_dir, ranking, settings.batch_threads, settings.feed_rkey, serving, clock)


def _new_run(serving: sqlite3.Connection, clock: Callable[[], float]) -> int:
    oldest_us = int((clock() - KEEP_RUNS_DAYS * 86_400) * 1e6)
    serving.execute("DELETE FROM runs WHERE started_us < ?", (oldest_us,))
    return int(serving.execute("SELECT coalesce(max(run_id), 0) + 1 FROM runs").fetchone()[0])


def _follow(
    serving: sqlite3.Connection, run_id: int, job: str, job_steps: Iterator[Step], clock: Callable[[], float]
) -> None:
    began, last = time.perf_counter(), "start"
    started_us = int(clock() * 1e6)
    totals: dict[str, tuple[int, float, int]] = {}  # step: started_us, seconds, rows
    try:
        for step, rows in job_steps:
            now = time.perf_counter()
            first_us, seconds, before = totals.get(step, (started_us, 0.0, 0))
            totals[step] = first_us, seconds + now - began, before + rows
            if step != last and last in totals:
                _tell(serving, run_id, job, last, totals[last])
            began, last, started_us = now, step, int(clock() * 1e6)
        if last in totals:
            _tell(serving, run_id, job, last, totals[last])
    except Exception as error:
        outcome = _outcome(error)
        seconds = time.perf_counter() - began
        where = f"after {last}" if totals else "at the start"
        with suppress(sqlite3.Error):  # the disk may be full for this as well
            _record(serving, run_id, job, where, (started_us, seconds, 0), outcome)
        if not isinstance(error, MENDABLE):
            raise  # the operator's line as it is, or a defect with its traceback
        raise BatchError(f"{job}, {where}: {outcome}") from error


def _outcome(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; what was stored stays, free some space and run it again"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _tell(
    serving: sqlite3.Connection, run_id: int, job: str, step: str, total: tuple[int, float, int]
) -> None:
    log.info("%s: %s: %d rows, %.2f s", job, step, total[2], total[1])
    _record(serving, run_id, job, step, total, "done")


def _record(
    serving: sqlite3.Connection,
    run_id: int,
    job: str,
    step: str,
    total: tuple[int, float, int],
    outcome: str,
) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform != "darwin" else 1 << 20
    )
    serving.execute(
        "INSERT OR REPLACE INTO runs (run_id, job, step, started_us, seconds, rows, peak_mb, outcome) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, job, step, total[0], total[1], total[2], peak, outcome),
    )
