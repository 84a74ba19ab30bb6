"""Little memory: smaller blocks, then one clear line; what was published before stays."""

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import commands
import pytest
from test_batch_tiers import lists_of, run, town

from pipeline.batch import memory
from pipeline.batch.memory import available_mb, viewer_bytes, within_memory
from pipeline.errors import BatchError
from pipeline.ranking import Ranking
from pipeline.store.newest_generation import newest_generation

RANKING = Ranking()


def test_much_memory_changes_nothing():
    assert within_memory(RANKING, (200_000.0, "the machine")) == RANKING


@pytest.mark.parametrize("size", [800.0, 1_000.0, 4_000.0, 16_000.0])
def test_blocks_and_duckdb_fit_into_what_is_free(size: float, caplog: pytest.LogCaptureFixture):
    large = replace(RANKING, block_viewers=1_000_000, max_neighbours=1_000)
    with caplog.at_level("INFO", "foryou.batch"):
        found = within_memory(large, (size, "its cgroup"))
    taken = found.block_viewers * viewer_bytes(found) / 1e6 + found.memory_limit_gb * 1024
    assert taken < size
    assert found.block_viewers >= memory.LEAST_BLOCK
    assert (
        f"{size:.0f} MB of memory are free (its cgroup): blocks of {found.block_viewers} viewers"
        in caplog.text
    )


def test_too_little_to_begin_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "available_mb", lambda: (120.0, "the machine"))
    with pytest.raises(BatchError, match=r"^only 120 MB of memory are free \(the machine\)") as caught:
        memory.before_libraries()
    assert "\n" not in str(caught.value)


def test_a_cgroups_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The nearest limit above the process's cgroup; pages of files that can be given back are free."""
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    lines = Path("/proc/self/cgroup")
    if not lines.exists() or "0::" not in lines.read_text():
        pytest.skip("this system has no cgroups of version 2")
    (tmp_path / "memory.max").write_text(f"{300 * 2**20}\n")
    (tmp_path / "memory.current").write_text(f"{100 * 2**20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {50 * 2**20}\n")
    assert available_mb() == (250.0, "its cgroup")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_mb()[1] != "its cgroup"


def limited(data_dir: Path, megabytes: int) -> subprocess.CompletedProcess[str]:
    """Run the batch with so much memory for its data, and no more."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 2**20,) * 2)

    return subprocess.run(
        commands.command("batch"), env=commands.environment(data_dir), preexec_fn=limit,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a process's data against its limit")
def test_a_real_limit_makes_blocks_smaller_or_ends_in_one_line(tmp_path: Path):
    town().write(tmp_path)
    run(tmp_path)
    before = lists_of(tmp_path)
    small = limited(tmp_path, 200)
    assert small.returncode == 1
    assert [line for line in small.stderr.splitlines() if line.startswith("foryou: ")] == [
        small.stderr.splitlines()[-1]
    ]
    assert "of memory are free (the process's limit), a run needs" in small.stderr
    assert newest_generation(tmp_path) == 1
    assert lists_of(tmp_path) == before
    enough = limited(tmp_path, 1600)
    assert enough.returncode == 0, enough.stderr
    assert "(the process's limit): blocks of" in enough.stderr
    assert lists_of(tmp_path) == before
