"""Why a viewer's list is as it is: asks a command that works it out.

Owns: which process of the command is used, which one is kept for the next request, and caching its last answers.
Leaves to others: the answer itself (``foryou explain --why -``), asking a process (``own_commands``), whose turn it is
(``turns``), and who may ask about whom (``why``).

A process that has answered is kept: it knows what the lists of that viewer are made of, so a moved slider waits for the
list alone. It ends when nobody asks it for two minutes.

Invariant: at most a few of a worker's threads wait here; all others are refused at once. None waits longer than
TURN_SECONDS for its turn and DEADLINE_SECONDS for the command. A process that is late is ended, and a worker keeps
PROCESSES_KEPT at most. What is cached needs no turn.
"""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from serving.config import ServingConfig
from serving.pages.own_commands import DEADLINE_SECONDS, CommandError, EndedError, LastingCommand
from serving.pages.turns import BusyError, Turns
from sql import places

TURN_SECONDS = 3.0
CACHE_SECONDS = 120.0
CACHE_MAX = 64
PROCESSES_KEPT = 1
_BUSY = "another list is being explained; try again in a moment"


class ExplainingError(CommandError):
    """There is no list; the text says why, for the page. ``busy``: try again in a moment."""


class Explainer:
    """Asks the command; may be called from any thread."""

    def __init__(self, config: ServingConfig) -> None:
        self._command = config.explain
        self._turns = Turns(places.lock(config.data_dir, "why"))
        self._lock = threading.Lock()
        self._kept: list[LastingCommand] = []  # the last used at the end
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
        texts = [f"{name}={value}" for name, value in changes.items()]
        request = {"viewer": did, "set": texts, "public": public}
        try:
            with self._turns.place(client), self._turns.turn(client, TURN_SECONDS):
                if (known := self._known(key)) is not None:  # another request worked it out meanwhile
                    return known
                found = self._ask(request)
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

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a process answers; raise ExplainingError."""
        with self._lock:
            process = self._kept.pop() if self._kept else None
        try:
            if process is not None:
                with contextlib.suppress(EndedError):  # it had nothing to do for long
                    return self._answer_of(process, request)
            return self._answer_of(LastingCommand(self._command), request)
        except CommandError as error:
            raise ExplainingError(str(error), busy=error.busy) from error

    def _answer_of(self, process: LastingCommand, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a process and keep it; raise CommandError, and end it unless it says itself that there is no list."""
        try:
            found = process.ask(request, DEADLINE_SECONDS)
        except BaseException:
            process.close()
            raise
        with self._lock:
            self._kept.append(process)
            surplus = [self._kept.pop(0) for _ in range(len(self._kept) - PROCESSES_KEPT)]
        for each in surplus:
            each.close()
        if "error" in found:
            raise CommandError(str(found["error"])[:500])
        return found

    def _known(self, key: tuple[Any, ...]) -> dict[str, Any] | None:
        cached = self._cache.get(key)
        return cached[1] if cached is not None and time.monotonic() - cached[0] < CACHE_SECONDS else None
