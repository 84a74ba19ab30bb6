"""The files of neighbours: which feeds share one, what it says of itself, and viewers who came since.

Owns: the files' places, columns and metadata, ``attach``, and the file of arrivals. Leaves to others: working
neighbours out (``neighbours_job``, ``few_viewers_job``), lists (``candidates_job``).

    lake/neighbours.parquet             of the feeds that agree with the first one in what decides on neighbours
    lake/neighbours-KEY.parquet         of other feeds, by ``ranking.neighbours_key``
    …-arrived.parquet beside each       viewers whose neighbours were worked out since: they count instead
    …-degrees.parquet beside each       how many likes every liker had, and since when, as of the last full pass

Columns: viewer_id int32, neighbour_id int32, weight float32, rank int32 from 1, and of the viewer snapshot_us
int64 (stream time up to which likes were counted) and left_out float32 (what the other co-likers weigh);
sorted by viewer and rank. Invariant: each file is replaced whole, by a rename; that of arrivals is changed by
two jobs, one at a time, under the lock "arrived".
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.feeds import Feed
from pipeline.lake import day_files
from pipeline.ranking import Ranking, neighbours_key
from pipeline.store.duck import parquet, put
from pipeline.store.fsync import sync
from pipeline.store.locks import exclusive
from sql import places

SCHEMA = pa.schema(
    [
        ("viewer_id", pa.int32()),
        ("neighbour_id", pa.int32()),
        ("weight", pa.float32()),
        ("rank", pa.int32()),
        ("snapshot_us", pa.int64()),
        ("left_out", pa.float32()),  # of the viewer: sql/batch/neighbours.sql
    ]
)
_ABOUT = b"foryou"


@dataclass(frozen=True, slots=True)
class Graph:
    """The neighbours of some feeds: those of the first one's parameters."""

    data_dir: Path
    path: Path
    key: str
    ranking: Ranking
    rkeys: tuple[str, ...]

    @property
    def arrived(self) -> Path:
        """Where the neighbours of viewers are whose turn did not wait for the job."""
        return places.arrived(self.path)

    @property
    def degrees(self) -> Path:
        """Where (liker_id, likes, first_us) of every liker are."""
        return places.degrees(self.path)


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of itself; ``full_at`` and ``full_seconds`` are of the last pass over all viewers.

    Times ending in _at are seconds since 1970 by this machine's clock, when the run began.
    """

    key: str
    snapshot_us: int
    made_at: float
    full_at: float
    full_seconds: float
    days: list[int] = field(default_factory=list)  # of the lake, in days since 1970


def graphs_of(data_dir: Path, feeds: Sequence[Feed]) -> list[Graph]:
    """Return the files of neighbours that the feeds need, that of the first feed first."""
    shared: dict[str, list[Feed]] = {}
    for feed in feeds:
        shared.setdefault(neighbours_key(feed.ranking), []).append(feed)
    return [
        Graph(
            data_dir,
            places.neighbours(data_dir, key if number else ""),
            key,
            some[0].ranking,
            tuple(feed.rkey for feed in some),
        )
        for number, (key, some) in enumerate(shared.items())
    ]


def remove_others(data_dir: Path, graphs: Sequence[Graph]) -> None:
    """Remove the neighbours of feeds that are no more."""
    wanted = {path for graph in graphs for path in (graph.path, graph.arrived, graph.degrees)}
    for path in places.all_neighbours(data_dir):
        if path not in wanted:
            path.unlink(missing_ok=True)


def about(graph: Graph) -> About | None:
    """Return what a file says of itself, None when there is none, or one of other parameters."""
    if not graph.path.exists():
        return None
    text = (pq.read_metadata(graph.path).metadata or {}).get(_ABOUT)
    known = About(**json.loads(text)) if text else None
    return known if known is not None and known.key == graph.key else None


def write_rows(path: Path, tables: Iterable[pa.Table], known: Callable[[], About]) -> None:
    """Write rows, a row group a table, and what the file says of itself, which is asked for at the end."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for table in tables:
            if len(table):
                writer.write_table(table)
        about_it = known()  # snapshot_us by itself is for ``foryou explain``
        writer.add_key_value_metadata(
            {_ABOUT.decode(): json.dumps(asdict(about_it)), "snapshot_us": str(about_it.snapshot_us)}
        )


def write_degrees(graph: Graph, degrees: NDArray[np.int32], firsts: NDArray[np.int64]) -> None:
    """Write each liker's number of likes and time of the first one, both by actor_id, for runs for few viewers."""
    likers = np.flatnonzero(degrees)
    columns = {"liker_id": likers.astype(np.int32), "likes": degrees[likers], "first_us": firsts[likers]}
    write = partial(pq.write_table, pa.table(columns), compression="zstd")
    day_files.commit(day_files.write_draft(graph.data_dir, graph.degrees.name, write), graph.degrees)


def attach(connection: duckdb.DuckDBPyConnection, graph: Graph, relation: str, keep: str = "") -> None:
    """Make a view of the newest neighbours of each viewer, empty while no neighbours job has finished.

    ``keep`` names a relation (viewer_id): only these viewers', as a table.
    """
    if not graph.path.exists():
        put(connection, relation, SCHEMA.empty_table())
        return
    query = f"FROM {parquet(graph.path)}"
    if graph.arrived.exists():
        arrived = parquet(graph.arrived)
        query += f" ANTI JOIN (SELECT DISTINCT viewer_id FROM {arrived}) USING (viewer_id)"
        query += f" UNION ALL FROM {arrived}"
    if keep:
        query = f"SELECT n.* FROM ({query}) AS n SEMI JOIN {keep} AS k ON k.viewer_id = n.viewer_id"
    kind = "TABLE" if keep else "VIEW"
    connection.execute(f"CREATE OR REPLACE {kind} {relation} AS {query}")


def add_arrived(graph: Graph, rows: pa.Table) -> None:
    """Put the neighbours of some viewers before what is known of them."""
    viewers = rows.column("viewer_id")

    def change(known: pa.Table) -> pa.Table:
        kept = known.filter(pc.invert(pc.is_in(known.column("viewer_id"), viewers)))
        return pa.concat_tables([kept, rows]).sort_by([("viewer_id", "ascending"), ("rank", "ascending")])

    _change_arrived(graph, change)


def arrived_rows(graph: Graph) -> pa.Table:
    """Return the rows of arrivals."""
    return pq.read_table(graph.arrived) if graph.arrived.exists() else SCHEMA.empty_table()


def remove_arrived(graph: Graph, taken: pa.Table) -> None:
    """Remove the arrivals that a neighbours job has taken over, unless they came again meanwhile."""
    pairs = taken.select(["viewer_id", "snapshot_us"]).group_by(["viewer_id", "snapshot_us"]).aggregate([])
    if len(pairs):
        _change_arrived(
            graph,
            lambda known: known.join(pairs, ["viewer_id", "snapshot_us"], join_type="left anti").sort_by(
                [("viewer_id", "ascending"), ("rank", "ascending")]
            ),
        )


def _change_arrived(graph: Graph, change: Any) -> None:
    with exclusive(graph.data_dir, "arrived", wait=True):
        rows = change(arrived_rows(graph))
        if not len(rows):
            graph.arrived.unlink(missing_ok=True)
            return
        temporary = graph.arrived.with_suffix(".new")
        pq.write_table(rows.select(SCHEMA.names).cast(SCHEMA), temporary, compression="zstd")
        sync(temporary)
        os.replace(temporary, graph.arrived)
        sync(graph.arrived.parent)
