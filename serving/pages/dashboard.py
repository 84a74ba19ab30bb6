"""GET /dashboard: the operator's page, with plots of what the batch left in DATA_DIR/dashboard.json.

Owns: the page and its plots, drawn as SVG without a script. Leaves to others: the figures (the batch writes
them), who may see the page (``clients``). Whatever is missing or odd in the file is a plot without points.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import falcon

from serving.config import ServingConfig
from serving.http.clients import require_local
from serving.pages.html import age_text, fragment, show

FILE_NAME = "dashboard.json"
# The margins have room for the letters of a phone, which are twice as large in these units.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 210, 88, 30, 16

Point = tuple[float, float]


@dataclass(slots=True)
class Dashboard:
    """The page; ``now`` gives seconds since 1970."""

    config: ServingConfig
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page."""
        require_local(request, self.config)
        figures = read_figures(self.config.data_dir)
        if not figures:
            show(response, "Dashboard", fragment("dashboard_empty"))
            return
        age = age_text(self.now() - _number(figures.get("written_at"), 0.0))
        history = _rows(figures, "history")
        plots = [
            _plot("Likes per hour", _times(_rows(figures, "likes_per_hour"), "hour", "likes"), bars=3600.0),
            _plot("Stream lag, seconds", _times(history, "at", "lag_seconds")),
            _plot(
                "Share of the day's likers with a list",
                _times(history, "at", "list_share"),
                top=1.0,
                percent=True,
            ),
            _plot(
                "Likes per impression by place in the list",
                _points(_rows(figures, "like_rate_by_position"), "position", "like_rate"),
                bars=1.0,
                percent=True,
                times=False,
            ),
        ]
        show(response, "Dashboard", fragment("dashboard", age=escape(age), plots="".join(plots)))


def _plot(
    title: str,
    points: Sequence[Point],
    *,
    bars: float | None = None,
    top: float | None = None,
    percent: bool = False,
    times: bool = True,
) -> str:
    """Return a figure: bars of a width in units of x, or a line, whose last value the caption says."""
    latest = ""
    if points and bars is None:
        latest = f" <span>{_value(points[-1][1], percent)}</span>"
    if not points:
        drawn = '<text class="soft" x="50%" y="50%" text-anchor="middle">no figures yet</text>'
    else:
        drawn = _draw(points, bars, top, percent=percent, times=times)
    view = f"0 0 {_WIDTH} {_HEIGHT}"
    return (
        f'<figure><figcaption>{escape(title)}{latest}</figcaption><svg viewBox="{view}" role="img" '
        f'aria-label="{escape(title)}">{drawn}</svg></figure>'
    )


def _draw(
    points: Sequence[Point], bars: float | None, top: float | None, *, percent: bool, times: bool
) -> str:
    least, most = points[0][0], points[-1][0] + (bars or 0.0)
    width = max(most - least, 1e-9)
    highest = _round_up(top or max(y for _, y in points))

    def x_of(x: float) -> float:
        return _LEFT + (x - least) / width * (_WIDTH - _LEFT - 4)

    def y_of(y: float) -> float:
        return _TOP + (1 - min(y / highest, 1.0)) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for share in (0.0, 0.5, 1.0):
        y = y_of(share * highest)
        label = _value(share * highest, percent)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    if bars is not None:
        for x, y in points:
            wide = max(x_of(x + bars) - x_of(x) - 1, 0.6)
            tall = y_of(0.0) - y_of(y)
            parts.append(
                f'<rect class="bar" x="{x_of(x):.1f}" y="{y_of(y):.1f}" width="{wide:.1f}" height="{tall:.1f}">'
                f"<title>{_label(x, times)}: {_value(y, percent)}</title></rect>"
            )
    else:
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="path" points="{path}"/>')
        x, y = points[-1]
        parts.append(f'<circle class="bar" cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3"/>')
    base = _HEIGHT - 6
    parts.append(f'<text class="soft" x="{_LEFT}" y="{base}">{_label(points[0][0], times)}</text>')
    last = f'x="{_WIDTH - 2}" y="{base}" text-anchor="end"'
    parts.append(f'<text class="soft" {last}>{_label(points[-1][0], times)}</text>')
    return "".join(parts)


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
        found = json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
