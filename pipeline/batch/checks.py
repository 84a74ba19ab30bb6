"""The checks that finished lists must pass before anything becomes visible.

Owns: running every file of ``sql/checks`` and turning an offending row into a BatchError. Leaves to others:
what is checked; each file's header asks its question.
"""

import duckdb

import sql
from pipeline.errors import BatchError


def check(connection: duckdb.DuckDBPyConnection) -> int:
    """Run every check over ``lists`` and ``fallbacks``; return how many there are.

    Raises BatchError, naming the first check that found rows, and one of them.
    """
    names = sql.names("checks")
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
    return len(names)
