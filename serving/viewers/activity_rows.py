"""What viewers did, as rows of activity.sqlite.

Owns: which rows an event makes. Leaves to others: transactions, and which events are written (``activity_writer``,
``taken_journals``).
"""

import sqlite3
from collections.abc import Sequence

import orjson

import sql
from serving.budgets.takers import taker_of
from serving.viewers.activity_queue import Interaction, Queued, ShownPage, Visit, values_of

# A source has one digit in a row; there is no other source.
_DIGITS = {source: str(source) for source in range(10)}


def write_events(connection: sqlite3.Connection, batch: Sequence[Queued]) -> dict[str, bool]:
    """Write events in the transaction that is open; return their viewers, and who of them is known."""
    events = [queued.event for queued in batch]
    takers = {queued.event.viewer_did: queued.known for queued in batch}
    connection.executemany(
        sql.load("activity/record_taker"),
        [
            {"viewer_did": viewer, "taker": taker_of(viewer), "is_known": known}
            for viewer, known in takers.items()
        ],
    )
    interactions = (values_of(event) for event in events if isinstance(event, Interaction))
    connection.executemany(sql.load("activity/record_interaction"), interactions)
    visits = (values_of(event) for event in events if isinstance(event, Visit))
    connection.executemany(sql.load("activity/record_visit"), visits)
    pages = (_page(event) for event in events if isinstance(event, ShownPage))
    connection.executemany(sql.load("activity/record_page"), pages)
    return takers


def _page(event: ShownPage) -> dict[str, str | int]:
    # All posts at once: one at a time took longer than writing the row.
    posts = orjson.dumps(event.post_uris).decode().replace('"at://', '"').replace("/app.bsky.feed.post/", "/")
    return {
        "viewer_did": event.viewer_did,
        "feed_rkey": event.feed_rkey,
        "generation": event.generation,
        "start": event.start,
        "posts": posts,
        "sources": "".join([_DIGITS.get(source, "0") for source in event.sources]),
        "variant": event.variant,
        "served_us": event.served_us,
    }
