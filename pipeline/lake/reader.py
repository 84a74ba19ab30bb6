"""Which like records there are: landing.sqlite and the lake as one relation, by one rule.

Owns: which words of landing.sqlite a reader takes, and the relations ``landed_likes``, ``changes``, ``statements`` and
``like_records`` of ``sql/lake``. Leaves to others: holding the lake's files (``held``), how they are made (``merge``),
what counts of the records (``sql/batch/valid_likes.sql``).

The rule: of the words about a record the one with the greatest rev wins. A record's words lie in the day that its key
names. Of a day without a file they are all in landing.sqlite, one a record. Of a day with files, the likes file has
likes whose key stands for their rev, the changes file has the last word about every other record, and landing.sqlite
has what was reported since. Of that, a word that a record is deleted counts at once, and so does what a viewer's
repository listed. Other likes wait for the next merge, which compares them with all that the files say. Until then they
only undo an older like with their key.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

import sql
from pipeline.lake.held import DayFiles
from pipeline.store.arrow import Reader
from pipeline.store.duck import count, put, registered
from pipeline.store.model import NAMED_DAY, ORDINARY_US, WordMark, keys_of_day

WORDS = "liker_id, rkey, rev, author_id, post_rkey, seen_us, marks"
WORD_SCHEMA = pa.schema(
    [
        ("liker_id", pa.int32()), ("rkey", pa.int64()), ("rev", pa.int64()), ("author_id", pa.int32()),
        ("post_rkey", pa.int64()), ("seen_us", pa.int64()), ("marks", pa.int16()),
    ]
)  # fmt: skip
STATEMENTS = "SELECT actor_id, from_rkey, rev FROM statements"
STATEMENT_SCHEMA = pa.schema([("actor_id", pa.int32()), ("from_rkey", pa.int64()), ("rev", pa.int64())])
# Of a relation that is compared with no file of likes.
_CLAIMED = "SELECT liker_id, rkey, NULL::BIGINT AS reported_us FROM {} WHERE claimed"
# Not an ordinary like, which can't be later than a like with its key in a file.
_SAYS_MORE = f"(author_id IS NULL OR marks <> 0 OR rev < rkey OR rev >= rkey + {ORDINARY_US << 10})"

_LAST_KEY = (1 << 63) - 1


def _open_ranges(held: Mapping[int, DayFiles], first_day: int) -> Iterator[str]:
    """Yield conditions on rkey that together name the days without files: from a day on, and that of named keys."""
    begin, end = keys_of_day(NAMED_DAY)
    if NAMED_DAY not in held:
        yield f"rkey >= {begin} AND rkey < {end}"
    begin = max(end, keys_of_day(max(first_day, 0))[0])
    for day in sorted(day for day in held if day >= first_day and day != NAMED_DAY):
        first, end = keys_of_day(day)
        if begin < first:
            yield f"rkey >= {begin} AND rkey < {first}"
        begin = end
    yield f"rkey >= {begin} AND rkey <= {_LAST_KEY}"


def _open_words(held: Mapping[int, DayFiles], first_day: int) -> str:
    """Return a query on landing.sqlite for the likes of days without files, from a day on."""
    return " UNION ALL ".join(
        f"SELECT {WORDS} FROM like_words WHERE {span} AND author_id IS NOT NULL"
        for span in _open_ranges(held, first_day)
    )


def _late_words(held: Mapping[int, DayFiles], first_day: int) -> str:
    """Return a query on landing.sqlite for words about days with files that were reported since, from a day on."""
    nothing = f"SELECT {WORDS} FROM like_words WHERE false"
    return " UNION ALL ".join(
        [nothing]
        + [
            f"SELECT {WORDS} FROM like_words WHERE rkey >= {keys_of_day(day)[0]} AND rkey < {keys_of_day(day)[1]} "
            f"AND commit_no > {files.commit_no} AND {_SAYS_MORE}"
            for day, files in sorted(held.items())
            if day >= first_day or day == NAMED_DAY
        ]
    )


def _make_changes(
    connection: duckdb.DuckDBPyConnection,
    held: Mapping[int, DayFiles],
    first_day: int,
    late: pa.Table,
    statements: pa.Table,
) -> None:
    """Make ``statements``, ``changes`` and ``changed_likes`` for the held days from a day on; see the SQL."""
    connection.execute("DROP TABLE IF EXISTS changes")
    put(connection, "statements", statements.cast(STATEMENT_SCHEMA))
    put(connection, "late_words", late.cast(WORD_SCHEMA))
    files = [
        str(files.changes)
        for day, files in sorted(held.items())
        if files.changes is not None and (day >= first_day or day == NAMED_DAY)
    ]
    # What is settled is of interest only when a repository that was read before lists it.
    fetched = f"late_words AS w WHERE w.marks & {WordMark.FETCHED:d} <> 0"
    listed = f" OR EXISTS (FROM {fetched} AND w.liker_id = c.liker_id AND w.rkey = c.rkey)"
    if not count(connection, fetched):
        listed = ""
    if files:
        connection.execute(
            f"CREATE OR REPLACE TABLE file_changes AS SELECT {WORDS} FROM lake_changes($files) AS c "
            f"WHERE NOT settled{listed}",
            {"files": files},
        )
    else:
        connection.execute("CREATE OR REPLACE TABLE file_changes AS FROM late_words LIMIT 0")
    connection.execute(sql.load("lake/changed_likes"))


def name_lake_files(
    connection: duckdb.DuckDBPyConnection, held: Mapping[int, DayFiles], first_day: int
) -> list[Path]:
    """Let queries read the lake's likes from a day on; return the files."""
    files = [
        files.likes for day, files in sorted(held.items()) if day >= first_day and files.likes is not None
    ]
    connection.execute("SET VARIABLE lake_files = ?", [[str(file) for file in files]])
    return files


