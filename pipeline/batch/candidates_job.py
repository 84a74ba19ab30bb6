"""The job "candidates": every viewer's list from what their neighbours liked lately, checked and published.

Owns: the order of the job, and storing what is popular for later runs. Leaves to others: ranking (``sql/batch``,
``lists.product``), the finished lists (``lists.make_lists``), checks (``lists.checks``), making them visible
(``publish.generations``), what analysts get of them (``analyst_copies``).

Invariant: nothing is written to serving.sqlite before every check has passed over the finished lists.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

import sql
from pipeline.batch.analyst_copies import (
    AnalystsRun,
    StagedLists,
    make_list_snapshot,
    stage_inputs,
    stage_lists_of,
)
from pipeline.batch.engine import Engine
from pipeline.batch.engines.local import LOCAL
from pipeline.batch.forecast.history import learn_when_due, load_trees, remember
from pipeline.batch.forecast.learning import AHEAD_HOURS
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.frozen import Frozen
from pipeline.batch.inputs.neighbour_files import NeighbourFiles, attach_neighbours
from pipeline.batch.inputs.run_inputs import open_run
from pipeline.batch.inputs.snapshot import Snapshot, add_listed_authors
from pipeline.batch.lists.checks import check_relations, sampled
from pipeline.batch.lists.communities import communities, named_posts
from pipeline.batch.lists.make_lists import Staging, stage_lists
from pipeline.batch.lists.taste_sketches import sketches
from pipeline.batch.publish.generations import GenerationOrigin, publish, write_sketches
from pipeline.batch.publish.write_communities import write_communities
from pipeline.feeds import Feed, Variant
from pipeline.progress import Progress, Step
from pipeline.ranking import Ranking
from pipeline.store.duck import columns, copy_to, count
from pipeline.store.newest_generation import newest
from pipeline.store.whole_files import whole
from sql import places


@dataclass(frozen=True, slots=True)
class FeedToPublish:
    """A feed whose lists a run makes, and for whom.

    ``all_rkeys`` are the record keys of all feeds. ``wanted`` names the viewers (DIDs) whose lists the run makes; with
    None it makes everybody's.
    """

    feed: Feed
    all_rkeys: tuple[str, ...]
    wanted: Sequence[str] | None = None


@dataclass(slots=True)
class PublishedSoFar:
    """What a run has published so far: its newest generation, and the viewers who have a list of the run."""

    generation: int = 0
    viewers: list[int] = field(default_factory=list)


def candidates(
    files: NeighbourFiles,
    to_publish: FeedToPublish,
    threads: int,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
    progress: Progress | None = None,
    engine: Engine = LOCAL,
) -> Iterator[Step]:
    """Rank, arrange, check and publish the lists of one feed, variant after variant."""
    data_dir, feed, wanted = files.data_dir, to_publish.feed, to_publish.wanted
    ranking, window = feed.ranking, feed.ranking.post_max_age_hours
    progress = progress or Progress("candidates")
    folder, before = places.working(data_dir, "" if wanted is None else "recent"), newest(serving)
    shared = places.runs(data_dir.absolute(), f"candidates-{feed.rkey}") if engine.shares else None
    opened = open_run(
        data_dir, ranking, threads, window_hours=window, folder=folder, shared=shared, dids=wanted
    )
    with opened as (snapshot, frozen):
        connection = snapshot.connection
        sql_steps.set_variables(
            connection, {"whole_hours": whole_hours(variant.ranking for variant in feed.variants)}
        )
        yield "snapshot", snapshot.records
        foresees = any(variant.ranking.forecast_weight for variant in feed.variants)
        if foresees:
            load_trees(connection, data_dir, feed.rkey)
        inputs: dict[str, Path] = {}
        if wanted is None:
            inputs = stage_inputs(connection, folder / "inputs")
            yield "copy inputs", len(inputs)
        attach_neighbours(connection, files, "neighbours", folder, "" if wanted is None else "wanted_viewers")
        if wanted is not None:  # else it is a view
            yield "neighbours of viewers", count(connection, "neighbours")
        for name in sql_steps.LIKES:
            yield name, sql_steps.run_file(connection, name)
        snapshot.drop_records()
        own = set(columns(connection, "SELECT viewer_did FROM own_settings")[0].tolist())
        staged: list[StagedLists] = []
        published = PublishedSoFar()
        for variant in feed.variants:
            control = variant == feed.variants[-1]
            if not control and wanted is not None and not any(variant.has(did, own) for did in wanted):
                continue
            staging = Staging(data_dir, folder / ("" if control else variant.name), threads, before, progress)
            prefix = "" if control else f"{variant.name} "
            sql_steps.set_variant(connection, variant)
            for name in sql_steps.LISTS:
                yield prefix + name, sql_steps.run_file(connection, name)
            store_popular(connection, popular_path(data_dir, feed, variant))
            tasks = None if frozen is None else (frozen, files)
            for step, rows in stage_and_publish(
                snapshot, to_publish, variant, staging, serving, clock, published, engine, tasks
            ):
                yield prefix + step, rows
            if wanted is None:
                staged.append(stage_lists_of(connection, staging.lists, variant, published.generation))
        if wanted is None:
            # The relations are the control's now.
            if foresees:
                yield "remember", remember(connection, data_dir, feed.rkey)
                trees = learn_when_due(connection, data_dir, feed.rkey, snapshot.snapshot_us)
                yield "learn", trees
            yield "taste sketches", write_sketches(serving, connection, sketches(connection))
            found = named_posts(connection, communities(connection))
            yield "communities", write_communities(serving, feed.rkey, found)
            used = {popular_path(data_dir, feed, variant) for variant in feed.variants}
            for path in places.popular_of_variants(data_dir, feed.rkey):
                if path not in used:  # of an experiment that is over
                    path.unlink(missing_ok=True)
            run = AnalystsRun(feed.rkey, to_publish.all_rkeys, snapshot.snapshot_us)
            yield "copy lists", make_list_snapshot(connection, files, inputs, staged, run)


def stage_and_publish(
    snapshot: Snapshot,
    to_publish: FeedToPublish,
    variant: Variant,
    staging: Staging,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
    published: PublishedSoFar,
    engine: Engine = LOCAL,
    shared: tuple[Frozen, NeighbourFiles] | None = None,
) -> Iterator[Step]:
    """Make the lists of the relations that ``sql_steps.LISTS`` names, check them, and make them visible.

    ``published`` collects their generation and the viewers who got a list, variant by variant. After the last variant
    of a run for everybody, superseded lists of all other viewers are removed. Another run may publish meanwhile; then
    their generation is not the next after ``staging.before``.
    """
    connection, feed, last = snapshot.connection, to_publish.feed, variant == to_publish.feed.variants[-1]
    # How many viewers make a block is a matter of the run, which may be one that was cut short.
    ranking = (
        variant.ranking
        if shared is None
        else replace(variant.ranking, block_viewers=shared[0].ranking.block_viewers)
    )
    entries = stage_lists(snapshot, ranking, staging, engine, shared)
    yield "product", entries
    if to_publish.wanted is not None:
        add_listed_authors(connection, staging.data_dir)
    with sampled(connection, entries):
        yield "checks", check_relations(connection)
        pages = (
            connection.execute(sql.load("batch/first_pages")).fetchone()
            if to_publish.wanted is None
            else None
        )
    published.viewers += columns(connection, "SELECT viewer_id FROM listed_viewers ORDER BY 1")[0].tolist()
    origin = GenerationOrigin(
        staging.data_dir,
        staging.lists,
        snapshot.snapshot_us,
        feed.rkey,
        variant.label,
        before=staging.before,
        with_fallbacks=last,
        renewed=sorted(published.viewers),
        all_rkeys=to_publish.all_rkeys if to_publish.wanted is None and last else None,
        first_pages=pages,
    )
    published.generation = yield from publish(serving, connection, origin, variant.ranking, clock)


def whole_hours(rankings: Iterable[Ranking]) -> float:
    """Return for how many hours a run needs all likes: older ones matter only for posts that were liked since.

    Candidates are such posts, the crowd's likers are known by these likes, and a forecast counts those of some hours.
    """
    wanted = [max(ranking.candidate_window_hours, ranking.crowd_memory_hours) for ranking in rankings]
    return max(*wanted, 4 * AHEAD_HOURS)


def popular_path(data_dir: Path, feed: Feed, variant: Variant) -> Path:
    """Return the file of what was popular when a variant's lists were last made from everybody's likes."""
    return places.popular(data_dir, feed.rkey, "" if variant == feed.variants[-1] else variant.label)


def store_popular(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Store the relation ``popular`` by the posts' own keys, for runs that read the likes of few posts only."""
    query = (
        "SELECT s.language, s.position, p.author_id, p.rkey, s.score, c.share FROM popular AS s "
        "JOIN candidate_posts AS p ON p.post_no = s.post_no JOIN crowd_shares AS c ON c.post_no = s.post_no "
        "ORDER BY s.language, s.position"
    )
    with whole(path, synced=False) as draft:
        copy_to(connection, query, draft)
