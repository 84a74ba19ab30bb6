"""A day of history, from the spool into the lake.

Owns: which rows a day holds, by ``sql/backfill``, and the order in which its files appear. Leaves to others: the form
of the files (``lake.day_files``, ``sql/lake/stored_rows.sql``), which day is written when (``archived_days``).

Invariants: a day's file of unlikes is there before its file of likes, whose rename is the commit. A day that exists is
never replaced. The batch's lock is held for the renames alone. The files are written outside the lake, because the
lake's own folder of drafts belongs to whoever holds that lock.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.backfill.spool import ROWS, VOID_ACCOUNTS, Spool
from pipeline.errors import StoreError
from pipeline.lake.day_files import commit, write_likes
from pipeline.store.duck import open_duckdb, put
from pipeline.store.fsync import sync
from pipeline.store.locks import exclusive
from sql import places

log = logging.getLogger("foryou.backfill")

MEMORY_MB = 512  # for DuckDB, which spills the rest into the spool
LOCK_POLL_SECONDS = 0.5
DELETED = pa.schema([("actor_id", pa.int32()), ("deleted_us", pa.int64())])


def write_day(
    data_dir: Path,
    spool: Spool,
    day: int,
    deleted: Iterable[tuple[int, int]],
    *,
    threads: int,
    later_days: Sequence[int] = (),
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Write a day of the lake from its rows in the spool; return how many likes it has. Without any, write nothing.

    ``later_days`` are days after it that are not written: their unlikes are stored with this day.
    """
    connection = _open(spool.root / "out", threads)
    try:
        _relations(connection, spool, day, later_days, deleted)
        connection.execute(sql.load("backfill/day"))
        unlikes = connection.sql(sql.load("backfill/day_unlikes")).to_arrow_table()
        rows = connection.sql(sql.load("lake/stored_rows")).to_arrow_table()
    finally:
        connection.close()
    if len(rows) == 0:
        return 0
    unlikes_draft, likes_draft = spool.root / "out" / "tombstones.parquet", spool.root / "out" / "day.parquet"
    pq.write_table(unlikes, unlikes_draft, compression="zstd")
    write_likes(likes_draft, rows)
    for path in (unlikes_draft, likes_draft, likes_draft.parent):
        sync(path)
    final = places.likes(data_dir, day)
    with _batch_lock(data_dir, wait):
        if not final.exists():
            commit(unlikes_draft, places.unlikes(data_dir, day))
            commit(likes_draft, final)
    return len(rows)


def _open(folder: Path, threads: int) -> duckdb.DuckDBPyConnection:
    connection = open_duckdb(folder, threads, MEMORY_MB)
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")  # it would overwrite ours
    return connection


def _relations(
    connection: duckdb.DuckDBPyConnection,
    spool: Spool,
    day: int,
    later_days: Sequence[int],
    deleted: Iterable[tuple[int, int]],
) -> None:
    connection.execute("SET VARIABLE day = ?", [day])
    for name, files, schema in (
        ("spooled_rows", spool.row_files(day), ROWS),
        ("later_rows", [file for later in later_days for file in spool.row_files(later)], ROWS),
        ("dated_rows", spool.dated_files(), ROWS),
        ("void_accounts", spool.void_files(), VOID_ACCOUNTS),
    ):
        if files:
            relation = connection.read_parquet([str(file) for file in files])
            relation.create_view(name)
        else:
            put(connection, name, schema.empty_table())
    columns = zip(*deleted, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, DELETED, strict=False)]
    table = pa.Table.from_arrays(arrays, schema=DELETED) if arrays else DELETED.empty_table()
    put(connection, "deleted_accounts", table)


@contextmanager
def _batch_lock(data_dir: Path, wait: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock of the lake's writers, after waiting for the job that has it."""
    reported = False
    while True:
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(data_dir, "batch"))
            except StoreError:
                if not reported:
                    log.info("waiting for a batch job to end")
                reported = True
            else:
                yield
                return
        wait(LOCK_POLL_SECONDS)
