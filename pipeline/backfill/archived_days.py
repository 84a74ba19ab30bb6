"""Days of history from the archive of a Jetstream, the newest first.

Owns: which days and segments are wanted, the order of work, and the report. Leaves to others: fetching (``archive``),
decoding (``segments``), storing rows on the way (``spool``), the lake's files (``day_into_lake``).

The newest day comes first because the later event about a like decides. So unlikes and deletions are known before the
days of the likes that they concern, and a day is final when it is written. A run that is cut short leaves the newest
days, without a hole before the days that ingest has. The next run continues there.

Posts of those days are not stored: a post older than post_max_age_hours is never a candidate.
"""

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.backfill.archive import Archive, Segment
from pipeline.backfill.day_into_lake import write_day
from pipeline.backfill.segments import Rows, SegmentError, block_frames, decode_block
from pipeline.backfill.spool import Days, SegmentRows, Spool
from pipeline.errors import BackfillError
from pipeline.progress import Progress, bytes_text
from pipeline.store.fetched_likes import HistoryStore
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US, day_of, utc
from sql import places

log = logging.getLogger("foryou.backfill")

STRETCH_BLOCKS = 16  # decoded before their DIDs are numbered; some 65,000 events
LAKE_BYTES = 9.0  # in the lake per event of the archive: two thirds are likes, of some 12 bytes each
SPOOL_BYTES = 20.0  # per event in the spool, which holds about a day's events at most
DAY_EVENTS = 40_000_000


