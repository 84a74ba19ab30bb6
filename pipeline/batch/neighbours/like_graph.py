"""The like graph of the whole window, in files of one process: who liked each post, and what each viewer liked.

Owns: ``LikeGraph``, and building it range by range. Leaves to others: which records count (``sql/batch``), what is
kept of a range (``walk_range``), the same in parts for several machines (``graph_parts``), the product
(``product_block``).

A relation of 1.8 billion likes does not fit into memory, so it is read a range of authors at a time. Posts are
numbered by (author_id, rkey). What is too large for memory is a file in the folder, and is mapped where it is read.

Likers are numbered anew, as the columns of matrix B. Those with most likes come first, so most accesses of the
product go to a small part of memory (``kernel``).

Only the newest ``max_seeds`` likes of a viewer are needed. So records older than the newest ``2 * max_seeds`` are left
out. A record is not always a like: a post may be liked twice, or be deleted. Viewers with too few likes left are
read once more, in full.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.neighbours.author_ranges import LAST_ACTOR, Range, author_ranges, horizons
from pipeline.batch.neighbours.like_loops import find_posts
from pipeline.batch.neighbours.walk_range import (
    NEVER_US,
    NO_ROWS,
    POSTS,
    ROW,
    Viewers,
    WalkedRange,
    read_likes_of,
    viewer_ids,
    viewers_of,
)
from pipeline.ranking import Ranking
from pipeline.store.duck import columns

RECORD_BYTES = 256  # of DuckDB's memory for each like record of a range; it needs about half
RENUMBERED = 1 << 22  # likers at a time


@dataclass(slots=True)
class LikeGraph:
    """Matrix B, and the likes that seeds are picked from."""

    folder: Path
    viewers: Viewers
    degrees: NDArray[np.int32]  # by actor_id: distinct posts liked
    firsts: NDArray[np.int64]  # by actor_id: when the first of them was seen that was reported
    posts: int = 0
    likers: int = 0
    # All likes of viewers whose newest records hold too few.
    short: NDArray[Any] = field(default_factory=lambda: NO_ROWS)
    actors: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))  # by column
    columns: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))  # by actor_id

    @property
    def blocks(self) -> list[Path]:
        """The files of the viewers' likes."""
        return [self.folder / f"rows-{block}" for block in range(self.viewers.blocks)]

    def column(self, name: str) -> NDArray[Any]:
        """Return a file as an array: ``authors``, ``rkeys``, ``counts``, ``ends`` by post, ``likers`` of all posts."""
        path = self.folder / name
        return np.memmap(path, POSTS[name], mode="r") if path.stat().st_size else np.empty(0, POSTS[name])

    def find(self, authors: NDArray[Any], rkeys: NDArray[Any]) -> NDArray[np.int64]:
        """Return the numbers of posts, -1 for a post that nobody liked."""
        found = np.empty(len(authors), np.int64)
        find_posts(authors, rkeys, self.column("authors"), self.column("rkeys"), found)
        return found

    def likes_of_block(self, number: int) -> NDArray[Any]:
        """Return the likes of a block's viewers, each viewer's by post; a viewer's number is their row in the block."""
        first = number * self.viewers.in_block
        likes: NDArray[Any] = np.fromfile(self.blocks[number], ROW)
        if len(self.short):
            again = np.isin(likes["viewer"], self.short["viewer"])
            within = self.short["viewer"] // self.viewers.in_block == number
            likes = np.concatenate([likes[~again], self.short[within]])
        likes["viewer"] -= first
        return likes


def plan(snapshot: Snapshot, ranking: Ranking) -> tuple[list[Range], NDArray[np.int64]]:
    """Return the ranges of authors of a full pass, and since when the likes of each viewer are looked at."""
    connection, files = snapshot.connection, snapshot.lake_files
    since = horizons(connection, files, viewer_ids(connection), 2 * ranking.max_seeds)
    return ranges_of(snapshot, ranking), since


