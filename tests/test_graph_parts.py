"""The full pass in parts, as several machines do it: the rows of one process, bit by bit; no part twice, none half."""

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_tools import duck, snapshot_of, stored_as_landed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_batch_ranking import EXAMPLES, rankings, worlds
from worlds import World

from pipeline.batch.inputs import neighbour_files, sql_steps
from pipeline.batch.inputs.frozen import freeze, opened_again, read_frozen
from pipeline.batch.inputs.part_files import array, put, put_arrays
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.neighbours.graph_parts import GraphParts
from pipeline.batch.neighbours.product_of_graph import GraphHere
from pipeline.batch.neighbours.walk_range import viewer_ids
from pipeline.ranking import Ranking

RANGES = [(0, 1), (2, 2), (3, 2**31 - 1)]
SINCE_HOURS = st.sampled_from([0.0, 1.0, 6.0, 1000.0])


def elsewhere(task: Callable[[int], Any]) -> Callable[[int], Any]:
    """Return a task as another process gets it: it knows what is in files and nothing else."""
    return pickle.loads(pickle.dumps(task))


def before_graph(world: World, ranking: Ranking) -> Snapshot:
    connection = duck(world, ranking)
    stored_as_landed(connection)
    sql_steps.set_variables(connection, {"window_hours": ranking.seed_window_days * 24.0})
    snapshot = snapshot_of(connection, world)
    for name in sql_steps.BEFORE_GRAPH:
        sql_steps.run_file(connection, name)
    return snapshot


def here(snapshot: Snapshot, ranking: Ranking, folder: Path, since_us: Any) -> pa.Table:
    graph = GraphHere(snapshot, ranking, folder, RANGES, since_us, 2)
    for number in range(graph.ranges):
        graph.walk(number)
    graph.add_up()
    return pa.concat_tables([graph.product(number) for number in range(graph.blocks)])


def in_parts(snapshot: Snapshot, ranking: Ranking, folder: Path, since_us: Any) -> pa.Table:
    frozen = freeze(snapshot, ranking, ranking.seed_window_days * 24.0, folder)
    graph = GraphParts.lay_out(snapshot, frozen, ranking, RANGES, since_us)
    for number in (2, 0, 1, 0):  # in any order, and one of them twice
        assert elsewhere(graph.walk)(number) == elsewhere(graph.walk)(number)
    graph.add_up()
    for number in (1, 2, 0):
        elsewhere(graph.route)(number)
    with patch.object(neighbour_files, "GROUP_ROWS", 3):  # who looks for few viewers reads few groups
        rows = sum(elsewhere(graph.product)(number) for number in reversed(range(graph.blocks)))
    made = [pq.read_metadata(graph.product_file(number)) for number in range(graph.blocks)]
    assert all(file.row_group(group).num_rows <= 3 for file in made for group in range(file.num_row_groups))
    table = pa.concat_tables([pq.read_table(graph.product_file(number)) for number in range(graph.blocks)])
    assert len(table) == rows
    return table


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), rankings(), SINCE_HOURS)
def test_parts_give_the_rows_of_one_process_bit_by_bit(
    world: World, ranking: Ranking, since_hours: float
) -> None:
    """Also where a viewer's newest likes are too few, so that all of theirs are read."""
    snapshot = before_graph(world, ranking)
    ids = viewer_ids(snapshot.connection)
    if not len(ids):
        return
    since_us = np.full(len(ids), world.time(since_hours) if since_hours else 0)
    with tempfile.TemporaryDirectory() as folder:
        expected = here(snapshot, ranking, Path(folder) / "here", since_us)
        assert in_parts(snapshot, ranking, Path(folder) / "parts", since_us).equals(expected)
    snapshot.connection.close()


def test_an_input_that_was_frozen_is_the_same_again(tmp_path: Path) -> None:
    world = World().post("p", by="bob", hours_ago=5)
    for name in ("ann", "zoe", "cy"):
        world.like(name, "p", hours_ago=3)
    ranking = Ranking()
    snapshot = before_graph(world, ranking)
    connection = snapshot.connection
    frozen = freeze(snapshot, ranking, 24.0, tmp_path / "run")
    known = read_frozen(tmp_path / "run")
    assert known == frozen and known.is_for(ranking)
    with opened_again(known, tmp_path / "spill", 1) as again:
        for name in ("like_records", "actors", "posts", "withheld"):
            query = f"FROM {name} ORDER BY ALL"
            assert again.connection.execute(query).fetchall() == connection.execute(query).fetchall()
        assert len(again.connection.execute("FROM like_records").fetchall()) == 3
    (tmp_path / "run" / "frozen.json").unlink()
    assert read_frozen(tmp_path / "run") is None
    connection.close()


def test_a_part_is_whole_or_not_there_and_the_first_one_stays(tmp_path: Path) -> None:
    part = tmp_path / "walk" / "00000"

    def killed(draft: Path) -> None:
        draft.mkdir()
        (draft / "values.npy").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(part, killed)
    assert not part.exists()

    def overtaken(draft: Path) -> None:
        put_arrays(part, values=np.arange(3))
        draft.mkdir()
        np.save(draft / "values.npy", np.arange(4))

    put(part, overtaken)
    assert array(part, "values").tolist() == [0, 1, 2]
    put_arrays(part, values=np.arange(5))
    assert array(part, "values").tolist() == [0, 1, 2]
    assert [path.name for path in part.parent.iterdir() if not path.name.startswith(".")] == ["00000"]
