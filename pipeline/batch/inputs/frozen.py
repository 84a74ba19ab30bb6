"""A run's frozen input as files: what a snapshot holds in memory, for tasks elsewhere and for a run that goes on.

Owns: writing a snapshot's relations as Parquet, and opening a DuckDB on them. Leaves to others: the one read
transaction that they come from (``snapshot``), the lake's files, which are linked as they are.

Invariant: the file ``frozen.json`` is written last. A folder without it holds nothing.
"""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import duckdb

import sql
from pipeline.batch.inputs import part_files, sql_steps
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.ranking import Ranking
from pipeline.store.duck import copy_to, open_duckdb, parquet
from pipeline.store.linked_files import link

MANIFEST = "frozen.json"
# Which relations are read by ranges of authors or of viewers, and are sorted so.
BY_AUTHOR = frozenset({"landed_likes", "deleted_posts"})
BY_VIEWER = frozenset({"list_viewers", "exclusions", "feedback"})
# What the relation valid_likes reads.
OF_LIKES = ("landed_likes", "late_words", "file_changes", "statements", "hidden_accounts", "deleted_posts")


@dataclass(frozen=True, slots=True)
class Frozen:
    """A run's input in a folder; the fields are ``Snapshot``'s, and with which parameters it was made."""

    folder: Path
    ranking: Ranking
    snapshot_us: int
    commit_no: int
    records: int
    window_hours: float
    lake_files: tuple[str, ...]

    def file(self, relation: str) -> Path:
        """Return the file of a relation."""
        return self.folder / "inputs" / f"{relation}.parquet"

    @property
    def spill(self) -> Path:
        """Where the DuckDB of a task spills to: two processes may not share a folder."""
        return self.folder / "spill" / f"{socket.gethostname()}-{os.getpid()}"

    def is_for(self, ranking: Ranking) -> bool:
        """Tell whether it was made with these parameters, but for those that the memory decides."""
        block, memory = ranking.block_viewers, ranking.memory_limit_gb
        return replace(self.ranking, block_viewers=block, memory_limit_gb=memory) == ranking


def freeze(snapshot: Snapshot, ranking: Ranking, window_hours: float, folder: Path) -> Frozen:
    """Write all tables of a snapshot into a folder, in place of what it has, and link the lake's files there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    links = [folder / "held" / file.parent.name / file.name for file in snapshot.lake_files]
    for file, name in zip(snapshot.lake_files, links, strict=True):
        name.parent.mkdir(parents=True)
        link(file, name)
    frozen = Frozen(
        folder,
        ranking,
        snapshot.snapshot_us,
        snapshot.commit_no,
        snapshot.records,
        window_hours,
        tuple(map(str, links)),
    )
    tables = snapshot.connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' AND NOT temporary"
    ).fetchall()
    add_relations(frozen, snapshot.connection, *(name for (name,) in tables))
    text = json.dumps({**asdict(frozen), "folder": "", "tables": [name for (name,) in tables]})
    part_files.put(folder / MANIFEST, lambda path: path.write_text(text))
    return frozen


def add_relations(frozen: Frozen, connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Write relations that were made since, unless they are there."""
    for name in names:
        order = (
            "ORDER BY author_id" if name in BY_AUTHOR else "ORDER BY viewer_id" if name in BY_VIEWER else ""
        )
        part_files.put(frozen.file(name), partial(copy_to, connection, f"FROM {name} {order}"))


def read_frozen(folder: Path) -> Frozen | None:
    """Return what a folder holds, None when that is not complete."""
    try:
        values = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return None
    values.pop("tables")
    values |= {
        "folder": folder,
        "ranking": Ranking(**values["ranking"]),
        "lake_files": tuple(values["lake_files"]),
    }
    return Frozen(**values)


@contextmanager
def opened_again(frozen: Frozen, folder: Path, threads: int) -> Iterator[Snapshot]:
    """Give the snapshot once more, as it was when it was frozen; DuckDB spills to ``folder``."""
    connection = open_duckdb(folder, threads, int(frozen.ranking.memory_limit_gb * 1024))
    try:
        _prepare(connection, frozen)
        tables = json.loads((frozen.folder / MANIFEST).read_text())["tables"]
        for name in tables:
            connection.execute(f"CREATE TABLE {name} AS FROM {parquet(frozen.file(name))}")
        _make_like_records(connection, frozen)
        files = [Path(file) for file in frozen.lake_files]
        yield Snapshot(connection, frozen.snapshot_us, files, frozen.records, frozen.commit_no)
    finally:
        connection.close()


def open_likes(frozen: Frozen, folder: Path, threads: int, memory_mb: int) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB with the relation ``valid_likes``, for a task; what a query needs is read from the files."""
    connection = open_duckdb(folder, threads, memory_mb)
    _prepare(connection, frozen)
    add_views(connection, frozen, *OF_LIKES)
    _make_like_records(connection, frozen)
    sql_steps.run_file(connection, "valid_likes")
    return connection


def add_views(connection: duckdb.DuckDBPyConnection, frozen: Frozen, *names: str) -> None:
    """Make views of relations that were written."""
    for name in names:
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM {parquet(frozen.file(name))}")


def _prepare(connection: duckdb.DuckDBPyConnection, frozen: Frozen) -> None:
    sql_steps.prepare(connection, frozen.ranking, frozen.snapshot_us)
    sql_steps.set_variables(connection, {"window_hours": frozen.window_hours})
    connection.execute(sql.load("lake/macros"))
    connection.execute("SET VARIABLE lake_files = ?", [list(frozen.lake_files)])


def _make_like_records(connection: duckdb.DuckDBPyConnection, frozen: Frozen) -> None:
    connection.execute(sql.load("lake/changed_likes"))
    if frozen.lake_files:
        connection.execute(sql.load("lake/like_records"))
    else:
        connection.execute("CREATE VIEW like_records AS SELECT * EXCLUDE (claimed) FROM landed_likes")
