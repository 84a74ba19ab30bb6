"""kill -9 of a worker in every stage, of a node, of the head: equal rows, no part twice, nothing before the manifest."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_tools import finish, neighbour_rows, start, wait_for, workers_at
from ray.cluster_utils import Cluster

from sql import places

STAGES = ("walk", "route", "product")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without processors and two nodes of one, on the loopback."""
    made = head()
    yield made
    made.shutdown()


def head() -> Any:
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    return made


def parts(data_dir: Path, stage: str) -> dict[str, int]:
    """Return the parts of a stage that are there, and the inode of each."""
    root = places.runs(data_dir, "neighbours").parent  # may be removed meanwhile
    found = [Path(folder, name) for folder, names, files in os.walk(root) for name in (*names, *files)]
    inodes = {}
    for path in found:
        if path.parent.name == stage and not path.name.startswith("."):
            with suppress(FileNotFoundError):
                inodes[path.name] = path.stat().st_ino
    return inodes


def test_a_worker_is_killed_in_every_stage(data_dir: Path, expected: pa.Table) -> None:
    run = start(data_dir, "neighbours", "--engine", "ray")
    for stage in STAGES:
        wait_for(lambda stage=stage: workers_at(run.pid, stage), run)
        assert not places.neighbours(data_dir).exists()
        for worker in workers_at(run.pid, stage)[:1]:
            os.kill(worker, signal.SIGKILL)
    assert "engine: Ray" in finish(run, data_dir)
    assert neighbour_rows(data_dir).equals(expected)


def test_a_node_is_killed(data_dir: Path, expected: pa.Table, cluster: Any) -> None:
    run = start(data_dir, "neighbours", "--engine", "ray", "--engine-address", cluster.address)
    wait_for(lambda: len(parts(data_dir, "walk")) > 2, run)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    finish(run, data_dir)
    assert neighbour_rows(data_dir).equals(expected)


def test_the_head_is_killed_and_the_next_run_goes_on(data_dir: Path, expected: pa.Table) -> None:
    first = head()
    run = start(data_dir, "neighbours", "--engine", "ray", "--engine-address", first.address)
    wait_for(lambda: len(parts(data_dir, "route")) > 2, run)
    first.head_node.kill_gcs_server(check_alive=False)
    said = finish(run, data_dir, None)
    assert run.returncode != 0, said
    first.shutdown()
    assert not places.neighbours(data_dir).exists()
    assert not places.neighbour_parts(data_dir).exists()
    before = parts(data_dir, "walk")
    assert before
    again = head()
    run = start(data_dir, "neighbours", "--engine", "ray", "--engine-address", again.address)
    kept = before
    while run.poll() is None and places.runs(data_dir, "").exists():
        now = parts(data_dir, "walk")
        kept = {name: inode for name, inode in kept.items() if not now or now.get(name) == inode}
    said = finish(run, data_dir)
    again.shutdown()
    assert "going on with the run" in said
    assert kept == before  # none was made again
    assert neighbour_rows(data_dir).equals(expected)
    assert list(places.runs(data_dir, "").glob("*")) == []
