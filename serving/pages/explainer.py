"""Why a viewer's list is as it is, worked out on demand by a command that the operator's program names.

Owns: running it, one at a time in an installation, within a time and a size, and keeping the last answers a while.
Leaves to others: the answer itself (``foryou explain --why``), whose likes may be looked at and by whom (``why``).

Invariant: a few of a worker's threads wait here at most, all others are told at once; none waits longer than twice
TURN_SECONDS for its turn and DEADLINE_SECONDS for the command, and the command never outlives its request.
"""

import contextlib
import fcntl
import os
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import orjson

from serving.config import ServingConfig

DEADLINE_SECONDS = 30.0
TURN_SECONDS = 3.0
KEPT_SECONDS = 120.0
KEPT_MAX = 64
OUTPUT_MAX_BYTES = 2_000_000
LOCK_NAME = ".why.lock"
WAITING_MAX = 3  # of a worker's threads, the one at work included
_BUSY = "somebody else's list is being explained; try again in a moment"


class ExplainingError(Exception):
    """There is no answer; the text says why, to be shown. ``busy``: it is worth asking again in a moment."""

    def __init__(self, text: str, *, busy: bool = False) -> None:
        super().__init__(text)
        self.busy = busy


class Explainer:
    """Asks the command; may be called from any thread."""

    def __init__(self, config: ServingConfig) -> None:
        self._command = config.explain
        self._lock_path = config.data_dir / LOCK_NAME
        self._mine = threading.Lock()
        self._places = threading.Semaphore(WAITING_MAX)
        self._kept: OrderedDict[tuple[Any, ...], tuple[float, dict[str, Any]]] = OrderedDict()

    def why(self, did: str, changes: Mapping[str, float], *, public: bool) -> dict[str, Any]:
        """Return what the command says of a viewer's list; raise ExplainingError."""
        key = (did, public, *sorted(changes.items()))
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        arguments = [*self._command, did, *(f"--set={name}={value!r}" for name, value in changes.items())]
        if public:
            arguments.append("--public")
        with self._turn():
            found = _run(arguments)
            self._kept[key] = (time.monotonic(), found)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return found

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the few places of those who wait; raise ExplainingError when there is none."""
        if not self._places.acquire(blocking=False):
            raise ExplainingError(_BUSY, busy=True)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._mine.acquire(timeout=TURN_SECONDS):
            raise ExplainingError(_BUSY, busy=True)
        try:
            file = self._locked()
            try:
                yield
            finally:
                file.close()
        finally:
            self._mine.release()

    def _locked(self) -> IO[bytes]:
        """Return the open file whose lock says that it is this worker's turn."""
        deadline = time.monotonic() + TURN_SECONDS
        try:
            file = open(self._lock_path, "wb")  # noqa: SIM115 - it is closed at the end of the turn
        except OSError as error:
            raise ExplainingError("the data directory can't be written") from error
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.close()
                    raise ExplainingError(_BUSY, busy=True) from None
                time.sleep(0.1)
            else:
                return file


def _run(arguments: list[str]) -> dict[str, Any]:
    pipe = subprocess.PIPE
    # Its standard input ends with this process, however that ends, and tells the command to end too.
    reading, writing = os.pipe()
    try:
        started = subprocess.Popen(arguments, stdin=reading, stdout=pipe, stderr=pipe)
    except OSError as error:
        os.close(writing)
        raise ExplainingError("it can't be worked out just now") from error
    finally:
        os.close(reading)
    with started as process, open(writing, "wb"):
        if hasattr(os, "sched_setaffinity"):  # a worker keeps to one core; its child need not
            with contextlib.suppress(OSError):
                os.sched_setaffinity(process.pid, range(os.cpu_count() or 1))
        try:
            output, errors = process.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired as error:
            text = f"it takes more than {DEADLINE_SECONDS:.0f} seconds with as many likes as there are here"
            raise ExplainingError(text, busy=True) from error
        finally:
            process.kill()
    if process.returncode != 0:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        clear = process.returncode == 1 and last.startswith("foryou: ")
        raise ExplainingError(
            last.removeprefix("foryou: ")[:500] if clear else "it can't be worked out just now"
        )
    if len(output) > OUTPUT_MAX_BYTES:
        raise ExplainingError("the answer is too long")
    found = orjson.loads(output)
    return found if isinstance(found, dict) else {}
