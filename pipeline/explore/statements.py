"""What a statement of an analyst may be: one that reads, or that makes something in the session's own memory.

Owns: refusing all others, in whatever position they stand. Leaves to others: running statements (``session``).

Every node of a SELECT's syntax tree must be of a kind that reads: DuckDB 2 takes COPY, INSERT, UPDATE and DELETE within
WITH, and calls the whole a SELECT. Of the few other kinds of statements the words are looked at.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from pipeline.explore.queries import QueryError

_READING = (
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    duckdb.StatementType.SET,
    duckdb.StatementType.CREATE,
    duckdb.StatementType.DROP,
    duckdb.StatementType.MULTI,  # PIVOT
)
_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_RUNS_TEXT = "json_execute_serialized_sql"  # a statement from a value, which no tree shows
_REFUSED_WORDS = {
    "alter", "attach", "call", "copy", "delete", "detach", "execute", "export", "import", "insert", "install", "load",
    "merge", "pragma", "prepare", "secret", "truncate", "update", "vacuum", _RUNS_TEXT,
}  # fmt: skip
_TEXT_TOKENS = {duckdb.token_type.string_const, duckdb.token_type.comment}
_WORD = re.compile(r"\w+")


def parse(connection: duckdb.DuckDBPyConnection, text: str, name: str) -> list[duckdb.Statement]:
    """Return a text's statements; QueryError when one may write, or is not SQL."""
    try:
        statements = connection.extract_statements(text)
        for statement in statements:
            _refuse_writing(connection, statement, name)
    except duckdb.Error as error:
        raise QueryError(f"{name}: {str(error).strip()}") from error
    return statements


def _refuse_writing(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, name: str) -> None:
    found = "" if statement.type in _READING else statement.type.name.lower()
    found = found or next(_forbidden(connection, statement), "")
    if found:
        raise QueryError(
            f"{name}: {found} is not for 'foryou sql', which only reads; --output FILE writes rows"
        )


def _forbidden(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> Iterator[str]:
    if statement.type is duckdb.StatementType.SELECT:
        text = connection.execute("SELECT json_serialize_sql(?)", [statement.query]).fetchall()[0][0]
        tree = json.loads(text)
        if not tree["error"]:
            yield from _kinds_that_write(tree)
            return
    for word in _words(statement.query):
        if word in _REFUSED_WORDS:
            yield word


def _kinds_that_write(tree: Any) -> Iterator[str]:
    """Yield what writes in a syntax tree: 'copy' for a COPY_QUERY_NODE."""
    todo = [tree]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo.extend(item)
        elif isinstance(item, dict):
            kind = item.get("type")
            if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _NODES:
                yield kind.split("_")[0].lower()
            if item.get("class") == "FUNCTION" and str(item.get("function_name")).lower() == _RUNS_TEXT:
                yield _RUNS_TEXT
            todo.extend(item.values())


def _words(text: str) -> Iterator[str]:
    """Yield the words of a statement outside of texts and comments, in lower case."""
    raw = text.encode()
    tokens = duckdb.tokenize(text)
    for (begin, kind), (end, _) in zip(tokens, [*tokens[1:], (len(raw), None)], strict=True):
        if kind not in _TEXT_TOKENS:
            yield from _WORD.findall(raw[begin:end].decode(errors="replace").lower())
