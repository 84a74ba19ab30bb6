"""A day of the lake brought up to date: what landing.sqlite has of it joins what its files say.

Owns: the last word about each record of a day, when a day's likes are written again, and the order in which its files
appear. Leaves to others: which day is merged when (``compact``), the bytes of the files (``day_files``), reading them
(``reader``, which has the rule).

Invariant: at every moment a reader finds all of a day. The changes file names the last commit of landing.sqlite that is
in it or in the likes; ingest deletes only what it names. A new day's likes come last, since they make it exist. When
likes are written again they come first: the former changes still say the same of them. All of landing.sqlite is on the
disk before a file is renamed: otherwise a power cut could take numbers of actors that the lake knows.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.errors import StoreError
from pipeline.lake import day_files
from pipeline.lake.reader import STATEMENT_SCHEMA, STATEMENTS, WORD_SCHEMA, WORDS
from pipeline.progress import Step
from pipeline.store.arrow import reading
from pipeline.store.duck import count, listed, put, registered
from pipeline.store.fsync import sync
from pipeline.store.locks import exclusive
from pipeline.store.model import NAMED_DAY, WordMark, keys_of_day
from sql import places

SHARE = 0.01  # of a day's likes: when more are removed or added, they are written again
IS_ORDINARY = "is_ordinary(rkey, rev, author_id, marks)"
LOOK_SECONDS = 86_400.0  # between two times that all of a day is read


@dataclass(frozen=True, slots=True)
class _Day:
    day: int
    likes: Path
    changes: places.ChangesFile | None

    @property
    def exist(self) -> bool:
        return self.likes.exists() if self.day != NAMED_DAY else self.changes is not None

    @property
    def commit_no(self) -> int:
        # Without its likes a day is not there, whatever is left of it.
        return self.changes.commit_no if self.changes is not None and self.exist else 0


def merge_day(
    data_dir: Path,
    day: int,
    connection: duckdb.DuckDBPyConnection,
    *,
    look: bool = False,
    since_us: int = 0,
    more: Sequence[Path] = (),
) -> Iterator[Step]:
    """Bring a closed day's files up to date; yield (step, rows) after each step that changes the disk.

    With ``look``, read all of it, check its bytes, and remove deleted accounts' likes. Of keys that name no day, what
    was seen before ``since_us`` goes. ``more`` are Parquet files of further words about the day (WORD_SCHEMA).
    StoreError when a file is damaged.
    """
    with exclusive(data_dir, "lake", wait=True):
        yield from _merge_day(data_dir, day, connection, look, since_us, more)


def _merge_day(
    data_dir: Path,
    day: int,
    connection: duckdb.DuckDBPyConnection,
    look: bool,
    since_us: int,
    more: Sequence[Path],
) -> Iterator[Step]:
    files = _Day(day, places.likes(data_dir, day), places.changes_of(data_dir, day))
    connection.execute(sql.load("lake/macros"))
    commit_no = _read_words(data_dir, files, connection, more)
    if not files.exist:
        yield from _write_first(data_dir, files, connection, commit_no)
    elif look or count(connection, "landed_words"):
        if look:
            changes = () if files.changes is None else (files.changes.path,)
            day_files.check(*changes, *(() if files.day == NAMED_DAY else (files.likes,)))
        yield from _write_again(data_dir, files, connection, commit_no, look=look, since_us=since_us)
    for relation in ("landed_words", "statements", "last_words", "former_changes", "day_before", "day"):
        _drop(connection, relation)
    for former in places.all_changes_of(data_dir, day)[:-1]:
        former.path.unlink()


def _read_words(
    data_dir: Path, files: _Day, connection: duckdb.DuckDBPyConnection, more: Sequence[Path]
) -> int:
    """Make ``landed_words`` and ``statements``; return the number of the last commit that is in them."""
    first, end = keys_of_day(files.day)
    with reading(places.landing(data_dir)) as reader:
        commit_no = reader.number("SELECT commit_no FROM last_commit")
        put(connection, "statements", reader.table(STATEMENTS).cast(STATEMENT_SCHEMA))
        put(connection, "landed_words", WORD_SCHEMA.empty_table())
        span = f"rkey >= {first} AND rkey < {end} AND commit_no > {files.commit_no}"
        with registered(connection, landed=reader.stream(f"SELECT {WORDS} FROM like_words WHERE {span}")):
            connection.execute("INSERT INTO landed_words FROM landed")
    if more:
        connection.read_parquet([str(file) for file in more]).create_view("archived_words")
        connection.execute(sql.load("lake/more_words"))
        connection.execute("DROP VIEW archived_words")
    # Where a statement lies between a key and its rev, the key can't stand for the rev.
    connection.execute(
        f"UPDATE landed_words SET marks = marks | {WordMark.AGAIN:d} FROM statements AS s "
        "WHERE s.actor_id = liker_id AND s.from_rkey <= rkey AND s.rev > rkey AND s.rev <= landed_words.rev"
    )
    if files.day == NAMED_DAY:  # no key of it stands for a rev
        connection.execute(f"UPDATE landed_words SET marks = marks | {WordMark.AGAIN:d}")
    return commit_no


def _write_first(
    data_dir: Path, files: _Day, connection: duckdb.DuckDBPyConnection, commit_no: int
) -> Iterator[Step]:
    connection.execute(sql.load("lake/new_day"))
    stored = connection.sql(sql.load("lake/stored_rows")).to_arrow_table()
    rows, likes = len(stored), None
    if files.day != NAMED_DAY:
        likes = day_files.draft_likes(data_dir, files.day, stored)
    del stored
    yield f"write {places.day_name(files.day)}", rows
    connection.execute(
        "CREATE TABLE former_changes AS SELECT *, false AS settled FROM landed_words LIMIT 0;"
        "DROP VIEW day;"
        "CREATE OR REPLACE TABLE landed_words AS "
        "FROM landed_words WHERE NOT is_ordinary(rkey, rev, author_id, marks)"
    )
    connection.execute(sql.load("lake/last_words"))
    changes = day_files.draft_changes(data_dir, files.day, _changes(connection, "new_changes"))
    make_durable(data_dir)
    day_files.commit(changes, places.changes_file(data_dir, files.day, commit_no))
    if likes is not None:
        day_files.commit(likes, files.likes)
    yield f"commit {places.day_name(files.day)}", rows


def _write_again(
    data_dir: Path,
    files: _Day,
    connection: duckdb.DuckDBPyConnection,
    commit_no: int,
    *,
    look: bool,
    since_us: int,
) -> Iterator[Step]:
    name, execute = places.day_name(files.day), connection.execute
    if files.changes is None:
        execute("CREATE TABLE former_changes AS SELECT *, false AS settled FROM landed_words LIMIT 0")
    else:
        execute(
            "CREATE TABLE former_changes AS FROM lake_changes($files)", {"files": [str(files.changes.path)]}
        )
    execute(sql.load("lake/last_words"))
    if files.day == NAMED_DAY:
        execute("DELETE FROM last_words WHERE seen_us < ?", [since_us])
        execute(
            "CREATE TABLE day_before AS SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM landed_words LIMIT 0"
        )
        records = 0
    else:
        execute("CREATE VIEW day_before AS FROM lake_likes(" + listed(files.likes) + ")")
        records = int(pq.read_metadata(files.likes).num_rows)
    read_all = look or count(connection, "last_words WHERE landed AND author_id IS NOT NULL") > 0
    changed = 0
    if read_all:
        execute(sql.load("lake/compare_with_likes"))
        changed = count(connection, f"last_words WHERE in_likes OR {IS_ORDINARY}")
    drafts: list[tuple[Path, Path]] = []
    if changed > SHARE * records or (look and _has_void_likes(connection)):
        execute(sql.load("lake/day"))
        stored = connection.sql(sql.load("lake/stored_rows")).to_arrow_table()
        drafts.append((day_files.draft_likes(data_dir, files.day, stored), files.likes))
        query, step, rows = "new_changes", f"rewrite {name}", len(stored)
    else:
        query, step, rows = "more_changes", f"change {name}", count(connection, "landed_words")
    table = _changes(connection, query)
    if drafts or rows or len(table) != count(connection, "former_changes"):
        changes = day_files.draft_changes(data_dir, files.day, table)
        drafts.append((changes, places.changes_file(data_dir, files.day, commit_no)))
        make_durable(data_dir)
        for draft, final in drafts:
            day_files.commit(draft, final)
        yield step, rows
    if look and files.day != NAMED_DAY:
        os.utime(files.likes)


def _has_void_likes(connection: duckdb.DuckDBPyConnection) -> bool:
    void = (
        "SELECT 1 FROM day_before AS l SEMI JOIN statements AS s "
        "ON s.actor_id = l.liker_id AND s.rev > l.rkey AND s.from_rkey <= l.rkey LIMIT 1"
    )
    return connection.execute(void).fetchone() is not None


def _changes(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return connection.sql(sql.load(f"lake/{query}")).to_arrow_table()


def _drop(connection: duckdb.DuckDBPyConnection, relation: str) -> None:
    found = connection.execute(
        "SELECT table_type FROM information_schema.tables WHERE table_name = ?", [relation]
    ).fetchone()
    if found is not None:
        connection.execute(f"DROP {'VIEW' if found[0] == 'VIEW' else 'TABLE'} {relation}")


def is_look_due(data_dir: Path, day: int) -> bool:
    """Tell whether all of a day is to be read again: the time of its likes file says when that was last done."""
    return places.likes(data_dir, day).stat().st_mtime <= time.time() - LOOK_SECONDS


def make_durable(data_dir: Path) -> None:
    """Put every commit of landing.sqlite on the disk; SQLite itself does that only now and then."""
    landing = places.landing(data_dir)
    for path in (landing.with_name(f"{landing.name}-wal"), landing):
        try:
            sync(path)
        except FileNotFoundError:
            continue  # a store that nobody has open has no log
        except OSError as error:
            raise StoreError(f"can't put {path} on the disk: {error.strerror}") from error
