"""How much memory a run may take, and the parameters that fit into it.

Owns: reading how much is free (on the machine, in a cgroup, within a limit of the process), and the block size and
DuckDB's share that fit. Leaves to others: using them. A run that needs more all the same ends with one line, before
anything is published.

Ingest and the web app matter more than a run. So a run asks Linux to end it first when memory is short.
"""

import logging
import os
import resource
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipeline.errors import BatchError
from pipeline.ranking import Ranking

log = logging.getLogger("foryou.batch")

LIBRARIES_MB = 350  # what the libraries take at the start, with the threads' stacks
LEAST_MB = 800  # with less, a library may end the process without a message
LEFT_SHARE = 0.25  # of what is free: left to ingest, the web app and the file cache
DUCKDB_SHARE = 0.55  # of what a run may take
LEAST_DUCKDB_MB = 128
BLOCK_SHARE = 0.2
LEAST_BLOCK = 200
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_mb() -> tuple[float, str]:
    """Return how many megabytes this process can still take, and what sets the limit."""
    found = [
        (_machine_mb(), "the machine"),
        (_cgroup_mb(), "its cgroup"),
        (_limit_mb(), "the process's limit"),
    ]
    known = [(size, what) for size, what in found if size is not None]
    return min(known) if known else (float("inf"), "nothing")


def before_libraries() -> tuple[float, str]:
    """Return ``available_mb`` when it is enough to import the batch's libraries.

    Raises BatchError when it is too little: a library that can't start a thread ends the process.
    """
    size, bound = available_mb()
    if size < LEAST_MB:
        raise BatchError(
            f"only {size:.0f} MB of memory are free ({bound}), a run needs {LEAST_MB} MB: it was not started; "
            "add memory, or stop other processes"
        )
    if bound == "the process's limit":
        # Arrow's own pool would reserve a gigabyte of it at once.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    return size, bound


def within_memory(ranking: Ranking, found: tuple[float, str] | None = None) -> Ranking:
    """Return the parameters with a block size and a limit for DuckDB that fit, and log them.

    ``found`` is what ``before_libraries`` returned; None measures now.
    """
    prefer_to_be_ended()
    size, bound = available_mb() if found is None else found
    if size == float("inf"):
        return ranking
    mine = max(size - LIBRARIES_MB, 0.0) * (1 - LEFT_SHARE)
    duckdb_gb = min(ranking.memory_limit_gb, max(mine * DUCKDB_SHARE, LEAST_DUCKDB_MB) / 1024)
    block = min(
        ranking.block_viewers, max(LEAST_BLOCK, int(mine * BLOCK_SHARE * 2**20 / viewer_bytes(ranking)))
    )
    if block < ranking.block_viewers or duckdb_gb < ranking.memory_limit_gb:
        log.info(
            "%.0f MB of memory are free (%s): blocks of %d viewers, %.1f GB for DuckDB",
            size,
            bound,
            block,
            duckdb_gb,
        )
    return replace(ranking, block_viewers=block, memory_limit_gb=duckdb_gb)


def viewer_bytes(ranking: Ranking) -> int:
    """Return about how many bytes one viewer of a block takes at most, in the larger of the two products."""
    neighbours = 20 * ranking.max_seeds + 40 * ranking.max_neighbours
    lists = 20 * ranking.max_neighbours + 70 * ranking.list_length
    return max(neighbours, lists)


def prefer_to_be_ended() -> None:
    """Ask Linux to end this process before others when memory is short."""
    with suppress(OSError):  # another system, or a container that does not let it
        Path("/proc/self/oom_score_adj").write_text("500")


def _machine_mb() -> float | None:
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError, IndexError):
        pass
    try:  # macOS reports only the total: assume that half of it is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 / 2**20
    except (OSError, ValueError):
        return None


def _cgroup_mb() -> float | None:
    """Return what is left of the nearest limit of this process's cgroup (version 2), None without one."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        below = next(line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    folder, left = CGROUP / below, []
    while folder == CGROUP or CGROUP in folder.parents:
        try:
            most = (folder / "memory.max").read_text().strip()
            if most != "max":
                # The kernel can drop cached file pages, so they count as free.
                used = int((folder / "memory.current").read_text()) - _file_bytes(folder)
                left.append((int(most) - used) / 2**20)
        except (OSError, ValueError):
            pass
        folder = folder.parent
    return min(left) if left else None


def _file_bytes(folder: Path) -> int:
    for line in (folder / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _limit_mb() -> float | None:
    """Return what is left of a limit on this process's memory (ulimit -v or -d), None without one."""
    left = []
    for name, field in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
        soft = resource.getrlimit(getattr(resource, name))[0]
        if soft != resource.RLIM_INFINITY and soft >= 0:
            left.append(soft / 2**20 - _used_mb(field))
    return min(left) if left else None


def _used_mb(field: str) -> float:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError):
        pass
    scale = 1024 if sys.platform != "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
