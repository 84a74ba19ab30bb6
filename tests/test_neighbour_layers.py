"""Neighbours in layers: which rows count, which files stay, and what earlier versions left."""

import json
import os
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from batch_tools import settings_for, stored_neighbours
from test_batch_tiers import START, neighbours_of, run, town
from worlds import NOW_US, World

from pipeline.batch.inputs.neighbour_files import (
    KEPT_SECONDS,
    KEY,
    LAYER,
    SCHEMA,
    NeighbourFiles,
    NeighboursMetadata,
    add_layer,
    add_newer,
    files_of,
    layers_of,
    link_newest,
    newest_in,
    remove_unused,
    write_rows,
)
from pipeline.feeds import feeds_of
from pipeline.ranking import Ranking
from pipeline.store.analyst_snapshot import FEED_NEIGHBOURS, FEEDS, copy_of, make_snapshot
from sql import places


def rows(weight: float, *viewers: int) -> pa.Table:
    """Return a neighbour of each viewer."""
    found = [(viewer, 9, weight, 1, NOW_US, 0.0) for viewer in viewers]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in found], SCHEMA)


def weights(data_dir: Path) -> dict[int, float]:
    """Return the weight that counts of each viewer's neighbour; there is one."""
    table = stored_neighbours(data_dir)
    found = dict(zip(table["viewer_id"].to_pylist(), table["weight"].to_pylist(), strict=True))
    assert len(found) == len(table)
    return found


def put(
    files: NeighbourFiles, table: pa.Table, former: list[list[str]], replaced: dict[int, int] | None
) -> None:
    """Add a layer of rows, as a full pass does or, with whose earlier rows do not count, as a run for some."""
    path = files.data_dir / "made.parquet"
    write_rows(path, [table])
    metadata = NeighboursMetadata("", NOW_US, 0.0, 0.0, 0.0, layers=former)
    pairs = None if replaced is None else pa.Table.from_pylist(
        [{"viewer_id": viewer, "layer": layer} for viewer, layer in sorted(replaced.items())], LAYER
    )  # fmt: skip
    add_layer(files, metadata, [path], pairs)
    path.unlink()


def named(files: NeighbourFiles) -> list[list[str]]:
    root = places.lake(files.data_dir)
    return [[str(path.relative_to(root)) for path in layer] for layer in layers_of(files.path)]


def files_in(data_dir: Path) -> NeighbourFiles:
    return NeighbourFiles(data_dir, places.neighbours(data_dir), "", Ranking(), ("for-you",))


def test_the_last_layer_that_speaks_for_a_viewer_counts(tmp_path: Path) -> None:
    """2 changed twice, 3 has none any more, 4 came and went, 5 was computed between two runs."""
    files = files_in(tmp_path)
    assert weights(tmp_path) == {}
    put(files, rows(0.125, 1, 2, 3, 5), [], None)
    put(files, rows(0.25), named(files), {3: 1})
    assert weights(tmp_path) == {1: 0.125, 2: 0.125, 5: 0.125}
    put(files, rows(0.25, 2, 4), named(files), {2: 1, 3: 1})
    assert weights(tmp_path) == {1: 0.125, 2: 0.25, 4: 0.25, 5: 0.125}
    put(files, rows(0.5, 2), named(files), {2: 2, 3: 1, 4: 2})
    add_newer(files, rows(0.75, 5))
    expected = {1: 0.125, 2: 0.5, 5: 0.75}
    assert weights(tmp_path) == expected
    put(files, rows(0.5), named(files), {1: 3, 2: 2, 3: 1, 4: 2})
    assert len(layers_of(files.path)) == 3  # no rows, no layer
    put(files, rows(1.0, 1), named(files), {1: 3, 2: 2, 3: 1, 4: 2})
    expected = {1: 1.0, 2: 0.5, 5: 0.75}
    assert weights(tmp_path) == expected
    with duckdb.connect() as connection:
        link_newest(connection, files, tmp_path / "held")
        put(files, rows(0.0, 1, 2, 3), [], None)
        query = f"SELECT viewer_id, weight FROM ({newest_in(tmp_path / 'held')})"
        assert dict(connection.execute(query).fetchall()) == expected
    files.newer.unlink()
    assert weights(tmp_path) == {1: 0.0, 2: 0.0, 3: 0.0}


