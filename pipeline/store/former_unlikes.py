"""The unlikes of a store that was made before days had files of changes: lake/unlikes, taken into landing.sqlite once.

Owns: ``take_former_unlikes``. It can go when no such store is left. Leaves to others: the rows of landing.sqlite, which
its migration 0002 moves.

An old unlike has no rev. It gets the time it was seen: its host's clock and that of the repository differ by seconds. A
record that was changed, not deleted, was stored with an unlike of its former content. In days of the former lake such a
record is lost; hardly any client changes likes.
"""

import shutil
import sqlite3
from pathlib import Path

from pipeline.identifiers import tid_at
from pipeline.store.like_words import next_commit, settle
from sql import places
from sql.sqlite import transaction

ROWS_A_COMMIT = 20_000
LAST_CLOCK = 1023


def take_former_unlikes(connection: sqlite3.Connection, data_dir: Path) -> int:
    """Store the unlikes of files of the former form as words, and remove the files; return how many there were.

    Runs outside of transactions. When it is cut short, the next start does the rest.
    """
    root = places.former_unlikes(data_dir)
    if not root.exists():
        return 0
    import pyarrow.parquet as pq  # ingest needs it for nothing else

    taken = 0
    for path in sorted(root.rglob("*.parquet")):
        columns = ("liker_id", "rkey", "seen_us")
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_A_COMMIT, columns=columns):
                rows = zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
                taken += _store(connection, list(rows))
        path.unlink()
    shutil.rmtree(root)
    return taken


def _store(connection: sqlite3.Connection, rows: list[tuple[int, int, int]]) -> int:
    with transaction(connection):
        words = [
            (liker, rkey, None, None, seen_us, tid_at(seen_us, LAST_CLOCK), 0)
            for liker, rkey, seen_us in rows
        ]
        settle(connection, words, next_commit(connection))
    return len(rows)
