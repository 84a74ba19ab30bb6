"""The full pass's product A · B, a block of viewers at a time, with both matrices made of a ``LikeGraph``.

Owns: each viewer's seeds and their values (A), the product with the likers of all posts (B), and how much a
co-liker counts. Leaves to others: the graph (``like_graph``), the loops (``like_loops``, ``kernel``).

B's columns are ``LikeGraph.columns``. Their names are actor numbers, so a tie goes to the smaller one. B has a row for
every liked post, where ``seed_posts.sql`` leaves out posts with one liker. Such a row adds only to the viewer, who
is excluded from their own neighbours.
"""

from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.batch.inputs.neighbour_files import SCHEMA
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.kernel import Sparse, Top, sparse, top_rows
from pipeline.batch.neighbours.like_graph import ROW, LikeGraph
from pipeline.batch.neighbours.like_loops import SeedPosts, SeedRules, add_scales, deal, pick_seeds
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.duck import columns
from pipeline.store.model import HOUR_US

LEAST_LEFT_OUT = 1e-6


def seed_blocks(
    connection: duckdb.DuckDBPyConnection,
    graph: LikeGraph,
    ranking: Ranking,
    b: Sparse,
    scale: NDArray[np.float64],
) -> Iterator[tuple[NDArray[np.int64], Sparse, NDArray[np.float64]]]:
    """Yield (actor ids of viewers, their rows of A by post number, what all their co-likers weigh).

    The relation ``answer_weights`` has the viewers' answers. ``scale`` says for each column of B how much it counts.
    """
    ids, authors, rkeys, weights = columns(
        connection, "SELECT viewer_id, author_id, post_rkey, weight FROM answer_weights ORDER BY viewer_id"
    )
    posts = graph.find(authors, rkeys)
    liked = posts >= 0
    rows = np.searchsorted(graph.viewers, ids)[liked]
    answers = sparse(rows, posts[liked], np.asarray(weights)[liked], len(graph.viewers))
    masses = np.memmap(graph.folder / "masses", np.float64, mode="w+", shape=max(graph.posts, 1))
    add_scales(b.starts, b.columns, scale, masses)
    known = SeedPosts(graph.column("rkeys"), graph.column("counts"), b.starts, masses)
    rules = SeedRules(*(getattr(ranking, name) for name in SeedRules._fields))
    for number, path in enumerate(graph.blocks):
        first = number * ranking.block_viewers
        viewers = graph.viewers[first : first + ranking.block_viewers]
        likes = np.fromfile(path, ROW)
        if len(graph.short):
            again = np.isin(likes["viewer"], graph.short["viewer"])
            within = (graph.short["viewer"] >= first) & (graph.short["viewer"] < first + len(viewers))
            likes = np.concatenate([likes[~again], graph.short[within]])
        starts, order = np.zeros(len(viewers) + 1, np.int64), np.empty(len(likes), np.int64)
        deal(likes["viewer"] - first, len(viewers), starts, order)
        likes = likes[order]
        block_answers = answers._replace(starts=answers.starts[first : first + len(viewers) + 1])
        room = int(
            np.minimum(np.diff(starts), ranking.max_seeds).sum()
            + block_answers.starts[-1]
            - block_answers.starts[0]
        )
        a = Sparse(np.zeros(len(viewers) + 1, np.int64), np.empty(room, np.int32), np.empty(room, np.float64))
        everybody = np.zeros(len(viewers))
        size = pick_seeds(
            starts, np.ascontiguousarray(likes["post"]), np.ascontiguousarray(likes["seen_us"]), block_answers, known,
            viewers, scale[graph.columns[viewers]], rules, a, everybody,
        )  # fmt: skip
        yield viewers, Sparse(a.starts, a.columns[:size], a.values[:size]), everybody


def newness_of(firsts_us: NDArray[np.int64], now_us: int, ranking: Ranking) -> NDArray[np.float64]:
    """Return how much likers count whose first likes came when they did (``newness`` of ``macros.sql``)."""
    if ranking.newcomer_hours <= 0:
        return np.ones(len(firsts_us))
    return np.clip((now_us - firsts_us) / HOUR_US / ranking.newcomer_hours, 0.0, 1.0)


def co_liker_scale(
    degrees: NDArray[np.integer], newness: NDArray[np.float64], ranking: Ranking
) -> NDArray[np.float64]:
    """Return by liker what a co-liker's weight is multiplied by (``co_likers.sql``); 0 for one without likes."""
    smoothed = degrees + ranking.degree_smoothing
    scale = np.power(smoothed, -ranking.degree_exponent, where=degrees > 0, out=np.zeros(len(degrees)))
    result: NDArray[np.float64] = scale * newness
    return result


def weight_left_out(everybody: NDArray[np.float64], top: Top) -> NDArray[np.float32]:
    """Return for each viewer what the co-likers outside the best weigh; ``everybody`` is what all of them weigh.

    A tiny rest counts as 0: then all were kept, and the rest is rounding.
    """
    kept = np.arange(top.scores.shape[1]) < top.filled[:, None]
    rest = everybody - np.sum(top.scores, axis=1, dtype=np.float64, where=kept)
    return np.where(rest > LEAST_LEFT_OUT * everybody, rest, 0.0).astype(np.float32)


def neighbour_blocks(
    connection: duckdb.DuckDBPyConnection, graph: LikeGraph, ranking: Ranking, threads: int
) -> Iterator[tuple[NDArray[np.int64], Top, NDArray[np.float32]]]:
    """Yield (actor ids of viewers, their best co-likers, what was left out); a column's name is an actor id."""
    b = Sparse(np.concatenate(([0], graph.column("ends"))), graph.column("likers"), np.empty(0))
    snapshot_us = int(columns(connection, "SELECT getvariable('snapshot_us')")[0][0])
    newness = newness_of(graph.firsts[graph.actors], snapshot_us, ranking)
    scale = co_liker_scale(graph.degrees[graph.actors], newness, ranking)
    for viewers, a, everybody in seed_blocks(connection, graph, ranking, b, scale):
        itself = sparse(np.arange(len(viewers)), graph.columns[viewers], None, len(viewers))
        top = top_rows(
            a, b, scale=scale, power=ranking.overlap_exponent, excluded=itself,
            keep=ranking.max_neighbours, names=graph.actors, threads=threads,
        )  # fmt: skip
        yield viewers, top, weight_left_out(everybody, top)


def neighbour_rows(
    snapshot: Snapshot, graph: LikeGraph, ranking: Ranking, threads: int, progress: Progress
) -> Iterator[pa.Table]:
    """Yield the rows of ``neighbour_files.SCHEMA``, a block of viewers at a time."""
    for viewers, top, left_out in neighbour_blocks(snapshot.connection, graph, ranking, threads):
        taken = np.arange(top.columns.shape[1]) < top.filled[:, None]
        rank = np.broadcast_to(np.arange(1, taken.shape[1] + 1, dtype=np.int32), taken.shape)
        yield pa.table(
            [
                np.repeat(viewers, top.filled).astype(np.int32),
                top.columns[taken],
                top.scores[taken],
                rank[taken],
                np.full(int(top.filled.sum()), snapshot.snapshot_us, np.int64),
                np.repeat(left_out, top.filled),
            ],
            schema=SCHEMA,
        )
        progress.add(len(viewers))
