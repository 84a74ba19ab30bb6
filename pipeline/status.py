"""How an installation is doing, from its stores alone: ``foryou status``.

Owns: gathering the figures and showing them as text or JSON. Never writes, and works whatever is running or
missing: a part without a store yet shows as null or '-'.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sql
from pipeline.settings import Settings
from pipeline.store.lake import closed_days, day_file
from pipeline.store.model import day_name, day_of, utc
from sql.sqlite import connect


def run(settings: Settings, *, as_json: bool) -> None:
    """Print the status."""
    status = gather(settings.data_dir)
    print(json.dumps(status, indent=2) if as_json else as_text(status))


def gather(data_dir: Path) -> dict[str, Any]:
    """Return the figures: stream, counters, likes by open day, lake, generation, last runs, disk."""
    days = sorted(closed_days(data_dir))
    return {
        "data_dir": str(data_dir),
        "stream": _one(data_dir, "landing", "landing/status_stream", {"now_us": time.time_ns() // 1000}),
        "gaps": [
            {**row, "partial_days": _days_between(row["from_us"], row["to_us"])}
            for row in _rows(data_dir, "landing", "landing/status_gaps")
        ],
        "gauges": {row["name"]: row["value"] for row in _rows(data_dir, "landing", "landing/status_gauges")},
        "counters": _counters(data_dir),
        "landing": {
            "bytes": _size(data_dir / "landing.sqlite"),
            "likes_by_day": {
                day_name(row["day"]): row["likes"]
                for row in _rows(data_dir, "landing", "landing/status_likes")
            },
        },
        "lake": {
            "days": len(days),
            "first_day": day_name(days[0]) if days else None,
            "last_day": day_name(days[-1]) if days else None,
            "bytes": sum(_size(day_file(data_dir, day)) for day in days),
        },
        "generation": _one(
            data_dir, "serving", "serving/status_generation", {"now_us": time.time_ns() // 1000}
        ),
        "serving_bytes": _size(data_dir / "serving.sqlite"),
        "runs": _rows(data_dir, "serving", "serving/status_runs"),
        "disk_free_bytes": shutil.disk_usage(data_dir if data_dir.exists() else Path.cwd()).free,
    }


def as_text(status: Mapping[str, Any]) -> str:
    """Return the status for a person."""
    stream, generation = status["stream"], status["generation"]
    lines = [f"data       {status['data_dir']}, {_bytes(status['disk_free_bytes'])} free on its disk"]
    if stream is None:
        lines.append("stream     nothing stored yet")
    else:
        lines.append(
            f"stream     {stream['host']} ({stream['wire']}), events up to {utc(stream['event_us'])}, "
            f"{stream['lag_seconds']:.0f} s behind"
        )
    for gap in status["gaps"]:
        minutes = (gap["to_us"] - gap["from_us"]) / 60e6
        lines.append(
            f"gap        {utc(gap['from_us'])} to {utc(gap['to_us'])} ({minutes:.0f} min): "
            f"partial: {', '.join(gap['partial_days'])}"
        )
    for kind, counted in status["counters"].items():
        named = ", ".join(f"{name} {value:,}" for name, value in counted.items())
        lines.append(f"{kind + 's':<10} {named}")
    landing, lake = status["landing"], status["lake"]
    by_day = ", ".join(f"{day} {likes:,}" for day, likes in landing["likes_by_day"].items()) or "none"
    lines.append(f"landing    {_bytes(landing['bytes'])}; likes of open days: {by_day}")
    span = f"{lake['first_day']} to {lake['last_day']}" if lake["days"] else "none yet"
    lines.append(f"lake       {lake['days']} closed days ({span}), {_bytes(lake['bytes'])}")
    if generation is None:
        lines.append("lists      none published yet")
    else:
        lines.append(
            f"lists      generation {generation['generation']}, published {generation['age_seconds']:.0f} s ago, "
            f"{generation['viewers']:,} viewers, {_bytes(status['serving_bytes'])}"
        )
    for run_ in status["runs"]:
        lines.append(
            f"  {run_['job']:<12} {utc(run_['started_us'])}  {run_['seconds']:7.1f} s  "
            f"{run_['peak_mb']:6.0f} MB  {run_['outcome']}"
        )
    return "\n".join(lines)


def _days_between(from_us: int, to_us: int) -> list[str]:
    return [day_name(day) for day in range(day_of(from_us), day_of(to_us) + 1)]


def _counters(data_dir: Path) -> dict[str, dict[str, int]]:
    counters: dict[str, dict[str, int]] = {}
    for row in _rows(data_dir, "landing", "landing/status_counters"):
        counters.setdefault(row["kind"], {})[row["name"]] = row["value"]
    return counters


def _one(data_dir: Path, store: str, query: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    return next(iter(_rows(data_dir, store, query, parameters)), None)


def _rows(
    data_dir: Path, store: str, query: str, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    path = data_dir / f"{store}.sqlite"
    if not path.exists():
        return []
    connection = connect(path, read_only=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(sql.load(query), parameters or {})]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # its writer has not made it yet
            return []
        raise
    finally:
        connection.close()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
