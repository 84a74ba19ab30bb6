"""The job "neighbours": who shares each viewer's taste, into lake/neighbours.parquet and the files beside it.

Owns: the order of the job, for everybody or for those seen lately who liked something, and the atomic replacement of the file. Leaves to others: which co-likers
(``sql/batch``, ``neighbours.like_graph``), who changed (``neighbours.changed``), the files
(``inputs.neighbour_files``), what analysts get of the run's inputs (``analyst_copies``).

Invariant: readers see the whole former file or the whole new one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch.analyst_copies import stage_history
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import (
    NeighbourFiles,
    NeighboursMetadata,
    add_newer,
    newer_rows,
    read_metadata,
    remove_newer,
    write_degrees,
    write_rows,
)
from pipeline.batch.inputs.snapshot import name_viewers, open_snapshot
from pipeline.batch.neighbours.changed import is_full_due, merged_rows, restrict_to_changed, restrict_to_liked
from pipeline.batch.neighbours.like_graph import read_graph
from pipeline.batch.neighbours.product_of_graph import neighbour_rows
from pipeline.lake import day_files
from pipeline.progress import Progress, Step
from pipeline.store.analyst_snapshot import make_snapshot
from pipeline.store.duck import count
from sql import places


def neighbours(
    files: NeighbourFiles,
    threads: int,
    *,
    changed_only: bool = False,
    clock: Callable[[], float] = time.time,
    progress: Progress | None = None,
) -> Iterator[Step]:
    """Compute every viewer's neighbours and replace the file.

    With ``changed_only``, compute those of viewers who changed, unless a full pass is due.
    """
    data_dir, ranking, path = files.data_dir, files.ranking, files.path
    folder, window = places.working(data_dir), ranking.seed_window_days * 24.0
    progress = progress or Progress("neighbours")
    began_at, began = clock(), time.perf_counter()
    day_files.clear_drafts(data_dir)
    with open_snapshot(data_dir, ranking, threads, window_hours=window, folder=folder) as snapshot:
        connection, snapshot_us = snapshot.connection, snapshot.snapshot_us
        former = read_metadata(files) if changed_only else None
        if former is not None and is_full_due(former, snapshot, places.closed_days(data_dir), began_at):
            former = None
        yield "snapshot", snapshot.records
        history: dict[str, Path] = {}
        if path == places.neighbours(data_dir):  # analysts get those of the first feed
            history = stage_history(connection, folder / "history", snapshot_us, ranking)
            yield "copy history", len(history)
        taken = newer_rows(files)
        for name in sql_steps.BEFORE_GRAPH:
            rows = sql_steps.run_file(connection, name)
            if name == "viewers" and former is not None:
                rows = restrict_to_changed(connection, files, former)
            yield name, rows
        progress.start("graph", snapshot.records)
        graph = read_graph(snapshot, ranking, folder / "likes", progress)
        if former is None:
            write_degrees(files, graph.degrees, graph.firsts)
        yield "graph", graph.likers
        progress.start("product", count(connection, "viewers"))
        days = sorted(places.closed_days(data_dir))
        metadata = NeighboursMetadata(
            files.key, snapshot_us, began_at, began_at, 0.0, days, snapshot.commit_no
        )
        product = neighbour_rows(snapshot, graph, ranking, threads, progress)

        def write_product(path: Path) -> None:
            write_rows(path, product, lambda: replace(metadata, full_seconds=time.perf_counter() - began))

        temporary = day_files.write_draft(data_dir, path.name, write_product)
        yield "product", pq.read_metadata(temporary).num_rows
        if former is not None:
            fresh = temporary.rename(temporary.with_name("fresh.parquet"))
            merged = merged_rows(connection, fresh, ranking.block_viewers)
            known = replace(metadata, full_at=former.full_at, full_seconds=former.full_seconds)
            temporary = day_files.write_draft(
                data_dir, path.name, lambda path: write_rows(path, merged, lambda: known)
            )
            fresh.unlink()
            yield "merge", pq.read_metadata(temporary).num_rows
        rows = pq.read_metadata(temporary).num_rows
        day_files.commit(temporary, path)
        remove_newer(files, taken)
        yield "commit", rows
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

    ``note`` takes how many likes each of these has, and the last commit of landing.sqlite that was read. Does nothing
    before there is a file of neighbours.
    """
    if read_metadata(files) is None:
        return
    ranking, folder = files.ranking, places.working(files.data_dir, "liked")
    window = ranking.seed_window_days * 24.0
    with open_snapshot(files.data_dir, ranking, threads, window_hours=window, folder=folder) as snapshot:
        connection = snapshot.connection
        yield "snapshot", snapshot.records
        name_viewers(connection, dids)
        for name in sql_steps.BEFORE_GRAPH:
            if name == "viewers":
                yield name, restrict_to_liked(connection, files)
            else:
                yield name, sql_steps.run_file(connection, name)
        if not count(connection, "viewers"):
            return
        graph = read_graph(snapshot, ranking, folder / "likes", progress)
        yield "graph", graph.likers
        rows = pa.concat_tables(neighbour_rows(snapshot, graph, ranking, threads, progress))
        yield "product", len(rows)
        if len(rows):
            add_newer(files, rows)
        yield "commit", len(rows)
        known = connection.execute("SELECT did, actor_id FROM actors JOIN viewers ON viewer_id = actor_id")
        note({did: int(graph.degrees[actor]) for did, actor in known.fetchall()}, snapshot.commit_no)
