"""What every test may use: the shared data, where it is present, and the analysts' store, made once.

Owns also: the priority of the processes that tests start, and that the longest files start first.
"""

import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import EVEN
from must_run import HOOKS

if TYPE_CHECKING:
    import duckdb
    from analyst_store import Store

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
        # The first makes the analysts' store, for which others would wait.
        "sql_queries_command", "kill", "ingest_faults", "up", "backfill_gaps", "explain_requests", "doctor",
        "explain", "backfill_days", "fold", "sql_command", "ingest", "evaluate_harness", "histories",
        "bench_imports", "batch_publish", "batch_tiers", "sql_box", "serving_why", "fetched_repositories",
        "lying_clocks", "fetch_waiting", "batch_ranking", "experiments", "sql_shell", "evaluate_ranking",
        "make_targets", "own_parameters", "job_turns", "small_inputs", "status", "graph_parts", "actor_ids",
        "serving_workers", "architecture", "backup", "landing_and_lake", "strangers_beside_honest",
        "simulate_world",
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
def analysts(tmp_path_factory: pytest.TempPathFactory) -> "Store":
    """A simulated store with everything analysts ask about; read it only."""
    from analyst_store import own_copy  # here, since it brings the whole program

    base = tmp_path_factory.getbasetemp()
    of_all_workers = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return own_copy(of_all_workers / "analysts", tmp_path_factory.mktemp("analysts") / "data")


@pytest.fixture(scope="session")
def notebook(analysts: "Store") -> "Iterator[duckdb.DuckDBPyConnection]":
    """duckdb.connect() and views.sql on that store, once: the views take longer than most questions. Change nothing."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET VARIABLE data_dir = ?", [str(analysts.data_dir)])
        connection.execute((Path(__file__).parents[1] / "sql/explore/views.sql").read_text())
        yield connection


@pytest.fixture(scope="session")
def opened(analysts: "Store") -> "Iterator[duckdb.DuckDBPyConnection]":
    """What the process of ``foryou sql`` opens on that store, once."""
    from pipeline.explore import session

    with session.open_session(analysts.data_dir, analysts.settings.batch_threads) as connection:
        yield connection
