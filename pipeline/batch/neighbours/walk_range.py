"""A range of authors: the likes of their posts in, and out what the full pass keeps of them.

Owns: ``walk_range``, which is pure, reading its input, and the form of its output. Leaves to others: the loops
(``like_loops``), where the output is kept until all ranges were walked (``like_graph`` in one process, ``graph_parts``
for several), what is made of it (``product_block``).

Posts are numbered by (author_id, rkey) within their range. All likes of a post lie in one range, so what is known of a
post is known at once; what is known of a person is added up over the ranges.
"""

from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.neighbours.author_ranges import Range
from pipeline.batch.neighbours.like_loops import Likers, Posts, Records, ViewerLikes, deal, walk
from pipeline.store.duck import columns

ROW = np.dtype([("viewer", np.int32), ("post", np.int32), ("seen_us", np.int64)])  # viewer: its row
NO_ROWS: NDArray[Any] = np.empty(0, ROW)
NEVER_US = int(np.iinfo(np.int64).max)
POSTS: dict[str, Any] = {
    "authors": np.int32,
    "rkeys": np.int64,
    "counts": np.int32,
    "ends": np.int64,
    "likers": np.int32,
}


class Viewers(NamedTuple):
    """For whom neighbours are computed, and from when on their likes are looked at."""

    ids: NDArray[np.int64]  # (viewers): actor ids, ascending; a viewer's place is their row
    since_us: NDArray[np.int64]  # (viewers): older likes make no rows
    rows: NDArray[np.int32]  # (actors): each viewer's row, -1 for others
    in_block: int  # viewers of a block

    @property
    def blocks(self) -> int:
        """How many blocks they make."""
        return -(-len(self.ids) // self.in_block)

    def block(self, number: int) -> NDArray[np.int64]:
        """Return the actor ids of a block."""
        return self.ids[number * self.in_block : (number + 1) * self.in_block]


class WalkedRange(NamedTuple):
    """What is kept of a range."""

    records: int
    posts: Posts
    rows: NDArray[Any]  # of ROW: the first like of each post by each viewer, by block, then by post
    starts: NDArray[np.int64]  # (blocks + 1): where each block's rows start
    degrees: NDArray[np.int32]  # (actors): distinct posts liked
    firsts: NDArray[np.int64]  # (actors): when the first of them was seen


def viewers_of(
    connection: duckdb.DuckDBPyConnection, in_block: int, since_us: NDArray[np.int64] | None = None
) -> Viewers:
    """Return the relation ``viewers``; without ``since_us`` all their likes are looked at."""
    ids = viewer_ids(connection)
    rows = np.full(actor_count(connection), -1, np.int32)
    rows[ids] = np.arange(len(ids))
    return Viewers(ids, np.zeros(len(ids), np.int64) if since_us is None else since_us, rows, in_block)


def viewer_ids(connection: duckdb.DuckDBPyConnection) -> NDArray[np.int64]:
    """Return the actor ids of the relation ``viewers``, ascending."""
    return np.asarray(columns(connection, "SELECT viewer_id FROM viewers ORDER BY 1")[0], np.int64)


def actor_count(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how long an array by actor_id is."""
    return int(columns(connection, "SELECT coalesce(max(actor_id), 0) FROM actors")[0][0]) + 1


def read_records(connection: duckdb.DuckDBPyConnection, span: Range) -> Records:
    """Return the likes of a range of authors, of the relation ``valid_likes``."""
    sql_steps.set_variables(connection, {"first_author": span[0], "last_author": span[1]})
    return Records(*map(np.asarray, columns(connection, sql.load("batch/likes_of_authors"))))


def walk_range(records: Records, viewers: Viewers, max_seed_likers: int) -> WalkedRange:
    """Return the posts of a range with the likers who are looked at, the viewers' likes, and what it adds to people."""
    count, actors = len(records.authors), len(viewers.rows)
    people = Likers(np.zeros(actors, np.int32), np.full(actors, NEVER_US), viewers.rows, viewers.since_us)
    made = Posts(**{name: np.empty(count, kind) for name, kind in POSTS.items()})
    found = ViewerLikes(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int64))
    posts, likers, size = walk(records, people, 0, max_seed_likers, made, found)
    block = found.viewers[:size] // viewers.in_block
    starts, order = np.zeros(viewers.blocks + 1, np.int64), np.empty(size, np.int64)
    deal(block, viewers.blocks, starts, order)
    rows = np.empty(size, ROW)
    rows["viewer"], rows["post"], rows["seen_us"] = (column[order] for column in found)
    sizes = {name: likers if name == "likers" else posts for name in POSTS}
    kept = Posts(**{name: column[: sizes[name]] for name, column in made._asdict().items()})
    return WalkedRange(count, kept, rows, starts, people.degrees, people.firsts)


def read_likes_of(connection: duckdb.DuckDBPyConnection, likers: NDArray[np.int64], span: Range) -> Records:
    """Return the likes that some people made of posts in a range of authors, one a liker and post, by post."""
    sql_steps.set_variables(connection, {"first_author": span[0], "last_author": span[1]})
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE short_viewers AS SELECT unnest(?) AS liker_id", [likers.tolist()]
    )
    return Records(*map(np.asarray, columns(connection, sql.load("batch/likes_of_short_viewers"))))
