"""A file of Jetstream lines into the store, as if the stream had brought them.

Owns: opening the file, plain or compressed, and cutting it into batches. Leaves to others: what a line says
(``ingest.jetstream``) and storing it (``store.landing``), whose only writer this process is meanwhile.

Likes of open days are stored as the stream's; those of closed days become history likes. A file moves the
stream's cursor never, and the watermark only in a store that has not followed a stream yet: else days would
close that ingest has still to catch up with. Reading a file twice changes nothing.
"""

import gzip
import io
import logging
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from pipeline.backfill.errors import BackfillError
from pipeline.backfill.progress import Progress
from pipeline.ingest import jetstream
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from pipeline.store.locks import exclusive
from pipeline.store.model import HOUR_US

log = logging.getLogger("foryou.backfill")

BATCH_LINES = 20_000
LINE_BYTES_MAX = 32 << 20
PACKED_BYTES = 1 << 14  # unpacked at once
FUTURE_US = HOUR_US  # a time further ahead of this machine's clock is no time an event was seen


def run(data_dir: Path, name: str) -> None:
    """Store what a file says; '-' is standard input. BackfillError when it can't be read to its end.

    What was read before an error is stored. StoreError while ingest is at work: it alone writes the store.
    """
    with exclusive(data_dir, "ingest"):
        landing = Landing(data_dir)
        try:
            _store(landing, name)
        finally:
            landing.close()


def _store(landing: Landing, name: str) -> None:
    follows = landing.position() is not None
    totals: dict[str, int] = {}
    with _opened(name) as (file, size, consumed):
        progress = Progress(size)
        lines = told = 0
        for batch_lines in _batches(file, name):
            batch = EventBatch()
            jetstream.decode(batch_lines, batch)
            _leave_out_the_future(batch)
            batch.value = 0
            if follows:
                batch.newest_us = 0
            landing.append(batch, "", jetstream.WIRE, late="history")
            for (kind, what), count in batch.counts.items():
                totals[f"{kind} {what}"] = totals.get(f"{kind} {what}", 0) + count
            lines += len(batch_lines)
            if size:
                progress.what = f"{lines:,} lines"
                progress.add(consumed() - told)
                told = consumed()
        progress.clear()
    said = ", ".join(f"{what} {count:,}" for what, count in sorted(totals.items()))
    log.info("%s lines: %s", f"{lines:,}", said or "nothing in them")


def _leave_out_the_future(batch: EventBatch) -> None:
    """Drop what claims to have been seen after now: it would close every day before it."""
    limit = time.time_ns() // 1000 + FUTURE_US
    if batch.newest_us <= limit:
        return
    lists: tuple[list[Any], ...] = (
        batch.likes, batch.unlikes, batch.posts, batch.post_deletions, batch.accounts,
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
            f"{name} can't be read to its end ({error}); what came before is stored"
        ) from error
    if lines:
        yield lines


@contextmanager
def _opened(name: str) -> Iterator[tuple[IO[bytes], int, Callable[[], int]]]:
    """Open a file, whatever it is compressed with; give its size, 0 if unknown, and how much of it was read."""
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
            file = cast("IO[bytes]", io.BufferedReader(_Unpacked(raw), 1 << 20))
        yield file, size, raw.tell if size else lambda: 0
    finally:
        if name != "-":
            raw.close()


class _Unpacked(io.RawIOBase):
    """A zstd file unpacked, frame after frame. The library's own reader takes a file cut short for a whole one."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._waiting = b""  # packed
        self._ready = memoryview(b"")
        self._inside = False  # of a frame

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._waiting or self._packed.read(PACKED_BYTES)
            if not packed:
                if self._inside:
                    raise EOFError("it is cut short")
                return 0
            self._ready, self._inside = memoryview(self._frame.decompress(packed)), True
            self._waiting = b""
            if self._frame.eof:
                self._waiting, self._inside = self._frame.unused_data, False
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
