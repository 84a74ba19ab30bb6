"""A run for viewers who changed: who they are, and whose former neighbours do not count after it.

Owns: when all viewers are due instead, picking those who changed, and what their layer replaces. Leaves to others:
computing neighbours (``product_block``), the files and their layers (``inputs.neighbour_files``).

A viewer changed who liked something, took a like back, answered or picked posts, took that back, or had their likes
fetched since their neighbours were computed. The commits of landing.sqlite are numbered: what it holds since the
former run has a later number, and what moved to the lake meanwhile is in a file with a later number. The others keep
theirs. They miss only what their co-likers liked since, which the next full pass brings. A full pass is due after
``FULL_SECONDS``, or sooner if it takes at most ``FULL_SHARE`` of the time. It is also due when parameters changed,
when past days were added to the lake, when the stream's time went back, or when the layers of runs like this have as
many rows as the full pass made: so there are at most twice as many as count.
"""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import (
    LAYER,
    SCHEMA,
    NeighbourFiles,
    NeighboursMetadata,
    attach_neighbours,
    layers_of,
    replaced_viewers,
)
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.store.duck import count, put
from pipeline.store.model import HOUR_US
from sql import places
from sql.sqlite import rows_of

FULL_SECONDS = 86_400.0
FULL_SHARE = 0.01
# What was reported since a snapshot was seen at most so long before it; else it waits for a full pass.
LATE_US = HOUR_US
# Some likes are stored after the stream passed their time; nearly all of them within so long.
REPORTED_LATE_US = 60_000_000
ANSWER_DELAY_US = 60_000_000  # the web app may write an answer some moments after it was given


def is_full_due(
    files: NeighbourFiles, former: NeighboursMetadata, snapshot: Snapshot, days: set[int], now: float
) -> bool:
    """Tell whether all viewers are to be computed again; ``days`` are the lake's, ``now`` is seconds since 1970."""
    if not former.commit_no or snapshot.commit_no < former.commit_no:
        return True  # it is of another program, or of another store
    rows = [sum(int(pq.read_metadata(path).num_rows) for path in layer) for layer in layers_of(files.path)]
    if sum(rows[1:]) > rows[0]:
        return True
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
    attach_neighbours(connection, files, "former_neighbours", folder)
    put(connection, "answered_viewers", pa.table({"viewer_did": pa.array([], pa.string())}))
    put(connection, "reported_actors", pa.table({"actor_id": pa.array([], pa.int32())}))
    connection.execute("CREATE OR REPLACE TABLE viewers AS FROM wanted_viewers")
    sql_steps.set_variables(connection, {"reported_late_us": REPORTED_LATE_US})
    sql_steps.run_file(connection, "changed_viewers")
    connection.execute("CREATE OR REPLACE TABLE viewers AS FROM changed_viewers")
    return count(connection, "viewers")


def carried_rows(
    connection: duckdb.DuckDBPyConnection, files: NeighbourFiles, taken: pa.Table, layer: int
) -> tuple[pa.Table, pa.Table]:
    """Return what a layer of those who changed takes in of newer neighbours, and whose earlier rows do not count then.

    ``taken`` are newer rows that the layer, which gets this number, stands for. The second table has rows of
    ``neighbour_files.LAYER``.
    """
    put(connection, "newer_taken", taken)
    connection.execute(
        "CREATE OR REPLACE TABLE carried_neighbours AS "
        "FROM newer_taken SEMI JOIN unchanged_viewers USING (viewer_id) ORDER BY viewer_id, rank"
    )
    known = replaced_viewers(files.path, files.path)
    connection.execute(f"CREATE OR REPLACE VIEW known_replaced AS {known}")
    replaced = connection.sql(sql.load("batch/replaced_viewers"), params={"layer": layer}).to_arrow_table()
    carried = connection.sql("FROM carried_neighbours").to_arrow_table().cast(SCHEMA)
    return carried, replaced.cast(LAYER)


def _rows(path: Path, query: str, parameters: dict[str, int]) -> list[str | int]:
    """Return the only column of a query."""
    return [row[0] for row in rows_of(path, sql.load(query), parameters)]