@dataclass(frozen=True, slots=True)
class DaysToFetch:
    """How many days, from which archive; ``key`` is used for the archive's requests alone."""

    days: int
    url: str
    key: str | None
    window_days: int
    threads: int
    estimate_only: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The days to make and the segments to decode for them, both from the newest to the oldest."""

    days: list[int]
    segments: list[Segment]
    decoded: frozenset[str]  # names of those that an earlier run has decoded

    @property
    def missing(self) -> list[Segment]:
        """The segments that are not decoded yet."""
        return [segment for segment in self.segments if segment.name not in self.decoded]


def run(data_dir: Path, wanted: DaysToFetch) -> None:
    """Fetch the days that are missing; BackfillError when the operator must act."""
    with exclusive(data_dir, "backfill"):
        store = HistoryStore(data_dir)
        try:
            _run(data_dir, wanted, store)
        finally:
            store.close()


def plan_of(listed: list[Segment], days: Days, decoded: set[str], *, known: bool) -> Plan:
    """Return what to fetch for some days; the last one is next to the store's first day, if it has any (``known``).

    BackfillError when the archive does not reach that day yet: the hole could never be filled later.
    """
    if not listed:
        raise BackfillError("the archive has no segments")
    reach_us = max(segment.last_us for segment in listed)
    # Events after these days are ingest's, if it was running then.
    until, end_us = days.until, days.until * DAY_US if known else reach_us + 1
    if reach_us < until * DAY_US:
        if known:
            raise BackfillError(
                f"the archive reaches {utc(reach_us)}, not yet to the end of {places.day_name(until - 1)}, the day "
                "before those in the store: run the same command again in an hour"
            )
        until = day_of(reach_us)
    wanted = [
        segment for segment in listed if segment.last_us >= days.first * DAY_US and segment.first_us < end_us
    ]
    wanted.sort(key=lambda segment: (segment.first_us, segment.name), reverse=True)
    names = {segment.name for segment in wanted}
    return Plan(list(range(until - 1, days.first - 1, -1)), wanted, frozenset(decoded & names))


def _run(data_dir: Path, wanted: DaysToFetch, store: HistoryStore) -> None:
    today = day_of(time.time_ns() // 1000)
    present = places.closed_days(data_dir)
    landed = store.first_day()
    known = present | (set() if landed is None else {landed})
    until = min(known | {today})
    if wanted.days > wanted.window_days:
        log.info(
            "the lake keeps %d days ([ranking] seed_window_days), so no more are fetched", wanted.window_days
        )
    days = Days(today - min(wanted.days, wanted.window_days), until)
    if days.first >= until:
        log.info("nothing to fetch: the store begins on %s", places.day_name(until))
        return
    stop = threading.Event()

    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise _StoppedError

    with Archive(wanted.url, wanted.key, wait=wait) as archive:
        spool = Spool(data_dir, archive.host)
        for day in present:
            spool.clear_day(day)
        plan = plan_of(archive.segments(), days, spool.decoded(), known=bool(known))
        if not plan.days:
            log.info("nothing to fetch: the archive has none of these days in full")
            return
        _report(plan, archive.host)
        if wanted.estimate_only:
            return
        _require_room(plan, data_dir)
        try:
            # Rows of earlier days within the lake's window are stored too, for a run that wants more days.
            _Work(data_dir, wanted, store, archive, spool, Days(today - wanted.window_days, until), stop).do(
                plan
            )
        finally:
            stop.set()


def _report(plan: Plan, host: str) -> None:
    missing = plan.missing
    log.info(
        "%s to %s from %s: %d segments to fetch, %s (%d are decoded already)",
        places.day_name(plan.days[-1]),
        places.day_name(plan.days[0]),
        host,
        len(missing),
        bytes_text(sum(segment.size_bytes for segment in missing)),
        len(plan.segments) - len(missing),
    )
    log.info(
        "about %s events; the lake will grow by about %s",
        f"{sum(segment.events for segment in plan.segments):,}",
        bytes_text(sum(segment.events for segment in plan.segments) * LAKE_BYTES),
    )


def _require_room(plan: Plan, data_dir: Path) -> None:
    missing = plan.missing
    events = sum(segment.events for segment in missing)
    room = events * LAKE_BYTES + min(events, DAY_EVENTS) * SPOOL_BYTES
    room += 4 * max((segment.size_bytes for segment in missing), default=0)
    free = shutil.disk_usage(data_dir).free
    if free < room:
        raise BackfillError(
            f"{data_dir} has {bytes_text(free)} free, but these days need about {bytes_text(room)}: "
            "fetch fewer days, or free some space"
        )


class _StoppedError(Exception):
    """The run is over: this ends the thread that fetches."""


class _Work:
    """One run: it fetches one segment ahead, decodes, and writes each day once all its segments are decoded."""

    def __init__(
        self,
        data_dir: Path,
        wanted: DaysToFetch,
        store: HistoryStore,
        archive: Archive,
        spool: Spool,
        keep: Days,
        stop: threading.Event,
    ) -> None:
        self._data_dir = data_dir
        self._threads = wanted.threads
        self._store = store
        self._archive = archive
        self._spool = spool
        self._keep = keep
        self._stop = stop
        self._fetched: queue.Queue[tuple[Segment, Path] | Exception] = queue.Queue(1)
        self._likes = 0

    def do(self, plan: Plan) -> None:
        """Fetch, decode and write everything of a plan."""
        for path in self._spool.downloads.iterdir():
            if path.name.partition(".jss")[0] + ".jss" in plan.decoded:
                path.unlink()
        missing = plan.missing
        progress = Progress("backfill", unit="bytes", log=log)
        progress.start("fetch", sum(segment.size_bytes for segment in missing), self._bytes_on_disk())
        self._archive.on_bytes = self._counting(progress)
        threading.Thread(target=self._fetch_all, args=(missing,), name="fetch", daemon=True).start()
        days = list(plan.days)
        for number in range(len(missing) + 1):
            # A day is complete when it begins after everything that is not decoded yet.
            reach_us = max((segment.last_us for segment in missing[number:]), default=0)
            while days and days[0] * DAY_US > reach_us:
                self._write_day(days[0], progress, newest=days[0] == plan.days[0])
                del days[0]
            if number < len(missing):
                progress.step = utc(missing[number].first_us)[:10]
                self._decode_next()
        progress.clear()
        self._report_counts(plan)

    def _bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self._spool.downloads.iterdir())

    def _counting(self, progress: Progress) -> Callable[[int], None]:
        def count(gained: int) -> None:
            if self._stop.is_set():
                raise _StoppedError
            progress.add(gained)

        return count

    def _fetch_all(self, segments: list[Segment]) -> None:
        try:
            for segment in segments:
                self._fetched.put((segment, self._archive.fetch(segment, self._spool.downloads)))
        except _StoppedError:
            return
        except Exception as error:
            self._fetched.put(error)

    def _decode_next(self) -> None:
        fetched = self._fetched.get()
        if isinstance(fetched, Exception):
            raise fetched
        segment, path = fetched
        try:
            rows = self._decode(path, lenient=False)
        except SegmentError as error:
            log.info("%s is damaged (%s); fetching it again", segment.name, error)
            path.unlink()
            path = self._archive.fetch(segment, self._spool.downloads)
            try:
                rows = self._decode(path, lenient=True)
            except SegmentError as again:
                raise BackfillError(f"{self._archive.host}: {segment.name} is damaged: {again}") from again
        self._spool.write(segment.name, rows)
        path.unlink()

    def _decode(self, path: Path, *, lenient: bool) -> SegmentRows:
        """Decode a segment's file; with ``lenient``, skip and count the blocks that can't be read."""
        segment, rows = SegmentRows(self._keep), Rows()
        for number, frame in enumerate(block_frames(path), 1):
            try:
                decode_block(frame, rows)
            except SegmentError:
                if not lenient:
                    raise
                rows.counts["bad_block"] += 1
            if number % STRETCH_BLOCKS == 0:
                segment.add(rows, self._store.intern(rows.dids()))
                rows = Rows()
        segment.add(rows, self._store.intern(rows.dids()))
        return segment

    def _write_day(self, day: int, progress: Progress, *, newest: bool) -> None:
        began = time.monotonic()
        deleted = self._store.deleted_accounts()
        # In an empty store the rows of a newest day that is incomplete still tell about the days before it.
        later_days = [later for later in self._spool.row_days() if later > day]
        likes = write_day(
            self._data_dir,
            self._spool,
            day,
            deleted,
            threads=self._threads,
            later_days=later_days if newest else (),
        )
        self._spool.clear_day(day)
        self._likes += likes
        progress.clear()
        if likes:
            log.info("%s: %s likes (%.1f s)", places.day_name(day), f"{likes:,}", time.monotonic() - began)
        else:
            log.info("%s: the archive has no likes of that day", places.day_name(day))

    def _report_counts(self, plan: Plan) -> None:
        counts = self._spool.counts(segment.name for segment in plan.segments)
        left_out = {name: count for name, count in counts.items() if name not in {"like", "unlike"}}
        reasons = ", ".join(f"{name} {count:,}" for name, count in sorted(left_out.items()))
        log.info(
            "%s likes in %d days; left out: %s", f"{self._likes:,}", len(plan.days), reasons or "nothing"
        )
        size = sum(path.stat().st_size for path in self._spool.root.rglob("*") if path.is_file())
        log.info("%s keeps %s for a run that wants more days", self._spool.root, bytes_text(size))
