"""What batch jobs leave for analysts and ``foryou explain``: their inputs and the lists, as Parquet.

Owns: copying the frozen inputs while they are in memory, and a snapshot of them with the finished lists. Leaves to
others: where the files are (``store.analyst_snapshot``), reading them (``sql/explore/views.sql``,
``explore.generation_inputs``), copies of what is not an input of a run (``explore.table_copies``).

Inputs are staged at the start of a run, since the run frees their rows. They become visible at its end, together
with its lists, so a reader sees what the newest generation was made of. A failed run changes nothing. The neighbours
job leaves its own inputs from before the window of a candidates run.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.batch.inputs.neighbour_files import NeighbourFiles, link_newest, read_metadata
from pipeline.feeds import Variant
from pipeline.ranking import Ranking
from pipeline.store.analyst_snapshot import (
    DAILY_LISTS,
    DAILY_POSTS,
    EXPLAINED,
    FEED_LIST_POSTS,
    FEED_LISTS,
    FEED_NEIGHBOURS,
    FEED_REPLACED,
    FEED_VARIANTS,
    FEEDS,
    HISTORY_LIKES,
    LIST_CROWDS,
    LIST_DEGREES,
    LIST_POSTS,
    NEIGHBOURS_CLAIMED_LIKES,
    NEIGHBOURS_INTERACTIONS,
    OPEN_CHANGES,
    OPEN_LIKES,
    RANKING,
    SNAPSHOT,
    VARIANTS,
    copy_of,
    current_snapshot,
    make_snapshot,
)
from pipeline.store.duck import copy_to, parquet
from pipeline.store.linked_files import files_below, link
from pipeline.store.model import HOUR_US, day_of
from sql import places

# The first two are views over open days and the lake, whose part needs no copy. The degrees only stand in for likes
# that a run for few viewers does not read.
NOT_COPIED = ("like_records", "changes", "degrees")

DAILY_POSITIONS = 30  # of each list, for a week: a first page
_TABLE = re.compile(r"^CREATE OR REPLACE TABLE (\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StagedLists:
    """The published lists of one variant, a generation of their own; beside them are LIST_POSTS and LIST_CROWDS."""

    variant: Variant
    generation: int
    lists: Path  # a file, or a folder of parts
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class AnalystsRun:
    """A run of a feed for everybody: its feed, all feeds in order, the stream time up to which likes count."""

    feed: str
    feeds: Sequence[str]
    snapshot_us: int


@cache
def input_tables() -> tuple[str, ...]:
    """Return the relations that a run starts from besides likes, as ``sql/batch/inputs.sql`` declares them."""
    return tuple(name for name in _TABLE.findall(sql.load("batch/inputs")) if name not in NOT_COPIED)


def stage_inputs(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Path]:
    """Write the inputs of a candidates run as Parquet files in a folder; return them by relation."""
    queries = {f"inputs/{name}": f"FROM {name}" for name in input_tables()}
    queries[OPEN_CHANGES] = "SELECT *, false AS settled FROM changes"
    queries[OPEN_LIKES] = sql.load("copies/landed_likes")
    return _stage(connection, folder, queries, until_us=2**62)


def stage_history(
    connection: duckdb.DuckDBPyConnection, folder: Path, snapshot_us: int, ranking: Ranking
) -> dict[str, Path]:
    """Write what a neighbours run reads and a candidates run does not, as Parquet files; return them by relation.

    Every candidates run leaves the newer likes. The two overlap by half of what a candidates run reads, so no likes are
    missing between them unless the next neighbours run comes later than that.
    """
    queries = {
        NEIGHBOURS_INTERACTIONS: "FROM interactions",
        NEIGHBOURS_CLAIMED_LIKES: "FROM claimed_likes",
        HISTORY_LIKES: sql.load("copies/landed_likes"),
    }
    until_us = int(snapshot_us - ranking.post_max_age_hours / 2 * HOUR_US)
    return _stage(connection, folder, queries, until_us)


def stage_lists_of(
    connection: duckdb.DuckDBPyConnection, lists: Path, variant: Variant, generation: int
) -> StagedLists:
    """Write beside a variant's lists what they were made of, while it is in memory."""
    posts = copy_to(
        connection,
        f"SELECT post_no, author_id, rkey, created_us, likers, {generation} AS generation "
        "FROM candidate_posts ORDER BY post_no",
        lists.with_name("list_posts.parquet"),
    )
    crowds = copy_to(
        connection,
        "SELECT c.language, p.author_id, p.rkey, c.share, nullif(s.expected, 0) AS expected, i.idle_hours, "
        f"{generation} AS generation FROM crowds AS c JOIN candidate_posts AS p ON p.post_no = c.post_no "
        "JOIN crowd_shares AS s ON s.post_no = c.post_no JOIN forecast_inputs AS i ON i.post_no = c.post_no "
        "ORDER BY c.language, p.post_no",
        lists.with_name("list_crowds.parquet"),
    )
    return StagedLists(variant, generation, lists, {LIST_POSTS: posts, LIST_CROWDS: crowds})


