"""``foryou sql`` as people type it: SQL in quotes, through a pipe, at a prompt; a query's help; SQLite files."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import commands
import duckdb
import pytest
from batch_tools import settings_for
from sql_terminal import Terminal, shell_of
from worlds import World

from pipeline.batch import jobs
from pipeline.explore import after_batch, queries

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store after one batch run."""
    world = World().post("q1", by="dan")
    for name in ("ann", "bob", "cat"):
        world.like(name, "p1", hours_ago=40)
    folder = world.like("bob", "q1", hours_ago=0.5).write(tmp_path_factory.mktemp("shell") / "data")
    settings = settings_for(folder)
    jobs.run(settings, "all")
    after_batch.run(settings)
    return folder


def sql(data_dir: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        commands.command("sql", *arguments), env=commands.environment(data_dir), input=text, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [("SELECT count(*) AS n FROM likes",), ("-",), ()])
def test_sql_comes_from_the_command_line_or_standard_input(
    data_dir: Path, arguments: tuple[str, ...]
) -> None:
    ran = sql(data_dir, *arguments, "--format", "csv", text="SELECT count(*) AS n FROM likes")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("n\n4\n", "", 0)


def test_several_statements_give_several_tables(data_dir: Path) -> None:
    ran = sql(data_dir, "SELECT 1 AS a; CREATE TEMP TABLE t AS SELECT 2 AS b; FROM t")
    assert (ran.stdout, ran.stderr) == ("a\n1\n\nb\n2\n", "")
    ran = sql(data_dir, "SELECT 1 AS a; SELECT nothing")
    assert ran.stdout == "a\n1\n" and ran.returncode == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT actor FROM likes", "LINE 1: SELECT actor FROM likes\n               ^^^^^\n"),
        ("SELECT *\nFROM likess", "LINE 2: FROM likess\n             ^^^^^^\n"),
        ("SELECT 1 +", "LINE 1: SELECT 1 +\n                 ^\n"),
    ],
)
def test_an_error_shows_its_place(data_dir: Path, text: str, place: str) -> None:
    ran = sql(data_dir, text)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("foryou: query: ")
    assert ran.stderr.endswith(place)


@pytest.mark.parametrize("name", ["rising_posts", "viewer_list"])
def test_a_query_has_a_help_of_its_own(data_dir: Path, name: str) -> None:
    ran = sql(data_dir, name, "--help")
    query = queries.find(name)
    assert ran.returncode == 0
    assert ran.stdout.startswith(f"usage: foryou sql {name} ")
    assert query.question in ran.stdout
    for parameter in query.parameters.values():
        assert re.search(
            rf"^  --{parameter.name}( \S+)?: {re.escape(parameter.meaning)}$", ran.stdout, re.MULTILINE
        )
    assert "--max-rows" in sql(data_dir, "--help").stdout


def test_nothing_on_standard_input_lists_the_queries(data_dir: Path) -> None:
    """As with no terminal and nothing piped: in a script, a unit, a cron job."""
    assert sql(data_dir).stdout == sql(data_dir, "--list").stdout
    assert "most_liked_posts" in sql(data_dir).stdout
    assert "no statement" in sql(data_dir, "-").stderr or sql(data_dir, "-").returncode == 1


