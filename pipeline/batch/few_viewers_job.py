"""The jobs for viewers who wait: their neighbours and lists within seconds, however large the store is.

Owns: which likes such a run reads. These are the viewers' own, those of their seeds, those of their neighbours in
the last hours, and those of the posts that the neighbours liked. Leaves to others: who waits
(``store.who_is_due``), reading (``inputs.few_viewers``), ranking (``sql/batch``), publishing (``candidates_job``),
storing the neighbours (``inputs.neighbour_files``).

Two things come from the last run that read everything: how many likes each co-liker has, and what is popular, which
fills short lists. So from one snapshot such a run gives exactly the rows that a run for everybody gives. It may go
on beside a neighbours job, so nobody waits for that.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence

import sql
from pipeline.batch.candidates_job import FeedToPublish, PublishedSoFar, popular_path, stage_and_publish
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.few_viewers import FewViewersInputs
from pipeline.batch.inputs.neighbour_files import (
    SCHEMA,
    NeighbourFiles,
    add_newer,
    attach_degrees,
    attach_neighbours,
)
from pipeline.batch.lists.make_lists import Staging
from pipeline.feeds import Variant
from pipeline.progress import Progress, Step
from pipeline.store.duck import count, parquet
from pipeline.store.linked_files import kept
from pipeline.store.newest_generation import newest

OWN_LIKES = "SELECT did, count(*) FROM own_records JOIN actors ON actor_id = liker_id GROUP BY did"
POPULAR_COLUMNS = (
    "language VARCHAR, position INTEGER, author_id INTEGER, rkey BIGINT, score FLOAT, share FLOAT"
)


def waiting_neighbours(
    inputs: FewViewersInputs,
    files: NeighbourFiles,
    dids: Sequence[str],
    note_likes: Callable[[Mapping[str, int]], None],
) -> Iterator[Step]:
    """Compute some viewers' neighbours, and store them beside the file of neighbours.

    ``note_likes`` takes how many likes each of them has.
    """
    ranking = files.ranking
    inputs.begin_part(ranking, dids, ranking.seed_window_days * 24.0)
    connection = inputs.connection
    yield "waiting viewers", count(connection, "wanted_viewers")
    viewers = "SELECT viewer_id AS actor_id FROM wanted_viewers"
    yield "own likes", inputs.likes_of_likers("own_records", viewers)
    note_likes(dict(connection.execute(OWN_LIKES).fetchall()))
    sql_steps.run_file(connection, "answers")
    inputs.set_posts(
        "SELECT author_id, post_rkey FROM own_records UNION SELECT author_id, post_rkey FROM answers"
    )
    connection.execute("CREATE OR REPLACE VIEW like_records AS FROM own_records")
    connection.execute("CREATE TABLE viewers AS FROM wanted_viewers")
    for name in (*sql_steps.LIKES, "answer_weights", "seeds"):
        sql_steps.run_file(connection, name)
    seeds = "SELECT author_id, post_rkey FROM seeds"
    yield "likes of seeds", inputs.likes_of_posts("seed_records", seeds)
    connection.execute("CREATE OR REPLACE VIEW like_records AS FROM own_records UNION ALL FROM seed_records")
    attach_degrees(connection, files, inputs.folder)
    for name in sql_steps.SEEDS:
        if name != "viewers":
            yield name, sql_steps.run_file(connection, name)
    for name in sql_steps.NEIGHBOURS:
        sql_steps.run_file(connection, name)
    query = "SELECT *, getvariable('snapshot_us') AS snapshot_us FROM neighbours ORDER BY viewer_id, rank"
    rows = connection.sql(query).to_arrow_table().select(SCHEMA.names).cast(SCHEMA)
    yield "product", len(rows)
    if len(rows):
        add_newer(files, rows)
    yield "commit", len(rows)


def waiting_candidates(
    inputs: FewViewersInputs,
    files: NeighbourFiles,
    to_publish: FeedToPublish,
    variant: Variant,
    threads: int,
    serving: sqlite3.Connection,
    clock: Callable[[], float],
    progress: Progress,
) -> Iterator[Step]:
    """Make and publish the lists of the viewers that ``to_publish`` names, all of one variant."""
    ranking, data_dir, folder = variant.ranking, files.data_dir, inputs.folder
    staging = Staging(data_dir, folder, threads, newest(serving), progress)
    inputs.begin_part(ranking, to_publish.wanted or (), ranking.post_max_age_hours)
    connection = inputs.connection
    attach_neighbours(connection, files, "neighbours", folder, "wanted_viewers")
    yield "waiting viewers", count(connection, "wanted_viewers")
    people = "SELECT viewer_id AS actor_id FROM wanted_viewers UNION SELECT neighbour_id FROM neighbours"
    yield "likes of neighbours", inputs.likes_of_likers("people_records", people)
    popular = popular_path(data_dir, to_publish.feed, variant)
    if popular.exists():
        stored = kept(popular, folder / "kept")
        connection.execute(f"CREATE VIEW stored_popular AS FROM {parquet(stored)}")
    else:  # no run for everybody has written it yet
        connection.execute(f"CREATE TABLE stored_popular ({POPULAR_COLUMNS})")
    connection.execute(sql.load("few_viewers/wanted_posts"))
    connection.execute("CREATE TABLE candidate_keys AS FROM wanted_posts")
    yield "likes of candidates", inputs.likes_of_posts("candidate_records", "FROM candidate_keys")
    inputs.set_posts("FROM candidate_keys")
    connection.execute("CREATE OR REPLACE VIEW like_records AS FROM candidate_records")
    for name in sql_steps.BEFORE_CANDIDATES:
        if name in {"popular", "crowd_shares"}:  # of everybody's likes
            connection.execute(sql.load(f"few_viewers/{name}"))
        elif name == "public_popular" or name not in sql_steps.OF_EVERYBODY:
            yield name, sql_steps.run_file(connection, name)
    published = PublishedSoFar()
    yield from stage_and_publish(inputs.snapshot(), to_publish, variant, staging, serving, clock, published)
