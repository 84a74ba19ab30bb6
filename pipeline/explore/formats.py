"""Rows as a table for people, CSV, JSON or Parquet.

Owns: the four forms. Times are UTC, without a zone in text: '2026-11-24 10:00:00'. A table shows at most
TABLE_ROWS rows and says how many there are; the other forms are complete and keep their types.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from pipeline.explore.queries import QueryError
from pipeline.explore.session import Answer

TABLE_ROWS = 200


def write(answer: Answer, form: str, target: BinaryIO) -> None:
    """Write an answer in one of FORMS."""
    FORMS[form](answer, target)


def write_file(answer: Answer, form: str, path: Path) -> None:
    """Write an answer to a new file, which replaces one of the same name once it is whole."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as target:
            write(answer, form, target)
        temporary.replace(path)
    except OSError as error:
        raise QueryError(f"can't write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def text_of(value: Any) -> str:
    """Return a value as a table and CSV show it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, default=_plain)
    return str(value)


def _table(answer: Answer, target: BinaryIO) -> None:
    columns, rows = answer.columns, answer.rows()
    shown = [[_cell(value) for value in row] for row in rows[:TABLE_ROWS]]
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
    right = [
        all(row[i] is None or isinstance(row[i], int | float | Decimal) for row in rows[:TABLE_ROWS])
        for i in range(len(columns))
    ]

    def line(cells: list[str]) -> str:
        padded = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"

    text = line(columns) + line(["─" * width for width in widths]) + "".join(map(line, shown))
    if len(rows) > TABLE_ROWS:
        text += f"… {len(rows):,} rows in all; --format csv or json shows every one\n"
    elif not rows:
        text += "no rows\n"
    target.write(text.encode())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return text_of(value)


def _csv(answer: Answer, target: BinaryIO) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([text_of(value) for value in row] for row in answer.rows())
    target.write(text.getvalue().encode())


def _json(answer: Answer, target: BinaryIO) -> None:
    columns = answer.columns
    rows = [dict(zip(columns, row, strict=True)) for row in answer.rows()]
    target.write(json.dumps(rows, default=_plain, indent=1, ensure_ascii=False).encode() + b"\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat(sep=" ") if isinstance(value, datetime) else (
        value.isoformat() if isinstance(value, date) else str(value)
    )  # fmt: skip


def _parquet(answer: Answer, target: BinaryIO) -> None:
    pq.write_table(answer.table, target, compression="zstd")


FORMS: Mapping[str, Callable[[Answer, BinaryIO], None]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
