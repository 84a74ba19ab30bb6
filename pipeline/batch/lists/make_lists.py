"""The finished lists of a run before they are published: ranked, arranged and checked, a block of viewers at a time.

Owns: the file they are staged in (lists.parquet), and the relations ``lists``, ``fallbacks``, ``listed_posts`` and
``listed_viewers``, which are checked and published. Leaves to others: ranking (``product``), the rules (``arrange``),
the checks (``checks``), the order of a run (``candidates_job``).
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.lists.arrange import Draw, Lists, Popular, arrange, popular_lists
from pipeline.batch.lists.checks import check_entries
from pipeline.batch.lists.product import candidate_blocks, entries
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.duck import columns, copy_to, parquet, put, registered
from pipeline.store.model import HOUR_US

SCHEMA = pa.schema(
    [
        ("viewer_id", pa.int32()),
        ("position", pa.int32()),
        ("post_no", pa.int32()),
        ("score", pa.float32()),
        ("co_likers", pa.int32()),
        ("source", pa.uint8()),
        ("generation", pa.int32()),  # of the list_posts.parquet that post_no refers to
    ]
)


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
    def generation(self) -> int:
        """The number in the staged file: the lists' own, unless another run publishes meanwhile."""
        return self.before + 1

    @property
    def lists(self) -> Path:
        """The finished lists, before they are published."""
        return self.folder / "lists.parquet"


def renumber(connection: duckdb.DuckDBPyConnection, path: Path, generation: int) -> None:
    """Give published lists another generation's number; a list may lie across two row groups afterwards."""
    other = path.with_suffix(".new")
    query = f"SELECT * REPLACE ({generation}::INTEGER AS generation) FROM {parquet(path)}"
    copy_to(connection, query, other).replace(path)


def stage_lists(snapshot: Snapshot, ranking: Ranking, staging: Staging) -> int:
    """Write the finished lists as Parquet, a row group a block; return their entries.

    Make the relations ``lists``, ``fallbacks``, ``listed_posts`` (post_no, of both) and ``listed_viewers``
    (viewer_id). Raises BatchError when a list breaks a rule.
    """
    connection, threads, path = snapshot.connection, staging.threads, staging.lists
    language_names, popular = read_popular(connection, "popular")
    row_of = {name: row for row, name in enumerate(language_names)}
    numbers, ids, rkeys, likers = columns(
        connection, "SELECT author_no, author_id, rkey, likers FROM candidate_posts ORDER BY post_no"
    )
    rkeys, few = np.asarray(rkeys, np.int64), np.asarray(likers) <= ranking.trial_max_likers
    authors, author_ids = np.asarray(numbers, np.int32), np.asarray(ids, np.int64)
    listed, viewers = np.zeros(len(authors), np.bool_), [np.zeros(0, np.int64)]
    total = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
        for block in candidate_blocks(connection, ranking, threads):
            names, inverse = np.unique(block.languages, return_inverse=True)
            rows = np.array([row_of.get(str(name), 0) for name in names], np.int64)[inverse]
            seen = entries(
                connection,
                "SELECT viewer_id, post_no FROM feedback WHERE event = 'interactionSeen'",
                block.viewers,
            )
            draw = Draw(block.viewers, snapshot.snapshot_us // HOUR_US, rkeys, few)
            lists = arrange(
                block.top, popular, rows, block.excluded, seen, authors, block.rules, threads, draw
            )
            check_entries(block.viewers, lists, block.excluded, authors, author_ids, block.rules)
            listed[lists.posts] = True
            viewers.append(block.viewers[np.diff(lists.starts) > 0])
            table = _table(block.viewers, lists, staging.generation)
            if len(table):
                writer.write_table(table, row_group_size=len(table))
            total += len(table)
            staging.progress.add(len(block.viewers))
    connection.execute(f"CREATE OR REPLACE VIEW lists AS FROM {parquet(path)}")
    # Anybody may get a fallback list, also who is not signed in.
    public_names, public = read_popular(connection, "public_popular")
    fallbacks = popular_lists(public, authors, ranking)
    listed[fallbacks.posts] = True
    _make_fallbacks(connection, public_names, fallbacks)
    put(connection, "listed_posts", pa.table({"post_no": np.flatnonzero(listed).astype(np.int32)}))
    put(connection, "listed_viewers", pa.table({"viewer_id": np.concatenate(viewers).astype(np.int32)}))
    return total


def read_popular(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[list[str], Popular]:
    """Return ``popular`` or ``public_popular`` as arrays, and its languages; the first is "", which means all."""
    language, posts, scores = columns(
        connection, f"SELECT language, post_no, score FROM {relation} ORDER BY language, position"
    )
    names = sorted({"", *language.astype(str).tolist()})
    counts = np.bincount(np.searchsorted(names, language.astype(str)), minlength=len(names))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return names, Popular(starts, np.asarray(posts, np.int32), np.asarray(scores, np.float32))


def _table(viewers: np.ndarray[tuple[int], np.dtype[np.int64]], lists: Lists, generation: int) -> pa.Table:
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
            np.full(len(lists.posts), generation, np.int32),
        ],
        schema=SCHEMA,
    )


def _make_fallbacks(connection: duckdb.DuckDBPyConnection, languages: list[str], lists: Lists) -> None:
    staged = _table(np.arange(len(languages)), lists, 0)
    names = pa.table({"language_no": range(len(languages)), "language": languages})
    with registered(connection, staged_fallbacks=staged, language_names=names):
        connection.execute(
            "CREATE OR REPLACE TABLE fallbacks AS SELECT n.language, s.position, s.post_no, s.score "
            "FROM staged_fallbacks AS s JOIN language_names AS n ON n.language_no = s.viewer_id "
            "ORDER BY n.language, s.position"
        )
