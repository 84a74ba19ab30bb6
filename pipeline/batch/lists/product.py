"""The product of the candidates, N · F, for a block of viewers: weights of neighbours times their fresh likes.

Owns: turning relations into matrices. ``make_fresh`` does so once for all blocks, ``read_block`` for each, and
``rank_block`` multiplies; it is pure. Leaves to others: the arithmetic (``kernel``), what the relations mean
(``sql/batch``), the rules after ranking (``arrange``), who does which block (``make_lists``, ``list_parts``).

Viewers with parameters of their own are rows like all others. How many neighbours count and what the crowd weighs is
decided where N is made; how age and popularity scale a post is one of a few scales, which the kernel looks up by row.

Invariant: only F and one block of viewers are in memory at once. Posts are numbered by (rkey descending, author_id),
so the kernel's "smaller name wins" is the documented order of ties.
"""

from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.batch.inputs.neighbour_files import LEAST_LEFT_OUT
from pipeline.batch.kernel import Kinds, Sparse, Top, compiled, sparse, top_rows
from pipeline.batch.lists.arrange import Rules
from pipeline.ranking import Ranking
from pipeline.store.duck import columns

Ids = NDArray[np.int64]


class Fresh(NamedTuple):
    """Matrix F, and what is known of its columns; the same for all blocks.

    Within the product the most liked posts have the smallest columns; ``kernel`` says why. The crowds are rows after
    the likers' rows.
    """

    starts: NDArray[np.int64]  # (rows + 1)
    columns: NDArray[np.int32]  # (entries)
    values: NDArray[np.float64]  # (entries)
    rows: NDArray[np.int32]  # (actors): the row of each liker, -1 for none; the last is for all actors above
    crowds: NDArray[Any]  # (crowds): their languages
    posts: NDArray[np.int32]  # (columns): the post number of each
    columns_of: NDArray[np.int32]  # (posts): the column of each
    authors: NDArray[np.int32]  # (columns): the author's number
    pairs: NDArray[np.float64]  # (scales, 2): half-life and popularity exponent
    scales: NDArray[np.float64]  # (scales, columns)
    kinds: NDArray[np.int32]  # (columns): the post's languages, as a number
    reads: NDArray[Any]  # (texts): what viewers read
    factors: NDArray[np.float64]  # (texts, kinds): what a post counts for who reads that


class Near(NamedTuple):
    """Rows of the relation ``neighbours``, by viewer and rank; viewers may stand in any order."""

    viewers: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    weights: NDArray[np.float32]
    left_out: NDArray[np.float32]


class Weighing(NamedTuple):
    """What of the neighbours and of the crowd each viewer of a block gets; each array is (viewers)."""

    max_neighbours: NDArray[np.int32]
    crowd_weight: NDArray[np.float64]
    left_out_weight: NDArray[np.float64]
    crowd: NDArray[np.int64]  # the row of F that is the viewer's crowd, -1 for none


class ListBlock(NamedTuple):
    """Some viewers, ascending, with all that their lists are made of besides what is the same for everybody.

    The arrays up to ``author_spacing`` are columns of ``list_viewers``.
    """

    viewers: Ids
    languages: NDArray[Any]
    reads: NDArray[Any]
    half_life_hours: NDArray[np.float64]
    popularity_exponent: NDArray[np.float64]
    crowd_weight: NDArray[np.float64]
    left_out_weight: NDArray[np.float64]
    max_neighbours: NDArray[np.int32]
    max_per_author: NDArray[np.int32]
    author_spacing: NDArray[np.int32]
    near: Near
    excluded: Sparse
    seen: Sparse

    def rules(self, ranking: Ranking) -> Rules:
        """Return the rules of these viewers' lists."""
        return Rules(ranking.list_length, ranking.trial_share, self.max_per_author, self.author_spacing)


def list_viewers(connection: duckdb.DuckDBPyConnection) -> Ids:
    """Return the viewers who get a list, ascending."""
    return np.asarray(columns(connection, "SELECT viewer_id FROM list_viewers ORDER BY 1")[0], np.int64)


