"""The job "compact": days of likes move from landing.sqlite to the lake, and old days are removed.

Owns: which days are merged in a run, and retention. Leaves to others: merging one (``merge``), the files
(``day_files``), and deleting from landing.sqlite what is in the lake. Ingest does that, since it is that store's
writer.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import sql
from pipeline.lake import day_files
from pipeline.lake.impressions import impressions
from pipeline.lake.merge import is_look_due, merge_day
from pipeline.progress import Step
from pipeline.ranking import Ranking
from pipeline.store.arrow import reading
from pipeline.store.duck import open_duckdb
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US, NAMED_DAY, day_of, first_open_day
from sql import places

# Days a run removes for their age. Usually one a day goes; when many are old at once, there is time to look why.
REMOVED_AT_ONCE = 2

log = logging.getLogger("foryou.batch")


def compact(data_dir: Path, ranking: Ranking, threads: int) -> Iterator[Step]:
    """Merge every closed day of which landing.sqlite has words, look through one day, and remove days past retention.

    Yields (step, rows) after each step that changes what is on the disk.
    """
    with exclusive(data_dir, "lake", wait=True):
        day_files.clear_drafts(data_dir)
    yield "clear", 0
    connection = open_duckdb(places.working(data_dir), threads, int(ranking.memory_limit_gb * 1024))
    with reading(places.landing(data_dir)) as reader:
        low_us = reader.number("SELECT low_us FROM watermark")
        landed = set(reader.table(sql.load("landing/word_days")).column(0).to_pylist())
    oldest = day_of(low_us) - ranking.seed_window_days
    closed = [
        day for day in sorted(landed) if day < first_open_day(low_us) and (day >= oldest or day == NAMED_DAY)
    ]
    due = _day_to_look_through(data_dir)
    for day in sorted({*closed, *due}):
        yield from merge_day(data_dir, day, connection, look=day in due, since_us=oldest * DAY_US)
    old = sorted(day for day in places.closed_days(data_dir) if day < oldest)
    if len(old) > REMOVED_AT_ONCE:
        log.warning("%d days are past retention; %d of them are removed now", len(old), REMOVED_AT_ONCE)
    for day in old[:REMOVED_AT_ONCE]:
        with exclusive(data_dir, "lake", wait=True):
            day_files.remove_day(data_dir, day)
        yield f"remove {places.day_name(day)}", 0
    yield from impressions(data_dir, connection)


def _day_to_look_through(data_dir: Path) -> set[int]:
    """Return the day that was looked through longest ago, if that is due; also when it is merged anyway."""
    days = {day: places.likes(data_dir, day).stat().st_mtime for day in places.closed_days(data_dir)}
    oldest = sorted(days, key=days.__getitem__)[:1]
    return {day for day in oldest if is_look_due(data_dir, day)}
