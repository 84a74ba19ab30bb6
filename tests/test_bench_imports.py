"""Every benchmark finds and calls what it uses of the project: they run too seldom to tell by themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench"
OPTIONAL = ("implicit", "sparse_dot_topn")  # which some compare with

IMPORT = """
import importlib, sys
sys.path[:0] = sys.argv[1:4]
for name in sys.argv[4:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""


def test_every_benchmark_can_be_imported() -> None:
    names = sorted(path.stem for path in BENCH.glob("*.py"))
    assert len(names) > 20
    folders = [str(BENCH), str(BENCH.parent), str(BENCH.parents[1])]
    told = subprocess.run(
        [sys.executable, "-c", IMPORT, *folders, *names],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    ).stdout
    failed = [line for line in told.splitlines() if not any(name in line for name in OPTIONAL)]
    assert failed == []


def test_every_benchmark_calls_functions_with_arguments_that_they_take() -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", os.devnull, str(BENCH)]
    folders = os.pathsep.join(str(folder) for folder in (BENCH, BENCH.parent, BENCH.parents[1]))
    told = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=BENCH.parents[1],
        env=os.environ | {"MYPYPATH": folders},
    ).stdout
    assert "checked" in told.splitlines()[-1], told
    assert [line for line in told.splitlines() if line.endswith("[call-arg]")] == []


def test_make_bench_goes_from_an_empty_store_to_served_lists() -> None:
    """What ``make bench`` runs, on a network that takes seconds."""
    command = [
        sys.executable,
        str(BENCH / "bench_end_to_end.py"),
        "--users",
        "300",
        "--days",
        "2",
        "--requests",
        "200",
    ]
    told = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
    figures = json.loads(told.splitlines()[-1])
    assert figures["likes"] > 1000 and figures["lists"] > 50
    assert figures["serve_requests_per_second"] > 0 and figures["ingest_resident_mb"] > 0
