"""DuckDB: opening one with bounds, and the few statements that every user of it needs.

Owns: the limits of every in-memory DuckDB of ours (it spills to a folder that its user names, keeps to its memory
and threads, and downloads nothing), paths in SQL, and rows between DuckDB, Arrow, numpy and Parquet. Leaves to others:
which rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from numpy.typing import NDArray


def open_duckdb(folder: Path, threads: int, memory_mb: int) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB of at most ``memory_mb`` MiB that spills to a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": f"{memory_mb}MiB",
            "temp_directory": str(folder / "duckdb"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


def quoted(path: Path) -> str:
    """Return a path as a string literal of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def listed(*paths: Path) -> str:
    """Return paths as a list of SQL."""
    return f"[{', '.join(map(quoted, paths))}]"


def parquet(*paths: Path, by_name: bool = False) -> str:
    """Return a table function of SQL that reads the rows of all these Parquet files; ``by_name`` if columns differ."""
    options = ", union_by_name = true" if by_name else ""
    return f"read_parquet({listed(*paths)}{options})"


def copy_to(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> Path:
    """Write a query's rows as Parquet; return the path."""
    connection.execute(f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)")
    return path


def count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    """Return how many rows a relation has."""
    return int(connection.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])


def columns(connection: duckdb.DuckDBPyConnection, query: str, *values: Any) -> list[NDArray[Any]]:
    """Return a query's columns as numpy arrays, in the order of its SELECT."""
    return list(connection.execute(query, list(values)).fetchnumpy().values())


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, **relations: Any) -> Iterator[None]:
    """Give Arrow tables, or streams of batches, names in SQL while the block lasts."""
    for name, rows in relations.items():
        connection.register(name, rows)
    try:
        yield
    finally:
        for name in relations:
            connection.unregister(name)


def put(connection: duckdb.DuckDBPyConnection, table: str, rows: Any) -> None:
    """Make a table of Arrow rows, in place of one of that name."""
    with registered(connection, arrow_rows=rows):
        connection.execute(f"CREATE OR REPLACE TABLE {table} AS FROM arrow_rows")


def append(connection: duckdb.DuckDBPyConnection, table: str, rows: Any) -> None:
    """Add Arrow rows to a table; its columns give the rows their types."""
    with registered(connection, arrow_rows=rows):
        connection.execute(f"INSERT INTO {table} FROM arrow_rows")
