"""A day of history: from the spool into the lake.

Owns: which rows a day holds, by ``sql/backfill``, and the order in which its files appear. Leaves to others:
the files' form (``lake.day_files``, ``sql/lake/stored_rows.sql``), which day is made when (``archived_days``).

Invariants: a day's unlikes file is there before its likes file, whose rename is the commit; a day that exists
is never replaced; the batch's lock is held for the renames alone. Everything is staged outside the lake,
whose own temporary folder belongs to whoever holds that lock.
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
from pipeline.backfill.spool import GONE, ROWS, Spool
from pipeline.errors import StoreError
from pipeline.lake.day_files import commit, write_likes
from pipeline.store.duck import open_duckdb
from pipeline.store.fsync import sync
from pipeline.store.locks import exclusive
from sql import places

log = logging.getLogger("foryou.backfill")

MEMORY_MB = 512  # DuckDB's; what does not fit is spilled beside the spool
LOCK_POLL_SECONDS = 0.5
DELETED = pa.schema([("actor_id", pa.int32()), ("deleted_us", pa.int64())])


def write_day(
    data_dir: Path,
    spool: Spool,
    day: int,
    deleted: Iterable[tuple[int, int]],
    *,
    threads: int,
    beyond: Sequence[int] = (),
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Make a day of the lake of what the spool has of it; return its likes. A day without any is left out.

    ``beyond`` are days after it that are not made: their unlikes become this day's.
    """
    connection = _open(spool.root / "out", threads)
    try:
        _relations(connection, spool, day, beyond, deleted)
        connection.execute(sql.load("backfill/day"))
        unlikes = connection.sql(sql.load("backfill/day_unlikes")).to_arrow_table()
        rows = connection.sql(sql.load("lake/stored_rows")).to_arrow_table()
    finally:
        connection.close()
    if len(rows) == 0:
        return 0
    gone, likes = spool.root / "out" / "tombstones.parquet", spool.root / "out" / "day.parquet"
    pq.write_table(unlikes, gone, compression="zstd")
    write_likes(likes, rows)
    for path in (gone, likes, gone.parent):
        sync(path)
    final = places.likes(data_dir, day)
    with _batch_lock(data_dir, wait):
        if not final.exists():
            commit(gone, places.unlikes(data_dir, day))
            commit(likes, final)
    return len(rows)


def _open(folder: Path, threads: int) -> duckdb.DuckDBPyConnection:
    connection = open_duckdb(folder, threads, MEMORY_MB)
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")  # it would be written over ours
    return connection


def _relations(
    connection: duckdb.DuckDBPyConnection,
    spool: Spool,
    day: int,
    beyond: Sequence[int],
    deleted: Iterable[tuple[int, int]],
) -> None:
    connection.execute("SET VARIABLE day = ?", [day])
    for name, files, schema in (
        ("spooled_rows", spool.row_files(day), ROWS),
        ("later_rows", [file for later in beyond for file in spool.row_files(later)], ROWS),
        ("dated_rows", spool.kept_files(), ROWS),
        ("void_accounts", spool.gone_files(), GONE),
    ):
        if files:
            relation = connection.read_parquet([str(file) for file in files])
            relation.create_view(name)
        else:
            connection.register(name, schema.empty_table())
    columns = zip(*deleted, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, DELETED, strict=False)]
    table = pa.Table.from_arrays(arrays, schema=DELETED) if arrays else DELETED.empty_table()
    connection.register("deleted_accounts", table)


@contextmanager
def _batch_lock(data_dir: Path, wait: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock of the lake's writers, once the job that has it is done."""
    told = False
    while True:
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(data_dir, "batch"))
            except StoreError:
                if not told:
                    log.info("waiting for a batch job to end")
                told = True
            else:
                yield
                return
        wait(LOCK_POLL_SECONDS)
