"""What an evaluation found: as tables for a terminal, as JSON, and as lines for a log.

Owns: ``Report``, what counts as significant, how figures are written. Leaves to others: the figures (``intervals``),
the page for a browser (``report_page``), where the log is kept (tests/bench/evaluation_log.jsonl in this repository).

A line of the log has at least: date (UTC), set, stage ("tuning" or "reported"), method, parameters (of our ranking:
what differs from that day's defaults), recall and ndcg. Reported lines add the class of viewers, the intervals, and
the difference to the reference with its interval, so each line shows what an ablation costs or gains. ``another_week``
has the intervals of both over windows, too.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pipeline.evaluate.intervals import AnotherWeek, Estimate
from pipeline.evaluate.tuning import Trial
from pipeline.evaluate.variety import FEW_LIKERS
from pipeline.ranking import Ranking

Summary = dict[str, dict[str, dict[str, Estimate]]]
MAIN = ("recall", "ndcg")
TITLES = {
    "recall": "recall@30",
    "ndcg": "NDCG@30",
    "mrr": "MRR",
    "hit": "hit rate",
    "common": "in common",
    "few_likers": "few likers",
    "exposure": "author Gini",
    "authors": "authors",
    "coverage": "coverage",
    "novelty": "popularity %",
    "fresh": "under 1 h",
}
# The first table says what lists were worth, the second what they are like, whatever they are worth.
WORTH = ("recall", "ndcg", "mrr", "hit")
FIRST_PAGES = tuple(item for item in TITLES if item not in WORTH)
ANOTHER_WEEK = "another week"
CLASS_TITLES = {
    "all": "all viewers",
    "cold": "cold, 5 likes or fewer before the moment",
    "warm": "warm, 6 to 20 likes",
    "heavy": "heavy, over 20 likes",
}
# What each measure says, in the order of TITLES; shown below the tables.
MEANINGS = {
    "recall": "of what a viewer liked in the next hours, the share among the first 30 places",
    "ndcg": "the same, but a hit counts more the higher it stands; 1 is the best possible order",
    "mrr": "1 divided by the place of the first hit, 0 without one",
    "hit": "share of lists with a hit among the first 30 places",
    "common": "items that a list shares with the list of a random stranger, as a share of its 30 places",
    "few_likers": f"share of listed items that at most {FEW_LIKERS} people had liked",
    "exposure": "how unequal the places are that authors have in all lists: 0 all alike, 1 one has them all",
    "authors": "different authors in a list, divided by its items",
    "coverage": "different items in all lists together, as a share of the items that could be listed",
    "novelty": "how popular the listed items were in the last day: 100 is the most popular, 50 the middle",
    "fresh": "share of listed items that were less than an hour old",
}
LOG_DIGITS = 5


@dataclass(slots=True)
class Report:
    """Everything an evaluation found. ``parameters``: of each method after tuning; ``seconds``: for its lists.

    ``viewers``: different viewers of each class; ``viewer_moments``: their lists, one for each moment at which a viewer
    was in the class.
    """

    name: str
    likes: int
    users: int
    items: int
    window_hours: float
    seed: int
    sample: int | None
    reference: str
    tuning_moments: list[str]
    moments: list[str]
    viewers: dict[str, int]
    viewer_moments: dict[str, int]
    parameters: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    about: dict[str, str]
    summary: Summary
    trials: list[Trial] = field(default_factory=list)
    peak_mb: float = 0.0


def table(methods: dict[str, dict[str, Estimate]]) -> list[list[str]]:
    """Return the rows of one class's table of what lists were worth, the titles first, then the methods by recall.

    A figure that is significantly below or above that of the reference ends in - or +; so does ``ANOTHER_WEEK``, the
    half interval over windows and users, where that difference holds at other moments, too.
    """
    titles = [TITLES[item] for item in WORTH]
    for item in reversed(MAIN):
        titles.insert(WORTH.index(item) + 1, ANOTHER_WEEK)
    rows = []
    for name in _by_recall(methods):
        cells = []
        for item in WORTH:
            cells.append(_cell(methods[name][item], item))
            if item in MAIN:
                cells.append(_week_cell(methods[name][item].another_week))
        rows.append([name, *cells])
    return [["method", *titles], *rows]


def first_pages_table(methods: dict[str, dict[str, Estimate]]) -> list[list[str]]:
    """Return the rows of one class's table of what lists are like, in the order of the first table."""
    measures = [item for item in FIRST_PAGES if item in next(iter(methods.values()))]
    return [
        ["first pages", *(TITLES[item] for item in measures)],
        *([name, *(_cell(methods[name][item], item) for item in measures)] for name in _by_recall(methods)),
    ]


def _by_recall(methods: dict[str, dict[str, Estimate]]) -> list[str]:
    return sorted(methods, key=lambda name: -methods[name]["recall"].mean)


def _cell(estimate: Estimate, item: str) -> str:
    if estimate.mean != estimate.mean:
        return "unknown "
    digits = 1 if item == "novelty" else 3
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.mean:.{digits}f} ±{half:.{digits}f} {_mark(estimate)}"


