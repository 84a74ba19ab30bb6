"""A DuckDB in memory that has the analysts' views and can change nothing.

Owns: opening it, what a query may do, and running one. Leaves to others: the views (``sql/explore/views.sql``) and the
copies that they read.

Everything is of one snapshot, as the last candidates run left it. Small tables are the exception: they are read from
the SQLite stores when a query names them, so that runs and counters are those of this moment.

Invariant: no file outside the data directory can be read, and no statement that writes a file runs.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

import sql
from pipeline.explore import table_copies
from pipeline.explore.queries import VIEWS, Query, QueryError, Value
from pipeline.store.analyst_snapshot import SNAPSHOT, copy_of, current_snapshot

MEMORY_SHARE = 0.25  # of the machine's memory, before a query spills to a temporary folder

_WORD = re.compile(r"\w+")
_WRITES = re.compile(r"\b(copy|export|attach|install)\b", re.IGNORECASE)
_NO_POLARS_TYPE = re.compile(r"\b(INTERVAL|UNION|BIT|BIGNUM|BLOB|TIME WITH TIME ZONE)\b")
_READING = (
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    duckdb.StatementType.SET,
    duckdb.StatementType.CREATE,
    duckdb.StatementType.DROP,
)


@contextmanager
def open_session(data_dir: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB with the views; QueryError when there is no snapshot yet."""
    snapshot = current_snapshot(data_dir)
    if snapshot is None or not copy_of(snapshot, SNAPSHOT).exists():
        raise QueryError(f"no lists yet in {data_dir}: run 'foryou batch' first")
    with tempfile.TemporaryDirectory(prefix="foryou-sql-") as spill:
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "memory_limit": f"{int(_memory_bytes() * MEMORY_SHARE / 2**20)}MiB",
                "temp_directory": spill,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        try:
            connection.execute("SET allowed_directories = ?", [[str(data_dir.absolute()), spill]])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            connection.execute("SET VARIABLE data_dir = ?", [str(data_dir.absolute())])
            try:
                connection.execute(sql.load(VIEWS))
            except duckdb.IOException as error:
                raise QueryError(f"a copy is missing: {_first_line(error)}; run 'foryou batch'") from error
            yield connection
        finally:
            connection.close()


def run(
    connection: duckdb.DuckDBPyConnection, data_dir: Path, query: Query, values: Mapping[str, Value]
) -> pl.DataFrame:
    """Run a query with these parameters and return the rows of its last statement.

    Raises QueryError when it is not SQL, would write, names what does not exist, or fails.
    """
    read_stores(connection, data_dir, query.text)
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])
    rows: pl.DataFrame | None = None
    try:
        for statement in connection.extract_statements(query.text):
            refuse_writing(statement, query.name)
            relation = connection.sql(statement.query)
            rows = None if relation is None else _as_known_types(relation).pl()
    except duckdb.Error as error:
        raise QueryError(f"{query.name}: {_first_line(error)}") from error
    if rows is None:
        raise QueryError(f"{query.name}: its last statement returns no rows")
    return rows


def _as_known_types(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return a relation in which values of types that Polars lacks are text."""
    strange = [_NO_POLARS_TYPE.search(str(kind)) is not None for kind in relation.types]
    if not any(strange):
        return relation
    columns = zip(map(duckdb.ColumnExpression, relation.columns), relation.columns, strange, strict=True)
    return relation.select(
        *(column.cast("VARCHAR").alias(name) if cast else column for column, name, cast in columns)
    )


def refuse_writing(statement: duckdb.Statement, name: str) -> None:
    """Raise QueryError for a statement that may write a file or change the session's limits."""
    writes = statement.type is duckdb.StatementType.EXPLAIN and _WRITES.search(statement.query)
    if statement.type not in _READING or writes:
        kind = statement.type.name.lower()
        raise QueryError(f"{name}: {kind} is not for 'foryou sql', which only reads; --output writes a file")


def read_stores(connection: duckdb.DuckDBPyConnection, data_dir: Path, text: str) -> None:
    """Replace the copies of the small tables that a query names by the stores' own rows."""
    words = {word.removeprefix("stored_") for word in _WORD.findall(text)}
    for table in table_copies.relations(words):
        table_copies.register_rows(connection, data_dir, table)
        query = sql.load(f"copies/{table.relation}")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE current_{table.relation} AS {query}")
        connection.execute(f"CREATE OR REPLACE VIEW stored_{table.relation} AS FROM current_{table.relation}")
        connection.unregister("store_rows")


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
