"""What the workers of one web app tell each other, so that each knows at once what another has answered to.

Owns: the pipes, the form of a message, and what happens when a worker does not read its pipe. Leaves to others:
what the messages say (``viewer_memory``, ``used_tokens``).

Each worker has a pipe that it alone reads and all others write. A message is written whole or not at all, and it is
in the pipe before ``send`` returns. So a worker that reads its pipe before it serves a page knows everything that
was answered before. A full pipe belongs to a worker that has not served for long. It misses messages, and gets a
message that says so when there is room again. The parent keeps both ends open, so a pipe always has a reader.
"""

import contextlib
import fcntl
import marshal
import os
import select
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

Message = tuple[Any, ...]

PIPE_BYTES = 1 << 20  # where the system gives so much, else its own size
_LENGTH = struct.Struct(">H")
_MESSAGE_MAX = min(select.PIPE_BUF, 4096)  # what the system writes in one piece, whoever else writes
_MISSED = ("missed",)


def new_pipes(workers: int) -> list[tuple[int, int]]:
    """Return a (reading, writing) pair of descriptors for each worker; neither end ever blocks."""
    pipes = []
    for _ in range(workers):
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        pipes.append((reading, writing))
    return pipes


class Peers:
    """One worker's end of the pipes: its own to read, the others' to write."""

    def __init__(self, reading: int, writing: Sequence[int]) -> None:
        self._reading = reading
        self._writing = writing
        self._behind = [False] * len(writing)
        self._lock = threading.Lock()
        self._reader = threading.Lock()
        self._rest = b""
        self._listeners: list[Callable[[Message], None]] = []

    def listen(self, take: Callable[[Message], None]) -> None:
        """Give the others' messages to ``take``, too."""
        self._listeners.append(take)

    def send(self, message: Message) -> None:
        """Tell every other worker, without waiting for any; one that misses the message learns that it did."""
        frame = _frame(message)
        with self._lock:
            for place, descriptor in enumerate(self._writing):
                if frame is None or self._behind[place]:
                    self._behind[place] = not _written(descriptor, _frame(_MISSED) or b"")
                if frame is not None and not self._behind[place]:
                    self._behind[place] = not _written(descriptor, frame)

    def read(self) -> None:
        """Take in the others' messages; when this returns all are taken, by this thread or another."""
        with self._reader:
            while chunk := _read(self._reading):
                data, place = self._rest + chunk, 0
                while len(data) - place >= _LENGTH.size:
                    (length,) = _LENGTH.unpack_from(data, place)
                    if len(data) - place < _LENGTH.size + length:
                        break
                    place += _LENGTH.size + length
                    message = marshal.loads(data[place - length : place])
                    for take in self._listeners:
                        take(message)
                self._rest = data[place:]


def drain(reading: int) -> None:
    """Empty a pipe before a new worker reads it: its predecessor may have died in the middle of a message."""
    while _read(reading):
        pass


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return b""


def _frame(message: Message) -> bytes | None:
    body = marshal.dumps(message)
    return None if len(body) + _LENGTH.size > _MESSAGE_MAX else _LENGTH.pack(len(body)) + body


def _written(descriptor: int, frame: bytes) -> bool:
    try:
        os.write(descriptor, frame)
    except (BlockingIOError, BrokenPipeError):
        return False
    return True