def keys_from(first_day: int) -> str:
    """Return a condition on rkey for the records that ``read_like_records`` reads from a day on."""
    begin, named_end = keys_of_day(max(first_day, 0))[0], keys_of_day(NAMED_DAY)[1]
    return f"(rkey >= {begin} OR rkey < {named_end})"


def read_like_records(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    held: Mapping[int, DayFiles],
    first_day: int,
    liker_id: int | None = None,
) -> list[Path]:
    """Make ``like_records`` from a day on, the relations it reads, and ``claimed_likes``.

    With ``liker_id``, only that liker's records are right, and few others are read of landing.sqlite. Return the lake's
    files of likes in it. Enter ``reader`` before holding the lake. ``landed_likes`` is all of it that
    is not in those files.
    """
    connection.execute(sql.load("lake/macros"))
    of_liker = "SELECT * FROM ({})" + ("" if liker_id is None else f" WHERE liker_id = {liker_id}")
    late = reader.table(of_liker.format(_late_words(held, first_day)))
    _make_changes(connection, held, first_day, late, reader.table(STATEMENTS))
    connection.execute("CREATE OR REPLACE TABLE landed_likes AS FROM changed_likes")
    words = of_liker.format(_open_words(held, first_day))
    with registered(connection, open_words=reader.stream(words)):
        connection.execute(f"INSERT INTO landed_likes {sql.load('lake/open_likes')}")
    files = name_lake_files(connection, held, first_day)
    if files:
        connection.execute(sql.load("lake/claimed_likes"))
        connection.execute(sql.load("lake/like_records"))
    else:
        connection.execute(f"CREATE OR REPLACE TABLE claimed_likes AS {_CLAIMED.format('landed_likes')}")
        connection.execute(
            "CREATE OR REPLACE VIEW like_records AS SELECT * EXCLUDE (claimed) FROM landed_likes"
        )
    return files
