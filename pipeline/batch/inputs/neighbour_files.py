"""The files of neighbours: which feeds share some, in which layers they are, and viewers computed between full runs.

Owns: ``NeighbourFiles``, what they say of themselves, reading and writing, and the file of newer neighbours. Leaves
to others: computing neighbours (``neighbours_job``, ``few_viewers_job``), lists (``candidates_job``), the files' names
(``sql.places``).

    lake/neighbours.parquet             of the feeds that have the neighbour parameters of the first feed
    lake/neighbours-KEY.parquet         of other feeds, by ``ranking.neighbours_key``
    lake/neighbour-parts/RUN/           the rows that a run made, in files that those name
    …-newer.parquet beside each         of viewers computed since; they replace the rows of these viewers
    …-degrees.parquet beside each       how many likes each liker has, since when (first reported), by a full pass

The first two are manifests: they have no rows and name the files that have. A full pass makes a layer of all viewers,
and a run for viewers who changed puts a layer of these over it. Nothing is written twice: the manifest also names a
file of (viewer_id, layer), and the rows of a viewer in earlier layers than that do not count. Newer neighbours are one
more layer, the last. What an earlier version left, a file with rows of its own, is read as one layer.

Columns: viewer_id int32; neighbour_id int32; weight float32; rank int32 from 1; and of the viewer snapshot_us int64
(stream time up to which likes were counted) and left_out float32 (what the other co-likers weigh; ``neighbours.sql``
has the details). Rows of a file are sorted by viewer and rank, and a viewer's rows of a layer are in one file.

Invariants: each file is replaced as a whole, by a rename, and a run's rows count when the manifest names them. Two
jobs change the newer neighbours, one at a time, under the lock "newer-neighbours".
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
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
from pipeline.store.duck import copy_to, parquet, put
from pipeline.store.fsync import sync
from pipeline.store.linked_files import kept, link
from pipeline.store.locks import exclusive
from pipeline.store.whole_files import read, whole
from sql import places

SCHEMA = pa.schema(
    [("viewer_id", pa.int32()), ("neighbour_id", pa.int32()), ("weight", pa.float32()), ("rank", pa.int32()),
     ("snapshot_us", pa.int64()), ("left_out", pa.float32())]
)  # fmt: skip
# Values that come again. To look for such among the weights takes longer than to write the other columns.
REPEATED = [name for name in SCHEMA.names if name != "weight"]
GROUP_ROWS = 1 << 20
# Whose rows do not count: those of the viewer in layers before this one.
LAYER = pa.schema([("viewer_id", pa.int32()), ("layer", pa.int32())])
KEY = b"foryou"  # of a manifest's metadata: the fields of NeighboursMetadata as JSON
REPLACED = "replaced.parquet"
NOBODY = "SELECT NULL::INTEGER AS viewer_id, NULL::INTEGER AS layer WHERE false"  # rows of LAYER
KEPT_SECONDS = 3600.0  # how long superseded folders stay, for a run beside that found them
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
    def degrees(self) -> Path:
        """The rows (liker_id, likes, first_us) of every liker."""
        return places.degrees(self.path)


@dataclass(frozen=True, slots=True)
class NeighboursMetadata:
    """What a manifest says; ``full_at`` and ``full_seconds`` are of the last full pass.

    Times ending in _at are when a run began, by this machine's clock, in seconds since 1970. Files are named by their
    paths from the manifest's folder.
    """

    key: str
    snapshot_us: int
    made_at: float
    full_at: float
    full_seconds: float
    days: list[int] = field(default_factory=list)  # of the lake, in days since 1970
    commit_no: int = 0  # the last commit of landing.sqlite that is in it
    layers: list[list[str]] = field(default_factory=list)  # the files of rows of each, the full pass first
    replaced: str = ""  # the file of LAYER, where there are several layers


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
    named = {folder for files in used for folder in _folders(files)}
    for folder in places.neighbour_parts(data_dir).glob("*"):
        if folder not in named and folder.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def read_metadata(files: NeighbourFiles) -> NeighboursMetadata | None:
    """Return what a manifest says, None when it is absent, of an earlier version or made with other parameters."""
    said = _said(files.path) if files.path.exists() else {}
    if "layers" not in said or said["key"] != files.key:
        return None
    return NeighboursMetadata(**said)


def layers_of(path: Path, place: Path | None = None) -> list[list[Path]]:
    """Return the files of rows of each layer that a manifest names; none while it is not there.

    ``place`` is where it belongs, when ``path`` is a second name of it.
    """
    if not path.exists():
        return []
    said, place = _said(path), place or path
    # A file of an earlier version has rows of its own, or names parts beside them.
    layers = said.get("layers", [[place.name, *said.get("parts", [])]])
    return [[place.parent / name for name in names] for names in layers]


def write_rows(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write rows, in groups of rows of one table: who looks for few viewers reads few groups."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=REPEATED) as writer:
        for table in tables:
            if len(table):
                writer.write_table(table, row_group_size=GROUP_ROWS)


def add_layer(
    files: NeighbourFiles,
    metadata: NeighboursMetadata,
    made: Sequence[Path],
    replaced: pa.Table | None = None,
) -> None:
    """Make files of rows count: as the only layer, or with ``replaced``, rows of LAYER, over those of ``metadata``.

    ``made`` get second names. What else ``metadata`` says becomes what the manifest says. A layer over others that
    has no rows leaves their number as it is.
    """
    root = places.lake(files.data_dir)
    folder = _new_folder(places.neighbour_parts(files.data_dir), f"{files.path.stem}-{metadata.snapshot_us}")
    if replaced is not None:
        made = [path for path in made if pq.read_metadata(path).num_rows]
    for number, path in enumerate(made):
        link(path, folder / f"{number:05d}.parquet")
    named = [str(path.relative_to(root)) for path in sorted(folder.iterdir())]
    said = asdict(metadata) | {"layers": [named], "replaced": ""}
    if replaced is not None:
        pq.write_table(replaced.cast(LAYER), folder / REPLACED, compression="zstd")
        sync(folder / REPLACED)
        name = str((folder / REPLACED).relative_to(root))
        said |= {"layers": [*metadata.layers, *([named] if named else [])], "replaced": name}
    sync(folder)
    sync(folder.parent)
    superseded = _folders(files)
    manifest = SCHEMA.empty_table().replace_schema_metadata({KEY: json.dumps(said)})
    write = partial(pq.write_table, manifest)
    day_files.commit(day_files.write_draft(files.data_dir, files.path.name, write), files.path)
    for former in superseded - _folders(files):
        os.utime(former)  # superseded now


def write_degrees(files: NeighbourFiles, degrees: NDArray[np.int32], firsts: NDArray[np.int64]) -> None:
    """Write each liker's number of likes and the first one's time, both by actor_id; runs for few viewers read them."""
    likers = np.flatnonzero(degrees)
    columns = {"liker_id": likers.astype(np.int32), "likes": degrees[likers], "first_us": firsts[likers]}
    write = partial(pq.write_table, pa.table(columns), compression="zstd")
    day_files.commit(day_files.write_draft(files.data_dir, files.degrees.name, write), files.degrees)


def attach_degrees(connection: duckdb.DuckDBPyConnection, files: NeighbourFiles, folder: Path) -> None:
    """Make ``degrees`` a view of what the last full pass wrote, if it did; the file has a second name in a folder."""
    if files.degrees.exists():
        connection.execute("DROP TABLE degrees")
        degrees = kept(files.degrees, folder / "kept")
        connection.execute(f"CREATE VIEW degrees AS FROM {parquet(degrees)}")


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
    held = folder / "kept" / relation
    shutil.rmtree(held, ignore_errors=True)  # of another feed, or of a killed run
    link_newest(connection, files, held)
    query = newest_in(held)
    if viewers:
        query = f"SELECT n.* FROM ({query}) AS n SEMI JOIN {viewers} AS k ON k.viewer_id = n.viewer_id"
    kind = "TABLE" if viewers else "VIEW"
    connection.execute(f"CREATE OR REPLACE {kind} {relation} AS {query}")


def replaced_viewers(manifest: Path, path: Path) -> str:
    """Return a query for rows of LAYER: rows of a viewer in layers before that do not count; names are as above."""
    replaced = (_said(manifest) if manifest.exists() else {}).get("replaced")
    return f"FROM {parquet(path.parent / replaced)}" if replaced else NOBODY


def newest_of(layers: Sequence[Sequence[Path]], replaced: str) -> str:
    """Return a query for each viewer's newest neighbours, of the files of each layer and a query as above."""
    if len(layers) == 1 and replaced == NOBODY:  # as after each full pass: nothing is to be looked up
        return f"FROM {parquet(*layers[0])}"
    rows = " UNION ALL ".join(
        f"SELECT *, {layer} AS layer FROM {parquet(*paths)}" for layer, paths in enumerate(layers) if paths
    )
    return (
        f"SELECT n.* EXCLUDE (layer) FROM ({rows}) AS n ANTI JOIN ({replaced}) AS r "
        "ON r.viewer_id = n.viewer_id AND r.layer > n.layer"
    )


