"""Why a viewer's list is as it is: asks a command that works it out.

Owns: running the command, one at a time in an installation, within a time and a size, and caching its last answers.
Leaves to others: the answer itself (``foryou explain --why``), and who may ask about whom (``why``).

Invariant: at most a few of a worker's threads wait here; all others are refused at once. None waits longer than
twice TURN_SECONDS for its turn and DEADLINE_SECONDS for the command, and the command never outlives its request.
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
from sql import places

DEADLINE_SECONDS = 30.0
TURN_SECONDS = 3.0
CACHE_SECONDS = 120.0
CACHE_MAX = 64
OUTPUT_MAX_BYTES = 2_000_000
WAITING_MAX = 3  # of a worker's threads, the one at work included
_BUSY = "another list is being explained; try again in a moment"


class ExplainingError(Exception):
    """There is no answer; the text says why, for the page. ``busy``: try again in a moment."""

    def __init__(self, text: str, *, busy: bool = False) -> None:
        super().__init__(text)
        self.busy = busy


class Explainer:
    """Asks the command; may be called from any thread."""

    def __init__(self, config: ServingConfig) -> None:
        self._command = config.explain
        self._lock_path = places.lock(config.data_dir, "why")
        self._mine = threading.Lock()
        self._places = threading.Semaphore(WAITING_MAX)
        self._cache: OrderedDict[tuple[Any, ...], tuple[float, dict[str, Any]]] = OrderedDict()

    def why(self, did: str, changes: Mapping[str, float], *, public: bool) -> dict[str, Any]:
        """Return what the command says of a viewer's list; raise ExplainingError."""
        key = (did, public, *sorted(changes.items()))
        cached = self._cache.get(key)
        if cached is not None and time.monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1]
        arguments = [*self._command, did, *(f"--set={name}={value!r}" for name, value in changes.items())]
        if public:
            arguments.append("--public")
        with self._turn():
            found = _run(arguments)
            self._cache[key] = (time.monotonic(), found)
            while len(self._cache) > CACHE_MAX:
                self._cache.popitem(last=False)
        return found

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the few places for requests that wait; raise ExplainingError when none is free."""
        if not self._places.acquire(blocking=False):
            raise ExplainingError(_BUSY, busy=True)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold this worker's lock and the installation's; raise ExplainingError when others keep them."""
        with contextlib.ExitStack() as held:
            if not self._mine.acquire(timeout=TURN_SECONDS):
                raise ExplainingError(_BUSY, busy=True)
            held.callback(self._mine.release)
            try:
                file = held.enter_context(self._lock_path.open("wb"))
            except OSError as error:
                raise ExplainingError("the data directory can't be written") from error
            deadline = time.monotonic() + TURN_SECONDS
            while not _locked(file):
                if time.monotonic() > deadline:
                    raise ExplainingError(_BUSY, busy=True)
                time.sleep(0.1)
            yield


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run(arguments: list[str]) -> dict[str, Any]:
    pipe = subprocess.PIPE
    # The command ends when its standard input does, so when this process ends, however it ends.
    reading, writing = os.pipe()
    try:
        started = subprocess.Popen(arguments, stdin=reading, stdout=pipe, stderr=pipe)
    except OSError as error:
        os.close(writing)
        raise ExplainingError("this can't be worked out just now") from error
    finally:
        os.close(reading)
    with started as process, open(writing, "wb"):
        if hasattr(os, "sched_setaffinity"):  # a worker stays on one core; its child need not
            with contextlib.suppress(OSError):
                os.sched_setaffinity(process.pid, range(os.cpu_count() or 1))
        try:
            output, errors = process.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired as error:
            text = f"this takes more than {DEADLINE_SECONDS:.0f} seconds with so many likes"
            raise ExplainingError(text, busy=True) from error
        finally:
            process.kill()
    if process.returncode != 0:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        clear = process.returncode == 1 and last.startswith("foryou: ")
        raise ExplainingError(
            last.removeprefix("foryou: ")[:500] if clear else "this can't be worked out just now"
        )
    if len(output) > OUTPUT_MAX_BYTES:
        raise ExplainingError("the answer is too long")
    found = orjson.loads(output)
    return found if isinstance(found, dict) else {}