def test_superseded_files_stay_for_an_hour(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    for number in range(2):
        put(files, rows(float(number), 1), [], None)
    remove_unused(tmp_path, [files])
    first, second = sorted(places.neighbour_parts(tmp_path).iterdir())
    for folder in (first, second):
        then = folder.stat().st_mtime - KEPT_SECONDS - 1
        os.utime(folder, (then, then))
    remove_unused(tmp_path, [files])
    assert list(places.neighbour_parts(tmp_path).iterdir()) == [second]
    assert weights(tmp_path) == {1: 1.0}


def test_what_earlier_versions_left_is_read_and_the_next_run_is_a_full_pass(tmp_path: Path) -> None:
    """A file with rows of its own; one without that names parts."""
    made = town()
    made.write(tmp_path / "data")
    run(tmp_path / "data")
    [files] = files_of(tmp_path / "data", feeds_of(settings_for(tmp_path / "data")))
    expected, [[part]] = neighbours_of(files.data_dir), layers_of(files.path)
    said = json.loads(pq.read_metadata(files.path).metadata[KEY])
    del said["layers"], said["replaced"]
    for version, parts in (("one", []), ("parts", ["neighbour-parts/run/00000.parquet"])):
        folder = Path(shutil.copytree(files.data_dir, tmp_path / version))
        table = SCHEMA.empty_table() if parts else pq.read_table(part)
        shutil.rmtree(places.neighbour_parts(folder))
        for name in parts:
            (places.lake(folder) / name).parent.mkdir(parents=True)
            shutil.copyfile(part, places.lake(folder) / name)
        metadata = {KEY: json.dumps(said | {"parts": parts})}
        pq.write_table(table.replace_schema_metadata(metadata), places.neighbours(folder))
        assert neighbours_of(folder) == expected
        run(folder, "neighbours", "changed", START + 1)
        assert neighbours_of(folder) == expected
        [[path]] = layers_of(places.neighbours(folder))
        assert path.parent.parent == places.neighbour_parts(folder)


def test_runs_for_those_who_changed_end_when_their_rows_are_as_many(tmp_path: Path) -> None:
    """Of a hundred, one more likes p at a time: a layer each, until these have more rows than the full pass."""
    made = World()
    for number in range(6):
        made.like(f"viewer{number}", "p", hours_ago=30)
    made.write(tmp_path)
    run(tmp_path, "neighbours")
    layers = []
    for turn in range(1, 7):
        later = World(NOW_US + turn * 120_000_000)
        for number in range(6):
            later.like(f"viewer{number}", "p", hours_ago=30 + turn / 30)
        for number in range(turn):
            later.like(f"late{number}", "p", hours_ago=(turn - number - 0.5) / 30)
        later.write(tmp_path)
        run(tmp_path, "neighbours", "changed", START + turn)
        files = layers_of(places.neighbours(tmp_path))
        counts = [sum(pq.read_metadata(path).num_rows for path in layer) for layer in files]
        layers.append(len(files))
        assert sum(counts[1:-1]) <= counts[0]
    assert max(layers) > 2 and 1 in layers
    found = neighbours_of(tmp_path)
    run(tmp_path, "neighbours", "all", START + 10)
    assert found.keys() == neighbours_of(tmp_path).keys()


def test_analysts_see_the_layers_of_one_run_alone(tmp_path: Path) -> None:
    """Of a snapshot before, no layer stays; what earlier versions left there goes, too."""
    snapshots = []
    for names in (["00000-00000", "00000-00001", "00001-00000"], ["00000-00000"]):
        finished = {}
        for name in (*(f"{FEED_NEIGHBOURS}/feed=x/{each}" for each in names), FEEDS):
            finished[name] = tmp_path / name.replace("/", "-")
            pq.write_table(pa.table({"feed": ["x"], "place": pa.array([1], pa.int32())}), finished[name])
        if snapshots:
            for left in (
                "list_neighbours",
                "explained/x/list_neighbours",
                "feed_newer_neighbours/feed=x/lists",
            ):
                copy_of(snapshots[0], left).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(finished[FEEDS], copy_of(snapshots[0], left))
        snapshots.append(make_snapshot(tmp_path, finished))
    found = {str(path.relative_to(snapshots[1])) for path in snapshots[1].rglob("*.parquet")}
    assert found == {f"{FEED_NEIGHBOURS}/feed=x/00000-00000.parquet", f"{FEEDS}.parquet"}
