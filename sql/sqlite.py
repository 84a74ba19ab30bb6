"""Opening the project's SQLite files, and migrating their schemas.

Owns: making a file, the pragmas that every connection needs, numbered migrations, transactions, and what an absent
store or table means. Leaves to others: what is in the files. Each has exactly one writer process, and that process
alone migrates it.

Invariants: a file is in WAL mode from its first moment, so that readers can open what a killed process left. Its log
and the log's index stay beside it: a reader who may not write there can't make them, and without them it can't open
the file. A migration and the row that records it commit together: the schema is either the old one or the new one.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sql


class SchemaError(Exception):
    """A store's schema is newer than this program, or is missing."""


class _Writer(sqlite3.Connection):
    """A connection that leaves an empty log and its index there when it is the last to be closed.

    SQLite would remove them then, which needs an exclusive lock. Nobody gets that while a reader has the file open, and
    the reader itself may not have it.
    """

    def close(self) -> None:
        reader = None
        try:
            if not self.in_transaction:
                # What is left in it would become part of a file that is put in this one's place.
                self.execute("PRAGMA busy_timeout = 0")
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (_, _, path) = self.execute("PRAGMA database_list").fetchone()
            reader = _open(Path(path), "ro", 0.0)
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:  # closed already, or the file is damaged or not there
            pass
        finally:
            super().close()
            if reader is not None:
                reader.close()


def connect(path: Path, *, read_only: bool = False, busy_seconds: float = 30.0) -> sqlite3.Connection:
    """Open a store in WAL mode; transactions are begun explicitly (``BEGIN IMMEDIATE``).

    A read-only connection never creates the file: sqlite3.OperationalError when it is absent.
    With ``synchronous=NORMAL`` in WAL mode a killed process loses nothing. A power cut may lose the last commits. The
    stream's replay brings those back, since the cursor is in the same commit.
    """
    if not read_only and not path.exists():
        _make(path)
    if read_only:
        connection = _open(path, "ro", busy_seconds)
    else:
        connection = _open(path, "rwc", busy_seconds, _Writer)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # Debian's SQLite overwrites every freed page with zeros, which doubles what a removal writes.
        connection.execute("PRAGMA secure_delete = FAST")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def open_migrated(path: Path, folder: str, *, busy_seconds: float = 30.0) -> sqlite3.Connection:
    """Open a store that this process writes, make it and its folder if need be, and apply its migrations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = connect(path, busy_seconds=busy_seconds)
    try:
        migrate(connection, folder)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, folder: str) -> int:
    """Apply the migrations ``sql/<folder>/NNNN_*.sql`` not yet applied; return the schema's version.

    Raises SchemaError when the store was written by a newer program, or by one whose schemas have no way to these.
    """
    with transaction(connection):  # two workers may start at once: one migrates, one waits
        connection.execute(
            "CREATE TABLE IF NOT EXISTS _migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL)"
        )
        version, migrations = current_version(connection), migrations_of(folder)
        newest = max(migrations, default=0)
        for number, name in connection.execute("SELECT version, name FROM _migrations ORDER BY version"):
            if name != migrations.get(number, name):
                raise SchemaError(
                    "the store was made by a foryou that this one can't read: CHANGELOG.md says how to go on"
                )
        if version > newest:
            raise SchemaError(
                f"the store's schema is version {version}, this program knows {newest}: "
                "upgrade foryou, or restore the backup made before the upgrade"
            )
        for number in sorted(number for number in migrations if number > version):
            for statement in statements(sql.load(migrations[number])):
                connection.execute(statement)
            connection.execute("INSERT INTO _migrations VALUES (?, ?)", (number, migrations[number]))
    return newest


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes, or nothing of it when the block or the commit fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def rows_of(
    path: Path,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    attached: Mapping[str, Path] | None = None,
    *,
    by_name: bool = False,
) -> list[Any]:
    """Return the rows of a query; none where a store is absent or not migrated yet. sqlite3.Error for anything else.

    ``attached`` are further stores of the query by name. A row is a tuple, or ``by_name`` a ``sqlite3.Row``.
    """
    attached = attached or {}
    if not all(file.exists() for file in (path, *attached.values())):
        return []
    with closing(connect(path, read_only=True)) as connection:
        if by_name:
            connection.row_factory = sqlite3.Row
        try:
            for name, file in attached.items():
                connection.execute(f"ATTACH ? AS {name}", (f"{file.absolute().as_uri()}?mode=ro",))
            return connection.execute(query, parameters or {}).fetchall()
        except sqlite3.OperationalError as error:
            if lacks_table(error):
                return []
            raise


def lacks_table(error: sqlite3.OperationalError) -> bool:
    """Tell whether a query failed because its store has no such table or column yet, and not of a disk or a lock."""
    return error.sqlite_errorcode == sqlite3.SQLITE_ERROR


def has_tables(path: Path, *names: str) -> bool:
    """Tell whether a store has these tables or views: not while it is absent, or its writer is at the schema."""
    if not path.exists():
        return False
    with closing(connect(path, read_only=True)) as connection:
        return tables(connection).issuperset(names)


def tables(connection: sqlite3.Connection) -> set[str]:
    """Return the names of a store's tables and views."""
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    return {row[0] for row in connection.execute(query)}


def statements(script: str) -> Iterator[str]:
    """Split a script into its statements; the driver's own ``executescript`` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if "".join(line for line in statement.splitlines() if not line.lstrip().startswith("--")).strip():
        yield statement


def current_version(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration applied to this store.

    0 for none: a file made a moment ago, whose writer is still at the schema, is no error.
    """
    if "_migrations" not in tables(connection):
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM _migrations").fetchone()
    return int(row[0])


def migrations_of(folder: str) -> dict[int, str]:
    """Return the migrations of one store: number to query name."""
    numbered = {}
    for name in sql.names(folder):
        prefix = name.split("/")[1].split("_")[0]
        if prefix.isdigit():
            numbered[int(prefix)] = name
    return numbered


def _make(path: Path) -> None:
    """Make an empty store in WAL mode, unless another process just did.

    A process killed on the way from a rollback journal to WAL would leave a journal that only a writer may roll back,
    and until then no reader could open the file. So the file gets its name when it is in WAL mode. Logs that are beside
    it then belong to a deleted store, and SQLite would read them as this one's.
    """
    making = path.with_name(f".{path.name}.new")
    with _alone(path.with_name(f".{path.name}.lock")):  # every process that makes this store takes this lock
        if path.exists():
            return
        making.unlink(missing_ok=True)  # left by a killed process
        os.close(
            os.open(making, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        )  # SQLite gives its logs the same rights
        connection = _open(making, "rwc", 30.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        for end in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        making.rename(path)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait for the lock of a file that is there only meanwhile."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                has_name = os.path.samestat(lock.stat(), os.fstat(descriptor))
            except FileNotFoundError:
                has_name = False
            if has_name:  # otherwise the process before removed it, and somebody else may have made another
                try:
                    yield
                finally:
                    lock.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def _open(
    path: Path, mode: str, busy_seconds: float, kind: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{_quoted(path)}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=busy_seconds,
        check_same_thread=False,
        factory=kind,
    )


def _quoted(path: Path) -> str:
    # The path is part of a URI: ? and # would end it, % would start an escape.
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
