"""Which like records the stores hold, by DID, to compare them with another record of the same likes.

Owns: their DIDs, for the demo's check and for tests. Leaves to others: which records there are (``lake.reader``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb

import sql
from pipeline.identifiers import parse_post_uri, rkey_to_int
from pipeline.lake.held import DayFiles, held_lake
from pipeline.lake.reader import WORD_SCHEMA, WORDS, read_like_records
from pipeline.store.arrow import Reader, reading
from pipeline.store.duck import open_duckdb, put
from sql import places
from sql.temporary_folders import temporary_folder

MEMORY_MB = 2048


class StoredLike(NamedTuple):
    """A like record that exists; rkeys as ``identifiers.rkey_to_int`` numbers them."""

    liker: str
    rkey: int
    author: str
    post_rkey: int


def like_record(liker: str, rkey: str, subject: str) -> StoredLike | None:
    """Return what the store should hold of a like record, None when its subject is not a post."""
    number, post = rkey_to_int(rkey), parse_post_uri(subject)
    return None if number is None or post is None else StoredLike(liker, number, *post)


def like_records(data_dir: Path, *, merged: bool = False) -> tuple[list[StoredLike], int]:
    """Return the like records that every reader sees, and the stream time (us) up to which they are complete.

    ``merged``: as the next merge will leave them, so with likes of closed days that came late. StoreError when there is
    no landing store.
    """
    with (
        temporary_folder("demo") as folder,
        open_duckdb(folder, 1, MEMORY_MB) as connection,
        reading(places.landing(data_dir)) as reader,
    ):
        until_us = reader.number("SELECT last_us FROM watermark")
        with held_lake(data_dir) as held:
            read_like_records(connection, reader, held, first_day=0)
            actors = reader.table("SELECT actor_id, did FROM actors")
            dids = dict(zip(*(column.to_pylist() for column in actors.columns), strict=True))
            query = "SELECT liker_id, rkey, author_id, post_rkey FROM like_records"
            if merged:
                _read_all_words(connection, reader, held)
                query = sql.load("lake/merged_records")
            rows = connection.execute(query).fetchall()
    return [StoredLike(dids[liker], rkey, dids[author], post) for liker, rkey, author, post in rows], until_us


def _read_all_words(
    connection: duckdb.DuckDBPyConnection, reader: Reader, held: Mapping[int, DayFiles]
) -> None:
    put(connection, "all_landed", reader.table(f"SELECT {WORDS} FROM like_words").cast(WORD_SCHEMA))
    for relation, files in (
        ("lake_likes", [str(day.likes) for day in held.values() if day.likes is not None]),
        ("lake_changes", [str(day.changes) for day in held.values() if day.changes is not None]),
    ):
        if files:
            connection.execute(f"CREATE TABLE all_{relation} AS FROM {relation}($files)", {"files": files})
        else:
            columns = "liker_id, rkey, author_id, post_rkey" + (", rev" if relation == "lake_changes" else "")
            connection.execute(f"CREATE TABLE all_{relation} AS SELECT {columns} FROM all_landed LIMIT 0")
