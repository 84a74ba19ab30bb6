"""The evaluation's ranking is the batch's: the same lists, from a store that a simulated network filled."""

from dataclasses import replace
from pathlib import Path

import analyst_store
import duckdb
import numpy as np
import pytest
from batch_tools import candidates_by_sql, neighbours_by_sql, read_ranked, settings_for

import sql
from pipeline import cli
from pipeline.batch.forecast.history import table_of
from pipeline.batch.inputs.snapshot import open_snapshot
from pipeline.batch.kernel import Sparse
from pipeline.evaluate.from_store import events_in, from_store
from pipeline.evaluate.like_events import LikeEvents
from pipeline.evaluate.matrices import row_numbers
from pipeline.evaluate.methods import ours
from pipeline.evaluate.methods.forecast import trees_before
from pipeline.evaluate.splits import REPORTED, Split, liked_before, rolling, split_at, with_own
from pipeline.ranking import Ranking
from pipeline.store.duck import count, registered

CHANGES = (
    {},
    {"max_seeds": 20, "max_seed_likers": 10, "max_neighbours": 30, "overlap_exponent": 1.5, "crowd_weight": 2.0,
     "like_decay_exponent": 2.0, "popularity_exponent": 0.3, "max_per_author": 1, "list_length": 25},
)  # fmt: skip


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return analyst_store.build(
        tmp_path_factory.mktemp("store") / "data", users=200, days=3.0, seed=5
    ).data_dir


@pytest.mark.parametrize("changes", CHANGES)
def test_the_harness_ranks_as_the_batch_does(data_dir: Path, changes: dict[str, float]) -> None:
    ranking = replace(Ranking(), **changes)
    with open_snapshot(data_dir, ranking, 1, window_hours=ranking.seed_window_days * 24.0) as opened:
        connection = opened.connection
        connection.execute("DELETE FROM interactions")  # a history of likes does not know them
        give_languages(connection)
        neighbours_by_sql(connection, ranking)
        connection.execute(sql.load("evaluate/claimed"))
        events = events_in(connection, "store")
        posts = connection.execute(
            "SELECT author_id, post_rkey FROM (SELECT DISTINCT author_id, post_rkey FROM likes) "
            "ORDER BY post_rkey DESC, author_id"
        ).fetchall()
        trees = trees_before(at_the_end(events, opened.snapshot_us, np.zeros(0, np.int64)), ranking)
        assert trees is not None
        with registered(connection, learned_trees=table_of(trees, opened.snapshot_us)):
            connection.execute("INSERT INTO forecast_trees FROM learned_trees")
        candidates_by_sql(connection, ranking)
        expected = read_ranked(connection)
        assert count(connection, "forecast") > 0
    split = split_at(events, opened.snapshot_us, 1.0, None, np.random.default_rng(0))
    assert len(split.viewers) == 0  # nothing comes after the newest like
    viewers = np.searchsorted(events.user_keys, sorted(expected))
    split = at_the_end(events, opened.snapshot_us, viewers)
    lists = ours.rank(split, ranking.list_length, ranking)
    assert len(expected) > 50
    for row, viewer in enumerate(sorted(expected)):
        found = [posts[item] for item in lists[row].tolist() if item >= 0]
        assert found == [item[0] for item in expected[viewer]], viewer


def test_the_store_itself_can_be_evaluated(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = from_store(settings_for(data_dir))
    assert events.authors is not None and events.owners is not None and events.speaks is not None
    assert (
        0 < np.count_nonzero(events.allowed) < events.item_count
    )  # replies and adult posts are no candidates
    for split in rolling(events, 2, 6.0, REPORTED, 50, 1):
        assert np.all(events.owners[split.targets.columns] != split.viewers[row_numbers(split.targets)])
        assert split.exists[split.targets.columns].all()
    arguments = ["evaluate", "--data-dir", str(data_dir), "--windows", "1", "--tuning-users", "10"]
    assert cli.main([*arguments, "--methods", "for-you-formula"]) == 0
    assert "for-you-formula" in capsys.readouterr().out


def give_languages(connection: duckdb.DuckDBPyConnection) -> None:
    """Let apps of a few hundred actors ask for a feed: for one language, two, one that nobody writes, and none."""
    connection.execute("DELETE FROM visits")
    connection.execute(
        "INSERT INTO visits SELECT did, list_extract(['de', 'pt,en', 'xx', '', 'en'], actor_id % 7 + 1), 1 FROM actors "
        "WHERE actor_id % 7 < 5 UNION ALL SELECT did, 'ja', 0 FROM actors WHERE actor_id % 14 = 0"
    )


def at_the_end(events: LikeEvents, at_us: int, viewers: np.ndarray) -> Split:
    """Return the split at a time for given viewers, who need no targets to be ranked for."""
    liked = liked_before(events, len(events.users), viewers)
    nothing = Sparse(np.zeros(len(viewers) + 1, np.int64), np.zeros(0, np.int32), np.empty(0))
    activity = np.bincount(events.users, minlength=events.user_count)[viewers]
    known = np.zeros(events.item_count, np.bool_)
    known[events.items] = True
    return Split(
        events, at_us, len(events.users), viewers, nothing, liked, with_own(liked, events, viewers), activity,
        known & events.allowed,
    )  # fmt: skip
