"""The report as one page for a browser: plots in SVG, every figure in tables, nothing to download.

Owns: ``as_html``. Leaves to others: the figures (``intervals``) and the tables' cells (``report``). The page follows
the reader's light or dark theme and is readable on a phone.
"""

from html import escape

from pipeline.evaluate.intervals import Estimate
from pipeline.evaluate.report import MAIN, TITLES, Report, parameters_text, table

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #5b6470; --paper: #fff; --line: #d9dee4; --bar: #7fa6d9;
  --ours: #1a6dd4; }
@media (prefers-color-scheme: dark) { :root { --text: #e8ebee; --quiet: #9aa5b1; --paper: #14181d; --line: #333b45;
  --bar: #46658d; --ours: #62a4f5; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--paper); margin: 2rem auto;
  max-width: 68rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } p { max-width: 46rem; }
.quiet { color: var(--quiet); } .plots { display: flex; flex-wrap: wrap; gap: 1.5rem; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--text); font: 12px system-ui, sans-serif; }
svg .bar { fill: var(--bar); } svg .ours { fill: var(--ours); } svg line { stroke: var(--text); }
svg .title { font-weight: 600; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.ours td { font-weight: 600; }
"""
BARS, ROW, HEAD = 290, 22, 24
LETTER = 6.6  # at 12 px


def as_html(report: Report) -> str:
    """Return the page."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Evaluation: {escape(report.name)}</title>",
        f"<style>{STYLE}</style>",
        f"<h1>Would the lists have held what people liked next? {escape(report.name)}</h1>",
        f"<p>{report.likes:,} likes by {report.users:,} users of {report.items:,} items. At {len(report.moments)} "
        f"moments from {report.moments[0]} to {report.moments[-1]} (UTC), each method ranked items for every user who "
        f"liked an existing item in the next {report.window_hours:g} hours. Parameters were chosen on "
        f"{len(report.tuning_moments)} earlier moments.</p>",
        f'<p class="quiet">Bars: means over viewers. Lines: 95 % intervals, bootstrap over users. In the tables, - and '
        f"+ mark what is significantly behind or ahead of {escape(report.reference)}, compared user by user.</p>",
    ]
    for label, methods in report.summary.items():
        plots = [_plot(item, methods, report.reference) for item in MAIN]
        parts += [
            f"<h2>{escape(label)}: {report.viewers[label]:,} viewers</h2>",
            '<div class="plots">',
            *plots,
        ]
        parts += ["</div>", _table(table(methods), report.reference)]
    rows = [
        [name, about, parameters_text(report, name), f"{report.seconds[name]:.1f}"]
        for name, about in report.about.items()
    ]
    parts += ["<h2>Methods</h2>", _table([["method", "what", "parameters", "seconds"], *rows])]
    return "\n".join(parts) + "\n"


def _table(rows: list[list[str]], reference: str = "") -> str:
    lines = []
    for number, cells in enumerate(rows):
        cell = "<td>" if number else "<th>"
        kind = ' class="ours"' if cells[0] == reference else ""
        lines.append(f"<tr{kind}>" + "".join(cell + escape(text) for text in cells))
    return '<div class="scroll"><table>' + "\n".join(lines) + "</table></div>"


def _plot(item: str, methods: dict[str, dict[str, Estimate]], reference: str) -> str:
    """Return bars with intervals, best first."""
    names = sorted(methods, key=lambda name: -methods[name][item].mean)
    most = max(max(methods[name][item].high for name in names), 1e-9)
    label = max(130.0, LETTER * max(len(name) for name in names))
    width = round(label + BARS + 60)
    height = HEAD + ROW * len(names) + 4
    lines = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{TITLES[item]} by method">',
        f'<text class="title" x="0" y="14">{TITLES[item]}</text>',
    ]
    for place, name in enumerate(names):
        found = methods[name][item]
        top = HEAD + ROW * place
        kind = "ours" if name == reference else "bar"
        low, high = (label + BARS * bound / most for bound in (found.low, found.high))
        lines += [
            f'<text x="0" y="{top + 13}">{escape(name)}</text>',
            f'<rect class="{kind}" x="{label:.0f}" y="{top + 2}" width="{BARS * found.mean / most:.1f}" height="14">'
            f"<title>{found.mean:.4f} ({found.low:.4f} to {found.high:.4f})</title></rect>",
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{top + 9}" y2="{top + 9}"/>',
            f'<text x="{high + 5:.1f}" y="{top + 13}">{found.mean:.3f}</text>',
        ]
    return "\n".join([*lines, "</svg>"])
