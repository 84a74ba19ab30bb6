"""Copies of the stores' small tables, for programs that can read Parquet but not SQLite.

Owns: copying them. Leaves to others: when (``after_batch``), which the smallest are (``stored_tables``), the columns
(``sql/copies``), and likes, posts, actors and lists, which a candidates run copies itself (``batch.analyst_copies``).

Every copy exists after the first call, an empty one where the store or its table is missing. So
``sql/explore/views.sql`` works as soon as there are lists.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

import sql
from pipeline.explore.stored_tables import SMALL
from pipeline.store.analyst_snapshot import (
    OPEN_IMPRESSIONS,
    copy_of,
    current_snapshot,
    make_snapshot,
    working_folder,
)
from pipeline.store.arrow import reading
from pipeline.store.duck import copy_to, open_duckdb, parquet
from pipeline.store.model import DAY_US
from sql import places
from sql.sqlite import has_tables

THREADS, MEMORY_MB = 2, 2048
_COLUMN = re.compile(r"(\w+)::\w+ AS")  # the columns that a file of sql/copies reads


@dataclass(frozen=True, slots=True)
class Copied:
    """A table of a SQLite store and the relation it becomes."""

    relation: str
    store: str
    table: str

    @property
    def file(self) -> str:
        """The copy's name: impressions lie beside the lake's days, so that one pattern finds both."""
        return OPEN_IMPRESSIONS if self.relation == "impressions" else self.relation


TABLES = (
    *(Copied(relation, *table) for relation, table in SMALL.items()),
    Copied("interactions", "activity", "interactions"),
    Copied("visits", "activity", "visits"),
    Copied("impressions", "activity", "impressions"),
)


def export(data_dir: Path) -> None:
    """Replace the copies; StoreError when a store can't be read."""
    with working_folder(data_dir) as folder, open_duckdb(folder, THREADS, MEMORY_MB) as connection:
        finished = {}
        for number, table in enumerate(TABLES):
            path = folder / f"{number}.parquet"
            register_rows(connection, data_dir, table, rows_of(data_dir, table))
            query = sql.load(f"copies/{table.relation}")
            finished[table.file] = copy_to(connection, query, path)
        make_snapshot(data_dir, finished)


def register_rows(
    connection: duckdb.DuckDBPyConnection, data_dir: Path, table: Copied, rows: pa.Table
) -> None:
    """Make the relations ``store_rows``, of a table's rows in its store, and ``previous_copy``."""
    connection.register("store_rows", rows)
    snapshot = current_snapshot(data_dir)
    former = None if snapshot is None else copy_of(snapshot, table.file)
    if former is not None and former.exists():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW previous_copy AS FROM {parquet(former)}")
    else:
        connection.execute("CREATE OR REPLACE TEMP VIEW previous_copy AS FROM store_rows")


def rows_of(data_dir: Path, table: Copied) -> pa.Table:
    """Return a table's rows, none when the store or the table does not exist yet."""
    path = places.store(data_dir, table.store)
    if not has_tables(path, table.table):
        columns = _COLUMN.findall(sql.load(f"copies/{table.relation}"))
        return pa.table({column: pa.nulls(0) for column in columns})
    query = f"SELECT * FROM {table.table}"
    if table.file == OPEN_IMPRESSIONS:
        present = ",".join(str(day) for day in sorted(places.impression_days(data_dir)))
        query += f" WHERE served_us / {DAY_US} NOT IN ({present})"
    with reading(path) as reader:
        return reader.table(query)
