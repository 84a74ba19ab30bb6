"""What every test may use: the shared data, where it is present, and the analysts' store, made once.

Owns also: the priority of the processes that tests start, and that the longest files start first.
"""

import os
import runpy
from pathlib import Path

import pytest
from analyst_store import Store, build
from commands import EVEN
from must_run import HOOKS

pytest_addoption, pytest_sessionfinish, pytest_terminal_summary = HOOKS  # of the flag --must-run
SHARED = Path(__file__).resolve().parents[2] / "shared"
for name, separated in (
    ("PATH", os.environ.get("PATH", os.defpath)),
    ("PYTHONPATH", os.environ.get("PYTHONPATH")),
):
    os.environ[name] = os.pathsep.join(filter(None, (str(EVEN), separated)))
runpy.run_path(str(EVEN / "sitecustomize.py"))  # for commands that a test runs in its own process
# Files that last longest, the longest first. Each runs in one process, so one that starts late ends late.
LONGEST = [
    Path(__file__).parent / f"test_{name}.py"
    for name in (
        "sql_queries_program", "sql_queries", "sql_queries_command", "kill", "explain", "up",
        "sql_command", "ingest_faults", "sql_said", "backfill_gaps",
        "job_turns", "lying_clocks", "newcomer", "timetable_clock", "doctor", "backup", "backfill_days",
        "fetched_repositories", "sql_shell", "newcomer_first_likes", "small_inputs", "ingest",
        "batch_ranking", "sql_box", "strangers",
        "serving_why", "bench_imports", "fetch_waiting", "serving_workers", "histories", "trial_places", "batch_tiers",
        "status", "evaluate_harness", "landing_and_lake", "ingest_v2", "removals", "locks",
    )
]  # fmt: skip
assert all(path.exists() for path in LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; pytest-xdist gives files to its processes in this order."""
    places = {path: place for place, path in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def real_bytes() -> Path:
    """The folder of recorded bytes of the live network; the test is skipped where it is absent."""
    folder = SHARED / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"recorded bytes of the live network are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def analysts(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A simulated store with everything analysts ask about; read it only."""
    return build(tmp_path_factory.mktemp("analysts") / "data")
