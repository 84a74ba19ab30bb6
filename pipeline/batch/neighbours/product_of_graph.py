"""The full pass's product in one process: block after block of a ``LikeGraph``.

Owns: handing a block its part of the graph. Leaves to others: the graph (``like_graph``), the product
(``product_block``), the same on several machines (``graph_parts``).

B's columns are ``LikeGraph.columns``. Their names are actor numbers.
"""

from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.kernel import NO_NUMBERS, Sparse, Top, sparse
from pipeline.batch.neighbours.like_graph import LikeGraph
from pipeline.batch.neighbours.product_block import (
    CoLikers,
    LikedPosts,
    ViewerBlock,
    co_liker_scale,
    liked_posts,
    neighbour_table,
    newness_of,
    product_block,
)
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.duck import columns


def graph_matrices(
    connection: duckdb.DuckDBPyConnection, graph: LikeGraph, ranking: Ranking
) -> tuple[LikedPosts, CoLikers]:
    """Return matrix B and its columns."""
    snapshot_us = int(columns(connection, "SELECT getvariable('snapshot_us')")[0][0])
    newness = newness_of(graph.firsts[graph.actors], snapshot_us, ranking)
    scale = co_liker_scale(graph.degrees[graph.actors], newness, ranking)
    co_likers = CoLikers(scale, graph.actors, NO_NUMBERS)
    masses = np.memmap(graph.folder / "masses", np.float64, mode="w+", shape=max(graph.posts, 1))
    rkeys, counts, ends, likers = (graph.column(name) for name in ("rkeys", "counts", "ends", "likers"))
    return liked_posts(rkeys, counts, ends, likers, co_likers, masses), co_likers


def viewer_blocks(connection: duckdb.DuckDBPyConnection, graph: LikeGraph) -> Iterator[ViewerBlock]:
    """Yield the blocks of viewers; the relation ``answer_weights`` has their answers."""
    ids, authors, rkeys, weights = columns(
        connection, "SELECT viewer_id, author_id, post_rkey, weight FROM answer_weights ORDER BY viewer_id"
    )
    posts = graph.find(authors, rkeys)
    liked = posts >= 0
    rows = graph.viewers.rows[ids][liked]
    answers = sparse(rows, posts[liked], np.asarray(weights)[liked], len(graph.viewers.ids))
    for number in range(graph.viewers.blocks):
        viewers, first = graph.viewers.block(number), number * graph.viewers.in_block
        of_block = Sparse(answers.starts[first : first + len(viewers) + 1], answers.columns, answers.values)
        yield ViewerBlock(viewers, graph.columns[viewers], graph.likes_of_block(number), of_block)


def neighbour_blocks(
    connection: duckdb.DuckDBPyConnection, graph: LikeGraph, ranking: Ranking, threads: int
) -> Iterator[tuple[NDArray[np.int64], Top, NDArray[np.float32]]]:
    """Yield (actor ids of viewers, their best co-likers, what was left out); a column's name is an actor id."""
    posts, co_likers = graph_matrices(connection, graph, ranking)
    for block in viewer_blocks(connection, graph):
        yield block.ids, *product_block(block, posts, co_likers, ranking, threads)


def neighbour_rows(
    snapshot: Snapshot, graph: LikeGraph, ranking: Ranking, threads: int, progress: Progress
) -> Iterator[pa.Table]:
    """Yield the rows of ``neighbour_files.SCHEMA``, a block of viewers at a time."""
    for viewers, top, left_out in neighbour_blocks(snapshot.connection, graph, ranking, threads):
        yield neighbour_table(viewers, top, left_out, snapshot.snapshot_us)
        progress.add(len(viewers))
