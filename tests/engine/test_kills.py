"""kill -9 of a worker in every stage, of a node, of the head: equal rows, no part twice, none before the manifest."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine.engine_tools import (
    children,
    finish,
    list_rows,
    name_of,
    neighbour_rows,
    start,
    wait_for,
    workers_at,
)

from sql import places

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra 'ray' is not installed")
Expected = tuple[pa.Table, list[Any]]
# Each job, its stages, and the parts that are waited for before something is killed.
STAGES = {"neighbours": ("walk", "route", "product"), "candidates": ("lists",)}
AT_WORK = {"neighbours": "route", "candidates": "lists"}


@pytest.fixture(scope="session")
def with_neighbours(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store with its neighbours, of which the second job makes lists."""
    folder = Path(shutil.copytree(stored, tmp_path_factory.mktemp("neighbours") / "data"))
    finish(start(folder, "neighbours"), folder)
    return folder


@pytest.fixture(params=list(STAGES))
def job(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def data_dir(job: str, stored: Path, with_neighbours: Path, tmp_path: Path) -> Path:
    """The store as a job finds it, for one test."""
    before = stored if job == "neighbours" else with_neighbours
    return Path(shutil.copytree(before, tmp_path / "data"))


@pytest.fixture
def cluster() -> Iterator[Any]:
    made = head()
    yield made
    made.shutdown()


def head(port: int | None = None) -> Any:
    """Start a head without processors and two nodes of one, on the loopback."""
    arguments: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False}
    if port is not None:
        arguments["gcs_server_port"] = port
    made = cluster_utils.Cluster(initialize_head=True, head_node_args=arguments)
    for _ in range(2):
        made.add_node(num_cpus=1)
    return made


def parts(data_dir: Path, stage: str) -> dict[str, int]:
    """Return the parts of a stage that are there, and the inode of each."""
    root = places.runs(data_dir, "job").parent  # may be removed meanwhile
    found = [Path(folder, name) for folder, names, files in os.walk(root) for name in (*names, *files)]
    inodes = {}
    for path in found:
        if path.parent.name == stage and not path.name.startswith("."):
            with suppress(FileNotFoundError):
                inodes[path.name] = path.stat().st_ino
    return inodes


def is_visible(data_dir: Path, job: str) -> bool:
    """Tell whether anything of a job can be seen."""
    if job == "neighbours":
        return places.neighbours(data_dir).exists() or places.neighbour_parts(data_dir).exists()
    return any(rows for rows in list_rows(data_dir)[:2])


def check(data_dir: Path, job: str, expected: Expected) -> None:
    if job == "neighbours":
        assert neighbour_rows(data_dir).equals(expected[0])
    else:
        assert list_rows(data_dir) == expected[1]
    assert list(places.runs(data_dir, "job").parent.glob("*")) == []


def test_a_worker_is_killed_in_every_stage(data_dir: Path, job: str, expected: Expected) -> None:
    run = start(data_dir, job, "--engine", "ray")
    for stage in STAGES[job]:
        wait_for(lambda stage=stage: workers_at(run.pid, stage), run)
        assert not is_visible(data_dir, job)
        for worker in workers_at(run.pid, stage)[:1]:
            os.kill(worker, signal.SIGKILL)
    assert "engine: Ray" in finish(run, data_dir)
    check(data_dir, job, expected)


def test_a_node_is_killed(data_dir: Path, job: str, expected: Expected, cluster: Any) -> None:
    run = start(data_dir, job, "--engine", "ray", "--engine-address", cluster.address)
    wait_for(lambda: len(parts(data_dir, AT_WORK[job])) > 1, run)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    finish(run, data_dir)
    check(data_dir, job, expected)


def test_the_head_of_this_machine_is_killed_and_the_same_run_goes_on(
    data_dir: Path, job: str, expected: Expected
) -> None:
    run = start(data_dir, job, "--engine", "ray")
    wait_for(lambda: len(parts(data_dir, AT_WORK[job])) > 1, run)
    before = stop_workers(run.pid, data_dir, STAGES[job][0])
    for process in children(run.pid):
        if name_of(process).endswith((b"gcs_server", b"raylet")):
            os.kill(process, signal.SIGKILL)
    assert not is_visible(data_dir, job)
    kept = still_there(run, data_dir, STAGES[job][0], before)
    said = finish(run, data_dir)
    assert "beginning again, 1 of 3" in said
    assert kept == before  # none was made again
    check(data_dir, job, expected)


def test_the_head_of_a_cluster_is_killed_and_started_again(
    data_dir: Path, job: str, expected: Expected
) -> None:
    first = head()
    address = first.address
    run = start(data_dir, job, "--engine", "ray", "--engine-address", address)
    wait_for(lambda: len(parts(data_dir, AT_WORK[job])) > 1, run)
    stop_workers(os.getpid(), data_dir, STAGES[job][0])
    first.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    first.shutdown()
    again = head(int(address.rpartition(":")[2]))
    said = finish(run, data_dir)
    again.shutdown()
    assert "beginning again" in said
    check(data_dir, job, expected)


def test_the_run_itself_is_killed_and_the_next_one_goes_on(
    data_dir: Path, job: str, expected: Expected, cluster: Any
) -> None:
    stage = STAGES[job][0]
    arguments = ("--engine", "ray", "--engine-address", cluster.address)
    run = start(data_dir, job, *arguments)
    wait_for(lambda: len(parts(data_dir, AT_WORK[job])) > 1, run)
    run.kill()
    finish(run, data_dir, None)
    assert not is_visible(data_dir, job)
    before = parts(data_dir, stage)
    assert before
    run = start(data_dir, job, *arguments)
    kept = still_there(run, data_dir, stage, before)
    assert "going on with the run" in finish(run, data_dir)
    assert kept == before  # none was made again
    check(data_dir, job, expected)


def stop_workers(root: int, data_dir: Path, stage: str) -> dict[str, int]:
    """Stop the workers below a process, which might finish before anybody notices; return the parts of a stage."""
    workers = workers_at(root, "")
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    made = parts(data_dir, stage)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    return made


def still_there(run: Any, data_dir: Path, stage: str, before: dict[str, int]) -> dict[str, int]:
    """Return which parts a run leaves as they were, up to its end."""
    kept = before
    while run.poll() is None:
        now = parts(data_dir, stage)
        kept = {name: inode for name, inode in kept.items() if now.get(name, inode) == inode}
    return kept