def ranges_of(snapshot: Snapshot, ranking: Ranking) -> list[Range]:
    """Return the ranges of authors whose likes fit into memory."""
    rows = int(ranking.memory_limit_gb * 2**30 / RECORD_BYTES)
    return author_ranges(snapshot.connection, snapshot.lake_files, rows)


def new_graph(
    connection: duckdb.DuckDBPyConnection,
    ranking: Ranking,
    folder: Path,
    since_us: NDArray[np.int64] | None = None,
) -> LikeGraph:
    """Return a graph of no likes yet.

    ``since_us`` has for each viewer of the relation ``viewers`` the time before which likes are left out at first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    viewers = viewers_of(connection, ranking.block_viewers, since_us)
    actors = len(viewers.rows)
    graph = LikeGraph(folder, viewers, np.zeros(actors, np.int32), np.full(actors, NEVER_US))
    for path in (*graph.blocks, *(folder / name for name in POSTS)):
        path.write_bytes(b"")
    return graph


def add_up(graph: LikeGraph, connection: duckdb.DuckDBPyConnection, ranking: Ranking) -> None:
    """Finish a graph once all ranges are in it; what ``degrees`` says of likers counts before what was found."""
    late, reported_us = columns(connection, "SELECT liker_id, first_us FROM first_reported")
    graph.firsts[late] = reported_us
    known, likes, firsts_us = columns(connection, "FROM degrees WHERE liker_id < ?", len(graph.degrees))
    graph.degrees[known], graph.firsts[known] = likes, firsts_us
    _mend_short(graph, connection, ranking)
    _renumber(graph)


def add_range(graph: LikeGraph, walked: WalkedRange) -> None:
    """Add what was kept of the next range of authors."""
    walked.posts.ends[:] += graph.likers
    walked.rows["post"] += graph.posts
    for name, array in walked.posts._asdict().items():
        _append(graph.folder / name, array)
    for number, path in enumerate(graph.blocks):
        _append(path, walked.rows[walked.starts[number] : walked.starts[number + 1]])
    graph.posts += len(walked.posts.counts)
    graph.likers += len(walked.posts.likers)
    graph.degrees += walked.degrees
    np.minimum(graph.firsts, walked.firsts, out=graph.firsts)


def _append(path: Path, array: NDArray[Any]) -> None:
    with path.open("ab") as file:
        array.tofile(file)


def _renumber(graph: LikeGraph) -> None:
    """Replace actor numbers of likers by columns, once all likes have been counted."""
    graph.actors = np.argsort(-graph.degrees, kind="stable").astype(np.int32)
    graph.columns = np.empty(len(graph.actors), np.int32)
    graph.columns[graph.actors] = np.arange(len(graph.actors), dtype=np.int32)
    if graph.likers:
        likers = np.memmap(graph.folder / "likers", np.int32, mode="r+")
        for first in range(0, len(likers), RENUMBERED):
            part = likers[first : first + RENUMBERED]
            part[:] = graph.columns[part]


def _mend_short(graph: LikeGraph, connection: duckdb.DuckDBPyConnection, ranking: Ranking) -> None:
    """Read all likes of viewers whose newest records hold fewer likes than are wanted."""
    found = np.zeros(len(graph.viewers.ids), np.int64)
    for path in graph.blocks:
        found += np.bincount(np.fromfile(path, ROW)["viewer"], minlength=len(found))
    short = graph.viewers.ids[(graph.viewers.since_us > 0) & (found < ranking.max_seeds)]
    if not len(short):
        return
    likes = read_likes_of(connection, short, (0, LAST_ACTOR))
    graph.short = np.empty(len(likes.likers), ROW)
    graph.short["viewer"], graph.short["seen_us"] = graph.viewers.rows[likes.likers], likes.seen_us
    graph.short["post"] = graph.find(likes.authors, likes.rkeys)
