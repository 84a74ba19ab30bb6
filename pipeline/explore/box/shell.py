"""``foryou sql`` at a terminal: statements one after another, in one session.

Owns: reading lines, and the few commands that begin with a point. Leaves to others: running SQL (``session``).

The history of lines is in memory alone. Views stay with their snapshot as long as it exists; then they are made anew.
"""

import shlex
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb

from pipeline.explore import formats, queries, session
from pipeline.explore.box import stop
from pipeline.explore.queries import Query, QueryError
from pipeline.store.analyst_snapshot import current_snapshot

PROMPT, MORE = "foryou> ", "   ...> "
HELP = """\
A statement ends with a semicolon: FROM likes LIMIT 5;
.queries             list the named queries and their parameters
.run NAME --hours 6  run one of them
.views               list the views
.columns VIEW        what a view's columns are
.refresh             read the newest snapshot
.quit                leave, as Ctrl-D does"""

VIEWS_QUERY = (
    "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal AND comment IS NOT NULL "
    "ORDER BY view_oid"
)
COLUMNS_QUERY = (
    "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal "
    "AND table_name = getvariable('view') ORDER BY column_index"
)


def run(connection: duckdb.DuckDBPyConnection, data_dir: Path, form: str, max_rows: int) -> None:
    """Answer lines of standard input until they end."""
    snapshot = current_snapshot(data_dir)
    _complete(connection)
    print("foryou sql: the views are loaded, nothing can be changed. .help says what else there is")
    for text in _inputs():
        if snapshot is None or not snapshot.exists():
            snapshot = _refresh(connection, data_dir)
        try:
            query = queries.parse("query", text)
            values: dict[str, queries.Value] = {}
            if text.startswith("."):
                command, *rest = shlex.split(text)
                if command == ".quit":
                    return
                if command == ".refresh":
                    snapshot = _refresh(connection, data_dir)
                    continue
                found = _command(command, rest)
                if isinstance(found, str):
                    print(found)
                    continue
                query, values = found
            with stop.stoppable(connection):
                for rows in session.results(connection, query, values, max_rows):
                    formats.write([rows], form, sys.stdout.buffer, query.name)
                    sys.stdout.flush()
        except QueryError as error:
            print(error)
        except ValueError as error:
            print(f"can't read that line: {error}")
        except KeyboardInterrupt:
            print("stopped")


def _command(command: str, rest: list[str]) -> str | tuple[Query, dict[str, queries.Value]]:
    """Return the text that answers a command, or the query that does."""
    match command, rest:
        case ".help", []:
            return HELP
        case ".queries", []:
            return queries.listing()
        case ".run", [name, *given]:
            query = queries.find(name)
            return query, query.values(queries.parameters_of(given))
        case ".views", []:
            return queries.parse("views", VIEWS_QUERY), {}
        case ".columns", [view]:
            return queries.parse("columns", COLUMNS_QUERY), {"view": view}
        case _:
            raise QueryError(f"{' '.join([command, *rest])}: no such command; .help lists them")


def _inputs() -> Iterator[str]:
    """Yield what is typed: a command, or statements up to a semicolon; Ctrl-C drops what was begun."""
    text = ""
    while True:
        try:
            with stop.raised():
                line = input(MORE if text else PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            text = ""
            continue
        if not text and line.strip().startswith("."):
            yield line.strip()
            continue
        text = f"{text}\n{line}" if text else line
        if not text.strip():
            text = ""
        elif sqlite3.complete_statement(text):
            yield text
            text = ""


def _refresh(connection: duckdb.DuckDBPyConnection, data_dir: Path) -> Path | None:
    try:
        snapshot = session.make_views(connection, data_dir)
    except QueryError as error:
        print(error)
        return None
    print("the views are those of the newest snapshot now")
    return snapshot


def _complete(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the tabulator key complete the names of views, columns and macros, where Python has readline."""
    with suppress(ImportError):
        import readline

        query = (
            "SELECT view_name FROM duckdb_views() WHERE NOT internal UNION "
            "SELECT column_name FROM duckdb_columns() WHERE NOT internal UNION "
            "SELECT function_name FROM duckdb_functions() WHERE NOT internal"
        )
        names = sorted(row[0] for row in connection.execute(query).fetchall())
        names += [word for word in HELP.split() if word.startswith(".")] + list(queries.names())

        def complete(text: str, state: int) -> str | None:
            found = [name for name in names if name.startswith(text.lower())]
            return found[state] if state < len(found) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" \t\n(),;=<>'\"")
        readline.parse_and_bind("tab: complete")
