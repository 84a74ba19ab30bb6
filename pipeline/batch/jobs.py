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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, repeat

import duckdb

from pipeline.batch.candidates_job import Publication, candidates
from pipeline.batch.few_viewers_job import waiting_candidates, waiting_neighbours
from pipeline.batch.inputs import snapshot
from pipeline.batch.inputs.neighbour_files import Graph, graphs_of, remove_others
from pipeline.batch.memory import within_memory
from pipeline.batch.neighbours_job import neighbours
from pipeline.batch.publish.deleted_accounts import remove_deleted_accounts
from pipeline.batch.tiers import JOBS, TIER_HELP, TIERS
from pipeline.errors import BatchError, StoreError
from pipeline.feeds import Feed, feeds_of
from pipeline.lake.compact import compact
from pipeline.progress import Progress, Step
from pipeline.ranking import Ranking
from pipeline.settings import Settings
from pipeline.store.locks import exclusive
from pipeline.store.who_is_due import mark_waiting, recent_viewers, waiting_viewers
from sql import places
from sql.sqlite import SchemaError, connect, migrate

KEEP_RUNS_DAYS = 30
BESIDE = ("waiting", "recent")  # tiers whose runs go on beside the others, each with its own lock and folder

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


class NoLikesError(BatchError):
    """There is nothing to work on yet: ingest has stored no like."""


def run(
    settings: Settings,
    job: str,
    clock: Callable[[], float] = time.time,
    viewers: str = "all",
    memory: tuple[float, str] | None = None,
) -> None:
    """Run one job, or all three in order, now.

    ``viewers``: "all"; "changed" for the neighbours of those who liked or answered something since; "recent" for the
    lists of those seen in the last half hour; "waiting", with job "all", for neighbours and lists of those who have
    none, or likes and answers that their list does not know of. The last two go on beside each other and one of the
    first. ``memory`` is what is free, as ``memory.before_libraries`` tells.

    Raises NoLikesError when a single job finds no likes; "all" says so in the log and returns. Raises
    BatchError or StoreError when a job fails; what was published before stays.
    """
    if job not in (*JOBS, "all"):
        raise BatchError(f"{job!r} is no job of the batch; known: {', '.join(JOBS)}, all")
    if job not in TIERS.get(viewers, ()):
        raise BatchError(f"there is no job {job!r} for viewers {viewers!r}: {TIER_HELP}")
    feeds = feeds_of(settings)
    waits = viewers == "waiting"
    beside = viewers if viewers in BESIDE else ""
    folder = places.working(settings.data_dir, beside)
    with exclusive(settings.data_dir, beside or "batch"):
        if not snapshot.has_likes(settings.data_dir):
            text = f"no likes yet in {settings.data_dir}: run 'foryou ingest' first"
            if job != "all":
                raise NoLikesError(text)
            log.info("%s", text)
            return
        feeds = tuple(_within_memory(feed, memory) for feed in feeds)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            serving = connect(places.serving(settings.data_dir))
            migrate(serving, "serving")
        except (sqlite3.Error, SchemaError) as error:
            raise StoreError(f"{places.serving(settings.data_dir)}: {error}") from error
        try:
            run_id = _new_run(serving, clock)
            batch = Batch(settings, feeds, serving, clock, viewers)
            parts = waiting_parts(batch) if waits else batch_parts(batch, JOBS if job == "all" else (job,))
            for part in parts:
                _follow(serving, run_id, part, clock)
        finally:
            serving.close()
            shutil.rmtree(folder, ignore_errors=True)


