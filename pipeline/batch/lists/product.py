"""The product of the candidates, N · F, a block of viewers at a time: weights of neighbours times their fresh likes.

Owns: turning relations into matrices. Leaves to others: the arithmetic (``kernel``), what the relations mean
(``sql/batch``), the rules after ranking (``arrange``).

Invariant: only F and one block of viewers are in memory at once. Posts are numbered by (rkey descending, author_id),
so the kernel's "smaller name wins" is the documented order of ties.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, Top, sparse, top_rows
from pipeline.ranking import Ranking
from pipeline.store.duck import columns

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """The product's rows for some viewers, ascending."""

    viewers: Ids
    top: Top
    excluded: Sparse


def candidate_blocks(
    connection: duckdb.DuckDBPyConnection, ranking: Ranking, threads: int
) -> Iterator[Block]:
    """Yield each block of viewers with their ranked posts; a column's name is a post number.

    Within the product the most liked posts have the smallest columns; ``kernel`` says why. The crowds are rows of F
    after the likers' rows. A viewer's crowd is an entry of N that does not count as a co-liker.
    """
    scale, authors = columns(connection, "SELECT scale, author_no FROM candidate_posts ORDER BY post_no")
    liker_ids, posts, values = columns(
        connection,
        "SELECT liker_id, post_no, value FROM fresh_likes ORDER BY liker_id, post_no",
    )
    fresh, starts = np.unique(liker_ids, return_index=True)
    likers, starts = len(fresh), np.append(starts, len(posts))
    row_of_liker = np.full(int(fresh.max(initial=0)) + 2, -1, np.int32)  # the last one is for all above
    row_of_liker[fresh] = np.arange(likers, dtype=np.int32)
    del liker_ids
    crowds, crowd_posts, shares = columns(
        connection, "SELECT language, post_no, share FROM crowds ORDER BY language, post_no"
    )
    names, sizes = np.unique(crowds.astype(str), return_counts=True)
    post_of = np.argsort(-np.bincount(posts, minlength=len(scale)), kind="stable").astype(np.int32)
    column_of = np.empty(len(post_of), np.int32)
    column_of[post_of] = np.arange(len(post_of), dtype=np.int32)
    f = Sparse(
        np.concatenate([starts, starts[-1] + np.cumsum(sizes)]),
        column_of[np.concatenate([posts, crowd_posts])],
        np.concatenate([values, shares]).astype(np.float64),
    )
    del posts, values
    scale, authors = scale[post_of], np.asarray(authors, np.int32)[post_of]
    viewers = np.asarray(columns(connection, "SELECT viewer_id FROM list_viewers ORDER BY 1")[0], np.int64)
    for first in range(0, len(viewers), ranking.block_viewers):
        block = viewers[first : first + ranking.block_viewers]
        span = int(block[0]), int(block[-1])
        # By viewer and rank, as the file has them; rows are looked up here, since a join would sort all again.
        ids, neighbour, weight, left_out = columns(
            connection,
            "SELECT viewer_id, neighbour_id, weight, left_out FROM neighbours WHERE viewer_id BETWEEN ? AND ?",
            *span,
        )
        row_of_viewer = np.full(span[1] - span[0] + 1, -1, np.int32)
        row_of_viewer[block - span[0]] = np.arange(len(block), dtype=np.int32)
        row, weight = row_of_viewer[ids - span[0]], np.asarray(weight, np.float64)
        neighbour = row_of_liker[np.minimum(neighbour, len(row_of_liker) - 1)]
        listed = row >= 0
        crowd_weights = ranking.crowd_weight * np.bincount(
            row[listed], weights=weight[listed], minlength=len(block)
        )
        of_viewer = np.zeros(len(block))
        of_viewer[row[listed]] = left_out[listed]
        crowd_weights += ranking.left_out_weight * of_viewer
        fruitful = listed & (neighbour >= 0)
        row, neighbour, weight = row[fruitful], neighbour[fruitful], weight[fruitful]
        if crowd_weights.any():
            crowd_row, crowd = _crowd_entries(connection, names, block)
            row = np.concatenate([row, crowd_row])
            neighbour = np.concatenate([neighbour, likers + crowd])
            weight = np.concatenate([weight, crowd_weights[crowd_row]])
        if len(row) and np.diff(row).min(initial=0) < 0:
            order = np.argsort(row, kind="stable")
            row, neighbour, weight = row[order], neighbour[order], weight[order]
        excluded = entries(connection, "SELECT viewer_id, post_no FROM exclusions", block)
        top = top_rows(
            sparse(row, neighbour, weight, len(block)),
            f,
            scale=scale,
            power=ranking.score_exponent,
            excluded=excluded._replace(columns=column_of[excluded.columns]),
            keep=ranking.list_length,
            groups=authors,
            per_group=ranking.max_per_author,
            counted=likers,
            names=post_of,
            threads=threads,
        )
        yield Block(block, top, excluded)


def _crowd_entries(connection: duckdb.DuckDBPyConnection, names: NDArray[Any], block: Ids) -> tuple[Ids, Ids]:
    """Return viewers' rows in the block, and for each the row of the crowd that serves their language."""
    ids, language = columns(
        connection,
        "SELECT viewer_id, language FROM list_viewers WHERE viewer_id BETWEEN ? AND ? ORDER BY viewer_id",
        int(block[0]),
        int(block[-1]),
    )
    place = np.searchsorted(names, language.astype(str))
    known = np.flatnonzero(place < len(names))  # before the first likes no language has a crowd
    return np.searchsorted(block, ids)[known], place[known]


def entries(connection: duckdb.DuckDBPyConnection, query: str, block: Ids) -> Sparse:
    """Return a relation (viewer_id, post_no) as a matrix with a row a viewer of the block."""
    joiner = "AND" if " WHERE " in query else "WHERE"
    ids, posts = columns(
        connection,
        f"{query} {joiner} viewer_id BETWEEN ? AND ? ORDER BY viewer_id, post_no",
        int(block[0]),
        int(block[-1]),
    )
    row = np.searchsorted(block, ids)
    known = block[np.minimum(row, len(block) - 1)] == ids
    return sparse(row[known], posts[known], None, len(block))
