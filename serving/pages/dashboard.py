"""GET /dashboard: the operator's page, with plots of what the batch left in DATA_DIR/dashboard.json.

Owns: the plots, drawn as SVG without a script. Leaves to others: the figures (the batch writes them), the state above
the plots (``operator_state``), and who may see the page (``clients``). What is missing or odd in the file becomes a
plot without points.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import falcon

from serving.config import ServingConfig
from serving.http.clients import require_local
from serving.pages.html import age_text, show
from serving.pages.operator_state import OperatorState
from sql import places

Point = tuple[float, float]


@dataclass(slots=True)
class DashboardPage:
    """The page; ``now`` gives seconds since 1970."""

    config: ServingConfig
    state: OperatorState
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page."""
        require_local(request, self.config)
        state: dict[str, Any] = {"state": self.state.figures(), "runs": self.state.runs()}
        figures = read_figures(self.config.data_dir)
        if not figures:
            show(response, "dashboard.html", self.config, here=True, plots=[], **state)
            return
        likes, history = _rows(figures, "likes_per_hour"), _rows(figures, "history")
        rates = _points(_rows(figures, "like_rate_by_position"), "position", "like_rate")
        show(
            response,
            "dashboard.html",
            self.config,
            here=True,
            **state,
            age=age_text(self.now() - _number(figures.get("written_at"), 0.0)),
            size=SIZE,
            plots=[
                _plot("Likes per hour", _times(likes, "hour", "likes"), bars=3600.0),
                _plot("Stream lag, seconds", _times(history, "at", "lag_seconds")),
                _plot(
                    "Share of the day's likers with a list",
                    _times(history, "at", "list_share"),
                    top=1.0,
                    percent=True,
                ),
                _plot(
                    "Likes per impression, by place in the list", rates, bars=1.0, percent=True, times=False
                ),
            ],
        )


class Size(NamedTuple):
    """The size of a plot and its margins, in the units of its SVG."""

    width: int = 720
    height: int = 210
    left: int = 88  # room for the letters of a phone, which are twice as large in these units
    bottom: int = 30
    top: int = 16


SIZE = Size()


@dataclass(slots=True)
class Plot:
    """A plot in the units of its SVG; one without points has nothing but its title."""

    title: str
    latest: str = ""  # the last value of a line
    levels: Sequence[tuple[float, str]] = ()  # y and label
    bars: Sequence[tuple[float, float, float, float, str]] = ()  # x, y, width, height and label
    path: Sequence[Point] = ()
    first: str = ""  # labels of the x-axis
    last: str = ""


def _plot(
    title: str,
    points: Sequence[Point],
    *,
    bars: float | None = None,
    top: float | None = None,
    percent: bool = False,
    times: bool = True,
) -> Plot:
    """Return bars of a width in units of x, or a line; ``top`` is the highest y, else the points say it."""
    if not points:
        return Plot(title)
    least, most = points[0][0], points[-1][0] + (bars or 0.0)
    span = max(most - least, 1e-9)
    highest = _round_up(top or max(y for _, y in points))

    def x_of(x: float) -> float:
        return round(SIZE.left + (x - least) / span * (SIZE.width - SIZE.left - 4), 1)

    def y_of(y: float) -> float:
        return round(SIZE.top + (1 - min(y / highest, 1.0)) * (SIZE.height - SIZE.top - SIZE.bottom), 1)

    plot = Plot(title, first=_label(points[0][0], times), last=_label(points[-1][0], times))
    levels = (share * highest for share in (0.0, 0.5, 1.0))
    plot.levels = [(y_of(level), _value(level, percent)) for level in levels]
    if bars is None:
        plot.latest = _value(points[-1][1], percent)
        plot.path = [(x_of(x), y_of(y)) for x, y in points]
    else:
        plot.bars = [
            (
                x_of(x),
                y_of(y),
                round(max(x_of(x + bars) - x_of(x) - 1, 0.6), 1),
                round(y_of(0.0) - y_of(y), 1),
                f"{_label(x, times)}: {_value(y, percent)}",
            )
            for x, y in points
        ]
    return plot


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


def _times(rows: Iterable[dict[str, Any]], x: str, y: str) -> list[Point]:
    """Return points whose x is a time, as seconds since 1970 or as text in UTC."""
    found = []
    for row in rows:
        time, value = row.get(x), _number(row.get(y))
        if isinstance(time, str):
            try:
                time = datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()
            except ValueError:
                continue
        time = _number(time)
        if time is not None and 0 <= time < 2e11 and value is not None and value >= 0:
            found.append((time, value))
    return sorted(found)


def _points(rows: Iterable[dict[str, Any]], x: str, y: str) -> list[Point]:
    pairs = ((_number(row.get(x)), _number(row.get(y))) for row in rows)
    return sorted((a, b) for a, b in pairs if a is not None and b is not None and b >= 0)


def _number(value: Any, default: Any = None) -> Any:
    usual = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usual and math.isfinite(value) else default


def _rows(figures: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = figures.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def read_figures(data_dir: Path) -> dict[str, Any]:
    """Return the figures that the batch left, {} when there are none that can be read."""
    try:
        found = json.loads(places.dashboard(data_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
