"""What the process of an analyst's query may do, read and take.

Owns: the paths that remain, the bounds of memory, and being the first that Linux ends. Leaves to others: the system
calls (``landlock``), DuckDB's own bounds (``explore.session``).

Never readable, once ``enter`` is done: the stores, cursor.key, keys.sqlite, the environment of any process, and the
rest of the disk but Python's libraries. Where the kernel has no Landlock, DuckDB's own locks are left to say so.
"""

import os
import resource
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import sql
from pipeline.explore.box import landlock
from sql import places

MEMORY_SHARE = 0.25  # of the machine's memory: what DuckDB may take before it spills
RESULT_SHARE = 0.25  # of that: what the rows of all results may take
OVERHEAD_BYTES = 3 * 2**30  # the libraries, threads' stacks, and rows while they are written in another form
MAX_ROWS = 10_000_000
SPILL_BYTES = 50 * 2**30  # at most, and never more than half of the free disk

_KEPT = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "LINES", "VIRTUAL_ENV", "INPUTRC")
_KEPT_PREFIXES = ("LC_", "PYTHON", "LD_", "DYLD_")
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store",
    "/usr/share/zoneinfo", "/usr/share/terminfo", "/usr/share/locale", "/etc/localtime", "/etc/inputrc",
    "/etc/ld.so.cache", "/dev/urandom", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/sys/vm",
    "/proc/self/cgroup", "/proc/self/statm", "/sys/fs/cgroup", "/sys/devices/system",
)  # fmt: skip


def memory_bytes() -> int:
    """Return how much memory DuckDB may take."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def result_bytes() -> int:
    """Return how much memory the rows of a query's results may take."""
    return int(memory_bytes() * RESULT_SHARE)


def spill_bytes(folder: Path) -> int:
    """Return how much a query may write to its temporary folder."""
    free = os.statvfs(folder)
    return min(SPILL_BYTES, free.f_bavail * free.f_frsize // 2)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the process needs: no password among them."""
    return {name: value for name, value in given.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}


def enter(data_dir: Path, named: Sequence[Path], spill: Path) -> None:
    """Give up every right but reading analysts' copies, the files that the user named, and spilling."""
    with suppress(OSError):  # another system
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere it counts something else
        most = memory_bytes() + 3 * result_bytes() + OVERHEAD_BYTES
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    readable = [
        *folders(data_dir),
        *_linked(places.explore(data_dir)),
        *named,
        *_python(),
        *map(Path, _SYSTEM),
    ]
    landlock.restrict(readable, [spill, Path(os.devnull)])


def folders(data_dir: Path) -> tuple[Path, ...]:
    """Return the folders of the data directory that an analyst's query may read."""
    return places.explore(data_dir), places.lake(data_dir)


def _linked(folder: Path) -> Iterator[Path]:
    """Yield the files of the newest snapshots that lie on another disk."""
    for path in folder.glob("*/**/*.parquet"):
        if path.is_symlink():
            yield path.resolve()


def _python() -> Iterator[Path]:
    """Yield where Python's modules and ours are."""
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_paths()[name])
    for prefix in {sys.base_prefix, sys.base_exec_prefix}:
        yield Path(prefix) / "lib"
    yield Path(__file__).parents[2]  # pipeline
    yield from map(Path, sql.__path__)
