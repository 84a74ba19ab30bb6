"""``foryou status``: a table for people, JSON for programs; once, or every two seconds.

Owns: the form of the output. Leaves to others: the figures (``gather``), their meaning (``lines``). Colour shows a
line's level. The words say the same, so nothing is lost in a pipe.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from pipeline.operate.status.gather import gather
from pipeline.operate.status.lines import Level, Line, lines
from pipeline.settings import Settings

WATCH_SECONDS = 2.0

_COLOURS = {Level.OK: "\x1b[32m", Level.WARN: "\x1b[33m", Level.BAD: "\x1b[1;31m"}
_DIM, _END, _CLEAR = "\x1b[2m", "\x1b[0m", "\x1b[H\x1b[2J"


def run(settings: Settings, *, as_json: bool, watch: bool) -> None:
    """Print the status; with ``watch``, repeat it until interrupted."""
    colour = _wants_colour(sys.stdout)
    while True:
        figures = gather(settings)
        if as_json:
            print(json.dumps(figures, indent=None if watch else 2), flush=True)
        else:
            if watch and colour:
                print(_CLEAR, end="")
            print(as_text(lines(figures), colour=colour), flush=True)
        if not watch:
            return
        time.sleep(WATCH_SECONDS)
        if not colour and not as_json:
            print()


def as_text(shown: list[Line], *, colour: bool = False) -> str:
    """Return the lines as a table of two columns."""
    width = max(len(line.subject) for line in shown) + 2
    rows = []
    for line in shown:
        subject = f"{line.subject:<{width}}"
        if colour:
            paint = _COLOURS.get(line.level, "")
            rows.append(f"{_DIM}{subject}{_END}{paint}{line.text}{_END if paint else ''}")
        else:
            rows.append(subject + line.text)
    return "\n".join(rows)


def _wants_colour(stream: TextIO, environment: Mapping[str, Any] = os.environ) -> bool:
    return stream.isatty() and "NO_COLOR" not in environment and environment.get("TERM") != "dumb"
