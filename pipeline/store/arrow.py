"""Rows of a SQLite store as Arrow, several queries in one read transaction.

Owns: ``reading`` and ``Reader``. Leaves to others: which rows. DuckDB's own SQLite extension would be downloaded at run
time, so rows come this way.

Invariants: every query of one ``reading`` block sees the same commit of the store, and nothing is written into it.
Nothing else in the process has the file open meanwhile: the driver has an SQLite of its own, and closing a file in one
of two drops the locks of the other (https://www.sqlite.org/howtocorrupt.html, 2.2.1).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from adbc_driver_sqlite import dbapi

from pipeline.errors import StoreError

BATCH_ROWS = 65_536
# After its writer was killed, a store is locked while the next one recovers its log. It is also locked for a moment
# when its last user closes it. The driver itself does not wait.
BUSY_SECONDS = 30


class Reader:
    """One read transaction on a SQLite store."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursors: list[Any] = []

    def stream(self, query: str) -> pa.RecordBatchReader:
        """Return a query's rows as a stream of batches, to be consumed within the ``reading`` block.

        SQLite has no column types: cast the rows where they are used.
        """
        cursor = self._connection.cursor()
        self._cursors.append(cursor)
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": BATCH_ROWS})
        cursor.execute(query)
        return cursor.fetch_record_batch()

    def table(self, query: str) -> pa.Table:
        """Return a query's rows as a table."""
        return self.stream(query).read_all()

    def number(self, query: str) -> int:
        """Return the one number a query answers with, 0 when it has no row or NULL."""
        column = self.table(query).column(0)
        value = column[0].as_py() if len(column) else None
        return int(value or 0)

    def put(self, table: str, rows: pa.Table) -> None:
        """Make a temporary table, which queries of this block see and the store does not have."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="replace", temporary=True)

    def close(self) -> None:
        for cursor in self._cursors:
            cursor.close()


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a store for one read transaction; StoreError when it does not exist or can't be read."""
    if not path.exists():
        raise StoreError(f"{path} does not exist")
    quoted = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        connection = dbapi.connect(f"file:{quoted}?mode=ro")
    except dbapi.Error as error:
        raise StoreError(f"can't open {path}: {error}") from error
    try:
        reader = Reader(connection)
        try:
            reader.table(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            yield reader
        finally:
            reader.close()
    except dbapi.Error as error:
        raise StoreError(f"can't read {path}: {error}") from error
    finally:
        connection.close()
