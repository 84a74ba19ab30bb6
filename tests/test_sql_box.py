"""What an analyst's SQL can't do: write anywhere, or read what is not for analysts. Against the real command."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest
from batch_tools import settings_for
from sql_terminal import shell_of
from worlds import World

from pipeline.batch import jobs
from pipeline.explore import after_batch, queries, session
from pipeline.explore.box import landlock, limits
from pipeline.explore.queries import QueryError
from pipeline.operate.doctor import machine_checks
from pipeline.operate.doctor.findings import SkippedError
from pipeline.store.analyst_snapshot import current_snapshot

NEEDS_LANDLOCK = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
SECRET = "the key of page cursors"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store after one batch run, with everything that a data directory has."""
    world = World().post("q1", by="dan")
    for name in ("ann", "bob", "cat"):
        world.like(name, "p1", hours_ago=40)
    world.like("bob", "q1", hours_ago=0.5)
    folder = world.write(tmp_path_factory.mktemp("box") / "it's data")
    settings = settings_for(folder)
    jobs.run(settings, "all")
    after_batch.run(settings)
    (folder / "cursor.key").write_text(SECRET)
    (folder.parent / "outside.csv").write_text(f"a\n{SECRET}\n")
    (folder.parent / "mine.csv").write_text("liker\nann\n")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Return a hash of each file and the target of each link; an index that SQLite shares in memory is none."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
        if not path.name.endswith("-shm")
    }


def sql(data_dir: Path, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        commands.command("sql", *arguments), env=commands.environment(data_dir), input=text, capture_output=True,
        text=True, timeout=600, check=False, stdin=subprocess.DEVNULL if text is None else None,
    )  # fmt: skip


# D is the data directory, O a folder outside it that the user may write to.
WRITING = [
    "COPY (SELECT 1) TO 'D/landing.sqlite'",
    "COPY (SELECT 1) TO 'O/x.csv'",
    "WITH x AS (COPY (SELECT 1) TO 'D/landing.sqlite') SELECT * FROM x",
    "WITH x AS (COPY (SELECT 1) TO 'D/explore/x.parquet') SELECT * FROM x",
    "WITH x AS MATERIALIZED (/**/ copy likes TO 'D/explore/current.parquet') FROM x -- SELECT",
    "SELECT (WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') SELECT 1 FROM x)",
    "SELECT * FROM (WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') FROM x)",
    "SELECT 1 UNION ALL (WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') FROM x)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'D/explore/x.csv'",
    "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') SELECT * FROM x",
    "EXPLAIN (ANALYZE, FORMAT json) WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') FROM x",
    "CREATE OR REPLACE TABLE t AS WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') SELECT * FROM x",
    "CREATE OR REPLACE VIEW v AS WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') FROM x; FROM v",
    "CREATE OR REPLACE MACRO m() AS TABLE WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') FROM x; FROM m()",
    "CREATE OR REPLACE TABLE t AS SELECT 1; COPY t TO 'D/t.csv'",
    "WITH x AS (COPY (SELECT 1 AS a) TO 'D/explore/x.csv') PIVOT x ON a",
    "SET VARIABLE v = (WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') SELECT 1 FROM x)",
    "SELECT * FROM query('WITH x AS (COPY (SELECT 1) TO ''D2/explore/x.csv'') FROM x')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql("
    "'WITH x AS (COPY (SELECT 1) TO ''D2/explore/x.csv'') FROM x'))",
    "CREATE OR REPLACE TABLE t AS FROM \"json_execute_serialized_sql\"('{}')",
    "PRAGMA json_execute_serialized_sql('{}')",
    "PREPARE p AS COPY (SELECT 1) TO 'D/explore/x.csv'; EXECUTE p",
    "PREPARE p AS WITH x AS (COPY (SELECT 1) TO 'D/explore/x.csv') FROM x; EXECUTE p",
    "COPY stored_runs FROM 'D/explore/current.parquet'",
    "INSERT INTO stored_runs SELECT * FROM stored_runs",
    "CREATE OR REPLACE TABLE t (a INT); INSERT INTO t VALUES (1); FROM t",
    "CREATE OR REPLACE TABLE t (a INT); WITH x AS (INSERT INTO t VALUES (1) RETURNING *) FROM x",
    "WITH x AS (DELETE FROM stored_runs RETURNING *) FROM x",
    "WITH x AS (UPDATE stored_runs SET step = '' RETURNING *) FROM x",
    "DELETE FROM stored_runs",
    "UPDATE stored_runs SET step = ''",
    "MERGE INTO stored_runs USING stored_runs AS s ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE stored_runs",
    "ALTER TABLE stored_runs ADD COLUMN x INT",
    "ATTACH 'D/x.duckdb'",
    "ATTACH 'D/landing.sqlite' AS s (TYPE sqlite)",
    "DETACH memory",
    "EXPORT DATABASE 'D/copy'",
    "IMPORT DATABASE 'D/copy'",
    "INSTALL sqlite",
    "LOAD sqlite",
    "LOAD 'D/x.duckdb_extension'",
    "CALL enable_logging(storage = 'file', storage_path = 'D/log')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = 'D/log')",
    "PRAGMA database_list",
    "PRAGMA enable_profiling = 'json'",
    "SET enable_external_access = true",
    "SET temp_directory = 'D'",
    "SET log_query_path = 'D/log.sql'",
    "RESET allowed_directories",
    "SET threads = 64",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
]
READING = [
    "SELECT * FROM read_text('D/cursor.key')",
    "SELECT * FROM read_blob('D/cursor.key')",
    "SELECT * FROM read_csv('D/cursor.key')",
    "FROM 'D/cursor.key'",
    "SELECT * FROM read_text('D/explore/../cursor.key')",
    "SELECT * FROM read_text('D/explore/*/../../cursor.key')",
    "SELECT * FROM read_text('D/*.key')",
    "SELECT * FROM glob('D/*')",
    "SELECT * FROM glob('O/**')",
    "SELECT * FROM read_blob('D/serving.sqlite')",
    "SELECT * FROM read_blob('D/landing.sqlite-wal')",
    "SELECT * FROM read_text('O/outside.csv')",
    "SELECT * FROM read_text('D/../outside.csv')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
    "SELECT * FROM read_duckdb('D/x.duckdb')",
    "FROM rows",  # no variable of the program's own
    "SET VARIABLE data_dir = '/'; SELECT * FROM read_text('/etc/hostname')",
]
REFUSED = re.compile(
    r"is not for 'foryou sql'|Permission Error|Parser Error|Binder Error|Catalog Error|configuration has been locked"
)


