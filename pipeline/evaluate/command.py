"""``foryou evaluate``: its flags, where the likes come from, and where the report goes.

Owns: the command. Leaves to others: the evaluation (``run``), the forms of the report (``report``, ``report_page``).
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from pipeline.evaluate.event_columns import stated_columns
from pipeline.evaluate.event_files import from_file
from pipeline.evaluate.event_times import UNITS
from pipeline.evaluate.from_store import from_store
from pipeline.evaluate.like_events import EvaluateError
from pipeline.evaluate.methods.own_methods import own_methods
from pipeline.evaluate.methods.registry import METHODS, chosen, variant
from pipeline.evaluate.report import as_json, as_log_lines, as_text
from pipeline.evaluate.report_page import as_html
from pipeline.evaluate.run import evaluate
from pipeline.evaluate.tuning import MOST_TRIALS
from pipeline.flag_values import above_0, whole
from pipeline.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="likes as Parquet, CSV, TSV or JSON lines, also as .gz or .zst; columns are found by their usual names, "
        "such as userId, item_id, timestamp (default: the store)",
    )
    add(
        "--later",
        type=Path,
        metavar="FILE",
        help="report on these likes, which come after those of the first file, and tune on the first alone",
    )
    add(
        "--columns",
        metavar="ROLE=NAME,…",
        help="columns of user, item, time and rating whose names are not usual; places from 1 without a header",
    )
    add(
        "--time-unit",
        choices=tuple(UNITS),
        help="unit of numbers that are times (default: seen by their size)",
    )
    add(
        "--min-rating",
        type=float,
        metavar="N",
        help="rows with a lower rating are no likes (default: those of 0 and less)",
    )
    add(
        "--windows",
        type=whole(),
        default=5,
        help="moments to report, and as many to tune on, if the time has room for them (default %(default)s)",
    )
    add(
        "--window-hours",
        type=above_0,
        default=6.0,
        help="hours after a moment whose likes are the targets (default %(default)g)",
    )
    add("--seed", type=whole(0), default=1, help="seed of samples and intervals (default %(default)s)")
    add(
        "--methods",
        metavar="NAMES",
        help=f"comma-separated, of {', '.join(METHODS)} (default: all that can run)",
    )
    add(
        "--method",
        action="append",
        type=Path,
        default=[],
        metavar="FILE.py",
        help="add methods of your own: the file's functions of (history, moment); may be repeated",
    )
    add("--users", type=whole(), metavar="N", help="viewers per moment, drawn at random (default: all)")
    add(
        "--tuning-users",
        type=whole(),
        default=1000,
        metavar="N",
        help="viewers per moment to tune on (default %(default)s)",
    )
    add(
        "--trials",
        type=whole(0, 100_000),
        default=MOST_TRIALS,
        metavar="N",
        help="most parameter sets to try per method; 0 tunes nothing (default %(default)s)",
    )
    add(
        "--variant",
        action="append",
        default=[],
        metavar="NAME=VALUE[,NAME=VALUE]",
        help="add a method: the tuned ranking with these parameters changed; may be repeated",
    )
    add("--log", type=Path, metavar="FILE", help="append every trial and result as dated JSON lines")
    add("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    add("--html", type=Path, metavar="FILE", help="write one page with plots")


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Evaluate and print the table; EvaluateError for what keeps it from running."""
    own = {method.name: method for file in options.method for method in own_methods(file)}
    methods = [*chosen(options.methods), *own.values()]
    variants = [variant(text) for text in options.variant]
    columns = stated_columns(options.columns)
    if options.file is None:
        if options.later is not None:
            raise EvaluateError("--later needs a first FILE, whose likes come before")
        events = from_store(settings)
    else:
        unit, least = options.time_unit, options.min_rating
        events = from_file(options.file, columns, unit, least, _say, options.later)
    report = evaluate(
        events,
        methods,
        windows=options.windows,
        window_hours=options.window_hours,
        seed=options.seed,
        sample=options.users,
        tuning_sample=options.tuning_users,
        most_trials=options.trials,
        variants=variants,
        say=_say,
    )
    print(as_text(report))
    if options.json is not None:
        _write(options.json, json.dumps(as_json(report), indent=1, default=str) + "\n")
    if options.log is not None:
        _write(options.log, as_log_lines(report, datetime.now(UTC)), "a")
    if options.html is not None:
        _write(options.html, as_html(report))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise EvaluateError(f"can't write {path}: {error.strerror or error}") from error
