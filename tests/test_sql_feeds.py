"""What analysts see of feeds beside the first: neighbours and daily lists of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from batch_tools import settings_for, stored_neighbours
from worlds import World

from pipeline.batch import jobs
from pipeline.batch.inputs.neighbour_files import SCHEMA, add_newer, files_of, layers_of
from pipeline.explore import after_batch, queries, session
from pipeline.feeds import feeds_of
from pipeline.store.analyst_snapshot import current_snapshot

FEED, NEAR = "for-you", "near"
RANKING = {"crowd_weight": 0.0, "left_out_weight": 0.0}
PEOPLE = ("bob", "cat", "dan")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Ann and three people who share her taste, and a second feed that takes one neighbour alone."""
    world = World()
    for number, name in enumerate(("ann", *PEOPLE)):
        for post in ("old1", "old2", "old3")[: 3 - number % 3]:
            world.like(name, post, hours_ago=60)
    for number, name in enumerate(PEOPLE):
        world.post(f"p{number}", by=f"author {number}", hours_ago=5).like(name, f"p{number}", hours_ago=1)
    return world.write(tmp_path)


def rows(data_dir: Path, query: str) -> list[tuple[Any, ...]]:
    with session.open_session(data_dir, 1) as connection:
        return connection.execute(query).fetchall()


def answer(data_dir: Path, name: str, **given: str) -> list[tuple[Any, ...]]:
    query = queries.find(name)
    with session.open_session(data_dir, 1) as connection:
        return session.run(connection, data_dir, query, query.values(given)).rows()


def test_each_feed_has_its_own_neighbours_and_daily_lists(data_dir: Path) -> None:
    settings = replace(settings_for(data_dir, RANKING), feeds={NEAR: {"max_neighbours": 1}})
    jobs.run(settings, "all")
    after_batch.run(settings)
    first, near = files_of(data_dir, feeds_of(settings))
    names = dict(rows(data_dir, "SELECT actor_id, did FROM stored_actors"))
    for feed, files in ((FEED, first), (NEAR, near)):
        [[path]] = layers_of(files.path)
        expected = {
            (names[row["viewer_id"]], names[row["neighbour_id"]], row["weight"], row["rank"])
            for row in pq.read_table(path).to_pylist()
        }
        query = f"SELECT viewer_did, neighbour_did, weight, rank FROM neighbours WHERE feed = '{feed}'"
        assert set(rows(data_dir, query)) == expected
    query = "SELECT feed, count(*) FROM neighbours WHERE viewer_did = 'did:plc:ann' GROUP BY feed"
    assert dict(rows(data_dir, query)) == {FEED: 3, NEAR: 1}
    given = {"viewer": "did:plc:ann"}
    for feed, brought in (("", 3), (NEAR, 1)):
        assert len(answer(data_dir, "viewer_co_likers", **given, feed=feed)) == brought
        changed = answer(data_dir, "list_changes", **given, days="0", feed=feed)
        assert {row[2] for row in changed} == {"same"}
        assert [row[4] for row in changed].count("co-likers") == brought
        found = answer(data_dir, "viewer_taste", **given, min_neighbours="1", hours="100", feed=feed)
        assert max(row[1] for row in found) == brought
        found = answer(data_dir, "viewer_communities", **given, feed=feed)
        assert sum(row[1] for row in found) == brought


def test_copies_of_a_feed_that_is_no_more_are_removed(data_dir: Path) -> None:
    settings = settings_for(data_dir, RANKING)
    jobs.run(replace(settings, feeds={NEAR: {"max_neighbours": 1}}), "all")
    kept = current_snapshot(data_dir)
    assert kept is not None
    assert [path.name for path in (kept / "explained").iterdir()] == [NEAR]
    assert {path.name for path in kept.glob("feed_lists/*")} == {f"feed={FEED}", f"feed={NEAR}"}
    jobs.run(settings, "candidates")
    kept = current_snapshot(data_dir)
    assert kept is not None
    assert {path.name for path in kept.rglob("feed=*")} == {f"feed={FEED}"}
    assert not (kept / "explained").exists()


def test_neighbours_that_were_computed_since_stand_for_the_older(data_dir: Path) -> None:
    settings = settings_for(data_dir, RANKING)
    jobs.run(settings, "all")
    [files] = files_of(data_dir, feeds_of(settings))
    stored = stored_neighbours(data_dir)
    ann = {name: number for number, name in rows_of_actors(data_dir)}["did:plc:ann"]
    mine = [row for row in stored.to_pylist() if row["viewer_id"] == ann and row["rank"] == 1]
    newer = [row | {"weight": 0.5, "snapshot_us": row["snapshot_us"] + 1} for row in mine]
    add_newer(files, stored.from_pylist(newer, schema=SCHEMA))
    jobs.run(settings, "candidates")
    after_batch.run(settings)
    query = "SELECT weight, rank FROM neighbours WHERE viewer_did = 'did:plc:ann'"
    assert rows(data_dir, query) == [(0.5, 1)]
    query = "SELECT count(*) FROM neighbours WHERE viewer_did <> 'did:plc:ann'"
    others = [number for number in stored["viewer_id"].to_pylist() if number != ann]
    assert rows(data_dir, query) == [(len(others),)]


def rows_of_actors(data_dir: Path) -> list[tuple[Any, ...]]:
    after = pq.read_table(next((data_dir / "explore").glob("*/inputs/actors.parquet")))
    return [(row["actor_id"], row["did"]) for row in after.to_pylist()]
