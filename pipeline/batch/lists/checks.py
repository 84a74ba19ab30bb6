"""The checks that finished lists must pass before anything becomes visible.

Owns: running every file of ``sql/checks`` and turning an offending row into a BatchError. Leaves to others:
what is checked; each file's header asks its question; looking through every entry of many lists
(``checks_compiled``).
"""

from collections.abc import Sequence

import duckdb

import sql
from pipeline.errors import BatchError

# The checks take about a microsecond an entry: of more lists than have so many entries, a sample is looked at.
SAMPLE_ENTRIES = 2_000_000


def check(connection: duckdb.DuckDBPyConnection, entries: int = 0) -> int:
    """Run every check over ``lists``, which have so many entries, and ``fallbacks``; return how many checks there are.

    Raises BatchError, naming the first check that found rows, and one of them.
    """
    names = sql.names("checks")
    every = max(1, entries // SAMPLE_ENTRIES)
    if every > 1:
        sample = f"SELECT * FROM main.lists WHERE hash(viewer_id) % {every} = 0"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE lists AS {sample}")
    try:
        _run(connection, names)
    finally:
        if every > 1:
            connection.execute("DROP TABLE temp.lists")
    return len(names)


def _run(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
    for name in names:
        found = connection.execute(sql.load(name))
        heads = [column[0] for column in found.description or []]
        rows = found.fetchall()
        if rows:
            example = ", ".join(f"{head} {value}" for head, value in zip(heads, rows[0], strict=True))
            check_name = name.removeprefix("checks/")
            raise BatchError(
                f"check {check_name} found {len(rows)} rows, nothing was published; for example {example}"
            )