def make_list_snapshot(
    connection: duckdb.DuckDBPyConnection,
    neighbour_files: NeighbourFiles,
    inputs: dict[str, Path],
    staged: Sequence[StagedLists],
    run: AnalystsRun,
) -> int:
    """Make a snapshot of a published run's files, with the last variant's generation; return its rows of lists.

    Of a feed beside the first, ``foryou explain`` reads what its lists were made of; analysts read its lists.
    """
    last, snapshot_us = staged[-1], run.snapshot_us
    folder = last.lists.parent
    files = inputs | _of_all_variants(connection, staged)
    values = {name: float(value) for name, value in asdict(last.variant.ranking).items()}
    metadata = read_metadata(neighbour_files)
    neighbours_us = None if metadata is None else metadata.snapshot_us
    stamp = {
        "generation": pa.array([last.generation], pa.int32()),
        "snapshot_us": pa.array([snapshot_us], pa.int64()),
        "neighbours_us": pa.array([neighbours_us], pa.int64()),
    }
    for name, table in {
        RANKING: pa.table({"name": list(values), "value": list(values.values())}),
        SNAPSHOT: pa.table(stamp),
    }.items():
        files[name] = folder / f"{name}.parquet"
        pq.write_table(table, files[name])
    files[VARIANTS] = _variants(staged, folder)
    if neighbour_files.degrees.exists():
        files[LIST_DEGREES] = folder / f"{LIST_DEGREES}.parquet"
        link(neighbour_files.degrees, files[LIST_DEGREES])
    lists = _lists(staged, run.feed)
    rows = sum(int(pq.read_metadata(path).num_rows) for path in lists.values())
    daily = _daily_lists(connection, neighbour_files.data_dir, staged, files[LIST_POSTS], run)
    finished = lists | daily | _of_feed(files, run.feed)
    finished |= _neighbours(connection, neighbour_files, folder, run.feed)
    if run.feed == run.feeds[0]:
        finished |= files
    else:
        finished |= {f"{EXPLAINED}/{run.feed}/{name}": path for name, path in files.items()}
    finished[FEEDS] = folder / f"{FEEDS}.parquet"
    feeds = {"feed": run.feeds, "place": pa.array(range(1, len(run.feeds) + 1), pa.int32())}
    pq.write_table(pa.table(feeds), finished[FEEDS])
    make_snapshot(neighbour_files.data_dir, finished)
    return rows


def _of_all_variants(connection: duckdb.DuckDBPyConnection, staged: Sequence[StagedLists]) -> dict[str, Path]:
    """Return the files of a run's variants, joined."""
    files = dict(staged[-1].files)
    for name in files if len(staged) > 1 else ():
        parts = parquet(*(each.files[name] for each in staged))
        target = files[name].with_name(f"all-{name}.parquet")
        files[name] = copy_to(connection, f"FROM {parts}", target)
    return files


def _variants(staged: Sequence[StagedLists], folder: Path) -> Path:
    """Write who is in which variant, and its parameters."""
    path = folder / f"{VARIANTS}.parquet"
    pq.write_table(pa.Table.from_pylist([_variant_row(each) for each in staged]), path)
    return path


def _lists(staged: Sequence[StagedLists], feed: str) -> dict[str, Path]:
    """Return the files of all variants' lists by relation: the generation is known when they are published."""
    return {
        f"{FEED_LISTS}/feed={feed}/{each.generation:010d}-{number:05d}": path
        for each in staged
        for number, path in enumerate(files_below(each.lists))
    }


def _of_feed(files: dict[str, Path], feed: str) -> dict[str, Path]:
    """Give lists and what they were made of a second name, by feed."""
    found = {}
    for name, relation in (
        (LIST_POSTS, FEED_LIST_POSTS),
        (VARIANTS, FEED_VARIANTS),
    ):
        target = files[name].with_name(f"feed-{name}.parquet")
        link(files[name], target)
        found[f"{relation}/feed={feed}/lists"] = target
    return found


def _neighbours(
    connection: duckdb.DuckDBPyConnection, files: NeighbourFiles, folder: Path, feed: str
) -> dict[str, Path]:
    """Give the files of a feed's neighbours second names; return these by relation."""
    held = folder / "neighbours"
    shutil.rmtree(held, ignore_errors=True)  # of the feed before
    link_newest(connection, files, held)
    found = {f"{FEED_NEIGHBOURS}/feed={feed}/{path.stem}": path for path in held.iterdir()}
    found[f"{FEED_REPLACED}/feed={feed}/lists"] = found.pop(f"{FEED_NEIGHBOURS}/feed={feed}/replaced")
    return found


def _daily_lists(
    connection: duckdb.DuckDBPyConnection,
    data_dir: Path,
    staged: Sequence[StagedLists],
    list_posts: Path,
    run: AnalystsRun,
) -> dict[str, Path]:
    """Write the beginning of each list to be kept for a week, if there is none of that day; return it by relation."""
    day = f"feed={run.feed}/day={places.day_name(day_of(run.snapshot_us))}"
    former = current_snapshot(data_dir)
    if former is not None and copy_of(former, f"{DAILY_LISTS}/{day}").exists():
        return {}
    posts = list_posts.with_name("daily_posts.parquet")
    query = " UNION ALL ".join(
        f"SELECT *, {each.generation}::INTEGER AS generation FROM {parquet(*files_below(each.lists))} "
        f"WHERE position <= {DAILY_POSITIONS}"
        for each in staged
    )
    link(list_posts, posts)
    return {
        f"{DAILY_LISTS}/{day}": copy_to(connection, query, posts.with_name("daily_lists.parquet")),
        f"{DAILY_POSTS}/{day}": posts,
    }


def _stage(
    connection: duckdb.DuckDBPyConnection, folder: Path, queries: dict[str, str], until_us: int
) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    connection.execute("SET VARIABLE until_us = ?", [until_us])
    return {name: copy_to(connection, query, folder / f"{number}.parquet")
            for number, (name, query) in enumerate(queries.items())}  # fmt: skip


def _variant_row(staged: StagedLists) -> dict[str, float | str]:
    variant = staged.variant
    values = {name: float(value) for name, value in asdict(variant.ranking).items()}
    return {
        "generation": staged.generation,
        "experiment": variant.experiment,
        "name": variant.name,
        "from_share": variant.from_share,
        "until_share": variant.until_share,
        **values,
    }
