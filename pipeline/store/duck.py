"""An in-memory DuckDB with bounds.

Owns: what every DuckDB of ours has in common: it spills to a folder of the data directory, keeps to its
memory and threads, and downloads nothing.
"""

from pathlib import Path

import duckdb


def open_duckdb(folder: Path, threads: int, memory_mb: int) -> duckdb.DuckDBPyConnection:
    """Return one that spills to a folder, which is made if need be; ``memory_mb`` is what it may hold."""
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
