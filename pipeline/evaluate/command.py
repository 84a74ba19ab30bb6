"""``foryou evaluate``: its flags, where the likes come from, and where the report goes.

Owns: the command. Leaves to others: the evaluation (``run``), the forms of the report (``report_table``,
``report_page``).
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pipeline.evaluate.evaluation_log import as_lines
from pipeline.evaluate.from_store import from_store
from pipeline.evaluate.like_events import EvaluateError, from_file
from pipeline.evaluate.methods.registry import METHODS, chosen, variant
from pipeline.evaluate.report_page import as_html
from pipeline.evaluate.report_table import as_json, as_text
from pipeline.evaluate.run import evaluate
from pipeline.evaluate.tuning import MOST_TRIALS
from pipeline.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="Parquet with user, item and ts_ms, whole numbers; none: the store itself",
    )
    parser.add_argument(
        "--windows",
        type=_positive(int),
        default=5,
        help="moments to report, and as many to tune on, as far as they fit into the time (default 5)",
    )
    parser.add_argument(
        "--window-hours", type=_positive(float), default=6.0, help="hours of targets after each (default 6)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of samples and intervals (default 1)")
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        help=f"comma-separated, of {', '.join(METHODS)} (default: all that can run)",
    )
    parser.add_argument(
        "--users", type=_positive(int), metavar="N", help="viewers a moment, at random (default: all)"
    )
    parser.add_argument(
        "--tuning-users",
        type=_positive(int),
        default=1000,
        metavar="N",
        help="viewers a moment to tune on (default 1000)",
    )
    parser.add_argument(
        "--trials",
        type=_whole,
        default=MOST_TRIALS,
        metavar="N",
        help=f"parameter sets to try of a method at most; 0: take all as they are (default {MOST_TRIALS})",
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME=VALUE[,NAME=VALUE]",
        help="the tuned ranking with these parameters changed, as one more method; may be given several times",
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="append every trial and result as dated JSON lines"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page with plots")


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Evaluate and print the table; EvaluateError for what keeps it from running."""
    methods = chosen(options.methods)
    variants = [variant(text) for text in options.variant]
    events = from_store(settings) if options.file is None else from_file(options.file)
    report = evaluate(
        events,
        methods,
        windows=options.windows,
        window_hours=options.window_hours,
        seed=options.seed,
        sample=options.users,
        tuning_sample=options.tuning_users,
        trials_most=options.trials,
        variants=variants,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(as_text(report))
    if options.json is not None:
        _write(options.json, json.dumps(as_json(report), indent=1) + "\n")
    if options.log is not None:
        _write(options.log, as_lines(report, datetime.now(UTC)), "a")
    if options.html is not None:
        _write(options.html, as_html(report))


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise EvaluateError(f"can't write {path}: {error.strerror or error}") from error


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) > 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 100000")
    return int(text)


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1e9:
            raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
        return value

    return parse
