"""What a named query refuses to answer, instead of an empty table, and what it says of parts of a whole."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from analyst_store import Store

from pipeline import cli
from pipeline.explore import queries

ROOT = Path(__file__).resolve().parents[1]
POST = "at://did:plc:nobody/app.bsky.feed.post/3mvxqovrj7s25"
PEOPLE = [name for name in queries.names() if "viewer" in queries.find(name).parameters]
POSTS = [name for name in queries.names() if "post" in queries.find(name).parameters]


def refusal(store: Store, name: str, **given: str) -> str:
    """Return what ``foryou sql`` says on stderr, once a notebook is known to be refused for the same reason."""
    connection = duckdb.connect()
    connection.execute("SET VARIABLE data_dir = ?", [str(store.data_dir)])
    connection.execute((ROOT / "sql/explore/views.sql").read_text())
    for parameter, value in given.items():
        connection.execute(f"SET VARIABLE {parameter} = ?", [value])
    with pytest.raises(duckdb.InvalidInputException) as caught:
        connection.execute((ROOT / f"sql/explore/{name}.sql").read_text()).fetchall()
    connection.close()
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
    analysts: Store, capsys: pytest.CaptureFixture[str], name: str, viewer: str, words: str
) -> None:
    assert words in refusal(analysts, name, viewer=viewer)
    assert words in said(analysts, capsys, name, f"--viewer={viewer}")


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
    analysts: Store, capsys: pytest.CaptureFixture[str], name: str, post: str, words: str
) -> None:
    given = rest_of(name) | {"post": post}
    assert words in refusal(analysts, name, **given)
    assert words in said(analysts, capsys, name, *(f"--{key}={value}" for key, value in given.items()))


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


def test_a_notebook_is_refused_a_span_below_0(analysts: Store) -> None:
    connection = duckdb.connect()
    connection.execute("SET VARIABLE data_dir = ?", [str(analysts.data_dir)])
    connection.execute((ROOT / "sql/explore/views.sql").read_text())
    connection.execute("SET VARIABLE hours = -3")
    with pytest.raises(duckdb.InvalidInputException, match=r"a span of -3 hours.* 0 or more"):
        connection.execute((ROOT / "sql/explore/likes_per_hour.sql").read_text()).fetchall()
    connection.close()


def test_a_query_of_ones_own_may_take_numbers_below_0() -> None:
    query = queries.parse("mine", "-- Parameters: shift = 0 (hours)\nSELECT getvariable('shift')")
    assert query.values({"shift": "-2"}) == {"shift": -2}


def test_the_store_has_hours_and_days_of_every_kind(analysts: Store) -> None:
    """Else the comparison with what is true would say little of ``partial``."""
    from analyst_answers import ANSWERS

    hours: Any = [row[-1] for row in ANSWERS["likes_per_hour"](analysts)]
    assert (hours[0], hours[-1]) == (True, True)
    assert set(hours[1:-1]) == {True, False}  # those that a gap touches, and those that are whole
    for name in ("viewers_per_day", "repeat_rate", "show_less_rate", "viewer_retention"):
        assert {row[-1] for row in ANSWERS[name](analysts)} == {True, False}
    assert {row[0] for row in ANSWERS["languages"](analysts, hours=80.0)} >= {"", "unknown", "en"}
