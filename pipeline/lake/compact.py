"""The job "compact": closed days move from landing.sqlite to the lake, and old days are removed.

Owns: which days move, what a day holds, retention. Leaves to others: the files (``day_files``), removing likes from
days in the lake (``rewrite``), and deleting the rows of days that have a file. Ingest does that, since landing.sqlite
has one writer.

Invariant: between two steps everything that a reader may see is complete. Ingest takes no like and no tombstone of a
closed day. The low watermark that decides is read in one transaction with the rows, so a day's rows are final. The
day's tombstones are in the lake before its likes, whose rename is the commit.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

import sql
from pipeline.lake import day_files
from pipeline.lake.impressions import impressions
from pipeline.lake.rewrite import read_deleted_accounts, rewrite_due_day
from pipeline.progress import Step
from pipeline.ranking import Ranking
from pipeline.store.arrow import reading
from pipeline.store.duck import count, open_duckdb, registered
from pipeline.store.model import day_of, first_open_day
from sql import places

# Days a run removes for their age. Usually one a day goes; when many are old at once, there is time to look why.
REMOVED_AT_ONCE = 2

log = logging.getLogger("foryou.batch")


def compact(data_dir: Path, ranking: Ranking, threads: int) -> Iterator[Step]:
    """Write every closed day that has rows and no file, then remove the days past retention.

    Yields (step, rows) after each step that changes what is on the disk.
    """
    day_files.clear_drafts(data_dir)
    yield "clear", 0
    connection = open_duckdb(places.working(data_dir), threads, int(ranking.memory_limit_gb * 1024))
    landing = places.landing(data_dir)
    with reading(landing) as reader:
        low_us = reader.number("SELECT low_us FROM watermark")
        landed = set(reader.table("SELECT day FROM like_days").column(0).to_pylist())
    present = places.closed_days(data_dir)
    for day in sorted(day for day in landed - present if day < first_open_day(low_us)):
        rows, unlikes = _read_day(landing, day, connection)
        stored = connection.sql(sql.load("lake/stored_rows")).to_arrow_table()
        temporary = day_files.write_day(data_dir, day, stored)
        del stored
        connection.execute("DROP TABLE day")
        yield f"write {places.day_name(day)}", rows
        if len(unlikes):
            day_files.replace_unlikes(data_dir, day, unlikes)
        day_files.commit(temporary, places.likes(data_dir, day))
        yield f"commit {places.day_name(day)}", rows
    oldest = day_of(low_us) - ranking.seed_window_days
    # While landing has rows of a day, its file keeps them from being counted and written again.
    old = sorted(day for day in places.closed_days(data_dir) - landed if day < oldest)
    if len(old) > REMOVED_AT_ONCE:
        log.warning("%d days are past retention; %d of them are removed now", len(old), REMOVED_AT_ONCE)
    for day in old[:REMOVED_AT_ONCE]:
        day_files.remove_day(data_dir, day)
        yield f"remove {places.day_name(day)}", 0
    yield from rewrite_due_day(data_dir, connection)
    yield from impressions(data_dir, connection)


def _read_day(landing: Path, day: int, connection: duckdb.DuckDBPyConnection) -> tuple[int, pa.Table]:
    """Make the relation ``day``; return how many likes it holds, and the day's tombstones."""
    with reading(landing) as reader:
        read_deleted_accounts(connection, reader)
        likes = f"SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM likes WHERE day = {day}"
        with registered(connection, day_likes=reader.stream(likes)):
            connection.execute(sql.load("lake/closed_day"))
        unlikes = reader.table(
            f"SELECT liker_id, rkey, seen_us FROM unlikes WHERE day = {day} AND found_open_like <> 1"
        )
    return count(connection, "day"), unlikes
