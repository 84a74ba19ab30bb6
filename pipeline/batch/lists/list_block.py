"""A block of viewers: what their lists are made of in, and their finished, checked lists out.

Owns: ``list_block``, which is pure, and ``Shelf``, what all blocks have in common for the rules. Leaves to others:
ranking (``product``), the rules (``arrange``), the checks (``checks``), who does which block (``make_lists``,
``list_parts``).
"""

from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.batch.lists.arrange import Draw, Lists, Popular, arrange
from pipeline.batch.lists.checks import check_entries
from pipeline.batch.lists.product import Fresh, ListBlock, rank_block
from pipeline.ranking import Ranking
from pipeline.store.duck import columns

SCHEMA = pa.schema(
    [
        ("viewer_id", pa.int32()),
        ("position", pa.int32()),
        ("post_no", pa.int32()),
        ("score", pa.float32()),
        ("co_likers", pa.int32()),
        ("source", pa.uint8()),
    ]
)
# Values that come again: those of the other columns are not looked for when a file is written.
REPEATED = [name for name in SCHEMA.names if name != "score"]


class Shelf(NamedTuple):
    """The candidate posts by number, and which of them are popular in each language."""

    languages: NDArray[Any]  # the rows of the three that follow; the first is "", which means all
    popular_starts: NDArray[np.int64]
    popular_posts: NDArray[np.int32]
    popular_scores: NDArray[np.float32]
    authors: NDArray[np.int32]  # (posts): numbers from 0
    author_ids: NDArray[np.int64]  # (posts): actor ids
    rkeys: NDArray[np.int64]  # (posts)
    few: NDArray[np.bool_]  # (posts): whether few enough like it for a trial place

    @property
    def popular(self) -> Popular:
        """The popular posts."""
        return Popular(self.popular_starts, self.popular_posts, self.popular_scores)


def fill_shelf(connection: duckdb.DuckDBPyConnection, ranking: Ranking) -> Shelf:
    """Return what all blocks have in common, of the relations ``candidate_posts`` and ``popular``."""
    names, popular = read_popular(connection, "popular")
    numbers, ids, rkeys, likers = columns(
        connection, "SELECT author_no, author_id, rkey, likers FROM candidate_posts ORDER BY post_no"
    )
    return Shelf(
        np.array(names, np.str_),
        *popular,
        np.asarray(numbers, np.int32),
        np.asarray(ids, np.int64),
        np.asarray(rkeys, np.int64),
        np.asarray(likers) <= ranking.trial_max_likers,
    )


def list_block(
    fresh: Fresh, shelf: Shelf, block: ListBlock, ranking: Ranking, hour: int, threads: int
) -> Lists:
    """Return the lists of a block, made of likes up to an hour; BatchError when one breaks a rule."""
    top, rules = rank_block(fresh, block, ranking, threads), block.rules(ranking)
    row_of = {str(name): row for row, name in enumerate(shelf.languages)}
    names, inverse = np.unique(block.languages, return_inverse=True)
    rows = np.array([row_of.get(str(name), 0) for name in names], np.int64)[inverse]
    draw = Draw(block.viewers, hour, shelf.rkeys, shelf.few)
    lists = arrange(top, shelf.popular, rows, block.excluded, block.seen, shelf.authors, rules, threads, draw)
    check_entries(block.viewers, lists, block.excluded, shelf.authors, shelf.author_ids, rules)
    return lists


def list_table(viewers: NDArray[np.int64], lists: Lists) -> pa.Table:
    """Return lists as rows of SCHEMA."""
    sizes = np.diff(lists.starts)
    position = np.arange(len(lists.posts)) - np.repeat(lists.starts[:-1], sizes) + 1
    return pa.table(
        [
            np.repeat(viewers, sizes).astype(np.int32),
            position.astype(np.int32),
            lists.posts,
            lists.scores,
            lists.co_likers,
            lists.sources,
        ],
        schema=SCHEMA,
    )


def read_popular(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[list[str], Popular]:
    """Return ``popular`` or ``public_popular`` as arrays, and its languages; the first is "", which means all."""
    language, posts, scores = columns(
        connection, f"SELECT language, post_no, score FROM {relation} ORDER BY language, position"
    )
    names = sorted({"", *language.astype(str).tolist()})
    counts = np.bincount(np.searchsorted(names, language.astype(str)), minlength=len(names))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return names, Popular(starts, np.asarray(posts, np.int32), np.asarray(scores, np.float32))
