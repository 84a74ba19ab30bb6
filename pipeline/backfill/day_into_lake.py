"""Words about the records of a day, from the spool into the store.

Owns: where a day's words go: a closed day is merged with them, those of an open day go to landing.sqlite, since no file
may exist for it. Leaves to others: the rule and the files (``lake.merge``), which day is stored when
(``archived_days``).
"""

from pathlib import Path

import pyarrow.parquet as pq

from pipeline.backfill.spool import Spool
from pipeline.lake.merge import merge_day
from pipeline.store.archived_words import ArchiveStore
from pipeline.store.duck import open_duckdb

MEMORY_MB = 1024  # for DuckDB, which spills the rest into the spool


def tell_day(
    data_dir: Path,
    spool: Spool,
    store: ArchiveStore,
    day: int,
    *,
    first_open_day: int,
    since_us: int,
    threads: int,
) -> int:
    """Tell the words of a day that the spool has; return how many there were."""
    files = spool.row_files(day)
    if day >= first_open_day:
        for file in files:
            with pq.ParquetFile(file) as rows:
                store.tell(rows.iter_batches())
    elif files:
        connection = open_duckdb(spool.root / "out", threads, MEMORY_MB)
        try:
            connection.execute("SET enable_progress_bar = false")  # it would overwrite ours
            with store.closed():
                for _ in merge_day(data_dir, day, connection, since_us=since_us, more=files):
                    pass
        finally:
            connection.close()
    words = sum(int(pq.read_metadata(file).num_rows) for file in files)
    spool.clear_day(day)
    return words
