"""What the store lacks from the archive of a Jetstream: days of history, gaps, the beginning of the first day.

Owns: the order of work, what is stored once a stretch is complete, and the report. Leaves to others: which stretches
are missing (``stretches``), fetching (``archive``), decoding (``segments``), words on the way (``spool``), storing a
day's words (``day_into_lake``).

Segments are read from the newest to the oldest, and a day is stored once everything that was witnessed on it is
decoded. What else a segment says, of records of other days, is stored at the end. Only then a gap counts as healed and
the store as beginning earlier: a run that is cut short leaves nothing that seems to be there. The next run continues
where it ended.

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
from pipeline.backfill.day_into_lake import tell_day
from pipeline.backfill.segments import Rows, SegmentError, block_frames, decode_block
from pipeline.backfill.spool import SegmentRows, Spool
from pipeline.backfill.stretches import MARGIN_US, Plan, as_far_as, missing_gaps, missing_of_days, plan_of
from pipeline.clock import MachineClock
from pipeline.errors import BackfillError
from pipeline.progress import Progress, bytes_text
from pipeline.store.archived_words import ArchiveStore, StoredPart
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US, NAMED_DAY, day_of, first_open_day, utc
from sql import places

log = logging.getLogger("foryou.backfill")

STRETCH_BLOCKS = 16  # decoded before their DIDs are numbered; some 65,000 events
LAKE_BYTES = 9.0  # in the lake per event of the archive: two thirds are likes, of some 12 bytes each
SPOOL_BYTES = 25.0  # per event in the spool, which holds about a day's events at most
DAY_EVENTS = 40_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The last so many days, or (0) gaps alone; from which archive. ``key`` is used for its requests alone."""

    days: int
    url: str
    key: str | None
    window_days: int
    threads: int
    estimate_only: bool = False


def run(data_dir: Path, wanted: Wanted) -> None:
    """Fetch what is missing; BackfillError when the operator must act."""
    with exclusive(data_dir, "backfill"):
        store = ArchiveStore(data_dir)
        try:
            _run(data_dir, wanted, store)
        finally:
            store.close()


def _run(data_dir: Path, wanted: Wanted, store: ArchiveStore) -> None:
    stored, closed = store.stored(), places.closed_days(data_dir)
    now_us = MachineClock().now_us()
    if not wanted.days and not stored.began_us:
        log.info("nothing is missing: the store is empty. --days N fetches history")
        return
    if wanted.days and stored.low_us:
        _require_time(now_us, stored.low_us)
    today = day_of(stored.low_us or now_us)
    oldest = today - wanted.window_days
    if wanted.days:
        if wanted.days > wanted.window_days:
            log.info(
                "the lake keeps %d days ([ranking] seed_window_days), so no more are fetched",
                wanted.window_days,
            )
        first = max(oldest, day_of(now_us) - wanted.days)
        stretches = missing_of_days(stored, closed, first)
    else:
        first = oldest
        stretches = missing_gaps(stored, closed, first)
    if stored.began_us and not stretches:
        log.info("nothing to fetch: nothing is missing from %s on", places.day_name(first))
        return
    stop = threading.Event()

    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise _StoppedError

    with Archive(wanted.url, wanted.key, wait=wait) as archive:
        listed = archive.segments()
        if not listed:
            raise BackfillError("the archive has no segments")
        reach_us = max(segment.last_us for segment in listed)
        reach_us = min(reach_us, now_us)
        if not stored.watermark_us:  # without a stream, the archive tells all there is
            stretches = as_far_as(reach_us - MARGIN_US, stretches, stored, first)
        spool = Spool(data_dir, archive.host)
        plan = plan_of(listed, stretches, spool.decoded(oldest))
        _report(plan, archive.host, reach_us)
        if wanted.estimate_only or not plan.stretches:
            return
        _require_room(plan, data_dir)
        try:
            work = _Work(data_dir, wanted, store, archive, spool, stop)
            work.oldest = oldest
            # Without a stream, a day is closed once the archive is past it.
            work.first_open_day = day_of(reach_us - MARGIN_US)
            if stored.watermark_us:
                work.first_open_day = first_open_day(stored.low_us)
            work.do(plan)
        finally:
            stop.set()
        _note(store, stored, plan, reach_us, now_us, archive.host)
        spool.clear()


def _require_time(now_us: int, low_us: int) -> None:
    """Refuse to count days back from a clock that the stream contradicts."""
    if abs(now_us - low_us) > DAY_US:
        raise BackfillError(
            f"this machine's clock says {utc(now_us)}, but the stream has come to {utc(low_us)}: "
            "let ingest catch up first, or set the clock"
        )


