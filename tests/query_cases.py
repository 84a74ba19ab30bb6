"""With which parameters every query of sql/explore is tried, and how its rows are compared with what is true.

Owns: ``tries``, ``rows_of``, ``same``, and rows as JSON has them. Leaves to others: the answers (``analyst_answers``).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import duckdb
from analyst_store import FEED, SECOND, Store
from analyst_truth import Rows

import sql
from pipeline.explore import queries


def cases(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Parameters to try a query with, besides its defaults."""
    viewers = sorted(
        store.lists.keys() & store.renewed, key=lambda viewer: (-len(store.lists[viewer]), viewer)
    )
    pairs: dict[str, list[str]] = {}
    for like in store.likes:
        pairs.setdefault(like.liker, []).append(like.post)
    post, other = max(pairs.values(), key=len)[:2]
    second = min(store.lists_of_second.keys() & store.renewed_in(SECOND))
    page = post.replace("at://", "https://bsky.app/profile/").replace("app.bsky.feed.post", "post")
    return {
        "likes_per_hour": [{"hours": 9}],
        "most_liked_posts": [{"hours": 100, "rows": 7}],
        "rising_posts": [{"hours": 10, "min_likes": 2}],
        "rising_authors": [{"hours": 12, "min_likers": 2, "rows": 5}],
        "shared_likers": [{"post": post, "other": other}, {"post": post, "other": post, "days": 2.0}],
        "post_life": [{"post": post}, {"post": post, "days": 0.5}],
        "viewer_list": [
            {"viewer": viewers[0]},
            {"viewer": viewers[3], "rows": 5},
            {"viewer": second, "feed": SECOND},
        ],
        "list_changes": [
            {"viewer": viewers[1], "days": 0},
            {"viewer": viewers[4], "days": 0, "rows": 7},
            {"viewer": second, "days": 0, "feed": SECOND},
        ],
        "viewer_co_likers": [
            {"viewer": viewers[0]},
            {"viewer": viewers[-1], "hours": 10.0, "rows": 3},
            {"viewer": second, "feed": SECOND},
        ],
        "viewer_taste": [
            {"viewer": viewers[0]},
            {"viewer": viewers[2], "hours": 100.0, "min_neighbours": 1},
            {"viewer": second, "feed": SECOND},
        ],
        "viewer_communities": [
            {"viewer": viewers[0]},
            {"viewer": viewers[1], "hours": 5.0},
            {"viewer": second, "feed": SECOND},
        ],
        "generation_lag": [{"rows": 1}, {"feed": SECOND}],
        "coverage": [{"hours": 3.0, "items": 55}, {"items": 35, "feed": SECOND}],
        "most_listed_posts": [{"places": 5, "rows": 4}, {"feed": SECOND}],
        "list_ages": [{"feed": SECOND}],
        "known_authors": [{"days": 1.0, "places": 10}, {"feed": SECOND}],
        "author_exposure": [{"hours": 20.0, "places": 5}, {"feed": SECOND}],
        "beyond_popularity": [{"days": 1.5, "within_hours": 3.0, "places": 8}, {"feed": SECOND}],
        "feed_overview": [{"days": 2.0, "within_hours": 6.0}],
        "experiment_members": [{"variant": "age/short", "rows": 7}, {"feed": SECOND}],
        "experiment_split": [{"days": 1.0}, {"feed": SECOND}],
        "experiment_metrics": [{"days": 4.0, "within_hours": 6.0, "effect": 0.3}, {"feed": FEED}],
        "retention_by_day": [{"days": 30}, {"days": 4, "feed": SECOND}],
        "languages": [{"hours": 80.0}],
        "liker_degrees": [{"hours": 100.0, "tail_from": 5}],
        "post_degrees": [{"hours": 100.0, "tail_from": 3}],
        "like_rings": [{"hours": 10.0, "min_likers": 2, "min_likes": 1, "share": 0.3}],
        "bulk_likers": [{"hours": 60.0, "rows": 3}],
        "batch_costs": [{"job": "compact"}, {"rows": 2}],
        "batch_steps": [{"job": "neighbours"}, {"tier": "all"}],
        "like_quality": [{"hours": 120.0}],
        "like_rate_by_position": [{"days": 2.0, "within_hours": 0.5, "places": 3}, {"feed": SECOND}],
        "like_rate_by_source": [{"days": 3.0, "feed": SECOND}, {"days": 1.0, "within_hours": 48.0}],
        "like_rate_by_age": [{"within_hours": 1.0}, {"feed": FEED}],
        "show_less_rate": [{"days": 2.5}, {"feed": SECOND}],
        "repeat_rate": [{"days": 3.5}, {"feed": SECOND}],
        "viewer_retention": [{"weeks": 2}, {"feed": SECOND}],
        "experiment_results": [{"days": 3.0, "within_hours": 2.0}],
        "viewers_per_day": [{"days": 2.0}, {"feed": SECOND}],
    } | {"page": [{"post": page}]}


def tries(store: Store, name: str) -> list[dict[str, Any]]:
    """Return every set of parameters a query is tried with; its defaults first, where it has them all."""
    needed = [found for found in queries.find(name).parameters.values() if found.default is None]
    return ([] if needed else [{}]) + cases(store).get(name, [])


def rows_of(notebook: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, Any]) -> Rows:
    """Return what a query gives in a notebook that has the views: its parameters are variables meanwhile."""
    with variables(notebook, parameters):
        return notebook.execute(sql.load(f"explore/{name}")).fetchall()


@contextmanager
def variables(connection: duckdb.DuckDBPyConnection, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Give a connection these variables while the block runs."""
    for parameter, value in parameters.items():
        connection.execute(f"SET VARIABLE {parameter} = ?", [value])
    try:
        yield
    finally:
        for parameter in parameters:
            connection.execute(f"RESET VARIABLE {parameter}")


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
