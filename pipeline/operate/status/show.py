"""``foryou status``: a table for people, JSON for programs; once, or every two seconds.

Owns: the form of the output, and whether all is well, which is the exit status. Leaves to others: the figures
(``gather``), their meaning (``lines``). Colour shows a line's level. The words say the same, so nothing is lost in a
pipe.
"""

import json
import os
import shutil
import sys
import time

from pipeline.operate.status.gather import gather
from pipeline.operate.status.lines import Level, Line, lines
from pipeline.settings import Settings

WATCH_SECONDS = 2.0

_COLOURS = {Level.OK: "\x1b[32m", Level.WARN: "\x1b[33m", Level.BAD: "\x1b[1;31m"}
_DIM, _END, _CLEAR = "\x1b[2m", "\x1b[0m", "\x1b[H\x1b[2J"


def run(settings: Settings, *, as_json: bool, watch: bool) -> bool:
    """Print the status and tell whether all is well; with ``watch``, repeat it until interrupted."""
    terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    colour = terminal and "NO_COLOR" not in os.environ
    while True:
        figures = gather(settings)
        shown = lines(figures)
        if as_json:
            state = {"state": shown[0].text, "well": shown[0].level is not Level.BAD}
            print(json.dumps(state | figures, indent=None if watch else 2), flush=True)
        elif watch and terminal:
            columns, rows = shutil.get_terminal_size()
            print(_CLEAR + as_text(shown, colour=colour, columns=columns, rows=rows), end="", flush=True)
        else:
            print(as_text(shown, colour=colour), flush=True)
        if not watch:
            return shown[0].level is not Level.BAD
        time.sleep(WATCH_SECONDS)
        if not terminal and not as_json:
            print()


def as_text(
    shown: list[Line], *, colour: bool = False, columns: int | None = None, rows: int | None = None
) -> str:
    """Return the lines as a table of two columns, cut to a terminal's ``columns`` and ``rows`` where given."""
    width = max(len(line.subject) for line in shown) + 2
    written = []
    for line in shown[:rows]:
        subject, text = f"{line.subject:<{width}}", line.text
        if columns is not None and width + len(text) >= columns:
            text = text[: max(0, columns - width - 4)] + "..."
        if colour:
            paint = _COLOURS.get(line.level, "")
            written.append(f"{_DIM}{subject}{_END}{paint}{text}{_END if paint else ''}")
        else:
            written.append(subject + text)
    return "\n".join(written)