def with_paths(text: str, data_dir: Path, outside: Path) -> str:
    quoted = str(data_dir).replace("'", "''")
    text = (
        text.replace("D2", quoted.replace("'", "''"))
        .replace("D/", f"{quoted}/")
        .replace("'D'", f"'{quoted}'")
    )
    return text.replace("O/", f"{outside}/")


def test_no_statement_writes_or_reads_what_is_not_for_analysts(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text(SECRET)
    around = contents(tmp_path)
    with shell_of(data_dir) as shell:
        before = contents(data_dir)
        for form in WRITING + READING:
            shown = shell.type(with_paths(form, data_dir, tmp_path) + "\n;")
            assert REFUSED.search(shown), (form, shown)
            assert "Traceback" not in shown and SECRET not in shown
            assert contents(data_dir) == before, form
            assert contents(tmp_path) == around, form
        assert shell.type("SELECT count(*) AS n FROM likes;") == "n\n4\n"


@pytest.mark.parametrize("text", [*WRITING[:5], *WRITING[9:11], *READING[:2], READING[-1]])
def test_the_command_line_refuses_the_same(data_dir: Path, text: str) -> None:
    before = contents(data_dir)
    ran = sql(data_dir, "--format", "csv", with_paths(text, data_dir, data_dir.parent) + " ")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("foryou: query: ") and REFUSED.search(ran.stderr)
    assert contents(data_dir) == before


def test_what_only_reads_still_runs(data_dir: Path) -> None:
    """Words that write may be names and texts; what is made in memory lasts as long as the session."""
    text = """
        CREATE TEMP TABLE t AS SELECT 'COPY x TO y' AS copied; -- COPY (SELECT 1) TO 'x'
        CREATE MACRO twice(x) AS 2 * x;
        SET VARIABLE v = 3;
        WITH "insert" AS (SELECT copied, 1 AS "copy", 2 AS load FROM t)
        SELECT copied, copy, load, twice(getvariable('v')) AS six FROM "insert";
    """
    ran = sql(data_dir, "--format", "json", text)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == [{"copied": "COPY x TO y", "copy": 1, "load": 2, "six": 6}]


# What a process may still do once it has given up its rights, whatever DuckDB would let it do.
ATTEMPTS = """
import errno, json, os, socket, sys
from pathlib import Path
from pipeline.explore.box import limits
data, named, spill = map(Path, sys.argv[1:])
limits.enter(data, [named], spill)
def tried(do):
    try:
        do()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
explore, key = data / "explore", data / "cursor.key"
copy = next(explore.glob("*/snapshot.parquet"))
attempts = {
    "read key": key.read_bytes, "read store": (data / "serving.sqlite").read_bytes,
    "list data": lambda: os.listdir(data), "read outside": (data.parent / "outside.csv").read_bytes,
    "read environment": Path("/proc/self/environ").read_bytes, "read passwd": Path("/etc/passwd").read_bytes,
    "write key": lambda: open(key, "r+b"), "make file": (data / "x").touch, "make folder": (explore / "x").mkdir,
    "remove key": key.unlink, "truncate copy": lambda: os.truncate(copy, 0), "write copy": lambda: open(copy, "ab"),
    "rename": lambda: os.rename(copy, explore / "y"), "link": lambda: os.link(copy, spill / "y"),
    "symlink": lambda: os.symlink(key, explore / "z"), "make elsewhere": (data.parent / "x").touch,
    "connect": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "signal": lambda: os.kill(os.getppid(), 0),
    "read copy": copy.read_bytes, "read named": named.read_bytes, "spill": (spill / "s").touch,
}
print(json.dumps({name: tried(do) for name, do in attempts.items()}))
"""


@NEEDS_LANDLOCK
def test_the_process_itself_has_no_right_to_write(data_dir: Path, tmp_path: Path) -> None:
    before = contents(data_dir)
    arguments = [sys.executable, "-c", ATTEMPTS, data_dir, data_dir.parent / "mine.csv", tmp_path]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert ran.stderr == ""
    found = json.loads(ran.stdout)
    allowed = {"read copy", "read named", "spill"}
    unknown = {"connect"} if landlock.version() < 4 else set()
    unknown |= {"signal"} if landlock.version() < 6 else set()
    assert {name for name, outcome in found.items() if outcome == "done"} - unknown == allowed
    refused = {name: found[name] for name in found.keys() - allowed - unknown}
    assert refused.pop("link") in {"EXDEV", "EACCES"}
    assert set(refused.values()) <= {"EACCES", "EPERM"}
    assert contents(data_dir) == before


def test_without_landlock_duckdbs_own_locks_hold(data_dir: Path) -> None:
    """As on other systems: no process around it."""
    with session.open_session(data_dir, 1) as connection:
        for number, form in enumerate(WRITING + READING):
            text = with_paths(form, data_dir, data_dir.parent)
            before = contents(data_dir)
            with pytest.raises(QueryError):
                list(session.results(connection, queries.parse(str(number), text), {}))
            assert contents(data_dir) == before, text


def test_files_that_the_user_names_can_be_read(data_dir: Path) -> None:
    mine = data_dir.parent / "mine.csv"
    quoted = str(mine).replace("'", "''")
    ran = sql(data_dir, "--read", str(mine), "--format", "json", f"SELECT liker FROM '{quoted}'")
    assert (ran.stderr, ran.stdout) == ("", '[{"liker":"ann"}]\n')
    ran = sql(data_dir, "--read", str(mine), f"COPY (SELECT 1) TO '{quoted}'")
    assert ran.returncode == 1
    for path in ("none.csv", data_dir / "cursor.key", data_dir, data_dir.parent, "/"):
        ran = sql(data_dir, "--read", str(path), "SELECT 1")
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
        assert f"--read {path}: " in ran.stderr
    assert mine.read_text() == "liker\nann\n"


def test_an_output_is_written_outside_and_never_into_the_data_directory(
    data_dir: Path, tmp_path: Path
) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("former")
    assert sql(data_dir, "SELECT nothing", "--out", str(target)).returncode == 1
    assert target.read_text() == "former"
    assert sql(data_dir, "SELECT 1 AS a", "--format", "csv", "--out", str(target)).returncode == 0
    assert target.read_text() == "a\n1\n"
    assert os.listdir(tmp_path) == ["rows.csv"]
    (tmp_path / "link").symlink_to(data_dir)
    before = contents(data_dir)
    for path in (data_dir / "landing.sqlite", tmp_path / "link" / "landing.sqlite", data_dir / "new.csv"):
        ran = sql(data_dir, "SELECT 1", "--out", str(path))
        assert ran.returncode == 1 and "belongs to foryou" in ran.stderr
    assert contents(data_dir) == before


def test_results_and_memory_are_bounded(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = sql(data_dir, "FROM range(1001)", "--max-rows", "1000")
    assert ran.returncode == 1 and "more than 1,000 rows" in ran.stderr
    assert sql(data_dir, "FROM range(1000)", "--max-rows", "1000").returncode == 0
    monkeypatch.setattr(limits, "result_bytes", lambda: 2**20)
    query = queries.parse("large", "SELECT repeat('x', 1000) AS a FROM range(100000)")
    with session.open_session(data_dir, 1) as connection:
        results = session.results(connection, query, {})
        with pytest.raises(QueryError, match="more than 1 MiB"):
            next(results)


@pytest.mark.skipif(sys.platform != "linux", reason="another system counts memory in another way")
def test_a_query_that_needs_too_much_memory_fails_alone(data_dir: Path) -> None:
    text = "SELECT length(string_agg(md5(range::VARCHAR), '')) FROM range(60000000)"
    arguments = ["prlimit", f"--data={10**9}", *commands.command("sql", text)]
    ran = subprocess.run(
        arguments,
        env=commands.environment(data_dir),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.endswith(": select less\n") and ran.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_the_process_is_ended_first_and_knows_no_password(data_dir: Path) -> None:
    env = commands.environment(data_dir) | {"AWS_SECRET_ACCESS_KEY": "a password"}
    endless = "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b"
    outer = subprocess.Popen(
        commands.command("sql", endless), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        inner = child_of(outer.pid)
        wait_for(lambda: Path(f"/proc/{inner}/oom_score_adj").read_text().strip() == "1000")
        assert b"a password" not in Path(f"/proc/{inner}/environ").read_bytes()
        outer.send_signal(signal.SIGKILL)  # it is ended together with who started it
        outer.wait(120)
        wait_for(lambda: not Path(f"/proc/{inner}").exists() or state(inner) == "Z")
    finally:
        outer.kill()
        outer.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_when_it_is_stopped(data_dir: Path, tmp_path: Path, number: signal.Signals) -> None:
    env = commands.environment(data_dir) | {"TMPDIR": str(tmp_path)}
    endless = "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b"
    outer = subprocess.Popen(commands.command("sql", endless, "--out", str(tmp_path / "rows")), env=env)
    try:
        wait_for(lambda: any(tmp_path.glob("foryou-temporary-sql-*")))
        inner = child_of(outer.pid)
        outer.send_signal(number)
        assert outer.wait(120) == 128 + number
        wait_for(lambda: not Path(f"/proc/{inner}").exists() or state(inner) == "Z")
        assert os.listdir(tmp_path) == []
    finally:
        outer.kill()
        outer.wait()


def child_of(process: int) -> int:
    children = Path(f"/proc/{process}/task/{process}/children")
    wait_for(lambda: bool(children.read_text().split()))
    return int(children.read_text().split()[0])


def state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for(holds: object, seconds: float = 30) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["a[b]c", "what*?", "it's [all] *"])
def test_a_folder_whose_name_is_a_pattern(tmp_path: Path, name: str) -> None:
    world = World().post("q1", by="dan")
    for liker in ("ann", "bob", "cat"):
        world.like(liker, "p1", hours_ago=40)
    folder = world.like("bob", "q1", hours_ago=0.5).write(tmp_path / name)
    settings = settings_for(folder)
    jobs.run(settings, "all")
    after_batch.run(settings)
    assert current_snapshot(folder) is not None
    ran = sql(folder, "SELECT count(*) AS likes FROM likes", "--format", "csv")
    assert (ran.stdout, ran.stderr) == ("likes\n4\n", "")
    assert (folder / "dashboard.json").exists()


def test_a_lake_on_another_disk_can_be_read(tmp_path: Path) -> None:
    """Its snapshots are links by name, as tests/test_sql_snapshots.py makes them."""
    world = World()
    for liker in ("ann", "bob", "cat"):
        world.like(liker, "p1", hours_ago=40)
    folder = world.post("q1", by="dan").like("bob", "q1", hours_ago=0.5).write(tmp_path / "data")
    settings = settings_for(folder)
    jobs.run(settings, "all")
    after_batch.run(settings)
    (folder / "lake").rename(tmp_path / "other disk")
    (folder / "lake").symlink_to(tmp_path / "other disk")
    snapshot = current_snapshot(folder)
    assert snapshot is not None
    copies = list((snapshot / "likes").glob("day=*.parquet"))
    assert copies
    for copy in copies:
        copy.unlink()
        [day] = (folder / "lake" / "likes" / copy.stem).glob("*.parquet")
        copy.symlink_to(day.resolve())
    assert sql(folder, "SELECT count(*) AS likes FROM likes", "--format", "csv").stdout == "likes\n4\n"


@NEEDS_LANDLOCK
def test_doctor_says_what_keeps_queries_from_writing() -> None:
    assert machine_checks.analysts_sql(landlock.version()).startswith("Landlock ")
    with pytest.raises(SkippedError, match=r"no Landlock.*account that can't write"):
        machine_checks.analysts_sql(0)
