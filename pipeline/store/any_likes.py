"""Whether any like is stored, which everything else waits for at first.

Owns: that question, without the batch's libraries, and the words for an operator who has none. Leaves to others:
reading likes (``lake.reader``).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.lock_holders import process_of
from sql import places
from sql.sqlite import connect, has_tables


def has_likes(data_dir: Path) -> bool:
    """Tell whether any like has been stored; StoreError when landing.sqlite can't be read."""
    landing = places.landing(data_dir)
    try:
        if not has_tables(landing, "like_words"):
            return False
        with closing(connect(landing, read_only=True)) as store:
            stored = store.execute("SELECT 1 FROM like_words LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{landing} can't be read: {error}") from error
    return stored is not None or bool(places.closed_days(data_dir))


def no_likes_text(data_dir: Path) -> str:
    """Say that there are no likes yet, and what to do about it."""
    if process_of(data_dir, "ingest") is None:
        return f"no likes yet in {data_dir}: run 'foryou ingest' first"
    return (
        f"no likes yet in {data_dir}, though ingest is running: if this lasts, 'foryou doctor' says whether the stream "
        "can be reached"
    )
