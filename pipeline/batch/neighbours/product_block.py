"""A block of viewers: their likes and the likers of those posts in, and their neighbours out.

Owns: ``product_block``, which is pure: each viewer's seeds and their values (matrix A), the product with the likers of
posts (B), and how much a co-liker counts. Leaves to others: where its input comes from (``product_of_graph`` in one
process, ``graph_parts`` for several), the loops (``like_loops``, ``kernel``).

Posts and B's columns are numbered by the caller: posts by (author_id, rkey), and the columns' names by actor_id. So
ties are decided alike whether the caller has all posts and people or only those of the block. A tie goes to the
smaller name. B may have a row for a post with one liker, which ``seed_posts.sql`` leaves out. Such a row adds only to
the viewer, who is excluded from their own neighbours.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.batch.inputs.neighbour_files import SCHEMA
from pipeline.batch.kernel import Sparse, Top, sparse, top_rows
from pipeline.batch.neighbours.like_loops import SeedPosts, SeedRules, add_scales, deal, pick_seeds
from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US


class ViewerBlock(NamedTuple):
    """Some viewers, and what their seeds are picked from."""

    ids: NDArray[np.int64]  # (viewers): actor ids, ascending
    columns: NDArray[np.int32]  # (viewers): each one's column of B
    likes: NDArray[
        Any
    ]  # of walk_range.ROW: a viewer's number is their place in ``ids``; each viewer's by post
    answers: Sparse  # a row a viewer: the weights of the posts they answered


class CoLikers(NamedTuple):
    """The columns of B."""

    scale: NDArray[np.float64]  # (columns): how much each counts
    names: NDArray[np.int32]  # (columns): their names, as ``kernel`` has them
    actors: NDArray[np.int32]  # (names): actor ids, ascending, or (0) when a name is an actor id


class LikedPosts(NamedTuple):
    """The posts that seeds may be, and who likes them."""

    known: SeedPosts
    likers: NDArray[np.int32]  # columns

    @property
    def b(self) -> Sparse:
        """Matrix B."""
        return Sparse(self.known.starts, self.likers, np.empty(0))


def liked_posts(
    rkeys: NDArray[np.int64],
    counts: NDArray[np.int32],
    ends: NDArray[np.int64],
    likers: NDArray[np.int32],
    co_likers: CoLikers,
    masses: NDArray[np.float64],
) -> LikedPosts:
    """Return posts whose columns are as ``like_loops.Posts`` has them, but for likers, which are columns.

    ``masses`` (posts) is written.
    """
    starts = np.concatenate(([0], ends))
    add_scales(starts, likers, co_likers.scale, masses)
    return LikedPosts(SeedPosts(rkeys, counts, starts, masses), likers)


def pick_block_seeds(
    block: ViewerBlock, posts: LikedPosts, co_likers: CoLikers, ranking: Ranking
) -> tuple[Sparse, NDArray[np.float64]]:
    """Return the viewers' rows of A, and what all co-likers of each weigh."""
    count, likes = len(block.ids), block.likes
    starts, order = np.zeros(count + 1, np.int64), np.empty(len(likes), np.int64)
    deal(likes["viewer"], count, starts, order)
    likes = likes[order]
    answered = int(block.answers.starts[-1] - block.answers.starts[0])
    room = int(np.minimum(np.diff(starts), ranking.max_seeds).sum()) + answered
    a = Sparse(np.zeros(count + 1, np.int64), np.empty(room, np.int32), np.empty(room, np.float64))
    everybody = np.zeros(count)
    size = pick_seeds(
        starts, np.ascontiguousarray(likes["post"]), np.ascontiguousarray(likes["seen_us"]), block.answers, posts.known,
        block.ids, co_likers.scale[block.columns], SeedRules(*(getattr(ranking, name) for name in SeedRules._fields)),
        a, everybody,
    )  # fmt: skip
    return Sparse(a.starts, a.columns[:size], a.values[:size]), everybody


def product_block(
    block: ViewerBlock, posts: LikedPosts, co_likers: CoLikers, ranking: Ranking, threads: int
) -> tuple[Top, NDArray[np.float32]]:
    """Return each viewer's best co-likers, whom ``Top.columns`` calls by actor id, and what was left out."""
    a, everybody = pick_block_seeds(block, posts, co_likers, ranking)
    itself = sparse(np.arange(len(block.ids)), block.columns, None, len(block.ids))
    top = top_rows(
        a, posts.b, scale=co_likers.scale, power=ranking.overlap_exponent, excluded=itself,
        keep=ranking.max_neighbours, names=co_likers.names, threads=threads,
    )  # fmt: skip
    left_out = weight_left_out(everybody, top)
    if len(co_likers.actors):
        top = top._replace(columns=co_likers.actors[top.columns])
    return top, left_out


def neighbour_table(
    viewers: NDArray[np.int64], top: Top, left_out: NDArray[np.float32], snapshot_us: int
) -> pa.Table:
    """Return the rows of ``neighbour_files.SCHEMA`` of a block."""
    taken = np.arange(top.columns.shape[1]) < top.filled[:, None]
    rank = np.broadcast_to(np.arange(1, taken.shape[1] + 1, dtype=np.int32), taken.shape)
    return pa.table(
        [
            np.repeat(viewers, top.filled).astype(np.int32),
            top.columns[taken],
            top.scores[taken],
            rank[taken],
            np.full(int(top.filled.sum()), snapshot_us, np.int64),
            np.repeat(left_out, top.filled),
        ],
        schema=SCHEMA,
    )


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
    """Return for each viewer what the co-likers outside the best weigh; ``everybody`` is what all of them weigh."""
    kept = np.arange(top.scores.shape[1]) < top.filled[:, None]
    rest = everybody - np.sum(top.scores, axis=1, dtype=np.float64, where=kept)
    result: NDArray[np.float32] = rest.astype(np.float32)
    return result
