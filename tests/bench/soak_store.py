"""The soak's store: made or taken as it is, with everybody's lists.

Owns: what is there before ``foryou up`` starts. Leaves to others: the likes themselves (``synthetic_lake``),
who comes (``soak_people``), running.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from bench_million import active_days, run_job
from soak_people import listed
from soak_watch import number
from synthetic_lake import make_store

OLD_SECONDS = 6 * 3600


def prepare(data_dir: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make the store and everybody's lists, as far as they are not there; return what the runs took."""
    if not (data_dir / "landing.sqlite").exists():
        now_us = time.time_ns() // 1000
        make_store(data_dir, actors=options.actors, likes=options.likes, days=14, now_us=now_us)
    age = time.time() - number(data_dir, "landing", "SELECT seen_us FROM watermark") / 1e6
    if age > OLD_SECONDS:
        raise SystemExit(f"the store in {data_dir} ends {age / 3600:.1f} hours ago: make a new one")
    config = data_dir / "foryou.toml"
    if not config.exists():
        # The probes' new accounts must count from their first like on, not three days later.
        days = active_days(data_dir, options.viewers)
        config.write_text(f"[ranking]\nviewer_active_days = {days}\nnewcomer_hours = 0\n")
    took = {}
    for job, made in (("neighbours", data_dir / "lake" / "neighbours.parquet"),
                      ("candidates", data_dir / "serving.sqlite")):  # fmt: skip
        if not made.exists() or (job == "candidates" and not listed(data_dir, 1)):
            seconds, cpu, peak = run_job(data_dir, job)
            took[job] = {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(peak)}
    return took
