"""Days of impressions: from activity.sqlite into the lake, one Parquet file a day.

Owns: which days move, what a day's file holds, retention. Leaves to others: writing activity.sqlite, and deleting a
day's rows once its file exists. The web app does both, since that store is its own. Drafts and the rename are
``day_files``'s.

Invariant: a day is in the lake exactly when its file exists; the rename is the commit. A day is closed an hour after
its end by this machine's clock. What a web app has not written by then about that day is lost, and nothing else.
"""

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb

import sql
from pipeline.lake import day_files
from pipeline.progress import Step
from pipeline.store.arrow import reading
from pipeline.store.duck import copy_to, count, parquet, registered
from pipeline.store.fsync import sync
from pipeline.store.model import DAY_US, first_open_day
from sql import places
from sql.sqlite import has_tables


def impressions(
    data_dir: Path, connection: duckdb.DuckDBPyConnection, now_us: int | None = None
) -> Iterator[Step]:
    """Write every closed day that has impressions and no file, then remove the days past retention.

    Yields (step, rows) after each step that changes the disk. ``now_us`` is the clock's time by default.
    """
    open_day = first_open_day(int(time.time() * 1_000_000) if now_us is None else now_us)
    stored = places.impression_days(data_dir)
    for day in _served_days(places.activity(data_dir), open_day):
        if day not in stored:
            yield from _move(data_dir, connection, day)
    for day in sorted(stored):
        if day < open_day - places.ACTIVITY_DAYS:
            path = places.impressions(data_dir, day)
            path.unlink()
            sync(path.parent)
            shutil.rmtree(path.parent, ignore_errors=True)
            yield f"remove impressions {places.day_name(day)}", 0


def _served_days(activity: Path, open_day: int) -> list[int]:
    if not has_tables(activity, "impression_pages"):
        return []
    with reading(activity) as reader:
        before = f"WHERE served_us < {open_day * DAY_US}"
        days = f"SELECT DISTINCT served_us / {DAY_US} AS day FROM impression_pages {before}"
        return sorted(int(day) for day in reader.table(days).column(0).to_pylist())


def _move(data_dir: Path, connection: duckdb.DuckDBPyConnection, day: int) -> Iterator[Step]:
    with reading(places.activity(data_dir)) as reader:
        span = f"served_us >= {day * DAY_US} AND served_us < {(day + 1) * DAY_US}"
        with registered(connection, day_impressions=reader.stream(f"SELECT * FROM impressions WHERE {span}")):
            query = sql.load("lake/impression_rows").rstrip().removesuffix(";")
            temporary = day_files.write_draft(
                data_dir, f"impressions-{places.day_name(day)}.parquet", partial(copy_to, connection, query)
            )
    rows = count(connection, parquet(temporary))
    yield f"write impressions {places.day_name(day)}", rows
    day_files.commit(temporary, places.impressions(data_dir, day))
    yield f"commit impressions {places.day_name(day)}", rows
