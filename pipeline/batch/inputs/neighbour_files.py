"""The files of neighbours: which feeds share one, its columns and metadata, and viewers computed between full runs.

Owns: ``NeighbourFiles``, what a file says of itself, reading and writing, and the file of newer neighbours. Leaves
to others: computing neighbours (``neighbours_job``, ``few_viewers_job``), lists (``candidates_job``), the files' names
(``sql.places``).

    lake/neighbours.parquet             of the feeds that have the neighbour parameters of the first feed
    lake/neighbours-KEY.parquet         of other feeds, by ``ranking.neighbours_key``
    …-newer.parquet beside each         of viewers computed since; they replace the rows of these viewers
    …-degrees.parquet beside each       how many likes each liker has, since when (first reported), by a full pass

A file may have no rows of its own and name others instead, in lake/neighbour-parts, which tasks on several machines
made (``neighbours.graph_parts``). Then it is their manifest: renaming it is what makes them count.

Columns: viewer_id int32; neighbour_id int32; weight float32; rank int32 from 1; and of the viewer snapshot_us int64
(stream time up to which likes were counted) and left_out float32 (what the other co-likers weigh; ``neighbours.sql``
has the details). Rows are sorted by viewer and rank.

Invariant: each file is replaced as a whole, by a rename. Two jobs change the newer neighbours, one at a time,
under the lock "newer-neighbours".
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.batch.inputs import part_files
from pipeline.feeds import Feed
from pipeline.lake import day_files
from pipeline.ranking import Ranking, neighbours_key
from pipeline.store.duck import parquet, put
from pipeline.store.locks import exclusive
from pipeline.store.part_lists import KEY, files_of_rows, link
from pipeline.store.whole_files import kept, read, whole
from sql import places

SCHEMA = pa.schema(
    [("viewer_id", pa.int32()), ("neighbour_id", pa.int32()), ("weight", pa.float32()), ("rank", pa.int32()),
     ("snapshot_us", pa.int64()), ("left_out", pa.float32())]
)  # fmt: skip
# Values that come again. To look for such among the weights takes longer than to write the other columns.
REPEATED = [name for name in SCHEMA.names if name != "weight"]
PARTS_KEPT = 4  # folders of parts, so that a run beside may still read those that it found
LEAST_LEFT_OUT = 1e-6  # of what all co-likers weigh; less is rounding (sql/batch/crowd_weights.sql)


@dataclass(frozen=True, slots=True)
class NeighbourFiles:
    """The files of feeds that have the same neighbour parameters; ``ranking`` is the first one's."""

    data_dir: Path
    path: Path
    key: str
    ranking: Ranking
    rkeys: tuple[str, ...]

    @property
    def newer(self) -> Path:
        """The neighbours of viewers who were computed between two full runs."""
        return places.newer_neighbours(self.path)

    @property
    def rows(self) -> list[Path]:
        """The files that together have the rows of ``path``."""
        return files_of_rows(self.path)

    @property
    def degrees(self) -> Path:
        """The rows (liker_id, likes, first_us) of every liker."""
        return places.degrees(self.path)


@dataclass(frozen=True, slots=True)
class NeighboursMetadata:
    """What a file of neighbours says of itself; ``full_at`` and ``full_seconds`` are of the last full pass.

    Times ending in _at are when a run began, by this machine's clock, in seconds since 1970.
    """

    key: str
    snapshot_us: int
    made_at: float
    full_at: float
    full_seconds: float
    days: list[int] = field(default_factory=list)  # of the lake, in days since 1970
    commit_no: int = 0  # the last commit of landing.sqlite that is in it
    parts: list[str] = field(default_factory=list)  # names of further files of rows, beside it


def files_of(data_dir: Path, feeds: Sequence[Feed]) -> list[NeighbourFiles]:
    """Return the files of neighbours that the feeds need, those of the first feed first."""
    shared: dict[str, list[Feed]] = {}
    for feed in feeds:
        shared.setdefault(neighbours_key(feed.ranking), []).append(feed)
    return [
        NeighbourFiles(
            data_dir,
            places.neighbours(data_dir, key if number else ""),
            key,
            some[0].ranking,
            tuple(feed.rkey for feed in some),
        )
        for number, (key, some) in enumerate(shared.items())
    ]


def remove_unused(data_dir: Path, used: Sequence[NeighbourFiles]) -> None:
    """Remove the files that no feed uses any more."""
    wanted = {path for files in used for path in (files.path, files.newer, files.degrees)}
    for path in places.all_neighbours(data_dir):
        if path not in wanted:
            path.unlink(missing_ok=True)
    named = {path.parent for files in used if files.path.exists() for path in files.rows}
    found = sorted(places.neighbour_parts(data_dir).glob("*"), key=lambda folder: folder.stat().st_mtime)
    for folder in found[:-PARTS_KEPT]:
        if folder not in named:
            shutil.rmtree(folder, ignore_errors=True)