def _within_memory(feed: Feed, memory: tuple[float, str] | None) -> Feed:
    fitting = within_memory(feed.ranking, memory)  # which variants can't change

    def bounded(ranking: Ranking) -> Ranking:
        return replace(ranking, block_viewers=fitting.block_viewers, memory_limit_gb=fitting.memory_limit_gb)

    return feed.with_rankings(bounded)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the parts of one run have in common."""

    settings: Settings
    feeds: tuple[Feed, ...]
    serving: sqlite3.Connection
    clock: Callable[[], float]
    viewers: str

    @property
    def graphs(self) -> list[Graph]:
        """The files of neighbours that the feeds need."""
        return graphs_of(self.settings.data_dir, self.feeds)


@dataclass(frozen=True, slots=True)
class Part:
    """One job for one tier of viewers and, where it matters, one feed; advancing the steps does them."""

    job: str
    tier: str
    feed: str
    steps: Iterator[Step]
    progress: Progress

    @property
    def label(self) -> str:
        """How the part is called in the log."""
        return " ".join(
            [self.job, *([self.tier] if self.tier != "all" else []), *([self.feed] if self.feed else [])]
        )


def batch_parts(batch: Batch, names: Sequence[str]) -> Iterator[Part]:
    """Yield the parts of a run in order; each is to be done before the next is asked for."""
    settings, several, tier = batch.settings, len(batch.feeds) > 1, batch.viewers
    threads, data_dir = settings.batch_threads, settings.data_dir
    rkeys = tuple(feed.rkey for feed in batch.feeds)
    for name in names:
        if name == "compact":
            steps: Iterator[Step] = chain(
                compact(data_dir, batch.feeds[0].ranking, threads),
                remove_deleted_accounts(data_dir, batch.serving),
            )
            yield Part(name, tier, "", steps, Progress(name))
        elif name == "neighbours":
            for number, graph in enumerate(batch.graphs):
                of_feed = graph.rkeys[0] if number else ""
                progress = Progress(" ".join(filter(None, (name, of_feed))))
                changed = tier == "changed"
                steps = neighbours(graph, threads, changed_only=changed, clock=batch.clock, progress=progress)
                yield Part(name, tier, of_feed, steps, progress)
            remove_others(data_dir, batch.graphs)
        else:
            recent = recent_viewers(data_dir, int(batch.clock() * 1e6)) if tier == "recent" else None
            if recent is not None and not recent:
                log.info("candidates: nobody asked for a feed lately")
                return
            for feed in batch.feeds:
                progress = Progress(f"{name} {feed.rkey}" if several else name)
                graph = next(graph for graph in batch.graphs if feed.rkey in graph.rkeys)
                to = Publication(feed, rkeys, recent)
                steps = candidates(graph, to, threads, batch.serving, batch.clock, progress)
                yield Part(name, tier, feed.rkey if several else "", steps, progress)


def waiting_parts(batch: Batch) -> Iterator[Part]:
    """Yield the parts of a run for viewers who wait; none when nobody does, or while there are no neighbours."""
    began_us = int(batch.clock() * 1e6)
    graphs = batch.graphs
    dids = waiting_viewers(batch.settings.data_dir, began_us)
    if not dids or not graphs[0].path.exists():
        log.info(
            "nobody waits for a list" if not dids else "no neighbours yet: everybody waits for the first run"
        )
        return
    threads, rkeys = batch.settings.batch_threads, tuple(feed.rkey for feed in batch.feeds)
    mark_waiting(batch.serving, dids, began_us)
    for number, graph in enumerate(graphs):
        feed_rkey = graph.rkeys[0] if number else ""
        steps = waiting_neighbours(graph, dids, threads)
        yield Part("neighbours", "waiting", feed_rkey, steps, Progress("neighbours"))
    for feed, variant in chain.from_iterable(zip(repeat(each), each.variants) for each in batch.feeds):
        theirs = [did for did in dids if variant.has(did)]
        if not theirs:
            continue
        graph = next(graph for graph in graphs if feed.rkey in graph.rkeys)
        to = Publication(feed, rkeys, theirs)
        steps = waiting_candidates(graph, to, variant, threads, batch.serving, batch.clock)
        yield Part(
            "candidates", "waiting", feed.rkey if len(rkeys) > 1 else "", steps, Progress("candidates")
        )


def _new_run(serving: sqlite3.Connection, clock: Callable[[], float]) -> int:
    oldest_us = int((clock() - KEEP_RUNS_DAYS * 86_400) * 1e6)
    serving.execute("DELETE FROM runs WHERE started_us < ?", (oldest_us,))
    return int(serving.execute("SELECT coalesce(max(run_id), 0) + 1 FROM runs").fetchone()[0])


def _follow(serving: sqlite3.Connection, run_id: int, part: Part, clock: Callable[[], float]) -> None:
    began, last = time.perf_counter(), "start"
    started_us = int(clock() * 1e6)
    totals: dict[str, tuple[int, float, int]] = {}  # step: started_us, seconds, rows
    try:
        for step, rows in part.steps:
            now = time.perf_counter()
            first_us, seconds, before = totals.get(step, (started_us, 0.0, 0))
            totals[step] = first_us, seconds + now - began, before + rows
            part.progress.start(f"after {step}")  # the next one has no name yet
            if step != last and last in totals:
                _tell(serving, run_id, part, last, totals[last])
            began, last, started_us = now, step, int(clock() * 1e6)
        if last in totals:
            _tell(serving, run_id, part, last, totals[last])
        part.progress.clear()
        if part.tier == "waiting":
            told = ", ".join(
                f"{name} {totals[name][2]}" for name in ("who waits", "product") if name in totals
            )
            log.info("%s: %s, %.1f s", part.label, told, sum(total[1] for total in totals.values()))
    except Exception as error:
        part.progress.clear()
        outcome = _outcome(error)
        seconds = time.perf_counter() - began
        where = f"after {last}" if totals else "at the start"
        with suppress(sqlite3.Error):  # the disk may be full for this as well
            _record(serving, run_id, part, where, (started_us, seconds, 0), outcome)
        if not isinstance(error, MENDABLE):
            raise  # the operator's line as it is, or a defect with its traceback
        raise BatchError(f"{part.label}, {where}: {outcome}") from error


def _outcome(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; what was stored stays, free some space and run it again"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _tell(
    serving: sqlite3.Connection, run_id: int, part: Part, step: str, total: tuple[int, float, int]
) -> None:
    part.progress.clear()
    # Somebody comes all the time: one line for each run is enough; the steps are in the table.
    level = logging.DEBUG if part.tier == "waiting" else logging.INFO
    log.log(level, "%s: %s: %d rows, %.2f s", part.label, step, total[2], total[1])
    _record(serving, run_id, part, step, total, "done")


def _record(
    serving: sqlite3.Connection,
    run_id: int,
    part: Part,
    step: str,
    total: tuple[int, float, int],
    outcome: str,
) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform != "darwin" else 1 << 20
    )
    serving.execute(
        "INSERT OR REPLACE INTO runs (run_id, job, step, started_us, seconds, rows, peak_mb, outcome, tier, feed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, part.job, step, total[0], total[1], total[2], peak, outcome, part.tier, part.feed),
    )
