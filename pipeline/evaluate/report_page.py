"""The report as one page for a browser: plots in SVG, every figure in tables, nothing to download.

Owns: ``as_html`` and its template, report_page.html, which escapes every value. Leaves to others: the figures
(``intervals``) and the tables' cells (``report``). The page follows the reader's light or dark theme and is readable
on a phone.
"""

from pathlib import Path
from typing import Any

from pipeline.evaluate.intervals import Estimate
from pipeline.evaluate.report import (
    ANOTHER_WEEK,
    MAIN,
    TITLES,
    Report,
    class_title,
    first_pages_table,
    meanings,
    parameters_text,
    table,
)

BAR = 290  # width of the longest bar
LETTER = 6.6  # width at 12 px


def as_html(report: Report) -> str:
    """Return the page."""
    from jinja2 import Environment, StrictUndefined

    classes = [
        (
            class_title(report, label),
            [_plot(item, methods) for item in MAIN],
            [table(methods), first_pages_table(methods)],
        )
        for label, methods in report.summary.items()
    ]
    rows = [
        [name, about, parameters_text(report, name), f"{report.seconds[name]:.1f}"]
        for name, about in report.about.items()
    ]
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
        .from_string(template)
        .render(
            report=report,
            classes=classes,
            methods=[["method", "what", "parameters", "seconds"], *rows],
            meanings=[(TITLES[item], meaning) for item, meaning in meanings(report)],
            bar=BAR,
            another_week=ANOTHER_WEEK,
        )
    )


def _plot(item: str, methods: dict[str, dict[str, Estimate]]) -> dict[str, Any]:
    """Return a plot's title, the width of its labels, its pixels per unit and its bars, best first."""
    found = {name: measures[item] for name, measures in methods.items()}
    bars = [
        (name, each.mean, (each.low, each.high), each.another_week or each) for name, each in found.items()
    ]
    return {
        "title": TITLES[item],
        "label": round(max(130.0, LETTER * max(map(len, methods)))),
        "scale": BAR / max(*(max(inner[1], outer.high) for *_, inner, outer in bars), 1e-9),
        "bars": sorted(bars, key=lambda bar: -bar[1]),
    }