def link_newest(connection: duckdb.DuckDBPyConnection, files: NeighbourFiles, folder: Path) -> None:
    """Make a folder of second names, under which the files stay as they are, and of one file of whose rows count.

    ``newest_in`` reads it, and analysts do (``sql/explore/views.sql``).
    """
    folder.mkdir(parents=True)
    newer, manifest = folder / "newer", folder / "manifest"
    # The newer rows first: a run for all puts them into its own files and then removes them.
    with suppress(FileNotFoundError):
        link(files.newer, newer)
    with suppress(FileNotFoundError):
        link(files.path, manifest)
    layers = layers_of(manifest, files.path)
    for layer, paths in enumerate(layers):
        for number, path in enumerate(paths):
            link(path, folder / _file_name(layer, number))
    last = folder / _file_name(len(layers), 0)
    queries = [replaced_viewers(manifest, files.path)]
    if newer.exists():
        newer.rename(last)
        queries.append(f"SELECT DISTINCT viewer_id, {len(layers)}::INTEGER AS layer FROM {parquet(last)}")
    elif not layers:
        write_rows(last, [])  # no neighbours job has finished yet
    copy_to(connection, " UNION ALL ".join(queries), folder / REPLACED)
    manifest.unlink(missing_ok=True)


def newest_in(folder: Path, replaced: Path | None = None) -> str:
    """Return a query for what ``link_newest`` gave names to; ``replaced`` is where its last file is now.

    An earlier version left one file of rows alone: it is a layer.
    """
    layers: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.parquet")):
        if path.name != REPLACED:
            layers.setdefault(path.stem.partition("-")[0], []).append(path)
    named = replaced or folder / REPLACED
    is_needed = named.exists() and pq.read_metadata(named).num_rows
    return newest_of(list(layers.values()), f"FROM {parquet(named)}" if is_needed else NOBODY)


