"""How far long work has come: the steps that a job reports, and one line on a terminal.

Owns: ``Step``, ``Progress``, and how amounts and durations are written for people. Leaves to others: what is counted,
and the log.

Invariant: nothing is written to a stream that is not a terminal.
"""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

CELLS = 24
DRAW_SECONDS = 0.1
LOG_SECONDS = 30.0

Step = tuple[str, int]  # what a job yields once a step is whole on the disk: its name, and how many rows


class Progress:
    """One job's line: the step by name and, for a long one, its bar and the time left.

    ``unit`` names what is counted; "bytes" are written as kB, MB or GB, with their rate. Where there is no terminal,
    ``log`` gets the line now and then.
    """

    def __init__(
        self,
        label: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        unit: str = "viewers",
        log: logging.Logger | None = None,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._label, self._clock, self._unit, self._log = label, clock, unit, log
        self._began = self._step_began = self._logged_at = clock()
        self._drawn_at = -1.0
        self._total = self._done = self._done_before = 0
        self.step = "snapshot"

    @property
    def is_shown(self) -> bool:
        """Whether somebody looks on, at a terminal."""
        return self._shown

    def start(self, step: str, total: int = 0, done: int = 0) -> None:
        """Begin a step of ``total`` units, of which an earlier run has done some."""
        self.step, self._total, self._done, self._done_before = step, total, done, done
        self._step_began = self._clock()
        self._draw(at_once=True)

    def add(self, count: int) -> None:
        """Count units that are done."""
        self._done += count
        self._draw()

    def clear(self) -> None:
        """Remove the line, before something else is written."""
        if self._shown and self._drawn_at >= 0:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn_at = -1.0

    def line(self) -> str:
        """Return the line as it is now."""
        now = self._clock()
        text = f"{self._label}: {self.step}"
        if self._total:
            share = min(1.0, self._done / self._total)
            full = int(share * CELLS)
            in_bytes = self._unit == "bytes"
            done, total = (
                bytes_text(count) if in_bytes else f"{count:,}" for count in (self._done, self._total)
            )
            text += f" [{'#' * full}{'.' * (CELLS - full)}] {done} of {total}"
            text += "" if in_bytes else f" {self._unit}"
            gained, spent = self._done - self._done_before, now - self._step_began
            if gained > 0 and share < 1 and spent > 1:
                text += f", {bytes_text(gained / spent)}/s" if in_bytes else ""
                text += f", {duration_text((self._total - self._done) * spent / gained)} left"
        return f"{text} ({duration_text(now - self._began)})"

    def _draw(self, *, at_once: bool = False) -> None:
        now = self._clock()
        if self._shown and (at_once or now - self._drawn_at >= DRAW_SECONDS):
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{self.line()[:width]}")
            self._stream.flush()
            self._drawn_at = now
        elif self._log is not None and not self._shown and now - self._logged_at >= LOG_SECONDS:
            self._log.info("%s", self.line())
            self._logged_at = now


def bytes_text(count: float) -> str:
    """Return a number of bytes for people: '1.2 GB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration_text(seconds: float) -> str:
    """Return a duration for people: '40 s', '2 h 05 min', '3 d 4 h'; a negative one is 0."""
    if seconds < 100:
        return f"{max(seconds, 0.0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"
