"""The figures of an installation, from its stores alone.

Owns: which figures there are. Leaves to others: what they mean (``lines``) and how they look (``show``). It only
reads. What has no store yet is None or empty, and a store that is being written is read as it is.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.errors import StoreError
from pipeline.nodes.exchange_state import node_problems, own_problems, read_exchange
from pipeline.operate.status.web_app_status import web_app_figures
from pipeline.ranking import ranking_from
from pipeline.settings import Settings
from pipeline.store.lock_holders import process_of
from pipeline.store.model import DAY_US
from sql import places
from sql.sqlite import rows_of

GROWTH_DAYS = 7  # the newest closed days, which tell how fast the lake grows
PARTS = ("ingest", "schedule", "batch")
PARTS_OF_NODE = ("sync",)

Figures = dict[str, Any]


def gather(settings: Settings) -> Figures:
    """Return the figures; times in microseconds since 1970, sizes in bytes; StoreError without any store."""
    data_dir, now_us = settings.data_dir, time.time_ns() // 1000
    if not any(places.store(data_dir, name).exists() for name in ("landing", "serving", "activity")):
        raise StoreError(
            f"there is no store in {data_dir.absolute()}: 'foryou up' makes one; if there should be one, correct "
            "FORYOU_DATA_DIR"
        )
    now, today = {"now_us": now_us}, {"since_us": now_us // DAY_US * DAY_US}
    streams = _rows(data_dir, "landing/status_stream", now)
    lake = _lake(data_dir)
    closed = {places.day_name(day) for day in places.closed_days(data_dir)}
    return {
        "now_us": now_us,
        "data_dir": str(data_dir),
        "shard": None if settings.shard is None else str(settings.shard),
        "parts": {part: process_of(data_dir, part) for part in _parts(settings)},
        "exchange": _exchange(settings, now_us),
        "stream": streams[0] if streams else None,
        "other_streams": streams[1:],
        "labelers": _rows(data_dir, "landing/status_labelers"),
        "gaps": _rows(data_dir, "landing/status_gaps"),
        "began_us": _one(data_dir, "landing/status_began").get("began_us", 0),
        "counters": _counters(data_dir),
        "lists_old_seconds": settings.lists_old_seconds,
        "gauges": {row["name"]: row for row in _rows(data_dir, "landing/status_gauges")},
        "landing": {
            "bytes": _store_size(data_dir, "landing"),
            "likes_by_day": {
                places.day_name(row["day"]): row["likes"]
                for row in _rows(data_dir, "landing/status_likes")
                if places.day_name(row["day"]) not in closed  # ingest deletes those bit by bit
            },
        },
        "lake": lake,
        "generation": _one(data_dir, "serving/status_generation", now) or None,
        "first_pages": _rows(data_dir, "serving/status_first_pages"),
        "everybody_age_seconds": _age(_one(data_dir, "serving/everybody_renewed").get("renewed_us"), now_us),
        "serving_bytes": _store_size(data_dir, "serving"),
        "activity_bytes": _store_size(data_dir, "activity"),
        "viewers_today": _one(data_dir, "activity/status_visits", today).get("viewers"),
        "address": settings.local_url,
        "web": web_app_figures(settings.local_url, settings.pages_url),
        "runs": _with_overdue(
            [_with_due(row, settings) for row in _rows(data_dir, "serving/status_runs")], settings, now_us
        ),
        "disk": _disk(data_dir, lake, ranking_from(settings.ranking).seed_window_days),
    }


def _parts(settings: Settings) -> tuple[str, ...]:
    """Return the duties that a process of this machine should have, or may have."""
    if settings.shard is not None:
        return PARTS_OF_NODE
    return PARTS if settings.shared_dir is None else (*PARTS, *PARTS_OF_NODE)


def _exchange(settings: Settings, now_us: int) -> Figures | None:
    """Return what ``foryou sync`` knows and what is wrong with it, None where one machine serves alone."""
    if settings.shared_dir is None:
        return None
    state = read_exchange(settings.data_dir)
    wrong = own_problems(state, now_us)
    nodes = node_problems(state, now_us) if state is not None else []
    return {
        "state": None if state is None else asdict(state),
        "problems": [problem._asdict() for problem in wrong],
        "node_problems": [problem._asdict() for problem in nodes],
    }


def _lake(data_dir: Path) -> Figures:
    days = sorted(places.closed_days(data_dir))
    changes = places.changes(data_dir)
    sizes = [
        _size(places.likes(data_dir, day)) + (_size(changes[day].path) if day in changes else 0)
        for day in days
    ]
    newest = sizes[-GROWTH_DAYS:]
    return {
        "days": len(days),
        "first_day": places.day_name(days[0]) if days else None,
        "last_day": places.day_name(days[-1]) if days else None,
        "bytes": sum(sizes),
        "bytes_per_day": sum(newest) / len(newest) if newest else None,
        "likes_by_day": {
            places.day_name(day): _rows_of(places.likes(data_dir, day)) for day in days[-GROWTH_DAYS:]
        },
    }


def _rows_of(file: Path) -> int | None:
    """Return the rows of a Parquet file, None when it is missing or damaged."""
    try:
        return int(pq.read_metadata(file).num_rows)
    except (OSError, pa.ArrowException):
        return None


def _disk(data_dir: Path, lake: Mapping[str, Any], window_days: int) -> Figures:
    """Return the free space, and the days until it is full if the lake will need more than that."""
    usage = shutil.disk_usage(data_dir if data_dir.exists() else Path.cwd())
    growth, left = lake["bytes_per_day"], max(0, window_days - lake["days"])
    full = growth is not None and growth * left > usage.free
    return {
        "free_bytes": usage.free,
        "total_bytes": usage.total,
        "window_days": window_days,
        "days_until_full": usage.free / growth if full else None,
    }


def _with_due(row: Figures, settings: Settings) -> Figures:
    """Add when the timetable usually runs the job again; neighbours may come sooner in a young store."""
    minutes = getattr(settings, f"{row['job']}_minutes", None) if row["tier"] != "waiting" else None
    if row["tier"] == "liked":
        minutes = settings.candidates_minutes
    if (row["job"], row["tier"]) == ("candidates", "all"):
        minutes = settings.everybody_after(row["seconds"])
    return {**row, "due_us": None if minutes is None else row["started_us"] + int(minutes * 60e6)}


def _with_overdue(rows: list[Figures], settings: Settings, now_us: int) -> list[Figures]:
    """Mark the last run of each job that should have begun again long ago."""
    begun: dict[str, int] = {}
    for row in rows:
        if row["tier"] in ("all", "changed"):  # the others run only when viewers come
            begun[row["job"]] = max(begun.get(row["job"], 0), row["started_us"])
    limits = {"candidates": settings.lists_old_seconds}
    for job in ("compact", "neighbours"):
        limits[job] = 180 * getattr(settings, f"{job}_minutes")
    late = {job for job, us in begun.items() if job in limits and now_us - us > limits[job] * 1e6}
    return [{**row, "overdue": row["job"] in late and row["started_us"] == begun[row["job"]]} for row in rows]


def _age(time_us: int | None, now_us: int) -> float | None:
    return None if time_us is None else (now_us - time_us) / 1e6


def _counters(data_dir: Path) -> dict[str, dict[str, int]]:
    counters: dict[str, dict[str, int]] = {}
    for row in _rows(data_dir, "landing/status_counters"):
        counters.setdefault(row["kind"], {})[row["name"]] = row["value"]
    return counters


def _one(data_dir: Path, query: str, parameters: Mapping[str, Any] | None = None) -> Figures:
    return next(iter(_rows(data_dir, query, parameters)), {})


def _rows(data_dir: Path, query: str, parameters: Mapping[str, Any] | None = None) -> list[Figures]:
    """Return the rows of a query, none when its store or table is missing; sql/STORE has the queries of a store."""
    path = places.store(data_dir, query.partition("/")[0])
    return [dict(row) for row in rows_of(path, sql.load(query), parameters, by_name=True)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _store_size(data_dir: Path, store: str) -> int:
    path = places.store(data_dir, store)
    return _size(path) + _size(path.with_name(path.name + "-wal"))
