"""How far a batch run has come: the steps that a job reports, and one line on a terminal.

Owns: ``Step`` and ``Progress``. Leaves to others: the log, which has a line for every finished step.

Invariant: nothing is written to a stream that is not a terminal.
"""

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 24
DRAW_SECONDS = 0.1

Step = tuple[str, int]  # what a job yields once a step is whole on the disk: its name, and how many rows


class Progress:
    """One job's bar: steps by name, and within the long one the share of viewers that are done."""

    def __init__(
        self, label: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._label, self._clock = label, clock
        self._began = self._step_began = clock()
        self._drawn_at = -1.0
        self._step, self._total, self._done = "snapshot", 0, 0

    def start(self, step: str, total: int = 0) -> None:
        """Say what is being done now, and of how many viewers."""
        self._step, self._total, self._done = step, total, 0
        self._step_began = self._clock()
        self._draw(at_once=True)

    def add(self, viewers: int) -> None:
        """Say that so many more viewers are done."""
        self._done += viewers
        self._draw()

    def clear(self) -> None:
        """Take the line away, before something else is written."""
        if self._shown and self._drawn_at >= 0:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn_at = -1.0

    def line(self) -> str:
        """Return the line as it is now."""
        now = self._clock()
        text = f"{self._label}: {self._step}"
        if self._total:
            share = min(1.0, self._done / self._total)
            full = int(share * WIDTH)
            text += f" [{'#' * full}{'.' * (WIDTH - full)}] {self._done:,} of {self._total:,} viewers"
            spent = now - self._step_began
            if 0 < share < 1 and spent > 1:
                text += f", {spent / share - spent:.0f} s left"
        return f"{text} ({now - self._began:.0f} s)"

    def _draw(self, *, at_once: bool = False) -> None:
        now = self._clock()
        if self._shown and (at_once or now - self._drawn_at >= DRAW_SECONDS):
            self._stream.write(f"\r\x1b[K{self.line()}")
            self._stream.flush()
            self._drawn_at = now
