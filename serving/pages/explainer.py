"""Why a viewer's list is as it is: asks a command that works it out.

Owns: running the command within a time and a size, and caching its last answers. Leaves to others: the answer itself
(``foryou explain --why``), whose turn it is (``turns``), and who may ask about whom (``why``).

Invariant: at most a few of a worker's threads wait here; all others are refused at once. None waits longer than
TURN_SECONDS for its turn and DEADLINE_SECONDS for the command, and the command never outlives its request. What is
cached needs no turn.
"""

import contextlib
import os
import subprocess
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from serving.config import ServingConfig
from serving.pages.turns import BusyError, Turns
from sql import places

DEADLINE_SECONDS = 30.0
TURN_SECONDS = 3.0
CACHE_SECONDS = 120.0
CACHE_MAX = 64
OUTPUT_MAX_BYTES = 2_000_000
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
        self._turns = Turns(places.lock(config.data_dir, "why"))
        self._cache: OrderedDict[tuple[Any, ...], tuple[float, dict[str, Any]]] = OrderedDict()

    def why(
        self, did: str, changes: Mapping[str, float | str], *, client: str, public: bool
    ) -> dict[str, Any]:
        """Return what the command says of a viewer's list; raise ExplainingError.

        ``client`` is the address of whoever asks, "" at this machine.
        """
        key = (did, public, *sorted(changes.items()))
        if (known := self._known(key)) is not None:
            return known
        arguments = [*self._command, did, *(f"--set={name}={value}" for name, value in changes.items())]
        if public:
            arguments.append("--public")
        try:
            with self._turns.place(client), self._turns.turn(client, TURN_SECONDS):
                if (known := self._known(key)) is not None:  # another request worked it out meanwhile
                    return known
                found = run_json(arguments)
        except BusyError as error:
            raise ExplainingError(_BUSY, busy=True) from error
        except OSError as error:
            raise ExplainingError("the data directory can't be written") from error
        self._cache[key] = (time.monotonic(), found)
        with contextlib.suppress(KeyError):
            while len(self._cache) > CACHE_MAX:
                self._cache.popitem(last=False)
        return found

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Hold a place of those who wait, for work that comes before; raise ExplainingError when none is free."""
        try:
            with self._turns.place(client):
                yield
        except BusyError as error:
            raise ExplainingError(_BUSY, busy=True) from error

    def _known(self, key: tuple[Any, ...]) -> dict[str, Any] | None:
        cached = self._cache.get(key)
        return cached[1] if cached is not None and time.monotonic() - cached[0] < CACHE_SECONDS else None


def run_json(arguments: list[str], most_bytes: int = OUTPUT_MAX_BYTES) -> dict[str, Any]:
    """Return what a command of ours prints; raise ExplainingError."""
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
    if len(output) > most_bytes:
        raise ExplainingError("the answer is too long")
    found = orjson.loads(output)
    return found if isinstance(found, dict) else {}
