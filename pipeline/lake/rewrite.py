"""Removing likes from the lake: those that unlikes undo, and those of deleted accounts.

Owns: when a day is rewritten, and which tombstones can be dropped then. Leaves to others: ignoring such likes until
then (``batch.inputs.snapshot``).

Each run examines one day, the one examined longest ago: the time of its file says when that was. The day is rewritten
when unlikes undo enough of it, or when it has any like of a deleted account.

Invariant: one rename replaces the day. Only after it, tombstones are dropped whose like was in the day. A tombstone too
many undoes nothing.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

import sql
from pipeline.lake import day_files
from pipeline.progress import Step
from pipeline.store.arrow import Reader, reading
from pipeline.store.duck import append
from sql import places

PAUSE_SECONDS = 86_400.0  # between two times that a day is examined
SHARE = 0.01  # of a day's likes: when unlikes undo more, it is rewritten


def rewrite_due_day(
    data_dir: Path, connection: duckdb.DuckDBPyConnection, pause_seconds: float = PAUSE_SECONDS
) -> Iterator[Step]:
    """Examine the day examined longest ago, if that is ``pause_seconds`` ago; rewrite it if it is worth it."""
    days = {day: places.likes(data_dir, day).stat().st_mtime for day in places.closed_days(data_dir)}
    day = min(days, key=days.__getitem__, default=None)
    if day is None or days[day] > time.time() - pause_seconds:
        return
    connection.execute(sql.load("lake/macros"))
    with reading(places.landing(data_dir)) as reader:
        read_deleted_accounts(connection, reader)
    connection.execute(
        "CREATE OR REPLACE TABLE tombstones (liker_id INTEGER, rkey BIGINT, seen_us BIGINT, file VARCHAR)"
    )
    files = [str(file) for file in places.unlikes_files(data_dir, day)]
    if files:
        connection.execute("INSERT INTO tombstones FROM lake_unlikes($files)", {"files": files})
    connection.execute(
        "CREATE OR REPLACE TABLE day_before AS FROM lake_likes($files)",
        {"files": [str(places.likes(data_dir, day))]},
    )
    row = connection.execute(sql.load("lake/rewrite_counts")).fetchone()
    assert row is not None
    records, unliked, of_deleted_accounts = row
    if of_deleted_accounts or unliked > SHARE * records:
        yield from _rewrite(data_dir, connection, day)
    else:
        os.utime(places.likes(data_dir, day))
    for relation in ("day_before", "tombstones", "deleted_accounts"):
        connection.execute(f"DROP TABLE {relation}")


def read_deleted_accounts(connection: duckdb.DuckDBPyConnection, reader: Reader) -> None:
    """Make ``deleted_accounts`` (actor_id, deleted_us): likes of each up to that time were deleted with the account."""
    connection.execute("CREATE OR REPLACE TABLE deleted_accounts (actor_id INTEGER, deleted_us BIGINT)")
    accounts = reader.table("SELECT actor_id, deleted_us FROM actors WHERE deleted_us > 0")
    append(connection, "deleted_accounts", accounts)


def _rewrite(data_dir: Path, connection: duckdb.DuckDBPyConnection, day: int) -> Iterator[Step]:
    connection.execute(sql.load("lake/rewrite_day"))
    stored = connection.sql(sql.load("lake/stored_rows")).to_arrow_table()
    # Also with no like left: the file says that the day is closed.
    day_files.commit(day_files.write_day(data_dir, day, stored), places.likes(data_dir, day))
    connection.execute("DROP TABLE day")
    yield f"rewrite {places.day_name(day)}", len(stored)
    touched = [Path(row[0]) for row in connection.execute(sql.load("lake/rewrite_unlikes_files")).fetchall()]
    for file in touched:
        connection.execute("SET VARIABLE file = ?", [str(file)])
        kept = connection.sql(sql.load("lake/rewrite_unlikes")).to_arrow_table()
        day_files.replace_unlikes(data_dir, places.day_of_file(file), kept)
    if touched:
        yield f"rewrite unlikes of {places.day_name(day)}", len(touched)
