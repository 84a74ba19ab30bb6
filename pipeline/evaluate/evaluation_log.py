"""The kept record of evaluations: one JSON line a trial and a result, dated.

Owns: ``as_lines``. Leaves to others: where the log is kept (tests/bench/evaluation_log.jsonl in this
repository).

A line has at least: date (UTC), set, stage ("tuning" or "reported"), method, parameters (of our ranking: what
differs from the defaults of that day), recall and ndcg. Reported lines add the class of viewers, intervals,
and the difference to the reference with its interval, so that an ablation's cost or gain can be read off its
line.
"""

import json
from datetime import datetime
from typing import Any

from pipeline.evaluate.report_table import MAIN, Report, shown

DIGITS = 5


def as_lines(report: Report, at: datetime) -> str:
    """Return the report's lines, trials first, in the order they were made."""
    head = {"date": at.strftime("%Y-%m-%d"), "set": report.name, "seed": report.seed}
    lines = [
        {
            **head,
            "stage": "tuning",
            "moments": len(report.tuning_moments),
            "method": trial.method,
            "parameters": shown(trial.parameters),
            "recall": round(trial.recall, DIGITS),
            "ndcg": round(trial.ndcg, DIGITS),
        }
        for trial in report.trials
    ]
    for label, methods in report.summary.items():
        for name, measures in methods.items():
            line: dict[str, Any] = {
                **head,
                "stage": "reported",
                "moments": len(report.moments),
                "window_hours": report.window_hours,
                "class": label,
                "viewers": report.viewers[label],
                "method": name,
                "parameters": shown(report.parameters[name]),
            }
            for item in MAIN:
                found = measures[item]
                line[item] = round(found.mean, DIGITS)
                line[f"{item}_interval"] = [round(found.low, DIGITS), round(found.high, DIGITS)]
                line[f"{item}_difference"] = [
                    round(value, DIGITS)
                    for value in (found.difference, found.difference_low, found.difference_high)
                ]
            lines.append(line)
    return "".join(json.dumps(line) + "\n" for line in lines)
