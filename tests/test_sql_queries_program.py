"""Every query of sql/explore in the duckdb program, against an answer worked out in plain Python from what is true."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from analyst_answers import ANSWERS
from analyst_store import Store
from query_cases import near_of, normal, plain, same, tries

from pipeline.explore import queries

ROOT = Path(__file__).resolve().parents[1]
END = "the end of an answer"


@pytest.fixture
def store(analysts: Store) -> Store:
    return analysts


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

    tried = tries(store, name)
    arguments = ["-cmd", f"SET VARIABLE data_dir = {literal(str(store.data_dir))}"]
    arguments += ["-cmd", ".read sql/explore/views.sql"]
    for parameters in tried:
        for parameter, value in parameters.items():
            arguments += ["-cmd", f"SET VARIABLE {parameter} = {literal(value)}"]
        arguments += ["-cmd", f".read sql/explore/{name}.sql", "-cmd", f".print {END}"]
        arguments += [text for parameter in parameters for text in ("-cmd", f"RESET VARIABLE {parameter}")]
    ran = subprocess.run(
        [duckdb_program, "-json", *arguments, "-c", "SELECT 1 WHERE false"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    outputs = ran.stdout.split(END)
    for parameters, output in zip(tried, outputs[:-1], strict=True):
        expected = plain(ANSWERS[name](store, **parameters))
        same(normal(json.loads(output.strip() or "[]"), expected), expected, near_of(name))
