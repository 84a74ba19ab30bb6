"""Taking the dead out of the lake: undone likes, and likes of accounts that were deleted.

Owns: when a day is rewritten, and which tombstones are done with then. Leaves to others: reading around the
dead meanwhile (``snapshot``).

One day is looked through a run, the one that was looked at longest ago: the time of its file says when that
was. It is rewritten when a share of it is dead that is worth it, or when anything in it is of a deleted
account, which has a right to be gone.

Invariant: the day is replaced by one rename, and only then do tombstones go that have met their like in it. A
tombstone too many undoes nothing.
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

LOOK_AFTER_SECONDS = 86_400.0
SHARE = 0.01  # of a day's likes


def fold(
    data_dir: Path, connection: duckdb.DuckDBPyConnection, look_after_seconds: float = LOOK_AFTER_SECONDS
) -> Iterator[Step]:
    """Look through the day that waits longest, if it has waited long enough; rewrite it if it is worth it."""
    days = {day: places.likes(data_dir, day).stat().st_mtime for day in places.closed_days(data_dir)}
    day = min(days, key=days.__getitem__, default=None)
    if day is None or days[day] > time.time() - look_after_seconds:
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
    # Also with no like left: the file is what says that the day is closed.
    day_files.commit(day_files.write_day(data_dir, day, stored), places.likes(data_dir, day))
    connection.execute("DROP TABLE day")
    yield f"fold {places.day_name(day)}", len(stored)
    touched = [Path(row[0]) for row in connection.execute(sql.load("lake/rewrite_unlikes_files")).fetchall()]
    for file in touched:
        connection.execute("SET VARIABLE file = ?", [str(file)])
        kept = connection.sql(sql.load("lake/rewrite_unlikes")).to_arrow_table()
        day_files.replace_unlikes(data_dir, places.day_of_file(file), kept)
    if touched:
        yield f"fold unlikes of {places.day_name(day)}", len(touched)
