"""Every SQL statement of more than one line, one query a file, and the way to load it.

Owns: finding a query by name (``load``), opening and migrating the project's SQLite files (``sql.sqlite``), and what
else of files both ``pipeline`` and ``serving`` agree on: where they are (``places``), which machine has whose
(``shards``), folders that end with their process (``temporary_folders``). Leaves to others: what the queries mean; each
file's header says that.

``sql/README.md`` says which engine runs each folder. This package imports the standard library alone, so that both
``pipeline`` and ``serving`` may use it.
"""

from functools import cache
from importlib.resources import files


@cache
def load(name: str) -> str:
    """Return the text of one query, named ``folder/query`` without ``.sql``.

    Raises FileNotFoundError when there is no such query.
    """
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


@cache
def names(folder: str) -> tuple[str, ...]:
    """Return the names of the queries of one folder, sorted, as ``load`` takes them."""
    entries = files(__name__).joinpath(folder).iterdir()
    return tuple(sorted(f"{folder}/{entry.name[:-4]}" for entry in entries if entry.name.endswith(".sql")))
