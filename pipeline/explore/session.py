"""A DuckDB in memory that has the analysts' views and can change nothing.

Owns: opening it, its bounds, and running a query. Leaves to others: the views (``sql/explore/views.sql``) and the
copies that they read, which statements may run (``statements``), the process around it (``box``).

Everything is of one snapshot, as the last candidates run left it. Small tables are the exception: whoever opens a
session hands over their rows as the stores have them, so that runs and counters are those of this moment.

Invariant: nothing is read but snapshots, the lake and what the user named; no statement that writes a file runs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

import sql
from pipeline.explore import statements, stored_tables, table_copies
from pipeline.explore.box import limits
from pipeline.explore.queries import VIEWS, Query, QueryError, Value
from pipeline.store.analyst_snapshot import SNAPSHOT, copy_of, current_snapshot
from sql.temporary_folders import temporary_folder

_BATCH_ROWS = 65_536
_NO_POLARS_TYPE = re.compile(r"\b(INTERVAL|UNION|BIT|BIGNUM|BLOB|TIME WITH TIME ZONE)\b")
_WITH_ROWS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)
_GLOB = re.compile(r"([*?[])")


@contextmanager
def open_session(
    data_dir: Path, threads: int, *, spill: Path | None = None, named: Sequence[Path] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB with the views; QueryError when there is no snapshot yet.

    ``named`` are other files and folders that a query may read.
    """
    if spill is None:
        with (
            temporary_folder("sql") as folder,
            open_session(data_dir, threads, spill=folder, named=named) as connection,
        ):
            yield connection
        return
    data_dir = data_dir.absolute()
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": f"{limits.memory_bytes() // 2**20}MiB",
            "temp_directory": str(spill),
            "max_temp_directory_size": f"{limits.spill_bytes(spill) // 2**20}MiB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        },
    )
    try:
        within = [*limits.folders(data_dir), *(path for path in named if path.is_dir())]
        files = [path for path in named if not path.is_dir()]
        connection.execute("SET allowed_directories = ?", [[*_spelled(within), str(spill)]])
        connection.execute("SET allowed_paths = ?", [_spelled(files)])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        make_views(connection, data_dir)
        yield connection
    finally:
        connection.close()


def make_views(connection: duckdb.DuckDBPyConnection, data_dir: Path) -> Path:
    """Make the views, or make them anew, of the newest snapshot; return its folder."""
    snapshot = current_snapshot(data_dir)
    if snapshot is None or not copy_of(snapshot, SNAPSHOT).exists():
        raise QueryError(f"no lists yet in {data_dir}: run 'foryou batch' first")
    connection.execute("SET VARIABLE data_dir = ?", [str(data_dir.absolute())])
    try:
        connection.execute(sql.load(VIEWS))
    except duckdb.IOException as error:
        raise QueryError(f"a copy is missing: {_first_line(error)}; run 'foryou batch'") from error
    return snapshot


def run(
    connection: duckdb.DuckDBPyConnection, data_dir: Path, query: Query, values: Mapping[str, Value]
) -> pl.DataFrame:
    """Run a query with these parameters on the stores of this moment; return the rows of its last result."""
    put_stores(connection, data_dir, stored_tables.read(data_dir, stored_tables.named_in(query.text)))
    found = list(results(connection, query, values))
    if not found:
        raise QueryError(f"{query.name}: none of its statements returns rows")
    return found[-1]


def results(
    connection: duckdb.DuckDBPyConnection,
    query: Query,
    values: Mapping[str, Value],
    max_rows: int = limits.MAX_ROWS,
) -> Iterator[pl.DataFrame]:
    """Run a query with these parameters; yield the rows of each statement that returns any.

    Raises QueryError when it is not SQL, would write, names what does not exist, returns too much, or fails. When one
    of the statements would write, none runs.
    """
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])
    for statement in statements.parse(connection, query.text, query.name):
        try:
            relation = connection.sql(statement.query)
            if relation is not None and statement.type in _WITH_ROWS:
                yield _bounded(_as_known_types(relation), query.name, max_rows)
        except duckdb.Error as error:
            raise QueryError(f"{query.name}: {_with_place(connection, statement, error)}") from error
        except MemoryError:
            raise QueryError(f"{query.name}: it needs more memory than a query may take") from None


def put_stores(
    connection: duckdb.DuckDBPyConnection, data_dir: Path, stores: Mapping[str, stored_tables.Columns]
) -> None:
    """Replace the copies of small tables by the stores' own rows."""
    for table in table_copies.TABLES:
        if table.relation not in stores:
            continue
        rows = pa.table(stores[table.relation])
        table_copies.register_rows(connection, data_dir, table, rows)
        query = sql.load(f"copies/{table.relation}")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE current_{table.relation} AS {query}")
        connection.execute(f"CREATE OR REPLACE VIEW stored_{table.relation} AS FROM current_{table.relation}")
        connection.unregister("store_rows")


def _bounded(relation: duckdb.DuckDBPyRelation, name: str, max_rows: int) -> pl.DataFrame:
    """Return a relation's rows; QueryError when they are too many to hold."""
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows > max_rows or size > limits.result_bytes():
            most = f"{max_rows:,} rows" if rows > max_rows else f"{limits.result_bytes() // 2**20:,} MiB"
            reader.close()
            raise QueryError(f"{name}: more than {most}: select less, or set --max-rows")
    table = pa.Table.from_batches(batches, reader.schema)
    found = pl.from_arrow(table.rename_columns(_distinct(table.column_names)))
    assert isinstance(found, pl.DataFrame)
    return found


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of columns of which none occurs twice: a, a_1, a_2."""
    found: list[str] = []
    for name in names:
        number, distinct = 0, name
        while distinct in found:
            number += 1
            distinct = f"{name}_{number}"
        found.append(distinct)
    return found


def _with_place(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, error: duckdb.Error
) -> str:
    """Return what went wrong, with the place in the text where DuckDB can name it: relations do not."""
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        try:  # it fails again before anything runs
            connection.execute(statement.query)
        except duckdb.Error as again:
            error = again
    if isinstance(error, duckdb.OutOfMemoryException):  # what DuckDB advises are settings, which are locked
        return f"{_first_line(error)}; a query may take {limits.memory_bytes() // 2**20:,} MiB: select less"
    return str(error).strip()


def _spelled(paths: Sequence[Path]) -> list[str]:
    """Return paths as they are, and as patterns that mean just them: where DuckDB sees a pattern, it compares that."""
    return [spelling for path in paths for spelling in {str(path), _GLOB.sub(r"[\1]", str(path))}]


def _as_known_types(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return a relation in which values of types that Polars lacks are text."""
    strange = [_NO_POLARS_TYPE.search(str(kind)) is not None for kind in relation.types]
    if not any(strange):
        return relation
    columns = zip(map(duckdb.ColumnExpression, relation.columns), relation.columns, strange, strict=True)
    return relation.select(
        *(column.cast("VARCHAR").alias(name) if cast else column for column, name, cast in columns)
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
