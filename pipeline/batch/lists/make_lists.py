"""The finished lists of a run before they are published: ranked, arranged and checked, a block of viewers at a time.

Owns: where they are staged, making them in one process, and the relations ``lists``, ``fallbacks``, ``listed_posts``
and ``listed_viewers``, which are checked and published. Leaves to others: a block (``list_block``), the same on several
machines (``list_parts``), the order of a run (``candidates_job``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.batch.engine import Engine, following
from pipeline.batch.engines.local import LOCAL
from pipeline.batch.inputs.frozen import Frozen
from pipeline.batch.inputs.neighbour_files import NeighbourFiles
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.lists.arrange import Lists, popular_lists
from pipeline.batch.lists.list_block import REPEATED, SCHEMA, fill_shelf, list_block, list_table, read_popular
from pipeline.batch.lists.list_parts import ListParts
from pipeline.batch.lists.product import list_viewers, make_fresh, read_block
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.duck import columns, parquet, put, registered
from pipeline.store.linked_files import files_below
from pipeline.store.model import HOUR_US


@dataclass(frozen=True, slots=True)
class Staging:
    """How a run makes its lists: the folder they are staged in, and with how many threads.

    ``before`` is the newest generation when the run began.
    """

    data_dir: Path
    folder: Path
    threads: int
    before: int
    progress: Progress

    @property
    def lists(self) -> Path:
        """The finished lists, before they are published: a file, or a folder of parts."""
        return self.folder / "lists.parquet"


class ListsHere:
    """The lists of one variant, made in this process into one file, a row group a block."""

    def __init__(self, snapshot: Snapshot, ranking: Ranking, staging: Staging) -> None:
        self._connection, self._ranking, self._staging = snapshot.connection, ranking, staging
        self._hour = snapshot.snapshot_us // HOUR_US
        self._viewers = list_viewers(self._connection)
        self._fresh, self._shelf = make_fresh(self._connection), fill_shelf(self._connection, ranking)
        self._listed = np.zeros(len(self._shelf.authors), np.bool_)
        self._with_list = [np.zeros(0, np.int64)]
        staging.lists.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            staging.lists, SCHEMA, compression="zstd", compression_level=1, use_dictionary=REPEATED
        )

    @property
    def viewers(self) -> int:
        """How many viewers get a list."""
        return len(self._viewers)

    @property
    def blocks(self) -> int:
        """How many blocks of viewers there are."""
        return -(-len(self._viewers) // self._ranking.block_viewers)

    def make(self, number: int) -> int:
        """Make the lists of a block; return their entries."""
        first = number * self._ranking.block_viewers
        block = read_block(self._connection, self._viewers[first : first + self._ranking.block_viewers])
        threads = self._staging.threads
        lists = list_block(self._fresh, self._shelf, block, self._ranking, self._hour, threads)
        self._listed[lists.posts] = True
        self._with_list.append(block.viewers[np.diff(lists.starts) > 0])
        table = list_table(block.viewers, lists)
        if len(table):
            self._writer.write_table(table, row_group_size=len(table))
        return len(table)

    def finish(self, lists: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Finish the file; return the posts that are in lists, and the viewers who have one."""
        self._writer.close()
        return np.flatnonzero(self._listed), np.concatenate(self._with_list)


def stage_lists(
    snapshot: Snapshot,
    ranking: Ranking,
    staging: Staging,
    engine: Engine = LOCAL,
    shared: tuple[Frozen, NeighbourFiles] | None = None,
) -> int:
    """Write the finished lists as Parquet; return their entries.

    Make the relations ``lists``, ``fallbacks``, ``listed_posts`` (post_no, of both) and ``listed_viewers``
    (viewer_id). Raises BatchError when a list breaks a rule. ``shared`` is for an engine whose tasks see files alone.
    """
    connection, path = snapshot.connection, staging.lists
    made: ListsHere | ListParts = (
        ListsHere(snapshot, ranking, staging)
        if shared is None
        else ListParts.lay_out(snapshot, *shared, ranking)
    )
    staging.progress.start("product", made.viewers)
    tasks = engine.map("lists", made.make, made.blocks)
    total = int(sum(following(tasks, staging.progress, made.viewers, made.blocks)))
    posts, with_list = made.finish(path)
    if not files_below(path):
        pq.write_table(SCHEMA.empty_table(), path / "none.parquet")
    connection.execute(f"CREATE OR REPLACE VIEW lists AS FROM {parquet(*files_below(path))}")
    # Anybody may get a fallback list, also who is not signed in.
    public_names, public = read_popular(connection, "public_popular")
    shelf_authors = columns(connection, "SELECT author_no FROM candidate_posts ORDER BY post_no")[0]
    fallbacks = popular_lists(public, np.asarray(shelf_authors, np.int32), ranking)
    listed = np.union1d(posts, fallbacks.posts)
    _make_fallbacks(connection, public_names, fallbacks)
    put(connection, "listed_posts", pa.table({"post_no": listed.astype(np.int32)}))
    put(connection, "listed_viewers", pa.table({"viewer_id": with_list.astype(np.int32)}))
    return total


def _make_fallbacks(connection: duckdb.DuckDBPyConnection, languages: list[str], lists: Lists) -> None:
    staged = list_table(np.arange(len(languages)), lists)
    names = pa.table({"language_no": range(len(languages)), "language": languages})
    with registered(connection, staged_fallbacks=staged, language_names=names):
        connection.execute(
            "CREATE OR REPLACE TABLE fallbacks AS SELECT n.language, s.position, s.post_no, s.score "
            "FROM staged_fallbacks AS s JOIN language_names AS n ON n.language_no = s.viewer_id "
            "ORDER BY n.language, s.position"
        )
