"""Every query of sql/explore by ``foryou sql``, against an answer worked out in plain Python from what is true."""

import json
from typing import Any

import pytest
from analyst_answers import ANSWERS
from analyst_store import Store
from query_cases import cases, near_of, normal, plain, same, tries

from pipeline import cli
from pipeline.explore import queries


@pytest.fixture
def store(analysts: Store) -> Store:
    return analysts


@pytest.mark.parametrize("name", queries.names())
def test_foryou_sql_gets_what_is_true(store: Store, name: str, capsysbinary: Any) -> None:
    for parameters in tries(store, name):
        flags = [text for pair in parameters.items() for text in (f"--{pair[0]}", str(pair[1]))]
        arguments = ["sql", name, "--data-dir", str(store.data_dir), "--format", "json", *flags]
        assert cli.main(arguments) == 0
        rows = json.loads(capsysbinary.readouterr().out)
        expected = plain(ANSWERS[name](store, **parameters))
        same(normal(rows, expected), expected, near_of(name))


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