def newer_rows(files: NeighbourFiles) -> pa.Table:
    """Return the rows that were computed between two full runs."""
    return read(files.newer) if files.newer.exists() else SCHEMA.empty_table()


def add_newer(files: NeighbourFiles, rows: pa.Table) -> None:
    """Store the neighbours of some viewers as newer, in place of what was stored so before.

    ``rows`` are by viewer and rank.
    """

    def change(stored: pa.Table) -> pa.Table:
        others = stored.filter(pc.invert(pc.is_in(stored.column("viewer_id"), rows.column("viewer_id"))))
        # Each viewer's are together and by rank, as readers want them; viewers may stand in any order.
        return pa.concat_tables([others, rows])

    _change_newer(files, change)


def remove_newer(files: NeighbourFiles, taken: pa.Table) -> None:
    """Remove newer rows that a neighbours job has replaced, unless their viewers were computed again meanwhile."""
    pairs = taken.select(["viewer_id", "snapshot_us"]).group_by(["viewer_id", "snapshot_us"]).aggregate([])
    if len(pairs):

        def change(stored: pa.Table) -> pa.Table:
            others = stored.join(pairs, pairs.column_names, join_type="left anti")
            return others.sort_by([("viewer_id", "ascending"), ("rank", "ascending")])

        _change_newer(files, change)


def _change_newer(files: NeighbourFiles, change: Callable[[pa.Table], pa.Table]) -> None:
    with exclusive(files.data_dir, "newer-neighbours", wait=True):
        rows = change(newer_rows(files)).select(SCHEMA.names).cast(SCHEMA)
        if not len(rows):
            files.newer.unlink(missing_ok=True)
            return
        with whole(files.newer) as draft:
            write_rows(draft, [rows])


def _file_name(layer: int, number: int) -> str:
    return f"{layer:05d}-{number:05d}.parquet"


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder of a name that none has yet: two runs may have read the same likes."""
    number = 1
    while True:
        folder = parent / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _folders(files: NeighbourFiles) -> set[Path]:
    """Return the folders of the files that a manifest names."""
    parts = places.neighbour_parts(files.data_dir)
    found = {path.parent for layer in layers_of(files.path) for path in layer}
    if (replaced := (_said(files.path) if files.path.exists() else {}).get("replaced")) is not None:
        found.add((files.path.parent / replaced).parent)
    return {folder for folder in found if folder.parent == parts}


def _said(path: Path) -> dict[str, Any]:
    text = (pq.read_metadata(path).metadata or {}).get(KEY)
    return dict(json.loads(text)) if text else {}
