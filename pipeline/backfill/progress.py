"""How far a long fetch is: a bar on a terminal, a line now and then elsewhere.

Owns: rate, estimate, and the form of both. Leaves to others: what is counted.
"""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

log = logging.getLogger("foryou.backfill")

BAR_SECONDS = 0.2
LINE_SECONDS = 30.0
BAR_CELLS = 24


class Progress:
    """Bytes done of bytes in all; ``done`` at the start is from an earlier run and says nothing about the rate."""

    def __init__(
        self,
        total: int,
        done: int = 0,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = max(total, 1)
        self._done = self._began_with = done
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._began_at = clock()
        self._shown_at = self._began_at
        self._bar = self._stream.isatty()
        self.what = ""  # what is being done, for people

    def add(self, count: int) -> None:
        """Count bytes, and show it when it is time to."""
        self._done += count
        now = self._clock()
        if now - self._shown_at < (BAR_SECONDS if self._bar else LINE_SECONDS):
            return
        self._shown_at = now
        if self._bar:
            width = shutil.get_terminal_size().columns
            self._stream.write("\r" + self.text(bar=True)[: width - 1].ljust(width - 1))
            self._stream.flush()
        else:
            log.info("%s", self.text(bar=False))

    def clear(self) -> None:
        """Wipe the bar, so that a line of its own can follow."""
        if self._bar:
            self._stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._stream.flush()

    def text(self, *, bar: bool) -> str:
        """Return where it stands: share, bytes, rate, and the time left once there is a rate."""
        share = min(self._done / self._total, 1.0)
        full = round(share * BAR_CELLS)
        drawn = f"[{'#' * full}{'.' * (BAR_CELLS - full)}] " if bar else ""
        seconds = self._clock() - self._began_at
        rate = (self._done - self._began_with) / seconds if seconds > 0 else 0.0
        text = f"{drawn}{share:4.0%} of {bytes_text(self._total)}"
        if rate > 0:
            left = max(self._total - self._done, 0) / rate
            text += f", {bytes_text(rate)}/s, {duration_text(left)} left"
        return f"{text}, {self.what}" if self.what else text


def bytes_text(count: float) -> str:
    """Return a number of bytes for people: '1.2 GB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration_text(seconds: float) -> str:
    """Return a duration for people: '2 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
