"""Plots as SVG, without a script: lines and bars over time or place, and bars with names.

Owns: what is drawn where, and the figures that the batch left in DATA_DIR/dashboard.json. Leaves to others: the figures
(``pipeline.explore.dashboard_figures``), which plots a page has (``dashboard``, ``analyst_plots``), the page's form
(``templates/plots.html``). What is missing or odd in the file becomes a plot without points.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sql import places

Point = tuple[float, float]


class Size(NamedTuple):
    """The size of a plot and its margins, in the units of its SVG."""

    width: int = 720
    height: int = 210
    left: int = 88  # room for the letters of a phone, which are twice as large in these units
    bottom: int = 30
    top: int = 16


SIZE = Size()
CATEGORIES = 10  # of a plot by names, at most
BARS_LEAST = 7  # over time, there is room for so many
_NAME = 24  # letters of a name


@dataclass(slots=True)
class Plot:
    """A plot in the units of its SVG; one without points has nothing but its title."""

    title: str
    query: str = ""  # of foryou sql, which gives the figures
    latest: str = ""  # the last value of a line
    levels: Sequence[tuple[float, str]] = ()  # y and label
    bars: Sequence[tuple[float, float, float, float, str]] = ()  # x, y, width, height and label
    path: Sequence[Point] = ()
    first: str = ""  # labels of the x-axis
    last: str = ""
    names: Sequence[tuple[float, str]] = ()  # x and name of each bar, where bars have names
    ranges: Sequence[tuple[float, float, float]] = ()  # x, and the y of both bounds of 95 % confidence


def plot(
    title: str,
    points: Sequence[Point],
    query: str = "",
    *,
    bars: float | None = None,
    top: float | None = None,
    percent: bool = False,
    times: bool = True,
) -> Plot:
    """Return bars of a width in units of x, or a line; ``top`` is the highest y, else the points say it."""
    if not points:
        return Plot(title, query)
    least, most = points[0][0], points[-1][0] + (bars or 0.0)
    if bars and times:
        least = min(least, most - BARS_LEAST * bars)  # one bar alone would be as wide as the plot
    span = max(most - least, 1e-9)
    highest = _round_up(top or max(y for _, y in points))

    def x_of(x: float) -> float:
        return round(SIZE.left + (x - least) / span * (SIZE.width - SIZE.left - 4), 1)

    def y_of(y: float) -> float:
        return _y_of(y, highest)

    made = Plot(title, query, first=_label(least, times), last=_label(points[-1][0], times))
    levels = (share * highest for share in (0.0, 0.5, 1.0))
    made.levels = [(y_of(level), _value(level, percent)) for level in levels]
    if bars is None:
        made.latest = _value(points[-1][1], percent)
        made.path = [(x_of(x), y_of(y)) for x, y in points]
    else:
        made.bars = [
            (
                x_of(x),
                y_of(y),
                round(max(x_of(x + bars) - x_of(x) - 1, 0.6), 1),
                round(y_of(0.0) - y_of(y), 1),
                f"{_label(x, times)}: {_value(y, percent)}",
            )
            for x, y in points
        ]
    return made


def named_bars(
    title: str, rows: Iterable[dict[str, Any]], name: str, value: str, query: str, *, percent: bool = False
) -> Plot:
    """Return a bar a row, in the order of the rows, with the bounds of its confidence where the rows have them."""
    found = [
        (
            str(row.get(name))[:_NAME] or "none",
            y,
            number_of(row.get(f"{value}_low")),
            number_of(row.get(f"{value}_high")),
        )
        for row in rows
        if (y := number_of(row.get(value))) is not None and y >= 0
    ][:CATEGORIES]
    if not found:
        return Plot(title, query)
    bounds = [high if high is not None else y for _, y, _, high in found]
    drawn = plot(
        title, [(float(place), y) for place, (_, y, _, _) in enumerate(found)], query,
        bars=1.0, top=max(bounds), percent=percent, times=False,
    )  # fmt: skip
    drawn.first = drawn.last = ""
    centres = [round(x + width / 2, 1) for x, _, width, _, _ in drawn.bars]
    drawn.bars = [(x, y, width, height, f"{found[place][0]}: {_value(found[place][1], percent)}")
                  for place, (x, y, width, height, _) in enumerate(drawn.bars)]  # fmt: skip
    drawn.names = [(x, each[0]) for x, each in zip(centres, found, strict=True)]
    top = _round_up(max(bounds))
    drawn.ranges = [(x, _y_of(low, top), _y_of(high, top)) for x, (_, _, low, high) in zip(centres, found, strict=True)
                    if low is not None and high is not None]  # fmt: skip
    return drawn


def _y_of(y: float, highest: float) -> float:
    return round(SIZE.top + (1 - min(y / highest, 1.0)) * (SIZE.height - SIZE.top - SIZE.bottom), 1)


def _value(y: float, percent: bool) -> str:
    if percent:
        return f"{y * 100:.3g} %"
    return f"{y:,.0f}" if y >= 1000 else f"{y:.3g}"


def _label(x: float, times: bool) -> str:
    if not times:
        return f"{x:g}"
    return datetime.fromtimestamp(x, UTC).strftime("%d %b %H:%M")


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * 0.999999)


def times_of(rows: Iterable[dict[str, Any]], x: str, y: str) -> list[Point]:
    """Return points whose x is a time, as seconds since 1970 or as text in UTC."""
    found = []
    for row in rows:
        time, value = row.get(x), number_of(row.get(y))
        if isinstance(time, str):
            try:
                time = datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()
            except ValueError:
                continue
        time = number_of(time)
        if time is not None and 0 <= time < 2e11 and value is not None and value >= 0:
            found.append((time, value))
    return sorted(found)


def points_of(rows: Iterable[dict[str, Any]], x: str, y: str) -> list[Point]:
    """Return points by x from rows; rows without two numbers are left out."""
    pairs = ((number_of(row.get(x)), number_of(row.get(y))) for row in rows)
    return sorted((a, b) for a, b in pairs if a is not None and b is not None and b >= 0)


def number_of(value: Any, default: Any = None) -> Any:
    """Return a value as a float, or a default when it is no finite number."""
    usual = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usual and math.isfinite(value) else default


def rows_of(figures: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the rows of a query, as far as they are rows."""
    found = figures.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def read_figures(data_dir: Path) -> dict[str, Any]:
    """Return the figures that the batch left, {} when there are none that can be read."""
    try:
        found = json.loads(places.dashboard(data_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
