"""Lists in parts, made by tasks on several machines: what they read and leave as files.

Owns: ``ListParts``, whose method ``make`` is the task. Leaves to others: what is done (``list_block``), who runs the
tasks (``batch.engine``), the same in one process (``make_lists``).

What is the same for all blocks is written once, and mapped by every task: matrix F and the candidate posts. Of a block
a task reads its viewers' rows of a few relations. It returns how many entries it made, so whoever hands tasks out sees
no list.
"""

import hashlib
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.batch.inputs import part_files
from pipeline.batch.inputs.frozen import Frozen, add_relations, add_views
from pipeline.batch.inputs.neighbour_files import NeighbourFiles, link_newest, newest_in
from pipeline.batch.inputs.part_files import array, arrays, put_arrays, write_arrays
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.lists.list_block import REPEATED, Shelf, fill_shelf, list_block, list_table
from pipeline.batch.lists.product import Fresh, list_viewers, make_fresh, read_block
from pipeline.ranking import Ranking
from pipeline.store.duck import open_duckdb
from pipeline.store.linked_files import link
from pipeline.store.model import HOUR_US

RELATIONS = ("list_viewers", "exclusions", "feedback")
TASK_MEMORY_MB = 512  # of DuckDB, which reads a block's rows of files that are sorted by viewer


@dataclass(frozen=True, slots=True)
class ListParts:
    """The lists of one variant; the parts are in a folder that every task sees."""

    frozen: Frozen
    ranking: Ranking
    viewers: int

    @classmethod
    def lay_out(
        cls, snapshot: Snapshot, frozen: Frozen, files: NeighbourFiles, ranking: Ranking
    ) -> "ListParts":
        """Write what all tasks read. The folder's name stands for it: parts of other input are not taken for these."""
        connection = snapshot.connection
        rows = "SELECT count(*), bit_xor(hash(v)), sum(hash(v)) FROM list_viewers AS v"
        contents = [repr(ranking), repr(connection.execute(rows).fetchone())]
        contents += [str(path.stat().st_ino) for path in (files.path, files.newer) if path.exists()]
        name = hashlib.sha256("".join(contents).encode()).hexdigest()[:16]
        own = replace(frozen, folder=frozen.folder / name)
        part_files.put(own.folder / "neighbours", partial(link_newest, connection, files))
        viewers = list_viewers(connection)
        put_arrays(own.folder / "viewers", ids=viewers)
        add_relations(own, connection, *RELATIONS)
        put_arrays(own.folder / "fresh", **make_fresh(connection)._asdict())
        put_arrays(own.folder / "shelf", **fill_shelf(connection, ranking)._asdict())
        return cls(own, ranking, len(viewers))

    @property
    def blocks(self) -> int:
        """How many blocks of viewers there are."""
        return -(-self.viewers // self.ranking.block_viewers)

    def make(self, number: int) -> int:
        """Make the lists of a block; return their entries."""
        part = self._part(number)
        if not part.exists():
            first = number * self.ranking.block_viewers
            ids = array(self.frozen.folder / "viewers", "ids")[first : first + self.ranking.block_viewers]
            block = read_block(_inputs(self.frozen), np.array(ids))
            fresh = Fresh(*arrays(self.frozen.folder / "fresh", *Fresh._fields))
            shelf = Shelf(*arrays(self.frozen.folder / "shelf", *Shelf._fields))
            hour = self.frozen.snapshot_us // HOUR_US
            lists = list_block(fresh, shelf, block, self.ranking, hour, 1)
            table = list_table(block.viewers, lists)
            listed = np.zeros(len(shelf.authors), np.bool_)
            listed[lists.posts] = True

            def write(draft: Path) -> None:
                draft.mkdir()
                posts = np.flatnonzero(listed).astype(np.int32)
                write_arrays(draft / "found", posts=posts, viewers=block.viewers[np.diff(lists.starts) > 0])
                pq.write_table(
                    table, draft / "lists", compression="zstd", compression_level=1, use_dictionary=REPEATED,
                    row_group_size=max(len(table), 1),
                )  # fmt: skip

            part_files.put(part, write)
        return int(pq.read_metadata(part / "lists").num_rows)

    def finish(self, lists: Path) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Link the parts into a folder; return the posts that are in them, and the viewers who have a list."""
        shutil.rmtree(lists, ignore_errors=True)  # of the feed before
        lists.mkdir(parents=True)
        posts: list[NDArray[Any]] = [np.zeros(0, np.int32)]
        viewers: list[NDArray[Any]] = [np.zeros(0, np.int64)]
        for number in range(self.blocks):
            part = self._part(number)
            link(part / "lists", lists / f"{number:05d}.parquet")
            posts.append(array(part / "found", "posts"))
            viewers.append(array(part / "found", "viewers"))
        return np.unique(np.concatenate(posts)), np.concatenate(viewers)

    def _part(self, number: int) -> Path:
        return self.frozen.folder / "lists" / f"{number:05d}"


@lru_cache(maxsize=1)
def _inputs(frozen: Frozen) -> duckdb.DuckDBPyConnection:
    """Return a worker's connection to what blocks are read of."""
    connection = open_duckdb(frozen.spill, 1, TASK_MEMORY_MB)
    add_views(connection, frozen, *RELATIONS)
    connection.execute(f"CREATE VIEW neighbours AS {newest_in(frozen.folder / 'neighbours')}")
    return connection
