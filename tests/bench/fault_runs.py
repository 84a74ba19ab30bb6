"""Is anything lost or doubled, however often parts are killed and whatever the disk and the server do?

    python tests/bench/fault_runs.py [--kills 100] [--seed 1] [--stopped 60] [--only NAME]

Does at length what tests/test_ingest_faults.py does a few times. It kills (kill -9) ingest and ``backfill --file``, in
turns, --kills times, and compaction as often, all at work on days of likes, unlikes and deleted accounts: while a batch
is committed, a day is folded, words that are in the lake are deleted, a file is read. It fills the disk under each of
them (skipped where no small file system can be mounted). It stops the server for --stopped seconds, with the default
silence setting. After each run the stores are compared with the simulator's truth, like by like. Prints a line per run
and, last, one line of JSON; the exit status is 1 when anything was lost or doubled.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
from bench_tools import parser_of
from fault_tools import Outcome, fill_under_compaction, fill_under_ingest, kill_both, small_disk, stop_server

Run = Callable[[Path], Outcome]


def on_small_disk(size_kb: int, run: Run) -> Run:
    def mounted(folder: Path) -> Outcome:
        with small_disk(folder / "disk", size_kb):
            return run(folder / "disk")

    return mounted


def main() -> None:
    """Do the runs."""
    parser = parser_of(__doc__, kills=100, seed=1, stopped=60.0, only="")
    options = parser.parse_args()
    runs: dict[str, Run] = {
        "kills": lambda folder: kill_both(folder, options.kills, options.seed, users=400, hours_a_second=1),
        "disk full, ingest": on_small_disk(900, fill_under_ingest),
        "disk full, compaction": on_small_disk(65_536, fill_under_compaction),
        "server stopped": lambda folder: stop_server(folder, options.stopped, 60.0),
    }
    figures = {}
    for name, run in runs.items():
        if options.only not in name:
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = run(Path(folder))
            except pytest.skip.Exception as reason:
                print(f"{name}: skipped, {reason}", flush=True)
                continue
        outcome.seconds = round(time.monotonic() - began, 1)
        print(
            f"{name}: {outcome.held} likes, {outcome.missing} missing, {outcome.extra} too many, "
            f"{outcome.seconds} s; {dict(outcome.states)}",
            *outcome.lines,
            sep="\n  ",
            flush=True,
        )
        figures[name] = vars(outcome)
    print(json.dumps(figures))
    sys.exit(any(figure["missing"] or figure["extra"] for figure in figures.values()))


if __name__ == "__main__":
    main()
