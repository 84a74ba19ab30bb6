"""The small tables of the stores, which a query sees as they are at this moment.

Owns: which tables those are, and reading them with the standard library alone: so it can be done before a process loads
its libraries and gives up its right to open stores. Leaves to others: copies of these and of the large tables
(``table_copies``), the columns (``sql/copies``).
"""

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sql import places
from sql.sqlite import connect, has_tables

SMALL: Mapping[str, tuple[str, str]] = {  # relation: store, table
    "generations": ("serving", "generations"),
    "runs": ("serving", "runs"),
    "counters": ("landing", "counters"),
    "gaps": ("landing", "gaps"),
    "streams": ("landing", "stream_cursors"),
}

Columns = dict[str, list[Any]]

_WORD = re.compile(r"\w+")


def named_in(text: str) -> list[str]:
    """Return the small tables that a query names, by their view or as they are stored."""
    words = {word.lower().removeprefix("stored_") for word in _WORD.findall(text)}
    return [relation for relation in SMALL if relation in words]


def read(data_dir: Path, relations: list[str]) -> dict[str, Columns]:
    """Return the columns of small tables, but of those whose store does not have them yet."""
    found: dict[str, Columns] = {}
    for relation in relations:
        store, table = SMALL[relation]
        path = places.store(data_dir, store)
        if not has_tables(path, table):
            continue
        with closing(connect(path, read_only=True)) as connection:
            cursor = connection.execute(f"SELECT * FROM {table}")
            rows = cursor.fetchall()
            found[relation] = {
                column[0]: [row[number] for row in rows] for number, column in enumerate(cursor.description)
            }
    return found