def _note(store: ArchiveStore, stored: StoredPart, plan: Plan, reach_us: int, now_us: int, host: str) -> None:
    """Store what is not missing any more."""
    gap_ids = [stretch.gap_id for stretch in plan.stretches if stretch.gap_id]
    before = [stretch.from_us for stretch in plan.stretches if stretch.to_us == stored.began_us]
    if not stored.began_us:
        before = [plan.stretches[0].from_us]
    store.healed(gap_ids, min(before, default=0), now_us)
    if not stored.watermark_us:
        store.wait_for_stream(reach_us, now_us, host)


def _report(plan: Plan, host: str, reach_us: int) -> None:
    for stretch in plan.unreached:
        if stretch.to_us + MARGIN_US > reach_us:
            why = f"{host} reaches {utc(reach_us)}: run again later"
        else:
            why = f"{host} does not have it any more"
        log.warning("%s to %s stays missing: %s", utc(stretch.from_us), utc(stretch.to_us), why)
    missing = plan.missing
    for stretch in plan.stretches:
        log.info("missing: %s to %s", utc(stretch.from_us), utc(stretch.to_us))
    log.info(
        "from %s: %d segments to fetch, %s (%d are decoded already)",
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
            f"{data_dir} has {bytes_text(free)} free, but this needs about {bytes_text(room)}: "
            "fetch fewer days, or free some space"
        )


class _StoppedError(Exception):
    """The run is over: this ends the thread that fetches."""


class _Work:
    """One run: it fetches one segment ahead, decodes, and tells each day once all its segments are decoded."""

    def __init__(
        self,
        data_dir: Path,
        wanted: Wanted,
        store: ArchiveStore,
        archive: Archive,
        spool: Spool,
        stop: threading.Event,
    ) -> None:
        self._data_dir = data_dir
        self._threads = wanted.threads
        self._store = store
        self._archive = archive
        self._spool = spool
        self.oldest = 0  # words about records of earlier days are left out
        self.first_open_day = 0
        self._stop = stop
        self._fetched: queue.Queue[tuple[Segment, Path] | Exception] = queue.Queue(1)
        self._words = 0
        self._stored_days: set[int] = set()

    def do(self, plan: Plan) -> None:
        """Fetch, decode and tell everything of a plan."""
        for path in self._spool.downloads.iterdir():
            if path.name.partition(".jss")[0] + ".jss" in plan.decoded:
                path.unlink()
        missing = plan.missing
        progress = Progress("backfill", unit="bytes", log=log)
        progress.start("fetch", sum(segment.size_bytes for segment in missing), self._bytes_on_disk())
        self._archive.on_bytes = self._counting(progress)
        threading.Thread(target=self._fetch_all, args=(missing,), name="fetch", daemon=True).start()
        for number in range(len(missing) + 1):
            # Of a day that begins after all that is not decoded yet, nearly all is known.
            reach_us = max((segment.last_us for segment in missing[number:]), default=0)
            for day in reversed(self._spool.row_days()):
                if day * DAY_US > reach_us and day not in self._stored_days:
                    self._tell_day(day, progress)
            if number < len(missing):
                progress.step = utc(missing[number].first_us)[:10]
                self._decode_next()
        for day in reversed(self._spool.row_days()):
            self._tell_day(day, progress)
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
        # Before a merge: it must know where a statement lies between a key and its rev.
        self._store.state(rows.statements)
        self._spool.write(segment.name, rows)
        path.unlink()

    def _decode(self, path: Path, *, lenient: bool) -> SegmentRows:
        """Decode a segment's file; with ``lenient``, skip and count the blocks that can't be read."""
        segment, rows = SegmentRows(self.oldest), Rows()
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

    def _tell_day(self, day: int, progress: Progress) -> None:
        began = time.monotonic()
        words = tell_day(
            self._data_dir,
            self._spool,
            self._store,
            day,
            first_open_day=self.first_open_day,
            since_us=self.oldest * DAY_US,
            threads=self._threads,
        )
        self._stored_days.add(day)
        self._words += words
        progress.clear()
        name = "keys that name no day" if day == NAMED_DAY else places.day_name(day)
        log.info("%s: %s words (%.1f s)", name, f"{words:,}", time.monotonic() - began)

    def _report_counts(self, plan: Plan) -> None:
        counts = self._spool.counts(segment.name for segment in plan.segments)
        named = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
        log.info("%s words about likes; decoded: %s", f"{self._words:,}", named or "nothing")
