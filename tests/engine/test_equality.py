"""Random worlds: a cluster = one process = the SQL. FORYOU_TEST_WORLDS says how many, 10 without it."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_tools import candidates_by_sql, duck, neighbours_by_sql, read_neighbours, read_ranked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_batch_ranking import close, rankings, worlds
from test_graph_parts import RANGES, SINCE_HOURS, before_graph, here
from test_list_parts import staged
from worlds import World

from pipeline.batch.engine import Engine
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.frozen import Frozen, freeze
from pipeline.batch.inputs.neighbour_files import (
    NeighbourFiles,
    NeighboursMetadata,
    add_layer,
    attach_neighbours,
    layers_of,
)
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.list_sources import CO_LIKERS, POPULAR
from pipeline.batch.neighbours.graph_parts import GraphParts
from pipeline.batch.neighbours.walk_range import viewer_ids
from pipeline.ranking import Ranking
from sql import places

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

WORLDS = int(os.environ.get("FORYOU_TEST_WORLDS", "10"))
SEEN = "interactionSeen"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One cluster for all worlds."""
    from pipeline.batch.engines.ray import open_ray  # it needs the extra

    with open_ray("", 2) as opened:
        yield opened


@st.composite
def capped(draw: st.DrawFn) -> Ranking:
    """Parameters whose caps are two or three, so that it matters who is looked at."""
    few = st.sampled_from([2, 3])
    return replace(
        draw(rankings()),
        max_seeds=draw(few),
        max_seed_likers=draw(few),
        max_neighbours=draw(few),
        block_viewers=draw(st.sampled_from([1, 2, 3])),
        author_spacing=draw(st.sampled_from([0, 3])),
        trial_share=draw(st.sampled_from([0.0, 0.2])),
    )


def full_pass(
    engine: Engine, snapshot: Snapshot, frozen: Frozen, ranking: Ranking, since_us: Any, files: NeighbourFiles
) -> pa.Table:
    """Let a cluster find all neighbours; return the rows that count then."""
    graph = GraphParts.lay_out(snapshot, frozen, ranking, RANGES, since_us)
    assert sum(engine.map("walk", graph.walk, graph.ranges)) > 0
    graph.add_up()
    engine.exchange("route", graph.route, graph.ranges)
    made = graph.write(files.data_dir, engine.map("product", graph.product, graph.blocks))
    add_layer(files, NeighboursMetadata("", snapshot.snapshot_us, 0.0, 0.0, 0.0), made)
    [layer] = layers_of(files.path)
    return pa.concat_tables([pq.read_table(path) for path in layer])


def rows_of(table: pa.Table) -> dict[int, list[tuple[int, float]]]:
    """Return a table of neighbours as ``read_neighbours`` does."""
    found: dict[int, list[tuple[int, float]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["viewer_id"], []).append((row["neighbour_id"], row["weight"]))
    return found


def ranked_of(lists: pa.Table, posts: list[tuple[int, int]], ranked: Any) -> Any:
    """Return of each viewer's list what the SQL ranked, as ``read_ranked`` does; the rest is popular."""
    found: dict[int, Any] = {}
    for row in lists.to_pylist():
        post, viewer = posts[row["post_no"]], row["viewer_id"]
        if post in {item[0] for item in ranked.get(viewer, ())}:
            found.setdefault(viewer, []).append((post, row["score"], row["co_likers"]))
        assert row["source"] == (CO_LIKERS if row["co_likers"] else POPULAR)
    return found


@settings(max_examples=WORLDS, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), ranking=capped(), since_hours=SINCE_HOURS)
def test_a_cluster_equals_one_process_equals_the_sql(
    engine: Engine, world: World, ranking: Ranking, since_hours: float
) -> None:
    """Neighbours and lists of cluster and process bit by bit; those of the SQL in ids and order, figures to 1e-5."""
    world.interactions = [
        row for row in world.interactions if row[2] != SEEN
    ]  # they would move within a list
    definition = duck(world, ranking)
    neighbours_by_sql(definition, ranking)
    near = read_neighbours(definition)
    candidates_by_sql(definition, ranking)
    ranked = read_ranked(definition)
    definition.close()
    snapshot = before_graph(world, ranking)
    connection, ids = snapshot.connection, viewer_ids(snapshot.connection)
    if not len(ids) or not connection.execute("SELECT count(*) FROM valid_likes").fetchone()[0]:  # type: ignore[index]
        return
    since_us = np.full(len(ids), world.time(since_hours) if since_hours else 0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = NeighbourFiles(root, places.neighbours(root), "", ranking, ("for-you",))
        files.path.parent.mkdir()
        local = here(snapshot, ranking, root / "graph", since_us)
        frozen = freeze(snapshot, ranking, ranking.seed_window_days * 24.0, files.path.parent / "run")
        cluster = full_pass(engine, snapshot, frozen, ranking, since_us, files)
        assert cluster.equals(local)
        assert close(rows_of(cluster), near)
        attach_neighbours(connection, files, "neighbours", root)
        sql_steps.set_variables(connection, {"window_hours": ranking.post_max_age_hours})
        frozen = freeze(snapshot, ranking, ranking.post_max_age_hours, root / "lists")
        for name in sql_steps.BEFORE_CANDIDATES:
            sql_steps.run_file(connection, name)
        assert staged(snapshot, ranking, root / "cluster", engine, (frozen, files)) == staged(
            snapshot, ranking, root / "here"
        )
        plain = replace(ranking, author_spacing=0, trial_share=0.0)
        connection.execute("UPDATE list_viewers SET author_spacing = 0")
        posts = connection.execute("SELECT author_id, rkey FROM candidate_posts ORDER BY post_no").fetchall()
        lists, _ = staged(snapshot, plain, root / "plain")
        # Who has nothing but what the crowd likes gets no list.
        expected = {viewer: items for viewer, items in ranked.items() if any(item[2] for item in items)}
        assert close(ranked_of(lists, posts, expected), expected)
    connection.close()
