"""The store's own likes as events: what ``foryou evaluate`` works on without a file.

Owns: reading likes and posts through the batch's snapshot, so by the batch's own rules of what counts. Leaves to
others: the rules (``sql/batch/likes.sql``), cutting at a moment (``splits``).

What was deleted since is missing from the past too, and the likes of accounts that are gone: the store keeps no
record of them. Posts are known for as long as the store keeps them (about two weeks); others are no candidates.
"""

from dataclasses import replace

import duckdb
import numpy as np

import sql
from pipeline.batch import definition, snapshot
from pipeline.batch.products import columns
from pipeline.evaluate.events import EvaluateError, Events, Known, numbered
from pipeline.ranking import ranking_from
from pipeline.settings import Settings
from pipeline.store.locks import exclusive

POST_DAYS = 20.0


def from_store(settings: Settings) -> Events:
    """Return the likes of the store; EvaluateError when there are none, or while a batch runs."""
    ranking = ranking_from(settings.ranking)
    if not snapshot.has_likes(settings.data_dir):
        raise EvaluateError(f"no likes yet in {settings.data_dir}: run 'foryou ingest' first, or name a file")
    with exclusive(settings.data_dir, "batch"):
        wide = replace(ranking, post_max_age_hours=POST_DAYS * 24)
        hours = ranking.seed_window_days * 24.0
        with snapshot.open_snapshot(
            settings.data_dir, wide, settings.batch_threads, window_hours=hours
        ) as opened:
            for name in definition.LIKES:
                definition.run_file(opened.connection, name)
            opened.drop_records()
            return events_of(opened.connection, settings.data_dir.name)


def events_of(connection: duckdb.DuckDBPyConnection, name: str) -> Events:
    """Return the events of the relations ``likes`` and ``posts``."""
    likers, places, times_us = columns(connection, sql.load("evaluate/likes"))
    if not len(likers):
        raise EvaluateError("no like in the store counts: nothing to evaluate")
    keys, created_us, authors, known, langs = columns(connection, sql.load("evaluate/items"))
    spoken = [str(text).split(",") if text else [] for text in langs]
    codes = sorted({code for codes in spoken for code in codes})
    speaks = np.zeros((len(keys), len(codes)), np.bool_)
    for row, item in enumerate(spoken):
        for code in item:
            speaks[row, codes.index(code)] = True
    items = Known(
        keys.astype(np.int64),
        created_us.astype(np.int64),
        known.astype(np.bool_),
        authors.astype(np.int64),
        speaks,
    )
    return numbered(name, likers.astype(np.int64), places.astype(np.int64), times_us.astype(np.int64), items)
