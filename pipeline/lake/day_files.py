"""The lake's files: what is in them, and writing one so that it is complete or absent.

Owns: how a like is stored in Parquet, drafts, the rename, and checking a file's bytes. Leaves to others: where files
are (``sql.places``), which rows belong in a day (``merge``).

Invariant: a day is in the lake exactly when its file of likes exists; the rename that makes it exist is the commit.

A like is stored relative to its post and to its own time, since small differences take few bytes. Rows are sorted by
post. ``sql/lake/stored_rows.sql`` converts likes to that form; the macro ``lake_likes`` of ``sql/lake/macros.sql``
returns the five columns. Nothing is lost, also for rkeys that are not TIDs. Every page has a checksum.
"""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StoreError
from pipeline.lake.reader import WORD_SCHEMA
from pipeline.store.fsync import sync
from sql import places

ROW_GROUP_ROWS = 1_000_000
CHANGES_GROUP_ROWS = 100_000
CHANGES = WORD_SCHEMA.append(pa.field("settled", pa.bool_()))


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
        write_page_checksum=True,
        use_dictionary=["clock"],
        column_encoding={
            "author_id": "DELTA_BINARY_PACKED",
            "post_rkey": "DELTA_BINARY_PACKED",
            "liker_id": "DELTA_BINARY_PACKED",
            "since_post_us": "DELTA_BINARY_PACKED",
            "lag_us": "DELTA_BINARY_PACKED",
        },
    )


def draft_likes(data_dir: Path, day: int, rows: pa.Table) -> Path:
    """Write a day's stored rows as a draft, ready to be committed as ``places.likes``."""
    return write_draft(data_dir, f"likes-{places.day_name(day)}.parquet", partial(write_likes, rows=rows))


def draft_changes(data_dir: Path, day: int, rows: pa.Table) -> Path:
    """Write a day's changes (rows of CHANGES) as a draft, ready to be committed as ``places.changes_file``."""
    stored = rows.select(CHANGES.names).cast(CHANGES)
    # What is deleted has no post and needs no time. Settled rows have groups of their own, which readers skip.
    write = partial(
        pq.write_table,
        stored,
        compression="zstd",
        write_page_checksum=True,
        use_dictionary=False,
        column_encoding={"rkey": "DELTA_BINARY_PACKED", "liker_id": "DELTA_BINARY_PACKED"},
        row_group_size=CHANGES_GROUP_ROWS,
    )
    return write_draft(data_dir, f"changes-{places.day_name(day)}.parquet", write)


def check(*paths: Path) -> None:
    """Read files whole and compare every page with its checksum; StoreError names a file that is damaged."""
    for path in paths:
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for group in range(file.num_row_groups):
                    file.read_row_group(group, use_threads=False)
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: text that is no text
            raise StoreError(
                f"{path} is damaged ({error}): put the file of a backup in its place, or remove its day's folders "
                "and run 'foryou backfill --gaps'"
            ) from error


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
    """Remove a day from the lake, with its changes: they are about no other day's records."""
    likes, changes = places.likes(data_dir, day), places.changes_of(data_dir, day)
    for path in (likes, *(() if changes is None else (changes.path,))):
        if path.exists():
            path.unlink()
            sync(path.parent)
        shutil.rmtree(path.parent, ignore_errors=True)
