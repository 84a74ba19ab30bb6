"""The Jetstream v1 wire (``/subscribe``): its address, and its messages into events.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what
operations say (``operations``). ``decode`` never raises: whatever is malformed is counted by reason, and a message
with a usable time still moves the cursor, so that one poisonous event can't stop the stream.

Wire: https://github.com/bluesky-social/jetstream. One JSON object a text frame; time_us is the cursor.
"""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson

from pipeline.identifiers import is_did
from pipeline.ingest.operations import LIKE, POST, add_account, add_operation
from pipeline.store.events import EventBatch

WIRE = "jetstream-v1"

# Outside these, a time_us is no time: 2020-01-01 and 2100-01-01.
_EARLIEST_US = 1_577_836_800_000_000
_LATEST_US = 4_102_444_800_000_000


def subscribe_url(url: str, cursor: int) -> str:
    """Return the address to connect to: our collections, and the cursor in microseconds to resume from."""
    parts = urlsplit(url)
    query = [
        (key, value) for key, value in parse_qsl(parts.query) if key not in {"wantedCollections", "cursor"}
    ]
    query += [("wantedCollections", LIKE), ("wantedCollections", POST)]
    query.append(("cursor", str(cursor)))
    return urlunsplit(parts._replace(query=urlencode(query)))


def decode(message: str | bytes, batch: EventBatch) -> None:
    """Add what one message says to the batch."""
    try:
        event = orjson.loads(message)
    except (orjson.JSONDecodeError, RecursionError):
        batch.drop("not_json")
        return
    if type(event) is not dict:
        batch.drop("not_an_event")
        return
    seen_us = event.get("time_us")
    if type(seen_us) is not int or not _EARLIEST_US < seen_us < _LATEST_US:
        batch.drop("bad_time")
        return
    batch.value = batch.event_us = seen_us
    if seen_us > batch.newest_us:
        batch.newest_us = seen_us
    did = event.get("did")
    if not is_did(did):
        batch.drop("bad_did")
        return
    kind = event.get("kind")
    if kind == "commit":
        commit = event.get("commit")
        if type(commit) is not dict:
            batch.drop("commit_without_body")
            return
        what = commit.get("operation")
        add_operation(
            did, seen_us, commit.get("collection"), commit.get("rkey"), what, commit.get("record"), batch
        )
    elif kind == "account":
        account = event.get("account")
        body = account if type(account) is dict else {}
        add_account(did, seen_us, body.get("active"), body.get("status"), batch)
    elif kind == "identity":
        batch.event("identity")
    else:
        batch.drop("unknown_kind")
