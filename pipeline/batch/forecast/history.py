"""The forecast's two files in the lake: what was popular at moments of the past, and the trees learned from that.

Owns: both files, when trees are learned again, and the relation ``forecast_trees``. Leaves to others: the inputs and
what they are used for (``sql/batch``), learning (``learning``), the order of a run (``candidates_job``).

Every run for everybody leaves what it knew of popular posts, once an hour. A later run adds how much each was liked in
the hours after. So the past is never computed again, and what is learned from is what the lists were made of. Once a
day the trees are learned again; the next runs use them, those for some viewers as well.

Invariant: a file is replaced whole, by a rename. Without trees, or with a file that can't be read, the crowd is what is
popular now.
"""

import logging
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.batch.forecast.boosted_trees import Trees
from pipeline.batch.forecast.learning import AHEAD_HOURS, INPUTS, Moment, learned
from pipeline.batch.inputs import sql_steps
from pipeline.store.duck import copy_to, count, registered
from pipeline.store.model import HOUR_US
from pipeline.store.whole_files import read, whole
from sql import places

LEARNED_EVERY_HOURS = 24.0
STORED = "moment_us BIGINT, author_id INTEGER, rkey BIGINT, now FLOAT, liked BIGINT, inputs FLOAT[]"

log = logging.getLogger("foryou.batch")


def load_trees(connection: duckdb.DuckDBPyConnection, data_dir: Path, feed_rkey: str) -> int:
    """Fill ``forecast_trees`` with the feed's trees; return how many."""
    path = places.forecast_trees(data_dir, feed_rkey)
    if path.exists():
        try:
            _insert(connection, "forecast_trees", path)
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            log.warning("forecast: %s can't be used, what is popular now takes its place: %s", path, error)
    return count(connection, "forecast_trees")


def remember(connection: duckdb.DuckDBPyConnection, data_dir: Path, feed_rkey: str) -> int:
    """Store what the run knows of popular posts, and how those of earlier runs were liked; return the rows."""
    path = places.forecast_moments(data_dir, feed_rkey)
    connection.execute(f"CREATE OR REPLACE TABLE stored_moments ({STORED})")
    if path.exists():
        try:
            _insert(connection, "stored_moments", path)
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            log.warning("forecast: %s can't be read and is begun again: %s", path, error)
    sql_steps.set_variables(connection, {"forecast_hours": AHEAD_HOURS})
    connection.execute(sql.load("batch/forecast_moments"))
    connection.execute("DROP TABLE stored_moments")
    with whole(path, synced=False) as draft:
        copy_to(connection, "FROM forecast_moments", draft)
    return count(connection, "forecast_moments")


def learn_when_due(
    connection: duckdb.DuckDBPyConnection, data_dir: Path, feed_rkey: str, snapshot_us: int
) -> int:
    """Learn the feed's trees from ``forecast_moments`` unless they are of the last day; return how many were learned.

    Trees that are outdated and foresee nothing any more are removed.
    """
    path = places.forecast_trees(data_dir, feed_rkey)
    made_us = _made_us(path)
    if made_us is not None and abs(snapshot_us - made_us) < LEARNED_EVERY_HOURS * HOUR_US:
        return 0
    trees = learned(_moments(connection))
    if trees is None:
        if made_us is not None:
            log.warning("forecast: what was learned foresees less than what is popular now: not used")
        path.unlink(missing_ok=True)
        return 0
    table = table_of(trees, snapshot_us)
    with whole(path, synced=False) as draft:
        pq.write_table(table, draft)
    return len(table)


def table_of(trees: Trees, made_us: int) -> pa.Table:
    """Return trees as the rows of ``forecast_trees``."""
    return pa.table(
        {
            "tree": pa.array(range(len(trees.inputs)), pa.int32()),
            "made_us": pa.array([made_us] * len(trees.inputs), pa.int64()),
            "inputs": [[INPUTS[i] for i in inputs] for inputs in trees.inputs],
            "thresholds": trees.thresholds.tolist(),
            "leaves": trees.leaves.tolist(),
        }
    )


def _insert(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    with registered(connection, stored_rows=read(path)):
        connection.execute(f"INSERT INTO {table} SELECT * FROM stored_rows")


def _made_us(path: Path) -> int | None:
    try:
        return int(read(path, ["made_us"])["made_us"][0].as_py())
    except (OSError, pa.ArrowException, IndexError, KeyError):
        return None


def _moments(connection: duckdb.DuckDBPyConnection) -> list[Moment]:
    """Return the moments whose next hours are known, newest first."""
    query = "SELECT moment_us, inputs, liked, now FROM forecast_moments WHERE liked IS NOT NULL ORDER BY moment_us DESC"
    table = connection.sql(query).to_arrow_table().combine_chunks()
    if not len(table):
        return []
    flat = table["inputs"].combine_chunks().flatten().to_numpy()
    rows = flat.reshape(-1, len(INPUTS)).astype(np.float64)
    liked, now = (table[name].to_numpy().astype(np.float64) for name in ("liked", "now"))
    starts = np.flatnonzero(np.diff(table["moment_us"].to_numpy(), prepend=-1)).tolist()
    return [
        Moment(rows[first:end], liked[first:end], now[first:end])
        for first, end in zip(starts, [*starts[1:], len(table)], strict=True)
    ]
