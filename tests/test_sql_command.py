"""``foryou sql`` as people use it: what it lists, refuses and writes, and that it can change nothing."""

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import duckdb
import pyarrow.parquet as pq
import pytest
from batch_tools import settings_for
from worlds import World

from pipeline import cli
from pipeline.batch import jobs
from pipeline.explore import after_batch, queries
from pipeline.identifiers import tid_from_int
from pipeline.settings import option_names

DUCKDB = Path(sysconfig.get_path("scripts")) / "duckdb"
ROOT = Path(__file__).resolve().parents[1]
DOC = (ROOT / "ANALYSTS.md").read_text()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store after one batch run."""
    world = World().post("q1", by="dan").post("q2", by="eve", langs="pt")
    for name in ("ann", "bob", "cat"):
        world.like(name, "p1", hours_ago=40).like(name, "p2", hours_ago=30)
    world.like("bob", "q1", hours_ago=0.5).like("cat", "q2", hours_ago=0.5)
    folder = world.write(tmp_path_factory.mktemp("sql") / "it's data")
    settings = settings_for(folder)
    jobs.run(settings, "all")
    after_batch.run(settings)
    return folder


@pytest.fixture
def ask(data_dir: Path, capsysbinary: Any) -> Iterator[Any]:
    """Run ``foryou sql`` in this process; returns (exit status, stdout, stderr)."""

    def run(*arguments: str, folder: Path = data_dir) -> tuple[int, bytes, str]:
        status = cli.main(["sql", "--data-dir", str(folder), *arguments])
        captured = capsysbinary.readouterr()
        return status, captured.out, captured.err.decode()

    return run


def test_it_lists_the_questions(ask: Any) -> None:
    status, out, _ = ask("--list")
    assert status == 0
    text = out.decode()
    for name in queries.names():
        query = queries.find(name)
        assert f"{name} " in text
        assert query.question in text
        for parameter in query.parameters.values():
            assert f"--{parameter.name}" in text


@pytest.mark.parametrize("name", queries.names())
def test_headers_declare_the_parameters(name: str) -> None:
    query = queries.find(name)
    assert query.question.endswith("?")
    used = dict(re.findall(r"coalesce\(getvariable\('(\w+)'\), ('[^']*'|[\d.]+)\)", query.text))
    if "_feed(getvariable('feed'))" in query.text:  # the macro has the default
        used["feed"] = "''"
    needed = set(re.findall(r"getvariable\('(\w+)'\)", query.text)) - set(used)
    needed -= set(re.findall(r"SET VARIABLE (\w+)", query.text)) | {"now_us", "data_dir"}
    assert {found.name for found in query.parameters.values() if found.default is None} == needed
    for text in re.findall(r"coalesce\(getvariable\('(\w+)'\), ('[^']*'|[\d.]+)\)", query.text):
        default = query.parameters[text[0]].default
        assert float(text[1]) == default if not text[1].startswith("'") else text[1].strip("'") == default
    assert set(query.parameters) == set(used) | needed
    assert not set(query.parameters) & (
        {*option_names()} | {"format", "output", "out", "help", "list", "read", "max_rows"}
    )
    assert len(query.text.splitlines()) <= 80


def relations() -> list[str]:
    return re.findall(r"CREATE OR REPLACE (?:VIEW|MACRO) (\w+)", (ROOT / "sql/explore/views.sql").read_text())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("likes_per_hours",),
            "unknown query likes_per_hours (did you mean likes_per_hour?); 'foryou sql --list' lists them",
        ),
        (
            ("likes_per_hour", "--hour", "3"),
            "likes_per_hour: unknown parameter --hour (did you mean --hours?)",
        ),
        (("stream_gaps", "--hours", "3"), "stream_gaps: unknown parameter --hours"),
        (("likes_per_hour", "--hours", "many"), "--hours = 'many': must be a whole number"),
        (("coverage", "--hours", "x"), "must be a number"),
        (("likes_per_hour", "--hours"), "--hours needs a value"),
        (("likes_per_hour", "--hours=1", "--hours=2"), "--hours is given twice"),
        (("likes_per_hour", "6"), "'6' is not a parameter: write --name value"),
        (("viewer_list",), "viewer_list needs --viewer (DID)"),
        (("--list", "--hours=3"), "--hours: name a query first"),
        (("nowhere.sql",), "can't read nowhere.sql"),
        (("SET VARIABLE x = 1",), "query: none of its statements returns rows"),
        (
            ("SELECT 1; SELECT 2", "--format", "csv"),
            "query: 2 of its statements return rows, csv has room for one",
        ),
    ],
)
def test_a_mistake_is_one_clear_line(ask: Any, arguments: tuple[str, ...], complaint: str) -> None:
    status, out, err = ask(*arguments)
    assert (status, out) == (1, b"")
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_an_empty_store_is_one_clear_line(ask: Any, tmp_path: Path) -> None:
    status, _, err = ask("coverage", folder=tmp_path)
    assert status == 1
    assert "no lists yet in" in err
    assert len(err.splitlines()) == 1


def test_a_missing_copy_is_one_clear_line(ask: Any, data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir, tmp_path / "data")
    for copy in (tmp_path / "data" / "explore").glob("*/feed_neighbours/*/*.parquet"):
        copy.unlink()
    status, _, err = ask("coverage", folder=tmp_path / "data")
    assert status == 1
    assert "feed_neighbours" in err and "run 'foryou batch'" in err
    assert len(err.splitlines()) == 1


def test_the_forms_say_the_same(ask: Any, tmp_path: Path) -> None:
    by_form = {
        form: ask("most_liked_posts", "--hours", "100", "--format", form)[1] for form in ("csv", "json")
    }
    rows = json.loads(by_form["json"])
    assert len(rows) == 4
    assert [row["likes"] for row in rows] == [3, 3, 1, 1]
    read = list(csv.DictReader(io.StringIO(by_form["csv"].decode())))
    assert [{**row, "likes": int(row["likes"])} for row in read] == rows
    path = tmp_path / "found.parquet"
    status, out, _ = ask("most_liked_posts", "--hours", "100", "--format", "parquet", "--output", str(path))
    assert (status, out) == (0, b"")
    table = pq.read_table(path)
    assert [row["post_uri"] for row in table.to_pylist()] == [row["post_uri"] for row in rows]
    assert str(table.schema.field("seen_first").type) == "timestamp[us]"
    text = ask("most_liked_posts", "--hours", "100")[1].decode()
    assert text.splitlines()[0].split() == ["post_uri", "likes", "seen_first"]
    assert all(row["post_uri"] in text for row in rows)
    assert ask("stream_gaps")[1].decode().splitlines()[-1] == "no rows"
    status, _, err = ask("coverage", "--output", str(tmp_path / "none" / "x.csv"))
    assert status == 1 and "can't write" in err


def test_every_form_keeps_numbers_times_and_nulls(ask: Any, tmp_path: Path) -> None:
    path = tmp_path / "types.sql"
    path.write_text(
        "SELECT 9007199254740993 AS big, 0.1::DOUBLE + 0.2 AS precise, 1e-9::DOUBLE AS small, sum(3) AS total,\n"
        "  NULL::VARCHAR AS missing, '' AS empty, 1.50::DECIMAL(9, 2) AS price, 'nan'::DOUBLE AS nan,\n"
        "  TIMESTAMP '2026-11-24 10:00:00.5' AS seen, TIMESTAMPTZ '2026-11-24 10:00:00+00' AS zoned,\n"
        "  INTERVAL 3 HOUR AS span, [1, NULL] AS list, {'at': DATE '2026-11-24'} AS struct, 'a,\"b' AS odd, true AS yes"
    )
    [row] = json.loads(ask(str(path), "--format", "json")[1])
    texts = {
        "seen": "2026-11-24 10:00:00.500",
        "zoned": "2026-11-24 10:00:00",
        "span": "03:00:00",
        "odd": 'a,"b',
    }
    numbers = {
        "big": 9007199254740993,
        "precise": 0.1 + 0.2,
        "small": 1e-9,
        "total": 3,
        "price": 1.5,
        "yes": True,
    }
    absent = {"missing": None, "empty": "", "nan": None}
    assert row == numbers | absent | texts | {"list": [1, None], "struct": {"at": "2026-11-24"}}
    out = ask(str(path), "--format", "csv")[1].decode()
    assert out.splitlines()[1].startswith('9007199254740993,0.30000000000000004,1e-9,3,,"",1.50,NaN,')
    [line] = csv.DictReader(io.StringIO(out))
    nested = {"list": "[1, null]", "struct": '{"at": "2026-11-24"}', "yes": "true"}
    assert line == line | texts | nested
    _, shown = ask(str(path))[1].decode().splitlines()
    assert shown.split()[:6] == ["9,007,199,254,740,993", "0.3", "0.000000001", "3", "null", "1.50"]
    parquet = tmp_path / "types.parquet"
    assert ask(str(path), "--format", "parquet", "--output", str(parquet))[0] == 0
    [stored] = pq.read_table(parquet).to_pylist()
    assert {name: stored[name] for name in ("big", "precise", "total", "list")} == {
        "big": 9007199254740993, "precise": 0.1 + 0.2, "total": 3, "list": [1, None],
    }  # fmt: skip


def test_a_file_of_ones_own_with_parameters(ask: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.sql"
    path.write_text(
        "-- Question: which posts?\n-- Parameters: least = 2 (likes)\n\n"
        "SET VARIABLE doubled = 2 * coalesce(getvariable('least'), 2);\n"
        "SELECT post_uri, getvariable('doubled') AS doubled FROM likes GROUP BY post_uri\n"
        "HAVING count(*) >= coalesce(getvariable('least'), 2) ORDER BY 1\n"
    )
    assert len(json.loads(ask(str(path), "--format", "json")[1])) == 2
    rows = json.loads(ask(str(path), "--format", "json", "--least", "1")[1])
    assert len(rows) == 4 and rows[0]["doubled"] == 2
    path.write_text("SELECT nothing FROM likes")
    status, _, err = ask(str(path))
    assert status == 1
    assert err.endswith("LINE 1: SELECT nothing FROM likes\n               ^^^^^^^\n")


def test_small_tables_are_those_of_this_moment(ask: Any, data_dir: Path) -> None:
    from sql.sqlite import connect

    store = connect(data_dir / "serving.sqlite")
    store.execute("INSERT INTO runs VALUES (99, 'compact', 'all', '', 'clear', 1, 0.5, 0, 10.0, 'done')")
    try:
        rows = json.loads(ask("batch_costs", "--job", "compact", "--format", "json")[1])
        assert rows[-1]["run_id"] == 99 and rows[-1]["seconds"] == 0.5
    finally:
        store.execute("DELETE FROM runs WHERE run_id = 99")
        store.close()


def test_macros_translate_posts_both_ways(data_dir: Path) -> None:
    connection = duckdb.connect()
    connection.execute("SET VARIABLE data_dir = ?", [str(data_dir)])
    connection.execute((ROOT / "sql/explore/views.sql").read_text())
    for number in (0, 1, 2**63 - 1, 3_500_000_000_000_000_123):
        uri = f"at://did:web:a.example/app.bsky.feed.post/{tid_from_int(number)}"
        row = connection.execute(
            "SELECT post_uri('did:web:a.example', ?::BIGINT), uri_author(?), uri_rkey(?)", [number, uri, uri]
        ).fetchone()
        assert row == (uri, "did:web:a.example", number)
    connection.close()


def test_the_documents_tables_are_the_schema(data_dir: Path) -> None:
    """Every view and column is in ANALYSTS.md, in order, with its type, and nothing else is."""
    connection = duckdb.connect()
    connection.execute("SET VARIABLE data_dir = ?", [str(data_dir)])
    connection.execute((ROOT / "sql/explore/views.sql").read_text())
    views = [
        name
        for name in relations()
        if re.search(rf"VIEW {name} AS", (ROOT / "sql/explore/views.sql").read_text())
    ]
    schema = {
        name: [row[:2] for row in connection.execute(f"DESCRIBE {name}").fetchall()]
        for name in views
        if not name.startswith("stored_")
    }
    connection.close()
    section = DOC[DOC.index("## Views") : DOC.index("## On a large store")]
    told = {
        part.split("\n", 1)[0].strip(): re.findall(r"^\| (\w+) \| ([A-Z]+) \| \S", part, re.MULTILINE)
        for part in section.split("\n### ")[1:]
    }
    assert told == schema


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)


def test_the_newcomers_path_works_as_written(data_dir: Path, tmp_path: Path) -> None:
    """The document's shell commands, literally, but for where the demo's data and the programs are.

    They give way to all else on the machine, hence the generous deadline.
    """
    program = tmp_path / "foryou"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipeline.cli "$@"\n')
    program.chmod(0o755)
    scripts = blocks("sh")
    assert len(scripts) == 4
    for script in scripts:
        if "marimo" in script:  # test_notebook.py runs the notebook
            continue
        text = script.replace("/tmp/", f"{tmp_path}/")
        text = text.replace("= 'data/demo'", "= '" + str(data_dir).replace("'", "''") + "'")  # within SQL
        text = text.replace("data/demo", shlex.quote(str(data_dir)))
        text = text.replace(".venv/bin/foryou", str(program))
        if ".venv/bin/duckdb" in text:
            if not DUCKDB.exists():
                continue  # no duckdb-cli for this machine
            text = text.replace(".venv/bin/duckdb", str(DUCKDB))
        env = commands.environment(data_dir)
        ran = subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        for word in re.findall(r"foryou sql (\w+)", script):
            assert word in queries.names()
    assert (tmp_path / "languages.parquet").exists()


def test_the_documents_python_and_sql_run(data_dir: Path, tmp_path: Path) -> None:
    quoted = str(data_dir).replace("'", "''")
    for script in blocks("python"):
        text = script.replace("'data/demo'", f"'{quoted}'")
        ran = subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "author_did" in ran.stdout
    for number, script in enumerate(blocks("sql")):
        path = tmp_path / f"{number}.sql"
        path.write_text(script)
        assert cli.main(["sql", str(path), "--data-dir", str(data_dir)]) == 0


def test_the_documents_duckdb_command_names_files_that_exist() -> None:
    for file in re.findall(r"sql/explore/\w+\.sql", DOC):
        assert (ROOT / file).exists(), file
