"""The store's own likes as events: what ``foryou evaluate`` works on without a file.

Owns: reading likes and posts through the batch's snapshot, so by the batch's own rules of what counts. Leaves
to others: the rules (``sql/batch/likes.sql``), cutting at a moment (``splits``).

What was deleted since is missing from the past too, and the likes of accounts that are gone: the store keeps no
record of them. Posts are known for as long as the store keeps them (about two weeks); others are no candidates.
"""

from dataclasses import replace

import duckdb
import numpy as np
from numpy.typing import NDArray

import sql
from pipeline.batch.inputs import snapshot, sql_steps
from pipeline.batch.lists.product import columns
from pipeline.evaluate.like_events import NONE, EvaluateError, Events
from pipeline.ranking import ranking_from
from pipeline.settings import Settings
from pipeline.store.locks import exclusive

POST_DAYS = 20.0
ROWS = 1_000_000


def from_store(settings: Settings) -> Events:
    """Return the likes of the store; EvaluateError when there are none, or while a batch runs."""
    ranking = ranking_from(settings.ranking)
    if not snapshot.has_likes(settings.data_dir):
        raise EvaluateError(f"no likes yet in {settings.data_dir}: run 'foryou ingest' first, or name a file")
    with exclusive(settings.data_dir, "batch"):
        wide = replace(ranking, post_max_age_hours=POST_DAYS * 24)
        hours = ranking.seed_window_days * 24.0
        try:
            with snapshot.open_snapshot(
                settings.data_dir, wide, settings.batch_threads, window_hours=hours
            ) as opened:
                for name in sql_steps.LIKES:
                    sql_steps.run_file(opened.connection, name)
                opened.drop_records()
                return events_of(opened.connection, settings.data_dir.name)
        except duckdb.OutOfMemoryException as error:
            raise EvaluateError(
                f"the likes of {ranking.seed_window_days} days don't fit into the {ranking.memory_limit_gb:g} GB of "
                "memory_limit_gb: raise it in [ranking], or lower seed_window_days"
            ) from error


def events_of(connection: duckdb.DuckDBPyConnection, name: str) -> Events:
    """Return the events of the relations ``likes`` and ``posts``.

    DuckDB sorts and numbers them, for it can spill; what is held here is 16 bytes a like.
    """
    connection.execute(sql.load("evaluate/items"))
    count = int(columns(connection, "SELECT count(*) FROM likes")[0][0])
    if not count:
        raise EvaluateError("no like in the store counts: nothing to evaluate")
    users, items = np.empty(count, np.int32), np.empty(count, np.int32)
    times_us = np.empty(count, np.int64)
    place = 0
    for batch in connection.sql(sql.load("evaluate/likes")).to_arrow_reader(ROWS):
        part = slice(place, place := place + batch.num_rows)
        users[part], items[part], times_us[part] = (column.to_numpy() for column in batch.columns)
    user_keys = np.flatnonzero(np.bincount(users)).astype(np.int64)
    number_of = np.full(int(user_keys[-1]) + 1, NONE, np.int32)
    number_of[user_keys] = np.arange(len(user_keys))
    for first in range(0, count, ROWS):
        users[first : first + ROWS] = number_of[users[first : first + ROWS]]
    keys, made_us, author_keys, listable = columns(
        connection, "SELECT post_rkey, made_us, author_id, listable FROM items ORDER BY item_no"
    )
    author_keys = np.asarray(author_keys, np.int32)
    owners = np.full(len(author_keys), NONE, np.int32)
    likes_too = author_keys < len(number_of)
    owners[likes_too] = number_of[author_keys[likes_too]]
    authors = np.unique(author_keys, return_inverse=True)[1].astype(np.int32)
    return Events(
        name, users, items, times_us, user_keys, np.asarray(keys, np.int64), np.asarray(made_us, np.int64),
        np.asarray(listable, np.bool_), authors, _speaks(connection), owners,
    )  # fmt: skip


def _speaks(connection: duckdb.DuckDBPyConnection) -> NDArray[np.bool_]:
    """Return (items, languages by name): a text of languages is taken apart once, however many posts have it."""
    texts = [str(text) for text in columns(connection, "SELECT DISTINCT langs FROM items ORDER BY langs")[0]]
    spoken = [set(text.split(",")) if text else set() for text in texts]
    codes = sorted(set().union(*spoken))
    table = np.array([[code in found for code in codes] for found in spoken], np.bool_)
    numbers = columns(
        connection, "SELECT dense_rank() OVER (ORDER BY langs) - 1 AS n FROM items ORDER BY item_no"
    )[0]
    result: NDArray[np.bool_] = table.reshape(len(texts), len(codes))[np.asarray(numbers, np.int64)]
    return result
