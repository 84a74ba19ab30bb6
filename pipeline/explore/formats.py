"""Rows as a table for people, CSV, JSON or Parquet.

Owns: the four forms, all written by Polars. In the three that are text, times are UTC without a zone:
'2026-11-24 10:00:00'. A table shows at most TABLE_ROWS rows and says how many there are; the other forms are
complete. Parquet keeps every type, CSV every digit.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
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


def write(rows: pl.DataFrame, form: str, target: BinaryIO) -> None:
    """Write rows in one of FORMS."""
    FORMS[form](rows, target)


def write_file(rows: pl.DataFrame, form: str, path: Path) -> None:
    """Write rows to a new file, which replaces one of the same name once it is whole."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as target:
            write(rows, form, target)
        temporary.replace(path)
    except OSError as error:
        raise QueryError(f"can't write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


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
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
