"""The full pass in parts: the like graph of the whole window as files that tasks on several machines leave each other.

Owns: ``GraphParts``, whose methods are the tasks, and the form of their parts. Leaves to others: what is done
(``walk_range``, ``product_block``), who runs the tasks (``batch.engine``), the same in one process (``like_graph``).

    walk N      the likes of a range of authors in; out its posts with their likers, the viewers' likes by block, and
                what it adds to each person's likes
    add_up      one array by person of the sums, and which viewers have too few likes yet
    route N     for each block, of the range's posts those that its likes or answers name, with their likers. So no
                machine holds the whole matrix B: a block gets the rows that it needs
    product N   what all ranges sent to a block in; out the neighbours of its viewers

Posts are numbered by (author_id, rkey) within what a block was sent, since ranges are sorted so, and the columns' names
by actor_id. So ties are decided as in one process, and the rows are the same, bit by bit.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.batch.inputs import frozen as frozen_inputs
from pipeline.batch.inputs.frozen import Frozen
from pipeline.batch.inputs.neighbour_files import write_rows
from pipeline.batch.inputs.part_files import array, arrays, put, put_arrays
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.kernel import Sparse, compiled, sparse
from pipeline.batch.neighbours.author_ranges import Range
from pipeline.batch.neighbours.like_loops import Posts, deal, find_posts
from pipeline.batch.neighbours.product_block import (
    CoLikers,
    ViewerBlock,
    co_liker_scale,
    liked_posts,
    neighbour_table,
    newness_of,
    product_block,
)
from pipeline.batch.neighbours.walk_range import (
    NEVER_US,
    POSTS,
    ROW,
    Viewers,
    read_likes_of,
    read_records,
    viewers_of,
    walk_range,
)
from pipeline.errors import BatchError
from pipeline.ranking import Ranking
from pipeline.store.duck import columns

ANSWER = np.dtype([("viewer", np.int32), ("author", np.int32), ("rkey", np.int64), ("weight", np.float64)])


class Sent(NamedTuple):
    """What a range sends to its blocks, one block after another; posts and viewers are numbered within each block."""

    rows: NDArray[Any]  # (likes) of ROW: the viewers' likes
    rkeys: NDArray[np.int64]  # (posts)
    counts: NDArray[np.int32]  # (posts): distinct likers
    ends: NDArray[np.int64]  # (posts): where the post's part of ``likers`` ends
    likers: NDArray[np.int32]  # (likers): those who are looked at
    viewers: NDArray[np.int32]  # (answers)
    answered: NDArray[np.int32]  # (answers): posts
    weights: NDArray[np.float64]  # (answers)

    def cut(self, rows: slice, posts: slice, answers: slice) -> "Sent":
        """Return what one block was sent; its ``ends`` are of its own likers."""
        first = self.ends[posts.start - 1] if posts.start else 0
        ends = self.ends[posts]
        likers = self.likers[first : ends[-1] if len(ends) else first]
        return Sent(
            self.rows[rows], self.rkeys[posts], self.counts[posts], ends - first, likers, self.viewers[answers],
            self.answered[answers], self.weights[answers],
        )  # fmt: skip


# Where the part of each block begins in the arrays by like, post and answer; each is (blocks + 1).
STARTS = ("row_starts", "post_starts", "answer_starts")


@dataclass(frozen=True, slots=True)
class GraphParts:
    """A full pass over a frozen input; its parts are in a folder that every task sees."""

    folder: Path
    frozen: Frozen
    ranking: Ranking
    spans: tuple[Range, ...]
    actors: int  # how long an array by actor_id is
    blocks: int

    @classmethod
    def lay_out(
        cls,
        snapshot: Snapshot,
        frozen: Frozen,
        ranking: Ranking,
        spans: Sequence[Range],
        since_us: NDArray[np.int64],
    ) -> "GraphParts":
        """Write what all tasks read. The folder's name stands for it: parts of other input are not taken for these."""
        connection = snapshot.connection
        frozen_inputs.add_relations(frozen, connection, "hidden_accounts", "deleted_posts")
        viewers = viewers_of(connection, ranking.block_viewers, since_us)
        ids, authors, rkeys, weights = columns(
            connection, "SELECT viewer_id, author_id, post_rkey, weight FROM answer_weights ORDER BY ALL"
        )
        answers = np.empty(len(ids), ANSWER)
        answers["viewer"], answers["author"] = viewers.rows[ids], authors
        answers["rkey"], answers["weight"] = rkeys, weights
        late, reported_us = columns(connection, "SELECT liker_id, first_us FROM first_reported ORDER BY ALL")
        plan = repr((ranking, spans, len(viewers.rows))).encode()
        contents = [viewers.ids, viewers.since_us, answers, np.asarray(late), np.asarray(reported_us)]
        name = hashlib.sha256(b"".join([plan, *(column.tobytes() for column in contents)])).hexdigest()[:16]
        graph = cls(frozen.folder / name, frozen, ranking, tuple(spans), len(viewers.rows), viewers.blocks)
        names = ("ids", "since_us", "answers", "late", "reported_us")
        put_arrays(graph.folder / "viewers", rows=viewers.rows, **dict(zip(names, contents, strict=True)))
        return graph

    @property
    def ranges(self) -> int:
        """How many ranges of authors there are."""
        return len(self.spans)

    def walk(self, number: int) -> int:
        """Walk over a range; return its records."""
        part = self._part("walk", number)
        if part.exists():
            return int(array(part, "records")[0])
        records = read_records(_likes(self.frozen, self.ranking), self.spans[number])
        viewers = self._viewers()
        walked = walk_range(records, viewers, self.ranking.max_seed_likers)
        people = np.flatnonzero(walked.degrees).astype(np.int32)
        put_arrays(
            part,
            records=np.array([walked.records]),
            rows=walked.rows,
            starts=walked.starts,
            people=people,
            degrees=walked.degrees[people],
            firsts=walked.firsts[people],
            likes=np.bincount(walked.rows["viewer"], minlength=len(viewers.ids)).astype(np.int32),
            **walked.posts._asdict(),
        )
        return walked.records

    def add_up(self) -> int:
        """Add up what the ranges say of people; return how many likers are looked at, a liker once a post."""
        degrees, firsts = np.zeros(self.actors, np.int32), np.full(self.actors, NEVER_US)
        ids, since_us = arrays(self.folder / "viewers", "ids", "since_us")
        likes, likers = np.zeros(len(ids), np.int64), 0
        for number in range(self.ranges):
            part = self._part("walk", number)
            people, counts, first_us = arrays(part, "people", "degrees", "firsts")
            degrees[people] += counts
            firsts[people] = np.minimum(firsts[people], first_us)
            likes += array(part, "likes")
            likers += len(array(part, "likers"))
        late, reported_us = arrays(self.folder / "viewers", "late", "reported_us")
        firsts[late] = reported_us
        short = ids[(since_us > 0) & (likes < self.ranking.max_seeds)]
        put_arrays(self.folder / "people", degrees=degrees, firsts=firsts, short=short)
        return likers

    def people(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return each actor's number of likes, and when the first of them was seen that was reported."""
        degrees, firsts = arrays(self.folder / "people", "degrees", "firsts")
        return degrees, firsts

    def route(self, number: int) -> int:
        """Send each block what it needs of a range; return how many likers all of them were sent."""
        part = self._part("route", number)
        if part.exists():
            return len(array(part, "likers"))
        walked_rows, starts, *columns = arrays(self._part("walk", number), "rows", "starts", *POSTS)
        posts = Posts(*columns)
        viewers, rows = self._viewers(), np.array(walked_rows)
        short = array(self.folder / "people", "short")
        if len(short):
            rows, starts = self._with_short_rows(number, rows, short, posts, viewers)
        answers = array(self.folder / "viewers", "answers")  # by viewer
        found = np.empty(len(answers), np.int64)
        find_posts(answers["author"], answers["rkey"], posts.authors, posts.rkeys, found)
        answered = np.flatnonzero(found >= 0)
        answered_posts = found[answered].astype(np.int32)
        block_firsts = np.arange(self.blocks + 1) * self.ranking.block_viewers
        answered_starts = np.searchsorted(answers["viewer"][answered], block_firsts)
        named = np.empty(len(rows) + len(answered), np.int64)
        named_starts = np.zeros(self.blocks + 1, np.int64)
        size = _number_posts(
            rows["post"], starts, answered_posts, answered_starts, np.zeros(len(posts.rkeys), np.bool_),
            np.empty(len(posts.rkeys), np.int32), named, named_starts,
        )  # fmt: skip
        rows["viewer"] %= viewers.in_block
        named = named[:size]
        ends, likers = _likers_of(named, posts.ends, posts.likers)
        sent = Sent(
            rows, posts.rkeys[named], posts.counts[named], ends, likers, answers["viewer"][answered] % viewers.in_block,
            answered_posts, answers["weight"][answered],
        )  # fmt: skip
        edges = dict(zip(STARTS, (starts, named_starts, answered_starts), strict=True))
        put_arrays(part, **sent._asdict(), **edges)
        return len(likers)

    def product(self, number: int) -> int:
        """Write the neighbours of a block's viewers; return how many rows."""
        path = self.product_file(number)
        if not path.exists():
            first = number * self.ranking.block_viewers
            ids = array(self.folder / "viewers", "ids")[first : first + self.ranking.block_viewers]
            viewers = np.array(ids)
            block, co_likers, posts = self._matrices(number, viewers)
            masses = np.empty(len(posts["counts"]))
            known = liked_posts(
                posts["rkeys"], posts["counts"], posts["ends"], posts["likers"], co_likers, masses
            )
            top, left_out = product_block(block, known, co_likers, self.ranking, 1)
            table = neighbour_table(viewers, top, left_out, self.frozen.snapshot_us)
            put(path, partial(write_rows, tables=[table]))
        return int(pq.read_metadata(path).num_rows)

    def write(self, folder: Path, products: Iterable[int]) -> list[Path]:
        """Return the files that ``product`` wrote, once all of them are there; nothing is written into the folder."""
        rows = sum(products)
        made = [self.product_file(number) for number in range(self.blocks)]
        if sum(int(pq.read_metadata(part).num_rows) for part in made) != rows:
            raise BatchError(f"{self.folder}: the parts have not the {rows} rows that their tasks made")
        return made

    def product_file(self, number: int) -> Path:
        """Return the file of a block's neighbours, rows of ``neighbour_files.SCHEMA``."""
        return self.folder / "product" / f"{number:05d}.parquet"

    def _part(self, stage: str, number: int) -> Path:
        return self.folder / stage / f"{number:05d}"

    def _viewers(self) -> Viewers:
        ids, since_us, rows = map(np.asarray, arrays(self.folder / "viewers", "ids", "since_us", "rows"))
        return Viewers(ids, since_us, rows, self.ranking.block_viewers)

    def _with_short_rows(
        self, number: int, rows: NDArray[Any], short: NDArray[np.int64], posts: Posts, viewers: Viewers
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return a range's rows by block with all likes of viewers whose newest are too few, and where blocks start."""
        likes = read_likes_of(_likes(self.frozen, self.ranking), np.asarray(short), self.spans[number])
        again, found = np.empty(len(likes.likers), ROW), np.empty(len(likes.likers), np.int64)
        find_posts(likes.authors, likes.rkeys, posts.authors, posts.rkeys, found)
        again["viewer"], again["post"], again["seen_us"] = viewers.rows[likes.likers], found, likes.seen_us
        is_short = np.zeros(len(viewers.ids), np.bool_)
        is_short[viewers.rows[short]] = True
        rows = np.concatenate([rows[~is_short[rows["viewer"]]], again])
        starts, order = np.zeros(self.blocks + 1, np.int64), np.empty(len(rows), np.int64)
        deal(rows["viewer"] // viewers.in_block, self.blocks, starts, order)
        return rows[order], starts

    def _matrices(
        self, number: int, viewers: NDArray[np.int64]
    ) -> tuple[ViewerBlock, CoLikers, dict[str, NDArray[Any]]]:
        """Return a block, the columns of its B, which are its viewers and their co-likers alone, and its posts."""
        pieces = []
        for index in range(self.ranges):
            found = arrays(self._part("route", index), *Sent._fields, *STARTS)
            edges = (slice(starts[number], starts[number + 1]) for starts in found[len(Sent._fields) :])
            pieces.append(Sent(*found[: len(Sent._fields)]).cut(*edges))
        post_firsts = np.cumsum([0, *(len(piece.counts) for piece in pieces)])
        liker_firsts = np.cumsum([0, *(len(piece.likers) for piece in pieces)])
        whole = {
            name: np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("rows", "rkeys", "counts", "ends", "viewers", "answered", "weights")
        }
        whole["rows"]["post"] += np.repeat(post_firsts[:-1], [len(piece.rows) for piece in pieces])
        whole["answered"] += np.repeat(post_firsts[:-1], [len(piece.answered) for piece in pieces])
        whole["ends"] += np.repeat(liker_firsts[:-1], [len(piece.ends) for piece in pieces])
        degrees, firsts = self.people()
        is_present = np.zeros(self.actors, np.bool_)
        for piece in pieces:
            is_present[piece.likers] = True
        is_present[viewers] = True
        present = np.flatnonzero(is_present).astype(np.int32)
        names = np.argsort(-degrees[present], kind="stable").astype(np.int32)
        column_of = np.empty(self.actors, np.int32)
        column_of[present[names]] = np.arange(len(present), dtype=np.int32)
        whole["likers"] = np.empty(liker_firsts[-1], np.int32)
        for piece, first in zip(
            pieces, liker_firsts[:-1], strict=True
        ):  # straight from the files to where they stay
            np.take(
                column_of, piece.likers, out=whole["likers"][first : first + len(piece.likers)], mode="clip"
            )
        newness = newness_of(firsts[present[names]], self.frozen.snapshot_us, self.ranking)
        co_likers = CoLikers(co_liker_scale(degrees[present[names]], newness, self.ranking), names, present)
        order = np.argsort(whole["viewers"], kind="stable")
        answers: Sparse = sparse(
            whole["viewers"][order], whole["answered"][order], whole["weights"][order], len(viewers)
        )
        return ViewerBlock(viewers, column_of[viewers], whole["rows"], answers), co_likers, whole


@lru_cache(maxsize=1)
def _likes(frozen: Frozen, ranking: Ranking) -> duckdb.DuckDBPyConnection:
    """Return a worker's connection to a frozen input."""
    return frozen_inputs.open_likes(frozen, frozen.spill, 1, int(ranking.memory_limit_gb * 1024))


def _likers_of(
    posts: NDArray[np.int64], ends: NDArray[np.int64], likers: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the likers of some posts, one post after another, and where each one's end."""
    new_ends = np.zeros(len(posts), np.int64)
    if not len(posts):
        return new_ends, np.empty(0, np.int32)
    firsts = np.where(posts > 0, ends[np.maximum(posts - 1, 0)], 0)
    np.cumsum(ends[posts] - firsts, out=new_ends)
    gathered = np.empty(int(new_ends[-1]), np.int32)
    _gather(firsts, new_ends, likers, gathered)
    return new_ends, gathered


@compiled
def _number_posts(
    posts: Any,
    starts: Any,
    answered: Any,
    answered_starts: Any,
    is_named: Any,
    numbers: Any,
    named: Any,
    named_starts: Any,
) -> int:
    """Number the posts of each block anew, ascending; return how many there are of all blocks.

    Those of ``posts`` and ``answered`` of a block, which are replaced by their new numbers, are written to ``named``,
    and where each block's begin to ``named_starts``. ``is_named`` (posts of the range) is false everywhere, also after;
    ``numbers`` has room for as many.
    """
    size = 0
    for block in range(len(starts) - 1):
        for i in range(starts[block], starts[block + 1]):
            is_named[posts[i]] = True
        for i in range(answered_starts[block], answered_starts[block + 1]):
            is_named[answered[i]] = True
        count = 0
        for post in range(len(is_named)):
            if is_named[post]:
                named[size + count] = post
                numbers[post] = count
                count += 1
                is_named[post] = False
        for i in range(starts[block], starts[block + 1]):
            posts[i] = numbers[posts[i]]
        for i in range(answered_starts[block], answered_starts[block + 1]):
            answered[i] = numbers[answered[i]]
        size += count
        named_starts[block + 1] = size
    return size


@compiled
def _gather(firsts: Any, ends: Any, values: Any, gathered: Any) -> None:
    """Write the stretches of ``values`` that begin at ``firsts``, so that each ends at its one of ``ends``."""
    place = 0
    for i in range(len(firsts)):
        first = firsts[i] - place
        while place < ends[i]:
            gathered[place] = values[first + place]
            place += 1
