"""The store's own likes as events: what ``foryou evaluate`` works on without a file.

Owns: reading likes and posts through the batch's snapshot, so by the batch's own rules of what counts. Leaves to
others: the rules (``sql/batch/likes.sql``), cutting at a moment (``splits``).

The store keeps no history of deletions. A record that was deleted since, or an account that was, is missing from
the past too. Posts are known for about two weeks; older ones are not candidates.
"""

from dataclasses import replace

import duckdb

import sql
from pipeline.batch.inputs import snapshot, sql_steps
from pipeline.evaluate.like_events import EvaluateError, LikeEvents, events_of
from pipeline.ranking import ranking_from
from pipeline.settings import Settings
from pipeline.store.any_likes import has_likes, no_likes_text
from pipeline.store.locks import exclusive

POST_DAYS = 20.0


def from_store(settings: Settings) -> LikeEvents:
    """Return the likes of the store; EvaluateError when there are none, or while a batch runs."""
    ranking = ranking_from(settings.ranking)
    if not has_likes(settings.data_dir):
        raise EvaluateError(no_likes_text(settings.data_dir) + "; or name a file")
    with exclusive(settings.data_dir, "batch"):
        wide = replace(ranking, post_max_age_hours=POST_DAYS * 24)
        hours = ranking.seed_window_days * 24.0
        try:
            with snapshot.open_snapshot(
                settings.data_dir, wide, settings.batch_threads, window_hours=hours
            ) as opened:
                for name in sql_steps.LIKES:
                    sql_steps.run_file(opened.connection, name)
                opened.connection.execute(sql.load("evaluate/claimed"))
                opened.drop_records()
                return events_in(opened.connection, settings.data_dir.name)
        except duckdb.OutOfMemoryException as error:
            raise EvaluateError(
                f"the likes of {ranking.seed_window_days} days don't fit into the {ranking.memory_limit_gb:g} GB of "
                "memory_limit_gb: raise it in [ranking], or lower seed_window_days"
            ) from error


def events_in(connection: duckdb.DuckDBPyConnection, name: str) -> LikeEvents:
    """Return the events of the relations ``likes``, ``claimed``, ``posts``, ``actors`` and ``visits``.

    DuckDB sorts and numbers them, because it can spill to disk; the arrays take 16 bytes per like. Which languages
    somebody's app asks for is known of their last visit alone.
    """
    for step in ("users", "items"):
        connection.execute(sql.load(f"evaluate/{step}"))
    users = connection.sql("SELECT liker_id, languages FROM users ORDER BY user_no").pl()
    if users.is_empty():
        raise EvaluateError("no like in the store counts: nothing to evaluate")
    items = connection.sql("SELECT * FROM items ORDER BY item_no").pl()
    likes = connection.sql(sql.load("evaluate/likes")).pl()
    return events_of(name, users["liker_id"], items, likes, users["languages"])
