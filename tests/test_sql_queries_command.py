"""Every query of sql/explore by ``foryou sql``, against an answer worked out in plain Python from what is true."""

import json
from io import BytesIO
from typing import Any

import duckdb
import pytest
from analyst_answers import ANSWERS
from analyst_store import Store
from query_cases import cases, near_of, normal, plain, same, tries, variables

from pipeline import cli
from pipeline.explore import formats, queries, session, stored_tables


@pytest.fixture
def store(analysts: Store) -> Store:
    return analysts


def one_of_each_kind() -> list[str]:
    """Queries between which the command and its process make a difference: by small tables, by types of parameters."""
    kinds = {}
    for query in map(queries.find, queries.names()):
        types = frozenset(type(parameter.default) for parameter in query.parameters.values())
        kinds[tuple(stored_tables.named_in(query.text)), types] = query.name
    return sorted(kinds.values())


@pytest.mark.parametrize("name", one_of_each_kind())
def test_foryou_sql_gets_what_is_true(store: Store, name: str, capsysbinary: Any) -> None:
    parameters = tries(store, name)[-1]
    flags = [text for pair in parameters.items() for text in (f"--{pair[0]}", str(pair[1]))]
    arguments = ["sql", name, "--data-dir", str(store.data_dir), "--format", "json", *flags]
    assert cli.main(arguments) == 0
    compare(capsysbinary.readouterr().out, store, name, parameters)


@pytest.mark.parametrize("name", queries.names())
def test_its_process_gets_what_is_true(store: Store, opened: duckdb.DuckDBPyConnection, name: str) -> None:
    """Flags to JSON as that process does it, from the session on."""
    query = queries.find(name)
    session.put_stores(
        opened, store.data_dir, stored_tables.read(store.data_dir, stored_tables.named_in(query.text))
    )
    for parameters in tries(store, name):
        values = query.values({flag: str(value) for flag, value in parameters.items()})
        out = BytesIO()
        with variables(opened, values):
            formats.write(session.results(opened, query, values), "json", out, name)
        compare(out.getvalue(), store, name, parameters)


def compare(out: bytes, store: Store, name: str, parameters: dict[str, Any]) -> None:
    expected = plain(ANSWERS[name](store, **parameters))
    same(normal(json.loads(out), expected), expected, near_of(name))


def test_a_page_address_names_a_post_too(store: Store, capsysbinary: Any) -> None:
    (page,) = (case["post"] for case in cases(store)["page"])
    post = cases(store)["post_life"][0]["post"]
    arguments = ["sql", "post_life", "--data-dir", str(store.data_dir), "--format", "csv", "--post"]
    outputs = []
    for address in (page, post):
        assert cli.main([*arguments, address]) == 0
        outputs.append(capsysbinary.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") > 1
