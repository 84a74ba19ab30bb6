"""The lake's files: what is in them, and writing one so that it is complete or absent.

Owns: how a like is stored in Parquet, drafts, and the rename. Leaves to others: where files are (``sql.places``), which
rows belong in a day (``compact``).

Invariant: a day is in the lake exactly when its file of likes exists; the rename that makes it exist is the commit.

A like is stored relative to its post and to its own time, since small differences take few bytes. Rows are sorted by
post. ``sql/lake/stored_rows.sql`` converts likes to that form; the macro ``lake_likes`` of ``sql/lake/macros.sql``
returns the five columns. Nothing is lost, also for rkeys that are not TIDs.
"""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.fsync import sync
from sql import places

ROW_GROUP_ROWS = 1_000_000
UNLIKES = pa.schema([("liker_id", pa.int32()), ("rkey", pa.int64()), ("seen_us", pa.int64())])


def write_likes(path: Path, rows: pa.Table) -> None:
    """Write stored rows as Parquet, with the smallest encodings that the duckdb program reads too.

    tests/bench/RESULTS.md compares them; BYTE_STREAM_SPLIT is up to 0.5 bytes a like smaller, but DuckDB 1.5 can't
    read it of integers.
    """
    pq.write_table(
        rows,
        path,
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=["clock"],
        column_encoding={
            "author_id": "DELTA_BINARY_PACKED",
            "post_rkey": "DELTA_BINARY_PACKED",
            "liker_id": "DELTA_BINARY_PACKED",
            "since_post_us": "DELTA_BINARY_PACKED",
            "lag_us": "DELTA_BINARY_PACKED",
        },
    )


def write_day(data_dir: Path, day: int, rows: pa.Table) -> Path:
    """Write a day's stored rows as a draft, ready to be committed as ``places.likes``."""
    return write_draft(data_dir, f"likes-{places.day_name(day)}.parquet", partial(write_likes, rows=rows))


def replace_unlikes(data_dir: Path, day: int, rows: pa.Table) -> None:
    """Put a day's tombstones (liker_id, rkey, seen_us) in the lake, with one rename."""
    stored = rows.select(UNLIKES.names).cast(UNLIKES)
    write = partial(pq.write_table, stored, compression="zstd")
    commit(
        write_draft(data_dir, f"unlikes-{places.day_name(day)}.parquet", write),
        places.unlikes(data_dir, day),
    )


def clear_drafts(data_dir: Path) -> None:
    """Remove the drafts of a killed run."""
    shutil.rmtree(places.lake_drafts(data_dir), ignore_errors=True)


def write_draft(data_dir: Path, name: str, write: Callable[[Path], Any]) -> Path:
    """Write a draft and sync it to the disk; return its path."""
    folder = places.lake_drafts(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    write(path)
    sync(path)
    sync(folder)
    return path


def commit(temporary: Path, final: Path) -> None:
    """Rename a draft to its final name, which makes it part of the lake."""
    final.parent.mkdir(parents=True, exist_ok=True)
    sync(final.parent.parent)
    os.replace(temporary, final)
    sync(final.parent)


def remove_day(data_dir: Path, day: int) -> None:
    """Remove a day from the lake, with its tombstones: they undo only likes of that day and earlier ones."""
    for path in (places.likes(data_dir, day), places.unlikes(data_dir, day)):
        if path.exists():
            path.unlink()
            sync(path.parent)
        shutil.rmtree(path.parent, ignore_errors=True)