def add_parts(data_dir: Path, run: str, made: Sequence[Path]) -> list[str]:
    """Give the parts of a run names beside the files of neighbours, and return these names for the metadata."""
    folder = places.neighbour_parts(data_dir) / run
    folder.mkdir(parents=True, exist_ok=True)
    for path in made:
        part_files.put(folder / path.name, partial(link, path))
    return [str((folder / path.name).relative_to(places.lake(data_dir))) for path in made]


def read_metadata(files: NeighbourFiles) -> NeighboursMetadata | None:
    """Return what a file says of itself, None when it is absent or made with other parameters."""
    if not files.path.exists():
        return None
    text = (pq.read_metadata(files.path).metadata or {}).get(KEY)
    metadata = NeighboursMetadata(**json.loads(text)) if text else None
    return metadata if metadata is not None and metadata.key == files.key else None


def write_rows(path: Path, tables: Iterable[pa.Table], metadata: Callable[[], NeighboursMetadata]) -> None:
    """Write rows, a row group a table, and then the metadata, which is computed after the last row."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=REPEATED) as writer:
        for table in tables:
            if len(table):
                writer.write_table(table)
        values = asdict(metadata())
        # ``foryou explain`` reads snapshot_us by itself.
        writer.add_key_value_metadata(
            {KEY.decode(): json.dumps(values), "snapshot_us": str(values["snapshot_us"])}
        )


def write_degrees(files: NeighbourFiles, degrees: NDArray[np.int32], firsts: NDArray[np.int64]) -> None:
    """Write each liker's number of likes and the first one's time, both by actor_id; runs for few viewers read them."""
    likers = np.flatnonzero(degrees)
    columns = {"liker_id": likers.astype(np.int32), "likes": degrees[likers], "first_us": firsts[likers]}
    write = partial(pq.write_table, pa.table(columns), compression="zstd")
    day_files.commit(day_files.write_draft(files.data_dir, files.degrees.name, write), files.degrees)


def attach_neighbours(
    connection: duckdb.DuckDBPyConnection,
    files: NeighbourFiles,
    relation: str,
    folder: Path,
    viewers: str = "",
) -> None:
    """Make a view of each viewer's newest neighbours; it is empty until a neighbours job has finished.

    With ``viewers``, a relation (viewer_id), it is a table of these viewers' rows only. The run's own ``folder`` keeps
    the files, since runs beside it replace them.
    """
    if not files.path.exists():
        put(connection, relation, SCHEMA.empty_table())
        return
    # First the newer rows: a full run puts them into its file and then removes them.
    newer = kept(files.newer, folder / "kept") if files.newer.exists() else None
    rows = [kept(path, folder / "kept") for path in files.rows]
    query = newest_of(rows, newer)
    if viewers:
        query = f"SELECT n.* FROM ({query}) AS n SEMI JOIN {viewers} AS k ON k.viewer_id = n.viewer_id"
    kind = "TABLE" if viewers else "VIEW"
    connection.execute(f"CREATE OR REPLACE {kind} {relation} AS {query}")


def newest_of(rows: Sequence[Path], newer: Path | None) -> str:
    """Return a query for each viewer's newest neighbours, of files of rows and of a file of newer ones."""
    query = f"FROM {parquet(*rows)}"
    if newer is None:
        return query
    table = parquet(newer)
    return (
        f"{query} ANTI JOIN (SELECT DISTINCT viewer_id FROM {table}) USING (viewer_id) UNION ALL FROM {table}"
    )


def newer_rows(files: NeighbourFiles) -> pa.Table:
    """Return the rows that were computed between two full runs."""
    return read(files.newer) if files.newer.exists() else SCHEMA.empty_table()


def add_newer(files: NeighbourFiles, rows: pa.Table) -> None:
    """Store the neighbours of some viewers as newer, in place of what was stored so before."""

    def change(stored: pa.Table) -> pa.Table:
        others = stored.filter(pc.invert(pc.is_in(stored.column("viewer_id"), rows.column("viewer_id"))))
        return pa.concat_tables([others, rows])

    _change_newer(files, change)


def remove_newer(files: NeighbourFiles, taken: pa.Table) -> None:
    """Remove newer rows that a neighbours job has replaced, unless their viewers were computed again meanwhile."""
    pairs = taken.select(["viewer_id", "snapshot_us"]).group_by(["viewer_id", "snapshot_us"]).aggregate([])
    if len(pairs):
        _change_newer(files, lambda stored: stored.join(pairs, pairs.column_names, join_type="left anti"))


def _change_newer(files: NeighbourFiles, change: Callable[[pa.Table], pa.Table]) -> None:
    with exclusive(files.data_dir, "newer-neighbours", wait=True):
        rows = change(newer_rows(files)).select(SCHEMA.names).cast(SCHEMA)
        if not len(rows):
            files.newer.unlink(missing_ok=True)
            return
        with whole(files.newer) as draft:
            rows = rows.sort_by([("viewer_id", "ascending"), ("rank", "ascending")])
            pq.write_table(rows, draft, compression="zstd")
