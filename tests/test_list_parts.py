"""Lists in parts, as several machines make them: those of one process, bit by bit."""

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
    add_layer,
    attach_neighbours,
    write_rows,
)
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.lists.make_lists import Staging, stage_lists
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.linked_files import files_below
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
        write_rows(root / "rows.parquet", [near])
        metadata = NeighboursMetadata("", snapshot.snapshot_us, 0.0, 0.0, 0.0)
        add_layer(files, metadata, [root / "rows.parquet"])
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
