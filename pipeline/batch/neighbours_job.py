"""The job "neighbours": who shares each viewer's taste, into files that lake/neighbours.parquet names.

Owns: the order of the job, for everybody, for those who changed, or for those seen lately who liked something. Leaves
to others: which co-likers (``sql/batch``, ``neighbours.walk_range``, ``neighbours.product_block``), who does the work
(``engine``), who changed (``neighbours.changed``), the files (``inputs.neighbour_files``), what analysts get of the
run's inputs (``analyst_copies``).

Invariant: readers see the former layers or the new ones, each whole (``neighbour_files.add_layer``).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.batch.analyst_copies import stage_history
from pipeline.batch.engine import Engine, following
from pipeline.batch.engines.local import LOCAL
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.frozen import Frozen
from pipeline.batch.inputs.neighbour_files import (
    NeighbourFiles,
    NeighboursMetadata,
    add_layer,
    add_newer,
    attach_degrees,
    newer_rows,
    read_metadata,
    remove_newer,
    write_degrees,
    write_rows,
)
from pipeline.batch.inputs.run_inputs import open_run
from pipeline.batch.inputs.snapshot import Snapshot, open_snapshot
from pipeline.batch.neighbours.changed import (
    carried_rows,
    is_full_due,
    restrict_to_changed,
    restrict_to_liked,
)
from pipeline.batch.neighbours.graph_parts import GraphParts
from pipeline.batch.neighbours.like_graph import plan, ranges_of
from pipeline.batch.neighbours.product_of_graph import GraphHere
from pipeline.lake import day_files
from pipeline.progress import Progress, Step
from pipeline.ranking import Ranking
from pipeline.store.analyst_snapshot import make_snapshot
from pipeline.store.duck import count
from sql import places

OWN_RECORDS = "FROM all_records SEMI JOIN wanted_viewers ON viewer_id = liker_id"
LIKES_OF_VIEWERS = (
    "SELECT did, count(liker_id) FROM viewers JOIN actors ON actor_id = viewer_id "
    "LEFT JOIN valid_likes ON liker_id = viewer_id GROUP BY did"
)
POSTS_OF_VIEWERS = (
    "SELECT author_id, post_rkey FROM valid_likes SEMI JOIN viewers ON viewer_id = liker_id "
    "UNION SELECT author_id, post_rkey FROM answer_weights"
)
RECORDS_OF_POSTS = (
    "SELECT r.* FROM all_records AS r "
    "SEMI JOIN wanted_posts AS w ON w.author_id = r.author_id AND w.post_rkey = r.post_rkey"
)


def neighbours(
    files: NeighbourFiles,
    threads: int,
    *,
    engine: Engine = LOCAL,
    changed_only: bool = False,
    clock: Callable[[], float] = time.time,
    progress: Progress | None = None,
) -> Iterator[Step]:
    """Compute every viewer's neighbours.

    With ``changed_only``, compute those of viewers who changed, unless a full pass is due.
    """
    data_dir, path = files.data_dir, files.path
    folder, window = places.working(data_dir), files.ranking.seed_window_days * 24.0
    progress = progress or Progress("neighbours")
    began_at, began = clock(), time.perf_counter()
    day_files.clear_drafts(data_dir)
    shared = places.runs(data_dir.absolute(), f"neighbours-{files.key}") if engine.shares else None
    run = open_run(
        data_dir,
        files.ranking,
        threads,
        window_hours=window,
        folder=folder,
        shared=shared,
        with_posts=False,
    )
    with run as (snapshot, frozen):
        connection, snapshot_us = snapshot.connection, snapshot.snapshot_us
        ranking = files.ranking if frozen is None else frozen.ranking
        former = read_metadata(files) if changed_only else None
        if former is not None and is_full_due(
            files, former, snapshot, places.closed_days(data_dir), began_at
        ):
            former = None
        yield "snapshot", snapshot.records
        history: dict[str, Path] = {}
        if path == places.neighbours(data_dir):  # analysts get those of the first feed
            history = stage_history(connection, folder / "history", snapshot_us, ranking)
            yield "copy history", len(history)
        rows_before = newer_rows(files)
        taken = rows_before.filter(pc.less_equal(rows_before.column("snapshot_us"), snapshot_us))
        for name in sql_steps.BEFORE_GRAPH:
            rows = sql_steps.run_file(connection, name)
            if name == "viewers" and former is not None:
                rows = restrict_to_changed(connection, files, former, folder)
            yield name, rows
        progress.start("graph", snapshot.records)
        graph = _full_pass(snapshot, frozen, ranking, folder / "likes", threads)
        for records in engine.map("walk", graph.walk, graph.ranges):
            progress.add(records)
        likers = graph.add_up()
        if former is None:
            write_degrees(files, *graph.people())
        yield "graph", likers
        if engine.shares:
            yield "exchange", engine.exchange("route", graph.route, graph.ranges)
        viewers = count(connection, "viewers")
        progress.start("product", viewers)
        days = sorted(places.closed_days(data_dir))
        tasks = engine.map("product", graph.product, graph.blocks)
        made = graph.write(places.lake_drafts(data_dir), following(tasks, progress, viewers, graph.blocks))
        rows = _row_count(made)
        yield "product", rows
        metadata = NeighboursMetadata(
            files.key, snapshot_us, began_at, began_at, time.perf_counter() - began, days, snapshot.commit_no
        )
        replaced = None
        if former is not None:
            carried, replaced = carried_rows(connection, files, taken, len(former.layers))
            if len(carried):
                write = partial(write_rows, tables=[carried])
                made = [*made, day_files.write_draft(data_dir, "carried.parquet", write)]
            metadata = replace(
                metadata, full_at=former.full_at, full_seconds=former.full_seconds, layers=former.layers
            )
        add_layer(files, metadata, made, replaced)
        remove_newer(files, taken)
        yield "commit", rows
        day_files.clear_drafts(data_dir)
        if history:
            make_snapshot(data_dir, history)
            yield "publish history", len(history)


def liked_neighbours(
    files: NeighbourFiles,
    dids: Sequence[str],
    threads: int,
    note: Callable[[Mapping[str, int], int], None],
    progress: Progress,
) -> Iterator[Step]:
    """Compute the neighbours of those of some viewers who liked something since theirs were, and store them as newer.

    It looks at the likes of posts that these viewers like; how many likes a co-liker has is said by the last full pass.
    ``note`` takes how many likes each of them has, and the last commit of landing.sqlite that was read. Does nothing
    before there is a file of neighbours.
    """
    if read_metadata(files) is None or not files.degrees.exists():
        return
    ranking, folder = files.ranking, places.working(files.data_dir, "liked")
    window = ranking.seed_window_days * 24.0
    opened = open_snapshot(
        files.data_dir, ranking, threads, window_hours=window, folder=folder, dids=dids, with_posts=False
    )
    with opened as snapshot:
        connection = snapshot.connection
        yield "snapshot", snapshot.records
        connection.execute("ALTER VIEW like_records RENAME TO all_records")
        connection.execute(f"CREATE TABLE own_records AS {OWN_RECORDS}")
        yield "own likes", count(connection, "own_records")
        connection.execute("CREATE VIEW like_records AS FROM own_records")
        for name in sql_steps.BEFORE_GRAPH:
            if name == "viewers":
                yield name, restrict_to_liked(connection, files, folder)
            else:
                yield name, sql_steps.run_file(connection, name)
        if not count(connection, "viewers"):
            return
        likes = dict(connection.execute(LIKES_OF_VIEWERS).fetchall())
        connection.execute(f"CREATE TABLE wanted_posts AS {POSTS_OF_VIEWERS}")
        connection.execute(f"CREATE OR REPLACE VIEW like_records AS {RECORDS_OF_POSTS}")
        attach_degrees(connection, files, folder)
        yield "posts", count(connection, "wanted_posts")
        yield "first_reported", sql_steps.run_file(connection, "first_reported")  # by others' likes, too
        # Of so few viewers all likes are looked at: to find out which are new enough takes longer.
        graph = GraphHere(snapshot, ranking, folder / "likes", ranges_of(snapshot, ranking), None, threads)
        for records in LOCAL.map("walk", graph.walk, graph.ranges):
            progress.add(records)
        yield "graph", graph.add_up()
        rows = pa.concat_tables(LOCAL.map("product", graph.product, graph.blocks))
        yield "product", len(rows)
        if len(rows):
            add_newer(files, rows)
        yield "commit", len(rows)
        note(likes, snapshot.commit_no)


def _full_pass(
    snapshot: Snapshot, frozen: Frozen | None, ranking: Ranking, folder: Path, threads: int
) -> GraphHere | GraphParts:
    """Return the full pass of a run: in parts when its input is frozen in files."""
    if frozen is None:
        return GraphHere(snapshot, ranking, folder, *plan(snapshot, ranking), threads)
    # On each machine there are as many tasks as it has processors.
    own = replace(ranking, memory_limit_gb=ranking.memory_limit_gb / threads)
    return GraphParts.lay_out(snapshot, frozen, own, *plan(snapshot, own))


def _row_count(paths: Sequence[Path]) -> int:
    return sum(int(pq.read_metadata(path).num_rows) for path in paths)
