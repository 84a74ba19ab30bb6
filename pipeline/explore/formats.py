"""Rows as a table for people, CSV, JSON, Parquet or a SQLite file.

Owns: the five forms. In all but Parquet times are texts in UTC without a zone: '2026-11-24 10:00:00'. A table shows at
most TABLE_ROWS rows and says how many there are; the others are complete. Parquet keeps every type, CSV every digit.
Tables may follow one another, and a SQLite file holds several; the other forms have the rows of one result.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any, BinaryIO

import polars as pl
import polars.selectors as cs

from pipeline.explore.queries import QueryError

TABLE_ROWS = 200
_STYLE: Mapping[str, Any] = {
    "tbl_formatting": "NOTHING",
    "tbl_hide_dataframe_shape": True,
    "tbl_hide_column_data_types": True,
    "tbl_cell_numeric_alignment": "RIGHT",
    "fmt_float": "full",
    "thousands_separator": ",",
    "tbl_rows": -1,
    "tbl_cols": -1,
    "tbl_width_chars": 65_535,
    "fmt_str_lengths": 65_535,
}


def write(results: Iterable[pl.DataFrame], form: str, target: BinaryIO, name: str) -> None:
    """Write results in one of FORMS; QueryError when there is none, or are more than the form holds."""
    number = 0
    if form == "table":
        for number, rows in enumerate(results, 1):
            if number > 1:
                target.write(b"\n")
            _table(rows, target)
            target.flush()
    else:
        found = list(results)
        number = len(found)
        if form == "sqlite" and found:
            _sqlite(found, target, name)
        elif number == 1:
            FORMS[form](found[0], target)
        elif number > 1:
            raise QueryError(
                f"{name}: {number} of its statements return rows, {form} has room for one: use table or sqlite"
            )
    if not number:
        raise QueryError(f"{name}: none of its statements returns rows")


def _table(rows: pl.DataFrame, target: BinaryIO) -> None:
    number = cs.float()
    short = pl.when(number.abs() < 1000).then(number.round_sig_figs(4)).otherwise(number.round(1))
    shown = _flat(rows.head(TABLE_ROWS)).with_columns(short)
    with pl.Config(**_STYLE):
        text = "".join(line.rstrip()[1:] + "\n" for line in str(shown).splitlines())
    if len(rows) > TABLE_ROWS:
        text += f"… {len(rows):,} rows in all; --format csv or json shows every one\n"
    elif rows.is_empty():
        text += "no rows\n"
    target.write(text.encode())


def _csv(rows: pl.DataFrame, target: BinaryIO) -> None:
    _flat(rows).write_csv(target, datetime_format="%Y-%m-%d %H:%M:%S%.f", time_format="%H:%M:%S%.f")


def _json(rows: pl.DataFrame, target: BinaryIO) -> None:
    numbers = [
        pl.col(name).cast(pl.Float64 if kind.scale else pl.Int128)
        for name, kind in rows.schema.items()
        if isinstance(kind, pl.Decimal)
    ]
    lines = _plain(rows).with_columns(numbers).write_ndjson().rstrip("\n")
    target.write(b"[" + lines.replace("\n", ",\n ").encode() + b"]\n")


def _parquet(rows: pl.DataFrame, target: BinaryIO) -> None:
    rows.write_parquet(target, compression="zstd")


def _sqlite(results: list[pl.DataFrame], target: BinaryIO, name: str) -> None:
    """Write a SQLite file with a table for each result: NAME, or NAME_1, NAME_2 and so on."""
    table = re.sub(r"\W", "_", name.removesuffix(".sql")) or "rows"
    with closing(sqlite3.connect(":memory:")) as connection:
        for number, rows in enumerate(results, 1):
            flat = _flat(rows).with_columns(
                cs.datetime().dt.to_string("%Y-%m-%d %H:%M:%S%.f"), (cs.date() | cs.time()).cast(pl.String),
                cs.decimal().cast(pl.Float64),
            )  # fmt: skip
            named = table if len(results) == 1 else f"{table}_{number}"
            columns = ", ".join(
                f"{_quoted(column)} {_sqlite_type(kind)}" for column, kind in flat.schema.items()
            )
            connection.execute(f"CREATE TABLE {_quoted(named)} ({columns})")
            marks = ", ".join("?" * flat.width)
            fits = [
                pl.col(column).cast(pl.Int64, strict=False)
                for column, kind in flat.schema.items()
                if kind.is_integer()
            ]
            connection.executemany(
                f"INSERT INTO {_quoted(named)} VALUES ({marks})", flat.with_columns(fits).iter_rows()
            )
        connection.commit()
        target.write(connection.serialize())


def _sqlite_type(kind: pl.DataType) -> str:
    if kind.is_integer() or kind == pl.Boolean:
        return "INTEGER"
    return "REAL" if kind.is_float() else "TEXT"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows without nested values: those as JSON."""
    nested = [
        pl.Series(
            name,
            [None if value is None else json.dumps(value, default=str) for value in rows[name].to_list()],
        )
        for name, kind in rows.schema.items()
        if kind.is_nested()
    ]
    return _plain(rows).with_columns(nested)


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with times in UTC, and with floats as doubles: digits that say exactly what is stored."""
    zoned = cs.datetime(time_zone="*")
    return rows.with_columns(
        zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None), cs.float().cast(pl.Float64)
    )


FORMS: Mapping[str, Callable[[pl.DataFrame, BinaryIO], None]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
