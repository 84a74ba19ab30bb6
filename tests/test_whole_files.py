"""Files that are replaced while others read them: who reads gets the rows of one of them, whole."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.duck import parquet
from pipeline.store.linked_files import kept
from pipeline.store.whole_files import read, whole

SIZES = (10, 150_000)  # rows of the files that take turns: their columns lie at different places


def numbers(rows: int) -> pa.Table:
    """Return rows of which each says how many there are."""
    return pa.table(
        {"rows": pa.array([rows] * rows, pa.int64()), "number": pa.array(range(rows), pa.int64())}
    )


def _replace_without_end(path: Path, tables: tuple[pa.Table, ...]) -> None:
    while True:
        for table in tables:
            with whole(path, synced=False) as draft:
                pq.write_table(table, draft)


@contextlib.contextmanager
def replaced_without_end(path: Path) -> Iterator[None]:
    """Let another process replace the file over and over."""
    tables = tuple(numbers(rows) for rows in SIZES)
    pq.write_table(tables[0], path)
    process = multiprocessing.get_context("fork").Process(target=_replace_without_end, args=(path, tables))
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def by_kept(path: Path, folder: Path) -> tuple[int, int]:
    """Read the file three times in one query of DuckDB, as lists' runs read newer neighbours."""
    file = parquet(kept(path, folder))
    query = (
        f"FROM {file} ANTI JOIN (SELECT 0 AS number FROM {file} LIMIT 1) USING (number) UNION ALL FROM {file}"
    )
    with duckdb.connect() as connection:
        said, found = connection.execute(f"SELECT max(rows), count(*) FROM ({query})").fetchone()  # type: ignore[misc]
    return 2 * said - 1, found


def by_read(path: Path, folder: Path) -> tuple[int, int]:
    """Read the file's rows at once."""
    rows = read(path)
    return rows["rows"][0].as_py(), len(rows)


# So many reads of the file itself, or by ``pq.read_table``, fail nearly always.
@pytest.mark.parametrize(("reader", "reads"), [(by_kept, 60), (by_read, 400)])
def test_a_file_that_is_replaced_is_read_as_one_of_them(
    tmp_path: Path, reader: Callable[[Path, Path], tuple[int, int]], reads: int
) -> None:
    path, done, seen = tmp_path / "rows.parquet", 0, set()
    with replaced_without_end(path):
        while len(seen) < len(SIZES) or done < reads:
            said, found = reader(path, tmp_path / "kept")
            assert found == said
            seen.add(said)
            done += 1


def test_what_fails_leaves_the_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "text"
    with whole(path) as draft:
        draft.write_text("first")
    with contextlib.suppress(ZeroDivisionError), whole(path) as draft:
        draft.write_text("second")
        raise ZeroDivisionError
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == ["text"]


def test_what_is_not_there_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        kept(tmp_path / "none", tmp_path / "kept")


def test_drafts_of_killed_processes_are_removed_after_a_day(tmp_path: Path) -> None:
    path, now = tmp_path / "rows.parquet", time.time()
    names = {".rows.parquet.11": 100_000, ".rows.parquet.12": 50_000, ".rows.parquet.bak": 100_000,
             ".rows.parquet.old.13": 100_000, "rows.parquet.14": 100_000}  # fmt: skip
    for name, age in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - age, now - age))
    with whole(path) as draft:
        draft.touch()
    assert set(os.listdir(tmp_path)) == names.keys() - {".rows.parquet.11"} | {path.name}
