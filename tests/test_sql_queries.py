"""Every query of sql/explore, in three ways, against an answer worked out in plain Python from what is true."""

import json
import math
import subprocess
import sysconfig
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from analyst_answers import ANSWERS, SOURCES
from analyst_store import Store

from pipeline.explore import queries

ROOT = Path(__file__).resolve().parents[1]
Rows = list[tuple[Any, ...]]


@pytest.fixture
def store(analysts: Store) -> Store:
    return analysts


def cases(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Parameters to try a query with, besides its defaults."""
    viewers = sorted(
        store.lists.keys() & store.renewed, key=lambda viewer: (-len(store.lists[viewer]), viewer)
    )
    pairs: dict[str, list[str]] = {}
    for like in store.likes:
        pairs.setdefault(like.liker, []).append(like.post)
    post, other = max(pairs.values(), key=len)[:2]
    page = post.replace("at://", "https://bsky.app/profile/").replace("app.bsky.feed.post", "post")
    return {
        "likes_per_hour": [{"hours": 9}],
        "most_liked_posts": [{"hours": 100, "rows": 7}],
        "rising_posts": [{"hours": 10, "min_likes": 2}],
        "rising_authors": [{"hours": 12, "min_likers": 2, "rows": 5}],
        "shared_likers": [{"post": post, "other": other}, {"post": post, "other": post, "days": 2.0}],
        "post_life": [{"post": post}, {"post": post, "days": 0.5}],
        "viewer_list": [{"viewer": viewers[0]}, {"viewer": viewers[3], "rows": 5}],
        "list_changes": [{"viewer": viewers[1], "days": 0}, {"viewer": viewers[4], "days": 0, "rows": 7}],
        "viewer_co_likers": [{"viewer": viewers[0]}, {"viewer": viewers[-1], "hours": 10.0, "rows": 3}],
        "viewer_taste": [{"viewer": viewers[0]}, {"viewer": viewers[2], "hours": 100.0, "min_neighbours": 1}],
        "viewer_communities": [{"viewer": viewers[0]}, {"viewer": viewers[1], "hours": 5.0}],
        "generation_lag": [{"rows": 1}],
        "coverage": [{"hours": 3.0, "items": 55}],
        "most_listed_posts": [{"places": 5, "rows": 4}],
        "languages": [{"hours": 80.0}],
        "liker_degrees": [{"hours": 100.0, "tail_from": 5}],
        "post_degrees": [{"hours": 100.0, "tail_from": 3}],
        "like_rings": [{"hours": 10.0, "min_likers": 2, "min_likes": 1, "share": 0.3}],
        "bulk_likers": [{"hours": 60.0, "rows": 3}],
        "batch_costs": [{"job": "compact"}, {"rows": 2}],
        "batch_steps": [{"job": "neighbours"}],
        "like_quality": [{"hours": 120.0}],
        "like_rate_by_position": [{"days": 2.0, "within_hours": 0.5, "places": 3}],
        "like_rate_by_source": [{"days": 3.0}, {"days": 1.0, "within_hours": 48.0}],
        "like_rate_by_age": [{"within_hours": 1.0}],
        "show_less_rate": [{"days": 2.5}],
        "repeat_rate": [{"days": 3.5}],
        "viewer_retention": [{"weeks": 2}],
        "experiment_results": [{"days": 3.0, "within_hours": 2.0}],
        "viewers_per_day": [{"days": 2.0}],
    } | {"page": [{"post": page}]}


def tries(store: Store, name: str) -> list[dict[str, Any]]:
    """Return every set of parameters a query is tried with; its defaults first, where it has them all."""
    needed = [found for found in queries.find(name).parameters.values() if found.default is None]
    return ([] if needed else [{}]) + cases(store).get(name, [])


# The web app's lists, from which what is true is read, keep scores to this; analysts have them whole.
SCORES = 1e-5


def same(found: Rows, expected: Rows, near: float = 1e-9) -> None:
    """Assert that rows are equal, floats to so many parts of theirs."""
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert len(row) == len(wanted)
        for value, should in zip(row, wanted, strict=True):
            if isinstance(should, float) or isinstance(value, float):
                assert value is not None and should is not None, (row, wanted)
                assert math.isclose(value, should, rel_tol=near, abs_tol=1e-12), (row, wanted)
            else:
                assert value == should, (row, wanted)


def near_of(name: str) -> float:
    """Return how near a query's numbers are to those that are true."""
    return SCORES if name in {"viewer_list", "list_changes"} else 1e-9


def plain(rows: Rows) -> Rows:
    """Return rows as JSON would have them."""

    def of(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat(sep=" ").removesuffix(".000000")
        return value.isoformat() if isinstance(value, date) else value

    return [tuple(of(value) for value in row) for row in rows]


def normal(rows: list[dict[str, Any]], like: Rows) -> Rows:
    """Return JSON objects as rows of values as ``plain`` has them; times may lack a fraction's zeros."""
    found = []
    for row, wanted in zip(rows, like, strict=True):
        values = []
        for value, should in zip(row.values(), wanted, strict=True):
            if isinstance(value, str) and isinstance(should, str) and value != should and ":" in value:
                value, should = datetime.fromisoformat(value), datetime.fromisoformat(should)
                assert value == should
                value = should.isoformat(sep=" ").removesuffix(".000000")
            values.append(value)
        found.append(tuple(values))
    return found


def test_every_query_has_an_answer_to_compare_with() -> None:
    assert set(queries.names()) == set(ANSWERS)
    assert len(queries.names()) >= 20


@pytest.mark.parametrize("name", queries.names())
def test_a_notebook_gets_what_is_true(store: Store, name: str) -> None:
    """duckdb.connect() and views.sql, with parameters as variables."""
    for parameters in tries(store, name):
        connection = duckdb.connect()
        connection.execute("SET VARIABLE data_dir = ?", [str(store.data_dir)])
        connection.execute((ROOT / "sql/explore/views.sql").read_text())
        for parameter, value in parameters.items():
            connection.execute(f"SET VARIABLE {parameter} = ?", [value])
        found = connection.execute((ROOT / f"sql/explore/{name}.sql").read_text()).fetchall()
        connection.close()
        expected = ANSWERS[name](store, **parameters)
        same(found, expected, near_of(name))
        if parameters == (cases(store).get(name) or [{}])[0]:
            assert expected, "an answer without rows proves little"


@pytest.mark.parametrize("name", queries.names())
def test_foryou_sql_gets_what_is_true(store: Store, name: str, capsysbinary: Any) -> None:
    from pipeline import cli

    for parameters in tries(store, name):
        flags = [text for pair in parameters.items() for text in (f"--{pair[0]}", str(pair[1]))]
        arguments = ["sql", name, "--data-dir", str(store.data_dir), "--format", "json", *flags]
        assert cli.main(arguments) == 0
        rows = json.loads(capsysbinary.readouterr().out)
        expected = plain(ANSWERS[name](store, **parameters))
        same(normal(rows, expected), expected, near_of(name))


@pytest.fixture(scope="module")
def duckdb_program() -> str:
    """The plain duckdb program, as the package duckdb-cli of the "dev" extra installs it."""
    found = Path(sysconfig.get_path("scripts")) / "duckdb"
    if not found.exists():
        pytest.skip("no duckdb program beside this Python: pip install duckdb-cli")
    return str(found)


@pytest.mark.parametrize("name", queries.names())
def test_the_duckdb_program_gets_what_is_true(store: Store, name: str, duckdb_program: str) -> None:
    def literal(value: Any) -> str:
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)

    for parameters in tries(store, name):
        arguments = [
            duckdb_program,
            "-json",
            "-cmd",
            f"SET VARIABLE data_dir = {literal(str(store.data_dir))}",
        ]
        arguments += ["-cmd", ".read sql/explore/views.sql"]
        for parameter, value in parameters.items():
            arguments += ["-cmd", f"SET VARIABLE {parameter} = {literal(value)}"]
        ran = subprocess.run(
            [*arguments, "-f", f"sql/explore/{name}.sql"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        expected = plain(ANSWERS[name](store, **parameters))
        same(normal(json.loads(ran.stdout or "[]"), expected), expected, near_of(name))


def test_a_page_address_names_a_post_too(store: Store, capsysbinary: Any) -> None:
    from pipeline import cli

    (page,) = (case["post"] for case in cases(store)["page"])
    post = cases(store)["post_life"][0]["post"]
    arguments = ["sql", "post_life", "--data-dir", str(store.data_dir), "--format", "csv", "--post"]
    outputs = []
    for address in (page, post):
        assert cli.main([*arguments, address]) == 0
        outputs.append(capsysbinary.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") > 1


def test_views_agree_with_what_is_true(store: Store) -> None:
    connection = duckdb.connect()
    connection.execute("SET VARIABLE data_dir = ?", [str(store.data_dir)])
    connection.execute((ROOT / "sql/explore/views.sql").read_text())

    def rows(query: str) -> set[tuple[Any, ...]]:
        found = connection.execute(query).fetchall()
        assert len(found) == len(set(found))
        return set(found)

    likes = {(like.liker, like.post, like.seen_us) for like in store.likes}
    assert rows("SELECT actor_did, post_uri, epoch_us(seen_at) FROM likes") == likes
    items = [
        (viewer, place, item[0], item[1], SOURCES[item[3]], item[2])
        for viewer, found in store.lists.items()
        for place, item in enumerate(found, 1)
    ]
    found = rows("SELECT viewer_did, rank, post_uri, score, source, co_likers FROM candidates")
    assert {row[:3] + row[4:5] for row in found} == {row[:3] + row[4:5] for row in items}
    scored = [sorted(row for row in listed if row[0] in store.renewed) for listed in (found, items)]
    assert len(scored[0]) > 100
    same(*scored, SCORES)
    near = {(viewer, did, weight) for viewer, found in store.neighbours.items() for did, weight in found}
    assert rows("SELECT viewer_did, neighbour_did, weight FROM neighbours") == near
    statuses = {did: store.truth.accounts.get(did, ("active", 0))[0] for did in store.dids.values()}
    assert dict(rows("SELECT * FROM actors")) == statuses
    assert rows("SELECT viewer_did, post_uri, event, epoch_us(received_at) FROM interactions") == set(
        store.interactions
    )
    deleted = rows("SELECT post_uri FROM posts WHERE deleted")
    assert deleted <= {(uri,) for uri in store.truth.deleted_posts}
    connection.close()
