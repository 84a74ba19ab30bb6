"""The like graph of the whole window, in files: who liked each post, and what each viewer liked.

Owns: ``LikeGraph``, and building it part by part. Leaves to others: which records count (``sql/batch``), the
loops (``like_loops``), the viewers' seeds made of it (``product_of_graph``).

A relation of 1.8 billion likes does not fit into memory, so it is read a range of authors at a time. All likes of
a post lie in one range, sorted by post, and one walk over them gives everything. Posts are numbered by
(author_id, rkey). What is too large for memory is a file in the folder, and is mapped where it is read.

Likers are numbered anew, as the columns of matrix B. Those with most likes come first, so most accesses of the
product go to a small part of memory (``kernel``).

Only the newest ``max_seeds`` likes of a viewer are needed. So records older than the newest ``2 * max_seeds`` are left
out. A record is not always a like: a post may be liked twice, or be deleted. Viewers with too few likes left are
read once more, in full.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

import sql
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.neighbours.author_ranges import Range, author_ranges, horizons
from pipeline.batch.neighbours.like_loops import Likers, Posts, Records, ViewerLikes, deal, find_posts, walk
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.duck import columns

RECORD_BYTES = 256  # of DuckDB's memory for each like record of a range; it needs about half
RENUMBERED = 1 << 22  # likers at a time
ROW = np.dtype([("viewer", np.int32), ("post", np.int32), ("seen_us", np.int64)])  # viewer: its row


@dataclass(slots=True)
class LikeGraph:
    """Matrix B, and the likes that seeds are picked from; viewers and their rows are sorted by actor_id."""

    folder: Path
    viewers: NDArray[np.int64]
    degrees: NDArray[np.int32]  # by actor_id: distinct posts liked
    firsts: NDArray[np.int64]  # by actor_id: when the first of them was seen that was reported
    posts: int = 0
    likers: int = 0
    blocks: list[Path] = field(default_factory=list)
    # All likes of viewers whose newest records hold too few.
    short: NDArray[Any] = field(default_factory=lambda: np.empty(0, ROW))
    actors: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))  # by column
    columns: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))  # by actor_id

    def column(self, name: str) -> NDArray[Any]:
        """Return a file as an array: ``authors``, ``rkeys``, ``counts``, ``ends`` by post, ``likers`` of all posts."""
        path = self.folder / name
        return np.memmap(path, _FILES[name], mode="r") if path.stat().st_size else np.empty(0, _FILES[name])

    def find(self, authors: NDArray[Any], rkeys: NDArray[Any]) -> NDArray[np.int64]:
        """Return the numbers of posts, -1 for a post that nobody liked."""
        found = np.empty(len(authors), np.int64)
        find_posts(authors, rkeys, self.column("authors"), self.column("rkeys"), found)
        return found


_FILES: dict[str, Any] = {
    "authors": np.int32,
    "rkeys": np.int64,
    "counts": np.int32,
    "ends": np.int64,
    "likers": np.int32,
}


def read_graph(snapshot: Snapshot, ranking: Ranking, folder: Path, progress: Progress) -> LikeGraph:
    """Return the likes of the window by post and by viewer, as files in a folder."""
    connection, files = snapshot.connection, snapshot.lake_files
    viewers = _viewers(connection)
    since = horizons(connection, files, viewers, 2 * ranking.max_seeds)
    ranges = author_ranges(connection, files, int(ranking.memory_limit_gb * 2**30 / RECORD_BYTES))
    return build(connection, ranking, folder, ranges, since, progress.add)


def build(
    connection: duckdb.DuckDBPyConnection,
    ranking: Ranking,
    folder: Path,
    ranges: Sequence[Range],
    since_us: NDArray[np.int64] | None = None,
    report: Callable[[int], None] | None = None,
) -> LikeGraph:
    """Read ``valid_likes`` a range of authors at a time; the relation ``viewers`` says whose likes are seeds.

    ``since_us`` has for each viewer the time before which likes are left out at first. ``report`` is called with the
    number of records of each range.
    """
    folder.mkdir(parents=True, exist_ok=True)
    viewers = _viewers(connection)
    actors = int(columns(connection, "SELECT coalesce(max(actor_id), 0) FROM actors")[0][0]) + 1
    firsts = np.full(actors, np.iinfo(np.int64).max)
    graph = LikeGraph(folder, viewers, np.zeros(actors, np.int32), firsts)
    blocks = -(-len(viewers) // ranking.block_viewers)
    graph.blocks = [folder / f"rows-{block}" for block in range(blocks)]
    viewer_rows = np.full(actors, -1, np.int32)
    viewer_rows[viewers] = np.arange(len(viewers))
    since = np.zeros(len(viewers), np.int64) if since_us is None else since_us
    people = Likers(graph.degrees, graph.firsts, viewer_rows, since)
    for path in (*graph.blocks, *(folder / name for name in _FILES)):
        path.write_bytes(b"")
    for span in ranges:
        records = _records(connection, span)
        _add(graph, records, people, ranking)
        if report is not None:
            report(len(records.authors))
    late, reported_us = columns(connection, "SELECT liker_id, first_us FROM first_reported")
    graph.firsts[late] = reported_us
    _mend_short(graph, connection, people, ranking)
    _renumber(graph)
    return graph


def _viewers(connection: duckdb.DuckDBPyConnection) -> NDArray[np.int64]:
    return np.asarray(columns(connection, "SELECT viewer_id FROM viewers ORDER BY 1")[0], np.int64)


def _records(connection: duckdb.DuckDBPyConnection, span: Range) -> Records:
    sql_steps.set_variables(connection, {"first_author": span[0], "last_author": span[1]})
    authors, rkeys, likers, seen = columns(connection, sql.load("batch/likes_of_authors"))
    return Records(np.asarray(authors), np.asarray(rkeys), np.asarray(likers), np.asarray(seen))


def _add(graph: LikeGraph, records: Records, people: Likers, ranking: Ranking) -> None:
    count = len(records.authors)
    made = {name: np.empty(count, kind) for name, kind in _FILES.items()}
    found = ViewerLikes(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int64))
    posts, likers, rows = walk(
        records, people, graph.posts, ranking.max_seed_likers, Posts(**made), found
    )  # fmt: skip
    made["ends"][:posts] += graph.likers
    for name, array in made.items():
        _append(graph.folder / name, array[: likers if name == "likers" else posts])
    graph.posts += posts
    graph.likers += likers
    block = found.viewers[:rows] // ranking.block_viewers
    starts, order = np.zeros(len(graph.blocks) + 1, np.int64), np.empty(rows, np.int64)
    deal(block, len(graph.blocks), starts, order)
    for number, path in enumerate(graph.blocks):
        picked = order[starts[number] : starts[number + 1]]
        part = np.empty(len(picked), ROW)
        part["viewer"], part["post"], part["seen_us"] = (column[picked] for column in found)
        _append(path, part)


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


def _mend_short(
    graph: LikeGraph, connection: duckdb.DuckDBPyConnection, people: Likers, ranking: Ranking
) -> None:
    """Read all likes of viewers whose newest records hold fewer likes than are wanted."""
    found = np.zeros(len(graph.viewers), np.int64)
    for path in graph.blocks:
        found += np.bincount(np.fromfile(path, ROW)["viewer"], minlength=len(found))
    short = graph.viewers[(people.since_us > 0) & (found < ranking.max_seeds)]
    if not len(short):
        return
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE short_viewers AS SELECT unnest(?) AS liker_id", [short.tolist()]
    )
    likers, authors, rkeys, seen = columns(
        connection,
        "SELECT liker_id, author_id, post_rkey, min(seen_us) AS seen_us FROM valid_likes "
        "SEMI JOIN short_viewers USING (liker_id) GROUP BY ALL ORDER BY author_id, post_rkey",
    )
    graph.short = np.empty(len(likers), ROW)
    graph.short["viewer"], graph.short["seen_us"] = people.viewer_rows[likers], seen
    graph.short["post"] = graph.find(authors, rkeys)
