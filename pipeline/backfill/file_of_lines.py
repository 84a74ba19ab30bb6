"""A file of Jetstream lines into the store, as if the stream had brought them.

Owns: opening the file, plain or compressed, and cutting it into batches. Leaves to others: what a line says
(``ingest.jetstream``), and storing it (``store.landing``).

This process is the only writer of landing.sqlite meanwhile. The last word about each record wins, whether the stream
brought it or a file; likes of closed days count once the job compact has run. A file never moves the stream's cursor.
It moves the watermark only in a store that has not followed a stream yet: otherwise days would close that ingest still
has to catch up with. Reading a file twice changes nothing.
"""

import gzip
import io
import logging
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from pipeline.blocking.rule_file import rules_of
from pipeline.blocking.text_rules import TextCheck, check_of
from pipeline.clock import AHEAD_US, LOW_EVENTS, MachineClock
from pipeline.errors import BackfillError
from pipeline.ingest import jetstream
from pipeline.progress import Progress
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from pipeline.store.locks import exclusive

log = logging.getLogger("foryou.backfill")

BATCH_LINES = 20_000
LINE_BYTES_MAX = 32 << 20
PACKED_BYTES = 1 << 14  # decompressed at once


def run(data_dir: Path, name: str) -> None:
    """Store the events of a file; '-' is standard input. BackfillError when it can't be read to its end.

    What was read before an error is stored. StoreError while ingest runs, since the store has one writer.
    """
    with exclusive(data_dir, "ingest"):
        landing = Landing(data_dir)
        try:
            _store(landing, name, check_of(rules_of(data_dir)))
        finally:
            landing.close()


def _store(landing: Landing, name: str, blocks: TextCheck | None) -> None:
    follows = landing.position() is not None
    totals: dict[str, int] = {}
    with _opened(name) as (file, size, consumed):
        progress = Progress("backfill", unit="bytes", log=log)
        progress.start("lines", size)
        lines = reported = 0
        for batch_lines in _batches(file, name):
            batch = EventBatch(blocks=blocks)
            jetstream.decode(batch_lines, batch)
            _drop_future_events(batch)
            batch.value = 0
            if follows:
                batch.newest_us = batch.last_us = 0
            else:
                batch.low_us = _low_us(batch)
            landing.append(batch, "", jetstream.WIRE, in_order=False)
            for (kind, what), count in batch.counts.items():
                totals[f"{kind} {what}"] = totals.get(f"{kind} {what}", 0) + count
            lines += len(batch_lines)
            if size:
                progress.step = f"{lines:,} lines"
                progress.add(consumed() - reported)
                reported = consumed()
        progress.clear()
    counted = ", ".join(f"{what} {count:,}" for what, count in sorted(totals.items()))
    log.info("%s lines: %s", f"{lines:,}", counted or "no events")


def _low_us(batch: EventBatch) -> int:
    """Return a time that nearly all likes of a large batch have passed, 0 for a small one."""
    times = sorted(like.seen_us for like in batch.likes)
    return times[len(times) // 10] if len(times) >= LOW_EVENTS else 0


def _drop_future_events(batch: EventBatch) -> None:
    """Drop events that claim to be seen in the future: nothing around a line tells when that was."""
    limit = MachineClock().now_us() + AHEAD_US
    if batch.newest_us <= limit:
        return
    lists: tuple[list[Any], ...] = (
        batch.likes, batch.unlikes, batch.posts, batch.post_deletions, batch.accounts, batch.profiles,
    )  # fmt: skip
    for events in lists:
        kept = [event for event in events if event.seen_us <= limit]
        batch.counts["drop", "time_in_the_future"] += len(events) - len(kept)
        events[:] = kept
    batch.newest_us = batch.event_us = 0


def _batches(file: IO[bytes], name: str) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    try:
        while line := file.readline(LINE_BYTES_MAX):
            if not line.isspace():
                lines.append(line)
            if len(lines) == BATCH_LINES:
                yield lines
                lines = []
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        if lines:
            yield lines
        raise BackfillError(
            f"{name} can't be read to its end ({error}); everything before that is stored"
        ) from error
    if lines:
        yield lines


@contextmanager
def _opened(name: str) -> Iterator[tuple[IO[bytes], int, Callable[[], int]]]:
    """Open a file, plain or compressed; give its size (0 if unknown) and a function that returns the bytes read."""
    try:
        raw = cast(io.BufferedReader, sys.stdin.buffer if name == "-" else Path(name).open("rb"))  # noqa: SIM115
    except OSError as error:
        raise BackfillError(f"can't open {name}: {error.strerror}") from error
    try:
        size = Path(name).stat().st_size if name != "-" and Path(name).is_file() else 0
        beginning = raw.peek(4)[:4]
        file: IO[bytes] = raw
        if beginning[:2] == b"\x1f\x8b":
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif beginning == b"\x28\xb5\x2f\xfd":
            file = cast("IO[bytes]", io.BufferedReader(_Decompressed(raw), 1 << 20))
        yield file, size, raw.tell if size else lambda: 0
    finally:
        if name != "-":
            raw.close()


class _Decompressed(io.RawIOBase):
    """A zstd file decompressed frame by frame. The library's own reader does not notice that a file was cut short."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._waiting = b""  # compressed
        self._ready = memoryview(b"")
        self._inside = False  # a frame

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            compressed = self._waiting or self._source.read(PACKED_BYTES)
            if not compressed:
                if self._inside:
                    raise EOFError("it was cut short")
                return 0
            self._ready, self._inside = memoryview(self._frame.decompress(compressed)), True
            self._waiting = b""
            if self._frame.eof:
                self._waiting, self._inside = self._frame.unused_data, False
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
