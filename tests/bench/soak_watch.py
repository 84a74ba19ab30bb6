"""What the processes of an installation use: memory, processor, bytes written, and how far ingest is behind.

Owns: ``Watch``, which looks once a second, and ``batch_runs``. Leaves to others: starting and stopping anything.
"""

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from bench_tools import number

LOOK_SECONDS = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


def role_of(words: list[str]) -> str:
    """Return the role of a process of ``foryou up``, read off its command line; '' for others."""
    if "pipeline.cli" not in words:
        return ""
    words = words[words.index("pipeline.cli") + 1 :]
    if words[0] != "batch":
        return words[0]
    named = dict(zip(words[1::2], words[2::2], strict=False))
    return " ".join(["batch", named.get("--job", ""), named.get("--viewers", "")]).replace("  ", " ").strip()


class Watch(threading.Thread):
    """Looks at a process and all below it until told to stop."""

    def __init__(self, process: int, data_dir: Path) -> None:
        super().__init__(daemon=True)
        self._root, self._data_dir = process, data_dir
        self._known: dict[tuple[int, str], dict[str, float]] = {}
        self._stopping = threading.Event()
        self._began, self._lock = time.monotonic(), threading.Lock()
        self.lags: list[float] = []
        self.peak_together_mb = 0.0

    def run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            together = sum(self._look(process) for process in self._family())
            self.peak_together_mb = max(self.peak_together_mb, together)
            self.lags.append(self._lag())

    def stop(self) -> None:
        """End the looking."""
        self._stopping.set()
        self.join()

    def roles(self) -> dict[str, dict[str, float]]:
        """Return by role: peak memory of one process (MB), CPU seconds and share of one core, MB written."""
        seconds, roles = time.monotonic() - self._began, {}
        with self._lock:
            known = list(self._known.items())
        for (_, role), figures in known:
            kept = roles.setdefault(role, {"processes": 0, "peak_mb": 0.0, "cpu": 0.0, "written_mb": 0.0})
            kept["processes"] += 1
            kept["peak_mb"] = max(kept["peak_mb"], round(figures["peak_mb"], 1))
            kept["cpu"] = round(kept["cpu"] + figures["cpu"], 1)
            kept["written_mb"] = round(kept["written_mb"] + figures["written_mb"], 1)
        for kept in roles.values():
            kept["core_share"] = round(kept["cpu"] / seconds, 3)
        return roles

    def _family(self) -> list[int]:
        found, waiting = [], [self._root]
        while waiting:
            process = waiting.pop()
            found.append(process)
            try:
                for thread in Path(f"/proc/{process}/task").iterdir():
                    waiting += map(int, (thread / "children").read_text().split())
            except OSError:
                continue
        return found

    def _look(self, process: int) -> float:
        place = Path(f"/proc/{process}")
        try:
            role = role_of(place.joinpath("cmdline").read_text().split("\0")[:-1])
            status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            written = dict(line.split(": ") for line in (place / "io").read_text().splitlines())
            if not role or "VmHWM" not in status:
                return 0.0
            figures = {
                "peak_mb": int(status["VmHWM"].split()[0]) / 1024,
                "cpu": (int(fields[11]) + int(fields[12])) / _TICKS,
                "written_mb": int(written["write_bytes"]) / 1e6,
            }
            with self._lock:
                self._known[process, role] = figures
            return int(status["VmRSS"].split()[0]) / 1024
        except (OSError, ValueError):
            return 0.0  # it has just ended

    def _lag(self) -> float:
        seen_us = number(self._data_dir, "landing", "SELECT seen_us FROM watermark")
        return time.time() - seen_us / 1e6


def batch_runs(data_dir: Path, since_us: int) -> list[dict[str, Any]]:
    """Return the batch's jobs that began since a time: how often, median and most seconds, the longest steps."""
    connection = sqlite3.connect(f"file:{data_dir / 'serving'}.sqlite?mode=ro", uri=True, timeout=10)
    found = connection.execute(
        "SELECT run_id, job, tier, step, seconds, outcome FROM runs WHERE started_us >= ?", (since_us,)
    ).fetchall()
    connection.close()
    jobs: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    failed: dict[tuple[str, str], int] = {}
    for run_id, job, tier, step, seconds, outcome in found:
        steps = jobs.setdefault((job, tier), {}).setdefault(run_id, {})
        steps[step] = steps.get(step, 0.0) + seconds
        failed[job, tier] = failed.get((job, tier), 0) + (outcome != "done")
    rows = []
    for (job, tier), runs in sorted(jobs.items()):
        totals = sorted(sum(steps.values()) for steps in runs.values())
        names = {name for steps in runs.values() for name in steps}
        longest = {name: round(max(steps.get(name, 0.0) for steps in runs.values()), 1) for name in names}
        dearest = dict(sorted(longest.items(), key=lambda item: -item[1])[:6])
        rows.append({"job": job, "tier": tier, "runs": len(runs), "p50_s": round(totals[len(totals) // 2], 1),
                     "max_s": round(totals[-1], 1), "failed": failed[job, tier], "longest_steps": dearest})  # fmt: skip
    return rows
