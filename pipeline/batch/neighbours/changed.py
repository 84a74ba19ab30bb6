"""A run for viewers who changed: who they are, and the neighbours of everybody else as they were.

Owns: when all viewers are due instead, picking those who changed, and merging old rows with new ones. Leaves to
others: computing neighbours (``product_block``), the files (``inputs.neighbour_files``).

A viewer changed who liked something, took a like back, answered or picked posts, took that back, or had their likes
fetched since their neighbours were computed. The commits of landing.sqlite are numbered: what it holds since the
former run has a later number, and what moved to the lake meanwhile is in a file with a later number. The others keep
theirs. They miss only what their co-likers liked since, which the next full pass brings. A full pass is due after
``FULL_SECONDS``, or sooner if it takes at most ``FULL_SHARE`` of the time. It is also due when parameters changed,
when past days were added to the lake, or when the stream's time went back.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import (
    SCHEMA,
    NeighbourFiles,
    NeighboursMetadata,
    attach_neighbours,
)
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.store.duck import columns, count, parquet, put
from pipeline.store.model import HOUR_US
from sql import places
from sql.sqlite import connect

FULL_SECONDS = 86_400.0
FULL_SHARE = 0.01
# What was reported since a snapshot was seen at most so long before it; else it waits for a full pass.
LATE_US = HOUR_US
# Some likes are stored after the stream passed their time; nearly all of them within so long.
REPORTED_LATE_US = 60_000_000
ANSWER_DELAY_US = 60_000_000  # the web app may write an answer some moments after it was given


def is_full_due(former: NeighboursMetadata, snapshot: Snapshot, days: set[int], now: float) -> bool:
    """Tell whether all viewers are to be computed again; ``days`` are the lake's, ``now`` is seconds since 1970."""
    if not former.commit_no or snapshot.commit_no < former.commit_no:
        return True  # it is of another program, or of another store
    past = {day for day in days - set(former.days) if former.days and day < max(former.days)}
    pause = min(FULL_SECONDS, former.full_seconds / FULL_SHARE)
    return bool(past) or snapshot.snapshot_us < former.snapshot_us or now - former.full_at >= pause


def restrict_to_changed(
    connection: duckdb.DuckDBPyConnection, files: NeighbourFiles, former: NeighboursMetadata, folder: Path
) -> int:
    """Leave in ``viewers`` those who changed; make ``unchanged_viewers`` of the others. Return how many changed."""
    attach_neighbours(connection, files, "former_neighbours", folder)
    since = {"since_us": int(former.made_at * 1e6) - ANSWER_DELAY_US}
    answered = _rows(places.activity(files.data_dir), "activity/answering_viewers", since)
    put(connection, "answered_viewers", pa.table({"viewer_did": pa.array(answered, pa.string())}))
    reported = _rows(
        places.landing(files.data_dir), "landing/reported_actors", {"commit_no": former.commit_no}
    )
    put(connection, "reported_actors", pa.table({"actor_id": pa.array(reported, pa.int32())}))
    merged = [
        str(file.path)
        for file in places.changes(files.data_dir).values()
        if file.commit_no > former.commit_no
    ]
    if merged:
        connection.execute(
            f"INSERT INTO reported_actors {sql.load('lake/changed_likers')}",
            {"files": merged, "since_us": former.snapshot_us - LATE_US},
        )
    sql_steps.run_file(connection, "changed_viewers")
    connection.execute(
        "CREATE OR REPLACE TABLE unchanged_viewers AS FROM viewers ANTI JOIN changed_viewers USING (viewer_id)"
    )
    connection.execute("CREATE OR REPLACE TABLE viewers AS FROM changed_viewers")
    return count(connection, "viewers")


def restrict_to_liked(connection: duckdb.DuckDBPyConnection, files: NeighbourFiles, folder: Path) -> int:
    """Make ``viewers`` of those of ``wanted_viewers`` who liked something since their neighbours were computed.

    Return how many. Answers are left to runs for waiting viewers, and unlikes to the next run for all
    who changed.
    """
    attach_neighbours(connection, files, "former_neighbours", folder, "wanted_viewers")
    put(connection, "answered_viewers", pa.table({"viewer_did": pa.array([], pa.string())}))
    put(connection, "reported_actors", pa.table({"actor_id": pa.array([], pa.int32())}))
    connection.execute("CREATE OR REPLACE TABLE viewers AS FROM wanted_viewers")
    sql_steps.set_variables(connection, {"reported_late_us": REPORTED_LATE_US})
    sql_steps.run_file(connection, "changed_viewers")
    connection.execute("CREATE OR REPLACE TABLE viewers AS FROM changed_viewers")
    return count(connection, "viewers")


def merged_rows(
    connection: duckdb.DuckDBPyConnection, fresh: Sequence[Path], block_viewers: int
) -> Iterator[pa.Table]:
    """Yield the former rows of ``unchanged_viewers`` and those of fresh files, by viewer, some viewers at a time."""
    connection.execute(f"CREATE OR REPLACE VIEW fresh_neighbours AS FROM {parquet(*fresh)}")
    viewers = columns(
        connection, "SELECT viewer_id FROM (FROM unchanged_viewers UNION ALL FROM viewers) ORDER BY 1"
    )[0]
    for first in range(0, len(viewers), block_viewers):
        block = viewers[first : first + block_viewers]
        span = {"first": int(block[0]), "last": int(block[-1])}
        yield connection.sql(sql.load("batch/merged_neighbours"), params=span).to_arrow_table().cast(SCHEMA)


def _rows(path: Path, query: str, parameters: dict[str, int]) -> list[str | int]:
    """Return the only column of a query; none from a store that is not there, or not migrated yet."""
    try:
        store = connect(path, read_only=True)
    except sqlite3.OperationalError:
        return []
    try:
        return [row[0] for row in store.execute(sql.load(query), parameters)]
    except sqlite3.OperationalError:
        return []
    finally:
        store.close()
