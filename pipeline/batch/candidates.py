"""The job "candidates": every viewer's list from what the neighbours liked lately, checked and published.

Owns: the order of the job, and the staged lists (tmp/lists.parquet) on which the checks run. Leaves to
others: ranking (``sql/batch``, ``products``), rules (``arrange``), checks (``checks``), making it visible
(``publish``), what analysts get of it (``export``).

Invariant: nothing is written to serving.sqlite before every check has passed over the finished lists.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.batch import definition
from pipeline.batch.arrange import Lists, Popular, arrange, popular_lists
from pipeline.batch.audit import audit
from pipeline.batch.checks import check
from pipeline.batch.export import hand_over, stage_inputs
from pipeline.batch.graphs import Graph, attach
from pipeline.batch.products import candidate_blocks, columns, entries
from pipeline.batch.progress import Progress
from pipeline.batch.publish import publish
from pipeline.batch.snapshot import Snapshot, open_snapshot, recent_dir, temporary_dir
from pipeline.batch.tastes import write_tastes
from pipeline.ranking import Feed, Ranking
from pipeline.store.generations import newest
from pipeline.store.locks import exclusive

Step = tuple[str, int]

SCHEMA = pa.schema(
    [
        ("viewer_id", pa.int32()),
        ("position", pa.int32()),
        ("post_no", pa.int32()),
        ("score", pa.float32()),
        ("co_likers", pa.int32()),
        ("source", pa.uint8()),
        ("generation", pa.int32()),  # that of explore/list_posts.parquet, whose numbers post_no means
    ]
)


@dataclass(frozen=True, slots=True)
class Publication:
    """Where lists go: a feed, and beside it all feeds there are.

    ``recent`` names the viewers (DIDs) whose lists a run makes, everybody's where it is None. Analysts get the lists
    of the first feed, when a run was for everybody.
    """

    feed: Feed
    rkeys: tuple[str, ...]
    recent: Sequence[str] | None = None

    @property
    def for_analysts(self) -> bool:
        """Whether the run leaves its inputs and lists in explore/."""
        return self.recent is None and self.feed.rkey == self.rkeys[0]


def candidates(
    graph: Graph,
    to: Publication,
    threads: int,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> Iterator[Step]:
    """Rank, arrange, check and publish one generation of one feed."""
    data_dir, ranking, window = graph.data_dir, to.feed.ranking, to.feed.ranking.post_max_age_hours
    folder, before = (temporary_dir if to.recent is None else recent_dir)(data_dir), newest(serving)
    with open_snapshot(data_dir, ranking, threads, window_hours=window, folder=folder) as snapshot:
        connection = snapshot.connection
        yield "snapshot", snapshot.records
        inputs: dict[str, Path] = {}
        if to.for_analysts:
            inputs = stage_inputs(connection, folder / "inputs")
            yield "export inputs", len(inputs)
        keep = "" if to.recent is None else name_viewers(connection, to.recent)
        attach(connection, graph, "neighbours", keep)
        for name in definition.BEFORE_CANDIDATES:
            yield name, definition.run_file(connection, name)
            if name == "likes":
                snapshot.drop_records()
        keep_popular(connection, data_dir, to.feed.rkey, folder.name)
        staging = Staging(data_dir, folder, threads, before, progress)
        generation = yield from stage_and_publish(snapshot, to, staging, serving, clock)
        if to.recent is None:
            yield "tastes", write_tastes(serving, connection)
        if to.for_analysts:
            path = staging.lists
            if generation != before + 1:
                renumber(connection, path, generation)
            rows = hand_over(connection, graph, inputs, path, generation, snapshot.snapshot_us, ranking)
            yield "export lists", rows


@dataclass(frozen=True, slots=True)
class Staging:
    """How a run makes its lists: the folder they are staged in, and with how many threads.

    ``before`` is the newest generation at the time when the run began.
    """

    data_dir: Path
    folder: Path
    threads: int
    before: int
    progress: Progress | None = None

    @property
    def lists(self) -> Path:
        """The finished lists, before they are published."""
        return self.folder / "lists.parquet"


def stage_and_publish(
    snapshot: Snapshot,
    to: Publication,
    staging: Staging,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
) -> Generator[Step, None, int]:
    """Make the lists of the relations that ``definition`` names, check them, make them visible; return the generation.

    Another run may publish meanwhile; then it is not the one after ``staging.before``, which the staged file says.
    """
    connection, ranking, path = snapshot.connection, to.feed.ranking, staging.lists
    if staging.progress is not None:
        staging.progress.start("product", definition.count(connection, "list_viewers"))
    entries_made = stage_lists(snapshot, ranking, staging, staging.before + 1)
    yield "product", entries_made
    yield "checks", check(connection, entries_made)
    rkeys = to.rkeys if to.recent is None else None
    with exclusive(staging.data_dir, "publish", wait=True):
        return (
            yield from publish(
                serving,
                connection,
                path,
                to.feed.rkey,
                snapshot.snapshot_us,
                ranking,
                clock,
                rkeys,
                staging.before,
            )
        )


def name_viewers(connection: duckdb.DuckDBPyConnection, dids: Sequence[str]) -> str:
    """Make the relation ``wanted_viewers`` of some DIDs; return its name."""
    connection.register("arriving", pa.table({"did": pa.array(dids, pa.string())}))
    connection.execute(
        "CREATE OR REPLACE TABLE wanted_viewers AS "
        "SELECT a.actor_id AS viewer_id FROM actors AS a SEMI JOIN arriving AS w ON w.did = a.did WHERE a.status = 0"
    )
    connection.unregister("arriving")
    return "wanted_viewers"


def popular_path(data_dir: Path, rkey: str) -> Path:
    """Return the file of what was popular when a feed's lists were made last, with likes of everybody at hand."""
    return data_dir / "lake" / f"popular-{rkey}.parquet"


