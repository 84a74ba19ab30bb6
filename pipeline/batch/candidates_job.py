"""The job "candidates": every viewer's list from what the neighbours liked lately, checked and published.

Owns: the order of the job, and what a run keeps of what is popular. Leaves to others: ranking (``sql/batch``,
``product``), the finished lists (``make_lists``), checks (``checks``), making them visible (``generations``),
what analysts get of them (``analyst_copies``).

Invariant: nothing is written to serving.sqlite before every check has passed over the finished lists.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.batch.analyst_copies import Made, hand_over, stage_inputs, stage_made
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import Graph, attach
from pipeline.batch.inputs.snapshot import Snapshot, open_snapshot
from pipeline.batch.lists.checks import check_relations
from pipeline.batch.lists.make_lists import Staging, renumber, stage_lists
from pipeline.batch.lists.taste_sketches import sketches
from pipeline.batch.publish.generations import Lineage, Source, publish, write_sketches
from pipeline.feeds import Feed, Variant
from pipeline.progress import Progress, Step
from pipeline.store.duck import columns, copy_to, count, registered
from pipeline.store.newest_generation import newest
from sql import places


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
    folder, before = places.working(data_dir, "" if to.recent is None else "recent"), newest(serving)
    with open_snapshot(data_dir, ranking, threads, window_hours=window, folder=folder) as snapshot:
        connection = snapshot.connection
        yield "snapshot", snapshot.records
        inputs: dict[str, Path] = {}
        if to.for_analysts:
            inputs = stage_inputs(connection, folder / "inputs")
            yield "export inputs", len(inputs)
        keep = "" if to.recent is None else name_viewers(connection, to.recent)
        attach(connection, graph, "neighbours", keep)
        for name in sql_steps.LIKES:
            yield name, sql_steps.run_file(connection, name)
            if name == "likes":
                snapshot.drop_records()
        made: list[Made] = []
        done = Done()
        for variant in to.feed.variants:
            name = "" if variant == to.feed.variants[-1] else variant.name
            if name and to.recent is not None and not any(variant.has(did) for did in to.recent):
                continue
            staging = Staging(data_dir, folder / name, threads, before, progress)
            prefix = f"{name} " if name else ""
            sql_steps.set_variant(connection, variant)
            for name in sql_steps.LISTS:
                yield prefix + name, sql_steps.run_file(connection, name)
            keep_popular(connection, popular_path(data_dir, to.feed, variant), folder.name)
            for step, rows in stage_and_publish(snapshot, to, variant, staging, serving, clock, done):
                yield prefix + step, rows
            if to.for_analysts:
                if done.generation != staging.generation:
                    renumber(connection, staging.lists, done.generation)
                made.append(stage_made(connection, staging.lists, variant, done.generation))
        if to.recent is None:  # of what lists were made of last: everybody's who is in the control
            yield "tastes", write_sketches(serving, connection, sketches(connection))
        if to.recent is None:
            wanted = {popular_path(data_dir, to.feed, variant) for variant in to.feed.variants}
            for path in places.popular_of_variants(data_dir, to.feed.rkey):
                if path not in wanted:  # of an experiment that is over
                    path.unlink(missing_ok=True)
        if made:
            rows = hand_over(connection, graph, inputs, made, snapshot.snapshot_us)
            yield "export lists", rows


@dataclass(slots=True)
class Done:
    """What a run has published so far: the newest generation of it, and the viewers who have a list of it."""

    generation: int = 0
    viewers: list[int] = field(default_factory=list)


def stage_and_publish(
    snapshot: Snapshot,
    to: Publication,
    variant: Variant,
    staging: Staging,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
    done: Done,
) -> Iterator[Step]:
    """Make the lists of the relations that ``definition`` names, check them, and make them visible.

    Another run may publish meanwhile; then their generation is not ``staging.generation``, which the staged file says.
    ``done`` collects that generation and who got a list, variant by variant; the last removes the lists of all others.
    """
    connection, ranking = snapshot.connection, variant.ranking
    if staging.progress is not None:
        staging.progress.start("product", count(connection, "list_viewers"))
    entries_made = stage_lists(snapshot, ranking, staging)
    yield "product", entries_made
    yield "checks", check_relations(connection, entries_made)
    last = variant == to.feed.variants[-1]
    rkeys = to.rkeys if to.recent is None and last else None
    done.viewers += columns(connection, "SELECT viewer_id FROM listed_viewers ORDER BY 1")[0].tolist()
    lineage = Lineage(to.feed.rkey, variant.label, last, sorted(done.viewers), rkeys)
    source = Source(staging.data_dir, staging.lists, snapshot.snapshot_us, staging.before)
    done.generation = yield from publish(serving, connection, source, lineage, ranking, clock)


def name_viewers(connection: duckdb.DuckDBPyConnection, dids: Sequence[str]) -> str:
    """Make the relation ``wanted_viewers`` of some DIDs; return its name."""
    with registered(connection, wanted_dids=pa.table({"did": pa.array(dids, pa.string())})):
        connection.execute(
            "CREATE OR REPLACE TABLE wanted_viewers AS SELECT a.actor_id AS viewer_id FROM actors AS a "
            "SEMI JOIN wanted_dids AS w ON w.did = a.did WHERE a.status = 0"
        )
    return "wanted_viewers"


def popular_path(data_dir: Path, feed: Feed, variant: Variant) -> Path:
    """Return the file of what was popular when a variant's lists were made last, with likes of everybody at hand."""
    return places.popular(data_dir, feed.rkey, "" if variant == feed.variants[-1] else variant.label)


def keep_popular(connection: duckdb.DuckDBPyConnection, path: Path, run: str) -> None:
    """Keep the relation ``popular``, by the posts' own keys, for runs that read the likes of a few posts alone.

    ``run`` tells apart those that may do so at the same time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{run}")
    query = (
        "SELECT s.language, s.position, p.author_id, p.rkey, s.score, c.share FROM popular AS s "
        "JOIN candidate_posts AS p ON p.post_no = s.post_no JOIN crowd_shares AS c ON c.post_no = s.post_no "
        "ORDER BY s.language, s.position"
    )
    copy_to(connection, query, temporary).replace(path)