def _week_cell(week: AnotherWeek | None) -> str:
    return "unknown " if week is None else f"±{(week.high - week.low) / 2:.3f} {_mark(week)}"


def _mark(found: Estimate | AnotherWeek) -> str:
    return "-" if found.difference_high < 0 else "+" if found.difference_low > 0 else " "


def class_title(report: Report, label: str) -> str:
    """Return what a class of viewers is called, and how many belong to it."""
    moments, pairs = len(report.moments), report.viewer_moments[label]
    return (
        f"{CLASS_TITLES[label]}: {counted(report.viewers[label], 'viewer')} at {counted(moments, 'moment')}, "
        f"{counted(pairs, 'viewer-moment')} (a list each)"
    )


def counted(count: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def meanings(report: Report) -> list[tuple[str, str]]:
    """Return the measures that the report has, each with what it says."""
    found = next(iter(report.summary["all"].values()))
    return [(item, meaning) for item, meaning in MEANINGS.items() if item in found]


def as_text(report: Report) -> str:
    """Return the tables: one per class of viewers."""
    sample = "" if report.sample is None else f", at most {report.sample:,} viewers per moment"
    tuned = len(report.tuning_moments)
    chosen = f"parameters chosen on {tuned} earlier moments" if tuned else "no parameters tuned"
    lines = [
        f"Evaluation of the set {report.name!r}: {report.likes:,} likes by {report.users:,} users of {report.items:,} "
        "items",
        f"{len(report.moments)} moments from {report.moments[0]} to {report.moments[-1]} (UTC), targets in the next "
        f"{report.window_hours:g} h{sample}; {chosen}",
        f"± half of the 95 % interval over people; - / + : significantly below / above {report.reference} (paired)",
        f"{ANOTHER_WEEK}: the same over people and moments, so what to expect of moments that were not looked at",
    ]
    for label, methods in report.summary.items():
        lines += ["", class_title(report, label), *_lines(table(methods))]
    lines += ["", "first pages of all viewers", *_lines(first_pages_table(report.summary["all"]))]
    lines += ["", *(f"{TITLES[item] + ':':<14}{meaning}" for item, meaning in meanings(report)), ""]
    for name in report.parameters:
        lines.append(f"{name:<18}  {report.seconds[name]:6.1f} s  {report.about[name]}")
        lines.append(f"{'':<30}{parameters_text(report, name)}")
    lines.append(f"peak memory {report.peak_mb:,.0f} MB")
    return "\n".join(lines)


def _lines(rows: list[list[str]]) -> list[str]:
    wide = max(18, *(len(row[0]) for row in rows))
    return ["  ".join([name.ljust(wide), *(cell.rjust(14) for cell in cells)]) for name, *cells in rows]


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as plain values."""
    found = asdict(report)
    found["parameters"] = {name: shown(parameters) for name, parameters in report.parameters.items()}
    found["trials"] = [
        {
            "method": trial.method,
            "parameters": shown(trial.parameters),
            "recall": trial.recall,
            "ndcg": trial.ndcg,
        }
        for trial in report.trials
    ]
    return found


def as_log_lines(report: Report, now: datetime) -> str:
    """Return one JSON line per trial, in the order of the trials, and one per result."""
    head = {"date": now.strftime("%Y-%m-%d"), "set": report.name, "seed": report.seed}
    lines: list[dict[str, Any]] = [
        {
            **head,
            "stage": "tuning",
            "moments": len(report.tuning_moments),
            "method": trial.method,
            "parameters": shown(trial.parameters),
            "recall": round(trial.recall, LOG_DIGITS),
            "ndcg": round(trial.ndcg, LOG_DIGITS),
        }
        for trial in report.trials
    ]
    for label, methods in report.summary.items():
        for name, measures in methods.items():
            line = {
                **head,
                "stage": "reported",
                "moments": len(report.moments),
                "window_hours": report.window_hours,
                "class": label,
                "viewers": report.viewers[label],
                "viewer_moments": report.viewer_moments[label],
                "method": name,
                "parameters": shown(report.parameters[name]),
            }
            for item in MAIN:
                found = asdict(measures[item])
                week = found.pop("another_week") or {}
                mean, *values = (round(value, LOG_DIGITS) for value in found.values())
                line |= {item: mean, f"{item}_interval": values[:2], f"{item}_difference": values[2:]}
                line[f"{item}_another_week"] = [round(value, LOG_DIGITS) for value in week.values()]
            lines.append(line)
    return "".join(json.dumps(line, default=str) + "\n" for line in lines)


def shown(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as reports show them: of a ranking, what differs from the defaults."""
    result: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Ranking):
            defaults = asdict(Ranking())
            result |= {key: its for key, its in asdict(value).items() if its != defaults[key]}
        else:
            result[name] = value
    return result


def parameters_text(report: Report, method: str) -> str:
    """Return a method's parameters in one line."""
    found = shown(report.parameters[method])
    texts = (f"{value:g}" if isinstance(value, int | float) else str(value) for value in found.values())
    return ", ".join(f"{name} {text}" for name, text in zip(found, texts, strict=True)) or "(defaults)"
