"""The full pass in one process: range after range into a ``LikeGraph``, then block after block out of it.

Owns: ``GraphHere``, whose methods are the tasks. Leaves to others: the graph (``like_graph``), what is done
(``walk_range``, ``product_block``), the same in parts for several machines (``graph_parts``).

B's columns are ``LikeGraph.columns``. Their names are actor numbers.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.batch.inputs.neighbour_files import write_rows
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.kernel import NO_NUMBERS, Sparse, sparse
from pipeline.batch.neighbours.author_ranges import Range
from pipeline.batch.neighbours.like_graph import LikeGraph, add_range, add_up, new_graph
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
from pipeline.batch.neighbours.walk_range import read_records, walk_range
from pipeline.ranking import Ranking
from pipeline.store.duck import columns
from pipeline.store.fsync import sync


class GraphHere:
    """A full pass that keeps its graph in files of one process."""

    def __init__(
        self,
        snapshot: Snapshot,
        ranking: Ranking,
        folder: Path,
        spans: Sequence[Range],
        since_us: NDArray[np.int64] | None,
        threads: int,
    ) -> None:
        self._connection, self._snapshot_us = snapshot.connection, snapshot.snapshot_us
        self._ranking, self._spans, self._threads = ranking, spans, threads
        self.graph = new_graph(self._connection, ranking, folder, since_us)

    @property
    def ranges(self) -> int:
        """How many ranges of authors there are."""
        return len(self._spans)

    @property
    def blocks(self) -> int:
        """How many blocks of viewers there are."""
        return self.graph.viewers.blocks

    def walk(self, number: int) -> int:
        """Walk over a range; return its records."""
        records = read_records(self._connection, self._spans[number])
        walked = walk_range(records, self.graph.viewers, self._ranking.max_seed_likers)
        add_range(self.graph, walked)
        return walked.records

    def add_up(self) -> int:
        """Finish the graph; return how many likers are looked at, a liker once a post."""
        add_up(self.graph, self._connection, self._ranking)
        return self.graph.likers

    def people(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return each actor's number of likes, and when the first of them was seen that was reported."""
        return self.graph.degrees, self.graph.firsts

    def route(self, number: int) -> int:
        """Move nothing: a block finds all posts in the graph."""
        return 0

    def product(self, number: int) -> pa.Table:
        """Return the neighbours of a block's viewers."""
        posts, co_likers = self._matrices
        block = viewer_block(self.graph, number, self._answers)
        top, left_out = product_block(block, posts, co_likers, self._ranking, self._threads)
        return neighbour_table(block.ids, top, left_out, self._snapshot_us)

    def write(self, folder: Path, products: Iterable[pa.Table]) -> list[Path]:
        """Write what ``product`` returns into a file of a folder, a row group a block; return it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "product.parquet"
        write_rows(path, products)
        sync(path)
        return [path]

    @cached_property
    def _matrices(self) -> tuple[LikedPosts, CoLikers]:
        return graph_matrices(self._connection, self.graph, self._ranking)

    @cached_property
    def _answers(self) -> Sparse:
        return graph_answers(self._connection, self.graph)


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


def graph_answers(connection: duckdb.DuckDBPyConnection, graph: LikeGraph) -> Sparse:
    """Return the relation ``answer_weights``, a row a viewer of the graph."""
    ids, authors, rkeys, weights = columns(
        connection, "SELECT viewer_id, author_id, post_rkey, weight FROM answer_weights ORDER BY viewer_id"
    )
    posts = graph.find(authors, rkeys)
    liked = posts >= 0
    rows = graph.viewers.rows[ids][liked]
    return sparse(rows, posts[liked], np.asarray(weights)[liked], len(graph.viewers.ids))


def viewer_block(graph: LikeGraph, number: int, answers: Sparse) -> ViewerBlock:
    """Return a block of a graph's viewers."""
    viewers, first = graph.viewers.block(number), number * graph.viewers.in_block
    of_block = Sparse(answers.starts[first : first + len(viewers) + 1], answers.columns, answers.values)
    return ViewerBlock(viewers, graph.columns[viewers], graph.likes_of_block(number), of_block)