def make_fresh(connection: duckdb.DuckDBPyConnection) -> Fresh:
    """Return F of the relations ``fresh_likes`` and ``crowds``."""
    [authors] = columns(connection, "SELECT author_no FROM candidate_posts ORDER BY post_no")
    liker_ids, posts, values = columns(
        connection,
        "SELECT liker_id, post_no, value FROM fresh_likes ORDER BY liker_id, post_no",
    )
    fresh, starts = np.unique(liker_ids, return_index=True)
    likers, starts = len(fresh), np.append(starts, len(posts))
    row_of_liker = np.full(int(fresh.max(initial=0)) + 2, -1, np.int32)
    row_of_liker[fresh] = np.arange(likers, dtype=np.int32)
    del liker_ids
    crowds, crowd_posts, shares = columns(
        connection, "SELECT language, post_no, share FROM crowds ORDER BY language, post_no"
    )
    names, sizes = np.unique(crowds.astype(str), return_counts=True)
    post_of = np.argsort(-np.bincount(posts, minlength=len(authors)), kind="stable").astype(np.int32)
    column_of = np.empty(len(post_of), np.int32)
    column_of[post_of] = np.arange(len(post_of), dtype=np.int32)
    pairs, scales = _scales(connection, post_of)
    return Fresh(
        np.concatenate([starts, starts[-1] + np.cumsum(sizes)]),
        column_of[np.concatenate([posts, crowd_posts])],
        np.concatenate([values, shares]).astype(np.float64),
        row_of_liker,
        names,
        post_of,
        column_of,
        np.asarray(authors, np.int32)[post_of],
        pairs,
        scales,
        *_reading(connection, post_of),
    )


def read_block(connection: duckdb.DuckDBPyConnection, viewers: Ids) -> ListBlock:
    """Return what the lists of some viewers are made of, all of those between the first and the last."""
    span = int(viewers[0]), int(viewers[-1])
    language, reads, half_life, popularity, crowd_weight, left_out_weight, most, per_author, spacing = (
        columns(
            connection,
            "SELECT language, reads, half_life_hours, popularity_exponent, crowd_weight, left_out_weight, "
            "max_neighbours, max_per_author, author_spacing FROM list_viewers "
            "WHERE viewer_id BETWEEN ? AND ? ORDER BY viewer_id",
            *span,
        )
    )
    # As the file has them; a join or an order would sort all again.
    near = Near(
        *columns(
            connection,
            "SELECT viewer_id, neighbour_id, weight, left_out FROM neighbours WHERE viewer_id BETWEEN ? AND ?",
            *span,
        )
    )
    return ListBlock(
        viewers,
        language.astype(str),
        reads.astype(str),
        half_life,
        popularity,
        crowd_weight,
        left_out_weight,
        most,
        per_author,
        spacing,
        near,
        entries(connection, "SELECT viewer_id, post_no FROM exclusions", viewers),
        entries(
            connection, "SELECT viewer_id, post_no FROM feedback WHERE event = 'interactionSeen'", viewers
        ),
    )


def rank_block(fresh: Fresh, block: ListBlock, ranking: Ranking, threads: int) -> Top:
    """Return the ranked posts of each viewer; a column's name is a post number.

    A viewer's crowd is an entry of N that does not count as a co-liker.
    """
    viewers, first = block.viewers, int(block.viewers[0])
    likers = len(fresh.starts) - 1 - len(fresh.crowds)
    place = np.searchsorted(fresh.crowds, block.languages)
    crowd = np.where(place < len(fresh.crowds), likers + place, -1)  # none has a crowd before the first likes
    row_of_viewer = np.full(int(viewers[-1]) - first + 1, -1, np.int32)
    row_of_viewer[viewers - first] = np.arange(len(viewers), dtype=np.int32)
    weighing = Weighing(block.max_neighbours, block.crowd_weight, block.left_out_weight, crowd)
    room = len(block.near.viewers) + len(viewers)
    n = Sparse(np.zeros(len(viewers) + 1, np.int64), np.empty(room, np.int32), np.empty(room))
    size = _weigh(block.near, first, row_of_viewer, fresh.rows, weighing, n)
    scale_of = np.zeros(len(viewers), np.int32)
    for number, (hours, exponent) in enumerate(fresh.pairs.tolist()):
        scale_of[(block.half_life_hours == hours) & (block.popularity_exponent == exponent)] = number
    return top_rows(
        Sparse(n.starts, n.columns[:size], n.values[:size]),
        Sparse(fresh.starts, fresh.columns, fresh.values),
        scale=fresh.scales,
        scale_of=scale_of,
        power=ranking.score_exponent,
        excluded=block.excluded._replace(columns=fresh.columns_of[block.excluded.columns]),
        keep=ranking.list_length,
        groups=fresh.authors,
        per_group=block.max_per_author,
        counted=likers,
        names=fresh.posts,
        kinds=_kinds(fresh, block.reads),
        threads=threads,
    )


