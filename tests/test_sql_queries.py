"""Every query of sql/explore in a notebook, and the views, against answers worked out in plain Python."""

from typing import Any

import duckdb
import pytest
from analyst_answers import ANSWERS
from analyst_store import FEED, SECOND, Store
from analyst_truth import SOURCES
from query_cases import SCORES, cases, near_of, rows_of, same, tries

from pipeline.explore import queries


@pytest.fixture
def store(analysts: Store) -> Store:
    return analysts


def test_every_query_has_an_answer_to_compare_with() -> None:
    assert set(queries.names()) == set(ANSWERS)
    assert len(queries.names()) >= 20


@pytest.mark.parametrize("name", queries.names())
def test_a_notebook_gets_what_is_true(store: Store, notebook: duckdb.DuckDBPyConnection, name: str) -> None:
    for parameters in tries(store, name):
        found = rows_of(notebook, name, parameters)
        expected = ANSWERS[name](store, **parameters)
        same(found, expected, near_of(name))
        if parameters == (cases(store).get(name) or [{}])[0]:
            assert expected, "an answer without rows proves little"


def test_views_agree_with_what_is_true(store: Store, notebook: duckdb.DuckDBPyConnection) -> None:
    def rows(query: str) -> set[tuple[Any, ...]]:
        found = notebook.execute(query).fetchall()
        assert len(found) == len(set(found))
        return set(found)

    likes = {(like.liker, like.post, like.seen_us) for like in store.likes}
    assert rows("SELECT actor_did, post_uri, epoch_us(seen_at) FROM likes") == likes
    items = [
        (viewer, place, item[0], item[1], SOURCES[item[3]], item[2])
        for viewer, found in store.lists.items()
        for place, item in enumerate(found, 1)
    ]
    found = rows(
        "SELECT viewer_did, rank, post_uri, score, source, co_likers FROM candidates WHERE feed = 'for-you'"
    )
    assert {row[:3] + row[4:5] for row in found} == {row[:3] + row[4:5] for row in items}
    scored = [sorted(row for row in listed if row[0] in store.renewed) for listed in (found, items)]
    assert len(scored[0]) > 100
    same(*scored, SCORES)
    near = {(viewer, did, weight) for viewer, found in store.neighbours.items() for did, weight in found}
    for feed in (FEED, SECOND):  # their parameters of neighbours are the same
        assert rows(f"SELECT viewer_did, neighbour_did, weight FROM neighbours WHERE feed = '{feed}'") == near
    statuses = {did: store.truth.accounts.get(did, ("active", 0))[0] for did in store.dids.values()}
    assert dict(rows("SELECT * FROM actors")) == statuses
    assert rows("SELECT viewer_did, post_uri, event, epoch_us(received_at) FROM interactions") == set(
        store.interactions
    )
    deleted = rows("SELECT post_uri FROM posts WHERE deleted")
    assert deleted <= {(uri,) for uri in store.truth.deleted_posts}