def keep_popular(connection: duckdb.DuckDBPyConnection, data_dir: Path, rkey: str, run: str) -> None:
    """Keep the relation ``popular``, by the posts' own keys, for runs that read the likes of a few posts alone.

    ``run`` tells apart those that may do so at the same time.
    """
    path = popular_path(data_dir, rkey)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{run}")
    quoted = str(temporary).replace("'", "''")
    connection.execute(
        "COPY (SELECT s.language, s.position, p.author_id, p.rkey, s.score, w.total AS worth FROM popular AS s "
        "JOIN candidate_posts AS p ON p.post_no = s.post_no CROSS JOIN crowd_worth AS w "
        "ORDER BY s.language, s.position) "
        f"TO '{quoted}' (FORMAT parquet)"
    )
    temporary.replace(path)


def renumber(connection: duckdb.DuckDBPyConnection, path: Path, generation: int) -> None:
    """Give lists another generation's number, once published: here they may lie across two row groups."""
    other = path.with_suffix(".new")
    source, target = (str(each).replace("'", "''") for each in (path, other))
    connection.execute(
        f"COPY (SELECT * REPLACE ({generation}::INTEGER AS generation) FROM read_parquet('{source}')) "
        f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )
    other.replace(path)


def stage_lists(snapshot: Snapshot, ranking: Ranking, staging: Staging, generation: int) -> int:
    """Write the finished lists as Parquet, a row group a block; make ``lists`` and ``fallbacks`` of them.

    Also ``listed_posts`` (post_no), of both, and ``listed_viewers`` (viewer_id). Raises BatchError when a list
    breaks a rule.
    """
    connection, threads, path = snapshot.connection, staging.threads, staging.lists
    popular = read_popular(connection)
    numbers, ids = columns(connection, "SELECT author_no, author_id FROM candidate_posts ORDER BY post_no")
    authors, author_ids = np.asarray(numbers, np.int32), np.asarray(ids, np.int64)
    listed, viewers = np.zeros(len(authors), np.bool_), [np.zeros(0, np.int64)]
    total = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
        for block in candidate_blocks(connection, ranking, threads):
            languages = columns(
                connection,
                "SELECT language FROM list_viewers WHERE viewer_id BETWEEN ? AND ? ORDER BY viewer_id",
                int(block.viewers[0]),
                int(block.viewers[-1]),
            )[0]
            names, inverse = np.unique(languages.astype(str), return_inverse=True)
            rows = np.array([popular.row(str(name)) for name in names], np.int64)[inverse]
            seen = entries(
                connection,
                "SELECT viewer_id, post_no FROM feedback WHERE event = 'interactionSeen'",
                block.viewers,
            )
            lists = arrange(block.top, popular, rows, block.excluded, seen, authors, ranking, threads)
            audit(block.viewers, lists, block.excluded, authors, author_ids, ranking)
            listed[lists.posts] = True
            viewers.append(block.viewers[np.diff(lists.starts) > 0])
            table = _table(block.viewers, lists, generation)
            if len(table):
                writer.write_table(table, row_group_size=len(table))
            total += len(table)
            if staging.progress is not None:
                staging.progress.add(len(block.viewers))
    quoted = str(path).replace("'", "''")
    connection.execute(f"CREATE OR REPLACE VIEW lists AS SELECT * FROM read_parquet('{quoted}')")
    fallbacks = popular_lists(popular, authors, ranking)
    listed[fallbacks.posts] = True
    _make_fallbacks(connection, popular, fallbacks)
    _make_table(connection, "listed_posts", "post_no", np.flatnonzero(listed))
    _make_table(connection, "listed_viewers", "viewer_id", np.concatenate(viewers))
    return total


def read_popular(connection: duckdb.DuckDBPyConnection) -> Popular:
    """Return the relation ``popular`` as arrays; row 0 is all languages, also when there is nothing."""
    language, posts, scores = columns(
        connection, "SELECT language, post_no, score FROM popular ORDER BY language, position"
    )
    names = sorted({"", *language.astype(str).tolist()})
    counts = np.bincount(np.searchsorted(names, language.astype(str)), minlength=len(names))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Popular(names, starts, np.asarray(posts, np.int32), np.asarray(scores, np.float32))


def _make_table(
    connection: duckdb.DuckDBPyConnection, name: str, column: str, values: NDArray[np.int64]
) -> None:
    connection.register("arriving", pa.table({column: values.astype(np.int32)}))
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM arriving")
    connection.unregister("arriving")


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


def _make_fallbacks(connection: duckdb.DuckDBPyConnection, popular: Popular, lists: Lists) -> None:
    staged = _table(np.arange(len(popular.languages)), lists, 0)
    names = pa.table({"language_no": range(len(popular.languages)), "language": popular.languages})
    connection.register("staged_fallbacks", staged)
    connection.register("language_names", names)
    connection.execute(
        "CREATE OR REPLACE TABLE fallbacks AS SELECT n.language, s.position, s.post_no, s.score "
        "FROM staged_fallbacks AS s JOIN language_names AS n ON n.language_no = s.viewer_id "
        "ORDER BY n.language, s.position"
    )
    connection.unregister("staged_fallbacks")
    connection.unregister("language_names")
