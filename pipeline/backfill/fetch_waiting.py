"""The run for waiting viewers: the likes of those who opened the feed and whose likes the store lacks.

Owns: who waits, in how many threads requests are made, what a failure means for the next try, and the end of a run.
Leaves to others: the order and the slots (``fetch_turns``), reading one repository (``viewer_repository``), and when
a run is due (``run.timetable``).

Requests are made in threads; the store is read and written in the caller's. A run goes on while somebody waits, a
minute at most, and looks for newcomers all the time. Each repository is tried with little patience first. A host that
is too slow for that gets more patience behind all others. A host that asks for patience is left alone as long as it
says. Nobody is stored as failed because this machine was busy.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.backfill.fetch_turns import DIRECTORY_SLOTS, THREADS, FetchTurns, WantedRepository
from pipeline.backfill.viewer_repository import (
    FIRST_PATIENCE,
    LOCATE_SECONDS,
    SLOW_PATIENCE,
    FetchTimes,
    Repositories,
    RepositoryLikes,
    RepositoryPage,
    ViewerRepository,
    failed,
    fetch_times,
    read_likes,
    store_found,
)
from pipeline.clock import MachineClock
from pipeline.errors import StoreError
from pipeline.ranking import Ranking
from pipeline.store.fetch_admission import LIKES_ENOUGH
from pipeline.store.fetched_likes import ENOUGH, DueViewer, HistoryStore, Waiting
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US
from pipeline.store.whole_files import read
from sql import places

log = logging.getLogger("foryou.backfill")

QUEUE_VIEWERS = 2_000  # that are known of at once; when more wait, the first and the last to come
RUN_RESETS = 10  # besides viewers, repositories that were replaced
RUN_SECONDS = 60.0  # after which a run asks for nobody else
LOOK_SECONDS = 1.0  # between two looks for newcomers, and at most a fifth of the time
BUSY_SECONDS = 10.0  # for which a host is left alone that wants patience and does not say how long
BUSY_TRIES = 3  # in one run
NO_ROOM_SECONDS = 0.5
COUNT_DAYS = 14  # newest days of the lake whose likes are counted; more would take minutes
PAUSES = Waiting(again_us=30 * DAY_US, first_us=60_000_000, most_us=DAY_US)


class _Began(NamedTuple):
    """What was true when a request began."""

    times: FetchTimes
    reset_no: int
    at: float


class _HowItEnded(NamedTuple):
    """What a thread brings back."""

    wanted: WantedRepository
    began: _Began
    found: ViewerRepository | RepositoryPage | RepositoryLikes | Exception


def run_waiting(
    data_dir: Path, repositories: Repositories, ranking: Ranking, machine: MachineClock | None = None
) -> None:
    """Fetch the likes of viewers who opened the feed and whose likes the store lacks.

    Then fetch some of the repositories that were replaced. Failures are stored with the actor, not raised. It returns
    quickly when nobody waits.
    """
    if not places.activity(data_dir).exists() and not places.landing(data_dir).exists():
        return
    try:
        with exclusive(data_dir, "viewers"):
            store = HistoryStore(data_dir)
            try:
                _FetchRun(data_dir, store, repositories, ranking, machine or MachineClock()).run()
            finally:
                store.close()
    except StoreError as error:
        if "another viewers" not in str(error):
            raise
        log.info("another run is fetching them")


class _FetchRun:
    """One run: those who wait, the threads, and what came back."""

    def __init__(
        self,
        data_dir: Path,
        store: HistoryStore,
        repositories: Repositories,
        ranking: Ranking,
        machine: MachineClock,
    ) -> None:
        self._data_dir, self._store, self._ranking, self._machine = data_dir, store, ranking, machine
        self._repositories = repositories
        self._turns = FetchTurns(repositories.document_domain)
        self._ended: SimpleQueue[_HowItEnded] = SimpleQueue()
        self._seen: set[str] = set()  # in this run, so that nobody is read twice in it
        self._resets_left = RUN_RESETS
        self._until = time.monotonic() + RUN_SECONDS

    def run(self) -> None:
        """Fetch until nobody waits, or the time is over."""
        stream_us = fetch_times(self._store, self._machine).stream_us
        self._turns.recall(self._store.hosts(stream_us), stream_us)
        look_at = 0.0
        with ThreadPoolExecutor(THREADS + DIRECTORY_SLOTS, "fetch") as threads:
            while True:
                now = time.monotonic()
                if look_at <= now < self._until:
                    self._look()
                    look_at = time.monotonic() + max(LOOK_SECONDS, 5 * (time.monotonic() - now))
                while time.monotonic() < self._until and (wanted := self._turns.take()) is not None:
                    times = fetch_times(self._store, self._machine)
                    began = _Began(times, self._store.reset_no(wanted.did), time.monotonic())
                    threads.submit(self._ask, wanted, began)
                if not self._turns.running and self._turns.soonest() >= self._until:
                    break
                if not self._turns.running and time.monotonic() >= self._until:
                    break
                try:
                    self._settle(self._ended.get(timeout=0.1))
                except Empty:
                    continue
        for wanted in self._turns:
            if wanted.tries:  # its host wants more patience than this run has
                found = RepositoryLikes(
                    outcome="busy", failure="its host asks for patience", host=wanted.host
                )
                found.retry_seconds = max(0.0, self._turns.free_at(wanted) - time.monotonic())
                times = fetch_times(self._store, self._machine)
                store_found(self._store, wanted.did, found, times, 0)

    def _look(self) -> None:
        """Find who waits: take note of those of whom the store has enough, and let the others wait for their turn."""
        times = fetch_times(self._store, self._machine)
        found = self._store.waiting(self._data_dir, times.stream_us, PAUSES, QUEUE_VIEWERS, times.machine_us)
        room = 2 * QUEUE_VIEWERS - self._turns.waiting
        viewers = [viewer for viewer in found if viewer.did not in self._seen][: max(0, room)]
        self._seen.update(viewer.did for viewer in viewers)
        counted, streamed = self._count(viewers)
        for viewer in viewers:
            count = counted[viewer.did]
            if count >= LIKES_ENOUGH:
                self._store.store_viewer(
                    viewer.did, [], times.machine_us, ENOUGH, stream_us=times.stream_us, count=count
                )
            else:
                is_known = viewer.has_list or streamed[viewer.did] > 0
                self._turns.add(WantedRepository(viewer.did, is_known, is_slow=viewer.failures > 0))
        for did in self._store.resets(times.stream_us, PAUSES, self._resets_left):
            if did not in self._seen:
                self._seen.add(did)
                self._resets_left -= 1
                failures = self._store.failures(did)
                self._turns.add(WantedRepository(did, is_reset=True, is_slow=failures > 0))

    def _ask(self, wanted: WantedRepository, began: _Began) -> None:
        """Find a repository, or read it; runs in a thread."""
        patience = SLOW_PATIENCE if wanted.is_slow else FIRST_PATIENCE
        found: ViewerRepository | RepositoryPage | RepositoryLikes | Exception
        try:
            if wanted.repository is None:
                seconds = patience.first if wanted.domain else LOCATE_SECONDS
                found = self._repositories.locate(wanted.did, known=wanted.is_known, seconds=seconds)
            else:
                found = read_likes(wanted.did, wanted.repository, began.times, self._ranking, patience)
        except Exception as error:  # a defect: it ends the run, in its own thread
            found = error
        self._ended.put(_HowItEnded(wanted, began, found))

    def _settle(self, ended: _HowItEnded) -> None:
        """Store what came back, or let its repository wait again."""
        wanted, began, found = ended
        if isinstance(found, Exception):
            raise found
        self._turns.give_back(wanted)
        if isinstance(found, RepositoryPage):
            found = failed(found)
        if not isinstance(found, RepositoryLikes):
            wanted.repository = found
            self._turns.add(wanted)
            return
        if found.outcome == "no_room":
            wanted.not_before = time.monotonic() + NO_ROOM_SECONDS
            self._turns.add(wanted)
            return
        if found.outcome == "busy":
            seconds = BUSY_SECONDS if found.retry_seconds is None else found.retry_seconds
            self._turns.hold(wanted, seconds)
            wanted.tries += 1
            if wanted.tries < BUSY_TRIES and time.monotonic() + seconds < self._until:
                self._turns.add(wanted)
                return
        is_slow = found.outcome == "slow" or found.is_late
        self._turns.learn(wanted, found.outcome, time.monotonic() - began.at, is_slow=is_slow)
        again = is_slow and not wanted.is_slow and wanted.domain != ""
        why = "it took too long" if again else ""
        if wanted.is_slow and not found.failure:
            found.host = ""  # neither slow nor good: it is tried with little patience again
        stranger = not wanted.is_known
        store_found(self._store, wanted.did, found, began.times, began.reset_no, why, is_stranger=stranger)
        if again:
            wanted.is_slow = True
            self._turns.add(wanted)

    def _count(self, viewers: Sequence[DueViewer]) -> tuple[Counter[str], Counter[str]]:
        """Return how many likes the store has of each viewer, up to about LIKES_ENOUGH, and how many a stream reported.

        Nothing is counted of those who are fetched whatever the store has.
        """
        store = self._store
        ids = {
            number: viewer.did
            for viewer in viewers
            if not viewer.certainly
            and store.reset_no(viewer.did) == 0
            and (number := store.actor_id(viewer.did)) is not None
        }
        counted: Counter[str] = Counter()
        streamed: Counter[str] = Counter()
        if not ids:
            return counted, streamed
        for day in sorted(places.closed_days(self._data_dir), reverse=True)[:COUNT_DAYS]:
            left = [number for number, did in ids.items() if counted[did] < LIKES_ENOUGH]
            if not left:
                break
            likers = read(places.likes(self._data_dir, day), ["liker_id"]).column(0)
            for found in pc.value_counts(
                pc.filter(likers, pc.is_in(likers, pa.array(left, likers.type)))
            ).to_pylist():
                counted[ids[found["values"]]] += found["counts"]
                streamed[ids[found["values"]]] += found["counts"]
        left = [number for number, did in ids.items() if counted[did] < LIKES_ENOUGH]
        if left:
            for number, (count, from_stream) in store.count_likes(left).items():
                counted[ids[number]] += count
                streamed[ids[number]] += from_stream
        return counted, streamed