def _kinds(fresh: Fresh, reads: NDArray[Any]) -> Kinds | None:
    """Return what posts in each language count for viewers who read these; None where all count in full."""
    if fresh.factors.min(initial=1.0) == 1.0:
        return None
    row_of = {text: row for row, text in enumerate(fresh.reads.tolist())}
    texts, places = np.unique(reads, return_inverse=True)
    rows = np.array([row_of[text] for text in texts.tolist()], np.int32)
    return Kinds(fresh.kinds, fresh.factors, rows[places])


def _scales(
    connection: duckdb.DuckDBPyConnection, post_of: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pairs of half-life and popularity exponent that are in use, and how each scales the columns."""
    used = "SELECT DISTINCT half_life_hours, popularity_exponent FROM list_viewers ORDER BY ALL"
    pairs = connection.execute(used).fetchall()
    query = "SELECT post_scale(created_us, likers, ?, ?) FROM candidate_posts ORDER BY post_no"
    scales = np.zeros((max(len(pairs), 1), len(post_of)))
    for number, pair in enumerate(pairs):
        scales[number] = columns(connection, query, *pair)[0][post_of]
    return np.array(pairs, np.float64).reshape(-1, 2), scales


def _reading(
    connection: duckdb.DuckDBPyConnection, post_of: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[Any], NDArray[np.float64]]:
    """Return the columns' languages as kinds, the texts of what viewers read, and what each kind counts for each."""
    number = "SELECT dense_rank() OVER (ORDER BY langs) - 1 AS kind FROM candidate_posts ORDER BY post_no"
    kinds = np.asarray(columns(connection, number)[0], np.int32)[post_of]
    texts = columns(connection, "SELECT DISTINCT reads FROM list_viewers ORDER BY reads")[0].astype(str)
    factors = columns(
        connection,
        "SELECT readable(r.reads, p.langs) AS factor FROM (SELECT DISTINCT reads FROM list_viewers) AS r "
        "CROSS JOIN (SELECT DISTINCT langs FROM candidate_posts) AS p ORDER BY r.reads, p.langs",
    )[0]
    table = np.asarray(factors, np.float64).reshape(len(texts), len(factors) // max(len(texts), 1))
    return kinds, texts, table


@compiled
def _weigh(near: Near, first: int, viewer_rows: Any, liker_rows: Any, weighing: Weighing, n: Sparse) -> int:
    """Write N, each viewer's neighbours and then their crowd; return its entries.

    ``viewer_rows`` has the row of each viewer from the number ``first`` on, ``liker_rows`` of each liker; -1 is none.
    The last of ``liker_rows`` stands for all likers above. ``crowd_weights.sql`` says what the crowd weighs.
    """
    viewers, neighbours, weights, left_out = near
    most, crowd_weight, left_out_weight, crowd = weighing
    starts, columns, values = n
    rows = len(most)
    rank, size = np.zeros(rows, np.int32), np.zeros(rows, np.int64)
    kept, everybody, of_crowd = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    for i in range(len(viewers)):
        row = viewer_rows[viewers[i] - first]
        if row < 0:
            continue
        if rank[row] == 0:
            of_crowd[row] = left_out[i]
        everybody[row] += weights[i]
        if rank[row] < most[row]:
            kept[row] += weights[i]
            size[row] += liker_rows[min(neighbours[i], len(liker_rows) - 1)] >= 0
        rank[row] += 1
    for row in range(rows):
        everybody[row] += of_crowd[row]
        rest = everybody[row] - kept[row]
        of_crowd[row] = crowd_weight[row] * kept[row]
        if rest > LEAST_LEFT_OUT * everybody[row]:
            of_crowd[row] += left_out_weight[row] * rest
        starts[row + 1] = starts[row] + size[row] + (of_crowd[row] > 0.0 and crowd[row] >= 0)
        rank[row], size[row] = 0, starts[row]
    for i in range(len(viewers)):
        row = viewer_rows[viewers[i] - first]
        if row < 0:
            continue
        if rank[row] < most[row]:
            liker = liker_rows[min(neighbours[i], len(liker_rows) - 1)]
            if liker >= 0:
                columns[size[row]], values[size[row]] = liker, weights[i]
                size[row] += 1
        rank[row] += 1
    for row in range(rows):
        if size[row] < starts[row + 1]:
            columns[size[row]], values[size[row]] = crowd[row], of_crowd[row]
    return int(starts[rows])


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
