"""What a named query refuses to answer, instead of an empty table, and what it says of parts of a whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from analyst_answers import ANSWERS
from analyst_store import FEED, SECOND, Store
from query_cases import rows_of, variables

from pipeline import cli
from pipeline.explore import queries, session
from pipeline.explore.queries import QueryError

ROOT = Path(__file__).resolve().parents[1]
POST = "at://did:plc:nobody/app.bsky.feed.post/3mvxqovrj7s25"
PEOPLE = [name for name in queries.names() if "viewer" in queries.find(name).parameters]
FEEDS = [name for name in queries.names() if "feed" in queries.find(name).parameters]
POSTS = [name for name in queries.names() if "post" in queries.find(name).parameters]


def refusal(notebook: duckdb.DuckDBPyConnection, name: str, given: Mapping[str, str]) -> str:
    """Return what a notebook is refused for."""
    with pytest.raises(duckdb.InvalidInputException) as caught:
        rows_of(notebook, name, given)
    return str(caught.value)


def complaint(opened: duckdb.DuckDBPyConnection, name: str, given: Mapping[str, str]) -> str:
    """Return the one line that the process of ``foryou sql`` hands to the command."""
    query = queries.find(name)
    with variables(opened, given), pytest.raises(QueryError) as caught:
        list(session.results(opened, query, query.values(given)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def said(store: Store, capsys: pytest.CaptureFixture[str], name: str, *flags: str) -> str:
    """Return the one line that the command fails with."""
    assert cli.main(["sql", name, "--data-dir", str(store.data_dir), *flags]) == 1
    found = capsys.readouterr()
    assert not found.out
    assert found.err.count("\n") == 1
    return found.err


def rest_of(name: str) -> dict[str, str]:
    """The other parameters that a query needs."""
    needed = [found.name for found in queries.find(name).parameters.values() if found.default is None]
    return dict.fromkeys(needed, POST)


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize(
    ("viewer", "words"),
    [
        ("ann.bsky.social", "'ann.bsky.social' is not a DID"),
        ("", "'' is not a DID"),
        ("did:plc:nobody", "did:plc:nobody is not in this store"),
    ],
)
def test_a_viewer_who_is_none_is_an_error(
    notebook: duckdb.DuckDBPyConnection,
    opened: duckdb.DuckDBPyConnection,
    name: str,
    viewer: str,
    words: str,
) -> None:
    given = rest_of(name) | {"viewer": viewer}
    assert words in refusal(notebook, name, given)
    assert words in complaint(opened, name, given)


@pytest.mark.parametrize("name", POSTS)
@pytest.mark.parametrize(
    ("post", "words"),
    [
        ("https://bsky.app/profile/ann.bsky.social/post/3mvxqovrj7s25", "'ann.bsky.social' is not a DID"),
        ("did:plc:nobody", "'did:plc:nobody' is not a post's address"),
        ("at://did:plc:nobody/app.bsky.feed.post/x", "is not a post's address"),
        (POST, "did:plc:nobody is not in this store"),
    ],
)
def test_a_post_that_is_none_is_an_error(
    notebook: duckdb.DuckDBPyConnection,
    opened: duckdb.DuckDBPyConnection,
    name: str,
    post: str,
    words: str,
) -> None:
    given = rest_of(name) | {"post": post}
    assert words in refusal(notebook, name, given)
    assert words in complaint(opened, name, given)


@pytest.mark.parametrize("name", FEEDS)
def test_a_feed_that_is_none_is_an_error(notebook: duckdb.DuckDBPyConnection, name: str) -> None:
    given = rest_of(name) | {"feed": "nope"}
    assert f"no feed nope: expected one of {FEED}, {SECOND}" in refusal(notebook, name, given)


@pytest.mark.parametrize(
    ("name", "flag", "words"),
    [
        (PEOPLE[0], "--viewer=ann.bsky.social", "'ann.bsky.social' is not a DID"),
        (PEOPLE[0], "--viewer=", "'' is not a DID"),
        ("post_life", "--post=did:plc:nobody", "'did:plc:nobody' is not a post's address"),
        ("list_ages", "--feed=nope", "no feed nope: expected one of"),
    ],
)
def test_the_command_prints_that_line(
    analysts: Store, capsys: pytest.CaptureFixture[str], name: str, flag: str, words: str
) -> None:
    assert words in said(analysts, capsys, name, flag)


def numbers() -> list[tuple[str, str]]:
    return [
        (name, parameter.name)
        for name in queries.names()
        for parameter in queries.find(name).parameters.values()
        if isinstance(parameter.default, int | float)
    ]


@pytest.mark.parametrize(("name", "parameter"), numbers())
def test_a_number_below_0_is_refused(
    analysts: Store, capsys: pytest.CaptureFixture[str], name: str, parameter: str
) -> None:
    for wrong in ("-1", "nan", "inf"):
        given = rest_of(name) | {parameter: wrong}
        flags = [f"--{key}={value}" for key, value in given.items()]
        assert f"--{parameter} = '{wrong}': must be a" in said(analysts, capsys, name, *flags)


def test_a_notebook_is_refused_a_span_below_0(notebook: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.InvalidInputException, match=r"a span of -3 hours.* 0 or more"):
        rows_of(notebook, "likes_per_hour", {"hours": -3})


def test_a_query_of_ones_own_may_take_numbers_below_0() -> None:
    query = queries.parse("mine", "-- Parameters: shift = 0 (hours)\nSELECT getvariable('shift')")
    assert query.values({"shift": "-2"}) == {"shift": -2}


def test_the_store_has_hours_and_days_of_every_kind(analysts: Store) -> None:
    """Else the comparison with what is true would say little of ``partial``."""
    hours: Any = [row[-1] for row in ANSWERS["likes_per_hour"](analysts)]
    assert (hours[0], hours[-1]) == (True, True)
    assert set(hours[1:-1]) == {True, False}  # those that a gap touches, and those that are whole
    for name in ("viewers_per_day", "repeat_rate", "show_less_rate", "viewer_retention"):
        assert {row[-1] for row in ANSWERS[name](analysts)} == {True, False}
    assert {row[0] for row in ANSWERS["languages"](analysts, hours=80.0)} >= {"", "unknown", "en"}


def rates(connection: duckdb.DuckDBPyConnection, *viewers: tuple[int, int]) -> tuple[Any, Any]:
    """Return the bounds of a rate that viewers have together, each with (likes, impressions)."""
    sums = ", ".join(
        str(sum(found)) for found in zip(*((k, n, k * k, k * n, n * n) for k, n in viewers), strict=True)
    )
    query = (
        f"SELECT wilson_low(rate, n), wilson_high(rate, n) FROM (SELECT {sum(k for k, _ in viewers)} / "
        f"{sum(n for _, n in viewers)}::DOUBLE AS rate, trials_of({sums}, {len(viewers)}) AS n)"
    )
    ((low, high),) = connection.execute(query).fetchall()
    return low, high


def test_bounds_of_a_rate(notebook: duckdb.DuckDBPyConnection) -> None:
    assert rates(notebook, (3, 10)) == (None, None)  # one viewer: nothing follows for others
    assert rates(notebook, (0, 10)) == (None, None)
    low, high = rates(notebook, *[(0, 10)] * 20)
    assert low == pytest.approx(0, abs=1e-12)
    assert high == pytest.approx(0.1611, abs=1e-4)  # none of twenty, as tables have it
    low, high = rates(notebook, *[(10, 10)] * 20)
    assert (low, high) == (pytest.approx(0.8389, abs=1e-4), pytest.approx(1))
    low, high = rates(notebook, *[(1, 10)] * 10)  # all alike: as if each impression were a viewer of its own
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    # One viewer who likes all and nine who like none: hardly more than ten trials.
    low, high = rates(notebook, (10, 10), *[(0, 10)] * 9)
    assert (low, high) == (pytest.approx(0.017, abs=2e-3), pytest.approx(0.43, abs=0.03))


def test_the_store_has_rates_of_every_kind(analysts: Store) -> None:
    """Impressions whose day is not over, a place that one viewer saw, and one where nobody liked anything."""
    places = ANSWERS["like_rate_by_position"]
    rows = places(analysts, places=60) + places(analysts, places=60, within_hours=100.0, feed=SECOND)
    assert any(shown > ripe > 0 for _, shown, ripe, *_ in rows)
    assert any(ripe and low is None for _, _, ripe, _, _, low, _ in rows)
    assert any(ripe and not likes and low == 0 < high for _, _, ripe, likes, _, low, high in rows)
    (first, *_) = ANSWERS["like_rate_by_source"](analysts, days=1.0, within_hours=48.0)
    assert first[1] > 20
    assert first[2:] == (0, 0, None, None, None)  # all too new to say


def test_a_step_of_two_feeds_is_one_row(analysts: Store) -> None:
    connection = duckdb.connect()
    connection.execute("SET VARIABLE data_dir = ?", [str(analysts.data_dir)])
    connection.execute((ROOT / "sql/explore/views.sql").read_text())
    connection.execute(
        "CREATE OR REPLACE VIEW stored_runs AS SELECT 7 AS run_id, 'candidates' AS job, 'all' AS tier, '' AS feed, "
        "step, 0 AS started_us, seconds, rows, 100.0::DOUBLE AS peak_mb, 'done' AS outcome "
        "FROM (VALUES ('likes', 1.0::DOUBLE, 10), ('likes', 3.0, 40), ('lists', 1.0, 5)) AS t(step, seconds, rows)"
    )
    found = connection.execute((ROOT / "sql/explore/batch_steps.sql").read_text()).fetchall()
    assert found == [("likes", 4.0, 0.8, 50, 12.5), ("lists", 1.0, 0.2, 5, 5.0)]
    connection.close()


def test_safe_bounds_hold_however_often_somebody_looks(notebook: duckdb.DuckDBPyConnection) -> None:
    """400 experiments that change nothing, looked at after every ten viewers of each variant, up to 1,000."""
    rng = np.random.default_rng(8)
    looks = np.arange(20, 1001, 10)
    change = (
        np.cumsum(rng.normal(size=(400, 1000)) - rng.normal(size=(400, 1000)), axis=1)[:, looks - 1] / looks
    )
    variance = np.broadcast_to(2.0 / looks, change.shape)
    notebook.register("seen", pa.table({"change": change.ravel(), "variance": variance.ravel()}))
    query = "SELECT abs(change) > safe_margin(variance, 0.2), abs(change) > 1.96 * sqrt(variance) FROM seen"
    safe, usual = np.array(notebook.execute(query).fetchall()).reshape(*change.shape, 2).any(axis=1).T
    notebook.unregister("seen")
    assert safe.mean() <= 0.05
    assert usual.mean() > 0.25, "whoever stops at the first surprise finds changes where there are none"
