"""The result of an evaluation as a table for a terminal and as JSON.

Owns: ``as_text``, ``as_json``, what a verdict of significance is. Leaves to others: the numbers
(``intervals``), the page for a browser (``report_page``).
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.evaluate.intervals import Estimate
from pipeline.evaluate.tuning import Trial
from pipeline.ranking import Ranking

Summary = dict[str, dict[str, dict[str, Estimate]]]
MAIN = ("recall", "ndcg")
TITLES = {
    "recall": "recall@30",
    "ndcg": "NDCG@30",
    "mrr": "MRR",
    "hit": "hit rate",
    "coverage": "coverage",
    "novelty": "popularity %",
    "authors": "authors",
    "fresh": "under 1 h",
}


@dataclass(slots=True)
class Report:
    """Everything an evaluation found. ``parameters``: of each method after tuning; ``seconds``: for its lists."""

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
    parameters: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    about: dict[str, str]
    summary: Summary
    trials: list[Trial] = field(default_factory=list)
    peak_mb: float = 0.0


def mark(estimate: Estimate) -> str:
    """Return '-' when significantly behind the reference, '+' when ahead, else nothing."""
    if estimate.difference_high < 0:
        return "-"
    return "+" if estimate.difference_low > 0 else " "


def as_text(report: Report) -> str:
    """Return the tables: one a class of viewers, methods by recall."""
    sample = "" if report.sample is None else f", at most {report.sample:,} viewers a moment"
    lines = [
        f"{report.name}: {report.likes:,} likes by {report.users:,} users of {report.items:,} items",
        f"{len(report.moments)} moments from {report.moments[0]} to {report.moments[-1]} (UTC), targets in the next "
        f"{report.window_hours:g} h{sample}; {_chosen(report)}",
        f"± half of the 95 % interval; - / + : significantly behind / ahead of {report.reference} (paired, by user)",
    ]
    for label, methods in report.summary.items():
        measures = [item for item in TITLES if item in next(iter(methods.values()))]
        lines += ["", f"{label}: {report.viewers[label]:,} viewers"]
        wide = max(18, *(len(name) for name in methods))
        lines.append("  ".join([f"{'method':<{wide}}", *(f"{TITLES[item]:>15}" for item in measures)]))
        for name in sorted(methods, key=lambda name: -methods[name]["recall"].mean):
            cells = [f"{name:<{wide}}"]
            for item in measures:
                cells.append(f"{_cell(methods[name][item], item):>15}")
            lines.append("  ".join(cells))
    lines.append("")
    for name, parameters in report.parameters.items():
        lines.append(f"{name:<18}  {report.seconds[name]:6.1f} s  {_parameters(parameters)}")
    lines.append(f"peak memory {report.peak_mb:,.0f} MB")
    return "\n".join(lines)


def _chosen(report: Report) -> str:
    count = len(report.tuning_moments)
    return f"parameters chosen on {count} earlier moments" if count else "parameters as they are, none tuned"


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


def shown(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters for people: of a ranking, what differs from the defaults."""
    result = {}
    for name, value in parameters.items():
        if isinstance(value, Ranking):
            defaults = Ranking()
            for key in Ranking.__dataclass_fields__:
                if getattr(value, key) != getattr(defaults, key):
                    result[key] = getattr(value, key)
        else:
            result[name] = value
    return result


def _parameters(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in shown(parameters).items()) or "(defaults)"


def _cell(estimate: Estimate, item: str) -> str:
    if estimate.mean != estimate.mean:
        return "unknown "
    digits = 1 if item == "novelty" else 3
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.mean:.{digits}f} ±{half:.{digits}f} {mark(estimate)}"
