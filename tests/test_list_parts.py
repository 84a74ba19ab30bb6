"""Lists in parts, as several machines make them: those of one process, bit by bit."""

import json
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from test_batch_ranking import EXAMPLES, rankings, worlds
from test_graph_parts import before_graph, here
from worlds import World

from pipeline.batch.engines.local import LocalEngine
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.frozen import freeze
from pipeline.batch.inputs.neighbour_files import (
    NeighbourFiles,
    NeighboursMetadata,
    attach_neighbours,
    write_rows,
)
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.lists.make_lists import Staging, stage_lists
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.part_lists import KEY, files_below, one_file
from sql import places


class Elsewhere(LocalEngine):
    """Does tasks one by one, each as another process gets it, and each twice."""

    shares = True

    def map(self, stage: str, task: Callable[[int], Any], count: int) -> Iterator[Any]:
        for number in reversed(range(count)):
            first, again = (pickle.loads(pickle.dumps(task))(number) for _ in range(2))
            assert first == again
            yield first


def staged(snapshot: Snapshot, ranking: Ranking, folder: Path, *shared: Any) -> tuple[pa.Table, list[Any]]:
    """Return the lists, and the posts and viewers that are in them."""
    staging = Staging(folder, folder, 2, 0, Progress("lists"))
    count = stage_lists(snapshot, ranking, staging, *shared)
    table = pa.concat_tables([pq.read_table(path) for path in files_below(staging.lists)])
    assert len(table) == count
    relations = ("listed_posts", "listed_viewers", "fallbacks")
    return table, [snapshot.connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in relations]


@settings(max_examples=max(EXAMPLES // 2, 1), deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), rankings())
def test_parts_are_the_lists_of_one_process(world: World, ranking: Ranking) -> None:
    snapshot = before_graph(world, ranking)
    connection = snapshot.connection
    if not connection.execute("FROM viewers").fetchall():
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = NeighbourFiles(root, places.neighbours(root), "", ranking, ("for-you",))
        files.path.parent.mkdir()
        near = here(snapshot, ranking, root / "graph", None)
        write_rows(files.path, [near], lambda: NeighboursMetadata("", snapshot.snapshot_us, 0.0, 0.0, 0.0))
        attach_neighbours(connection, files, "neighbours", root)
        sql_steps.set_variables(connection, {"window_hours": ranking.post_max_age_hours})
        frozen = freeze(snapshot, ranking, ranking.post_max_age_hours, root / "run")
        for name in sql_steps.BEFORE_CANDIDATES:
            sql_steps.run_file(connection, name)
        expected = staged(snapshot, replace(ranking, trial_share=0.2), root / "here")
        parts = staged(
            snapshot, replace(ranking, trial_share=0.2), root / "parts", Elsewhere(), (frozen, files)
        )
        assert parts == expected
    connection.close()


def test_a_file_that_names_others_becomes_one_file_once(tmp_path: Path) -> None:
    """Every name that is given to all rows is of the same file, which has no dictionary where the parts have none."""
    parts = tmp_path / "parts" / "run"
    parts.mkdir(parents=True)
    for number in range(2):
        table = pa.table({"viewer": [number, number], "weight": [0.5, 0.25 * number]})
        pq.write_table(table, parts / f"{number}.parquet", use_dictionary=["viewer"])
    said = {"parts": [f"parts/run/{number}.parquet" for number in range(2)], "of": "all"}
    manifest = table.schema.empty_table().replace_schema_metadata({KEY: json.dumps(said)})
    pq.write_table(manifest, tmp_path / "manifest.parquet")
    for name in ("one", "two"):
        one_file(tmp_path / "manifest.parquet", tmp_path / name)
    assert (tmp_path / "one").stat().st_ino == (tmp_path / "two").stat().st_ino
    assert pq.read_table(tmp_path / "one").column("viewer").to_pylist() == [0, 0, 1, 1]
    metadata = pq.read_metadata(tmp_path / "one")
    assert json.loads(metadata.metadata[KEY]) == {"parts": [], "of": "all"}
    found = [metadata.row_group(0).column(number).has_dictionary_page for number in range(2)]
    assert found == [True, False]