def test_a_sqlite_file_has_a_table_for_each_result(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "found.db"
    text = (
        "SELECT 9007199254740993 AS big, 0.5::DOUBLE AS half, true AS yes, NULL AS none, 'é''\"' AS text, "
        "1.50::DECIMAL(9, 2) AS price, TIMESTAMP '2026-11-24 10:00:00.5' AS seen, DATE '2026-11-24' AS day, "
        "[1, NULL] AS list, sum(3) AS total; FROM likes"
    )
    ran = sql(data_dir, text, "--format", "sqlite", "--out", str(path))
    assert (ran.stdout, ran.stderr) == ("", "")
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        [row] = store.execute("SELECT * FROM query_1").fetchall()
        assert row == (
            9007199254740993, 0.5, 1, None, "é'\"", 1.5, "2026-11-24 10:00:00.500", "2026-11-24", "[1, null]", 3,
        )  # fmt: skip
        assert store.execute("SELECT count(*) FROM query_2").fetchall() == [(4,)]
    assert sql(data_dir, "coverage", "--format", "sqlite", "--out", str(path)).returncode == 0
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("SELECT name FROM sqlite_schema").fetchall() == [("coverage",)]
        columns = store.execute("SELECT name, type FROM pragma_table_info('coverage')").fetchall()
        assert ("likers", "INTEGER") in columns and ("list_share", "REAL") in columns


@pytest.fixture
def terminal(data_dir: Path) -> Iterator[Terminal]:
    with shell_of(data_dir) as shell:
        yield shell


def test_a_terminal_gets_a_shell_with_the_views(terminal: Terminal, data_dir: Path) -> None:
    assert terminal.type("SELECT count(*) AS n FROM likes;") == "n\n4\n"
    assert terminal.type("CREATE TEMP TABLE t AS SELECT 42 AS a;") == ""
    assert terminal.type("FROM\nt;").endswith("42\n")
    assert "One row per (actor, post)" in terminal.type(".views")
    assert "who liked" in terminal.type(".columns likes")
    assert "most_liked_posts" in terminal.type(".queries")
    assert terminal.type(".run most_liked_posts --hours 100 --rows 1").count("at://") == 1
    assert "^^^^" in terminal.type("SELECT nothing;")
    assert "copy is not for 'foryou sql'" in terminal.type(f"COPY likes TO '{data_dir}/x.csv';")
    assert "Permission Error" in terminal.type(f"FROM read_text('{data_dir}/landing.sqlite');")
    assert "did you mean" in terminal.type(".run most_liked_post")
    assert ".help lists them" in terminal.type(".nothing")
    assert "newest snapshot" in terminal.type(".refresh")
    assert "semicolon" in terminal.type(".help")
    assert terminal.end() == 0
    assert not [path for path in data_dir.parent.rglob("*history*") if "explore" not in str(path)]


def test_the_shell_outlives_a_stopped_query_and_a_removed_snapshot(
    terminal: Terminal, data_dir: Path
) -> None:
    endless = "FROM range(1000000000) AS a, range(1000000000) AS b"
    for turn, long in enumerate((f"SELECT count(*) {endless};", f"SELECT a.range + b.range {endless};") * 5):
        os.write(terminal.ours, f"SELECT 42 AS n; {long}\n".encode())
        terminal.until("n\n42\n")
        time.sleep(turn / 20)  # at another point of DuckDB's work
        os.write(terminal.ours, b"\x03")
        assert "stopped" in terminal.until("foryou> ")
    os.write(terminal.ours, b"SELECT half\n")
    terminal.until("...> ")
    os.write(terminal.ours, b"\x03")
    terminal.until("foryou> ")
    after_batch.run(settings_for(data_dir))
    old = sorted(path for path in (data_dir / "explore").iterdir() if path.name.isdigit())[:-1]
    for folder in old:
        folder.rename(data_dir.parent / folder.name)
    shown = terminal.type("SELECT count(*) AS n FROM likes;")
    assert "newest snapshot" in shown and shown.endswith("n\n4\n")
    assert terminal.end() == 0


def test_ctrl_c_is_seen_also_by_who_began_to_wait_after_it() -> None:
    """As readline does when the signal comes between its prompt and its waiting: nothing wakes it but a second one."""
    script = """
import ctypes, signal, threading, time
from pipeline.explore.box import stop
def press(): signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # noted; the main thread goes on waiting
try:
    with stop.raised():
        threading.Timer(0.5, press).start()
        ctypes.CDLL(None).usleep(900_000_000)
except KeyboardInterrupt:
    print("stopped")
signal.raise_signal(signal.SIGINT)
print("and not again")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600, cwd=ROOT
    )
    assert (ran.stdout, ran.stderr) == ("stopped\nand not again\n", "")


def test_tools_can_read_what_views_and_columns_are(data_dir: Path) -> None:
    """The texts are those of ANALYSTS.md, in any DuckDB that has read the views."""
    with duckdb.connect() as connection:
        connection.execute("SET VARIABLE data_dir = ?", [str(data_dir)])
        connection.execute((ROOT / "sql/explore/views.sql").read_text())
        views = dict(
            connection.execute(
                "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal AND view_name NOT LIKE 'stored%'"
            ).fetchall()
        )
        columns = connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal "
            "AND table_name = ANY(?) ORDER BY table_name, column_index",
            [list(views)],
        ).fetchall()
    page = (ROOT / "ANALYSTS.md").read_text()
    section = page[page.index("## Views") : page.index("## On a large store")]
    described, rows = {}, []
    for part in section.split("\n### ")[1:]:
        name, _, rest = part.partition("\n")
        described[name.strip()] = " ".join(rest.split("\n|")[0].split())
        found = re.findall(r"^\| (\w+) \| [A-Z]+ \| (.+?) \|$", rest, re.MULTILINE)
        rows += [(name.strip(), column, meaning) for column, meaning in found]
    assert views == described
    assert columns == sorted(rows, key=lambda row: row[0])
    ran = sql(data_dir, "SELECT comment FROM duckdb_views() WHERE view_name = 'likes'", "--format", "json")
    assert json.loads(ran.stdout) == [{"comment": described["likes"]}]
