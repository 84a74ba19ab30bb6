"""What viewers did, as lines of a file that every machine can read: where several machines serve.

Owns: the lines, and the files that one process writes. Leaves to others: taking them into activity.sqlite, on this
machine as on all others (``taken_journals``, which ``foryou sync`` runs), and what is worth a line.

A process has a file of its own and appends to it, so no two write one. A line is the viewer's bucket in hexadecimal, by
which a machine passes over viewers of others, and a JSON array.

Invariants: ``append`` tells the caller whether the lines are on the disk of the shared folder, and no request waits
for it longer than it says: a thread writes, since a network file system may take forever. After a failure the same
bytes are written in the same place before anything else, so no reader ever sees a line twice. What one machine has
there is bounded: beyond that nothing is taken, and its viewers' answers are refused.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from serving.viewers.activity_queue import ActivityEvent, Interaction, Queued, ShownPage, Visit, values_of
from sql.shards import bucket_of

FILE_BYTES = 64 << 20
FILE_SECONDS = 86_400.0
MACHINE_BYTES = 32 << 30  # the head removes what is more than half of it, once it has taken it
GROUP_BYTES = 16 << 20  # that wait for the disk
WAIT_SECONDS = 2.0  # that somebody waits for an answer
SUFFIX = ".lines"

_EVENTS: dict[str, type[Interaction] | type[Visit] | type[ShownPage]] = {
    "interaction": Interaction,
    "visit": Visit,
    "page": ShownPage,
}
_NAMES = {kind: name for name, kind in _EVENTS.items()}


@dataclass(frozen=True, slots=True)
class OwnWord:
    """What a viewer did at a page for people: 'settings', 'taken back' or 'forget', with what belongs to it."""

    kind: str
    viewer_did: str
    at_us: int
    values: dict[str, Any]


def line_of(queued: Queued) -> bytes:
    """Return the line of an event."""
    values = values_of(queued.event)
    viewer = values.pop("viewer_did")
    return _line([_NAMES[type(queued.event)], viewer, int(queued.known), values])


def word_line(word: OwnWord) -> bytes:
    """Return the line of what a viewer did at a page for people."""
    return _line([word.kind, word.viewer_did, word.at_us, word.values])


def bucket_of_line(line: bytes) -> int:
    """Return the bucket of a line's viewer."""
    return int(line[:2], 16)


def read_line(line: bytes) -> Queued | OwnWord:
    """Return what a line says; ValueError, KeyError or TypeError when it says nothing that this version knows."""
    kind, viewer, number, values = orjson.loads(line[2:])
    if kind not in _EVENTS:
        return OwnWord(kind, viewer, number, values)
    event: ActivityEvent = _EVENTS[kind](viewer_did=viewer, **values)
    return Queued(event, bool(number))


def _line(values: list[Any]) -> bytes:
    return b"%02x" % bucket_of(values[1]) + orjson.dumps(values) + b"\n"


class Journal:
    """The lines of this process; may be used from any thread."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        """Write into the folder of this machine; it, a thread and a file are made with the first lines.

        The folder is SHARED/journals/MACHINE. What it is in is never made here: no other machine would see the lines.
        """
        self._folder = folder
        self._now = now
        self._lock = threading.Condition()  # of the group
        self._group: list[_Lines] = []
        self._group_bytes = 0
        self._thread: threading.Thread | None = None
        self._file: int | None = None  # from here on the thread's alone
        self._began = 0.0
        self._end = 0
        self._unwritten = b""

    def append(self, lines: bytes, seconds: float | None = None) -> bool:
        """Write lines: True when they are on the disk, False when they will be before any others.

        Raises OSError when they were not taken at all, and TimeoutError, which is one, when that is not known after
        some seconds. Threads that come at once share one write to the disk. Without lines it writes what failed
        before.
        """
        mine = _Lines(lines)
        with self._lock:
            if self._group_bytes + len(lines) > GROUP_BYTES:
                raise OSError(errno.EAGAIN, "the shared folder does not keep up", str(self._folder))
            self._group.append(mine)
            self._group_bytes += len(lines)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
                self._thread.start()
            self._lock.notify()
        if not mine.done.wait(seconds):
            raise TimeoutError(errno.ETIMEDOUT, "the shared folder does not answer", str(self._folder))
        if mine.failure is not None:
            raise mine.failure
        return mine.written

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._group:
                    self._lock.wait()
                group, self._group = self._group, []
                self._group_bytes = 0
            self._write(group)
            for each in group:
                each.done.set()

    def _write(self, group: list["_Lines"]) -> None:
        try:
            self._flush()
            self._open()
        except OSError as error:
            for each in group:
                each.failure = error
            return
        self._unwritten = b"".join(each.lines for each in group)
        with contextlib.suppress(OSError):
            self._flush()
        for each in group:
            each.written = not self._unwritten

    def _flush(self) -> None:
        if not self._unwritten:
            return
        assert self._file is not None
        written = 0
        while written < len(self._unwritten):
            written += os.pwrite(self._file, self._unwritten[written:], self._end + written)
        os.fsync(self._file)
        self._end += written
        self._unwritten = b""

    def _open(self) -> None:
        if (
            self._file is not None
            and self._end < FILE_BYTES
            and 0 <= self._now() - self._began < FILE_SECONDS
        ):
            return
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._folder.mkdir(exist_ok=True)
        if sum(_sizes(self._folder)) > MACHINE_BYTES:
            raise OSError(errno.ENOSPC, "the head has not taken what viewers did for days", str(self._folder))
        path = self._folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._began, self._end = self._now(), 0
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too, outlasts a power cut
        finally:
            os.close(folder)


@dataclass(slots=True)
class _Lines:
    """Lines of one caller, and what became of them."""

    lines: bytes
    done: threading.Event = field(default_factory=threading.Event)
    written: bool = False
    failure: OSError | None = None


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_size


def lines_of(batch: Sequence[Queued]) -> bytes:
    """Return the lines of events."""
    return b"".join(map(line_of, batch))


def report(journal: Journal, word: OwnWord) -> None:
    """Write what a viewer did at a page for people; OSError when it is not on the disk."""
    if not journal.append(word_line(word), WAIT_SECONDS):
        raise OSError(errno.EIO, "the shared folder does not write")
