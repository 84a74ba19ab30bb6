"""The Jetstream v1 wire (``/subscribe``): its address, and its messages into events.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what
operations say (``operations``). ``decode`` never raises: whatever is malformed is counted by reason, and a message
with a usable time still moves the cursor, so that one poisonous event can't stop the stream.

Wire: https://github.com/bluesky-social/jetstream. One JSON object a text frame; time_us is the cursor.

Four of five messages are well-formed likes. Those are read through msgspec's types, which skip what is not
asked for; any message that does not fit them is read again with care, field by field.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import orjson

from pipeline.identifiers import is_did, parse_post_uri
from pipeline.ingest.operations import LIKE, POST, add_account, add_like, add_operation
from pipeline.ingest.records import time_us_of_text
from pipeline.store.events import EventBatch

WIRE = "jetstream-v1"

# Outside these, a time_us is no time: 2020-01-01 and 2100-01-01.
EARLIEST_US = 1_577_836_800_000_000
LATEST_US = 4_102_444_800_000_000


class _Subject(msgspec.Struct, gc=False):
    uri: str


class _LikeRecord(msgspec.Struct, gc=False):
    subject: _Subject


class _Commit(msgspec.Struct, gc=False):
    operation: str
    collection: str
    rkey: str
    rev: str = ""
    record: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct, gc=False):
    did: str
    time_us: int
    kind: str
    commit: _Commit | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_like = msgspec.json.Decoder(_LikeRecord).decode
MISFITS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def subscribe_url(url: str, cursor: int, collections: Iterable[str] = (LIKE, POST)) -> str:
    """Return the address to connect to: the collections, and the cursor in microseconds to resume from."""
    parts = urlsplit(url)
    query = [
        (key, value) for key, value in parse_qsl(parts.query) if key not in {"wantedCollections", "cursor"}
    ]
    query += [("wantedCollections", name) for name in collections]
    query.append(("cursor", str(cursor)))
    return urlunsplit(parts._replace(query=urlencode(query)))


def decode(message: str | bytes, batch: EventBatch) -> None:
    """Add what one message says to the batch."""
    try:
        event = _decode_event(message)
        commit = event.commit
        if commit is None or commit.collection != LIKE or event.kind != "commit":
            decode_with_care(message, batch)
            return
        subject = subject_of(commit.operation, commit.record)
    except MISFITS:
        decode_with_care(message, batch)
        return
    seen_us = event.time_us
    if not EARLIEST_US < seen_us < LATEST_US:
        batch.drop("bad_time")
        return
    batch.reach(seen_us, seen_us)
    if is_did(event.did):
        add_like(event.did, seen_us, commit.rev, commit.rkey, commit.operation, subject, batch)
    else:
        batch.drop("bad_did")


def subject_of(operation: str, record: msgspec.Raw) -> tuple[str, int] | str:
    """Return what a well-formed like names, as ``records.like_subject`` does; one of MISFITS is raised for others."""
    if operation == "delete":
        return ""
    return parse_post_uri(_decode_like(record).subject.uri) or "like_of_no_post"


def decode_with_care(message: str | bytes, batch: EventBatch) -> None:
    """Do the same for any message, however odd."""
    try:
        event = orjson.loads(message)
    except (orjson.JSONDecodeError, RecursionError):
        batch.drop("not_json")
        return
    if type(event) is not dict:
        batch.drop("not_an_event")
        return
    seen_us = event.get("time_us")
    if type(seen_us) is not int or not EARLIEST_US < seen_us < LATEST_US:
        batch.drop("bad_time")
        return
    batch.reach(seen_us, seen_us)
    did = event.get("did")
    kind = event.get("kind")
    if not is_did(did):
        batch.drop("bad_did")
    elif kind == "commit":
        add_commit(did, seen_us, event.get("commit"), batch)
    elif kind == "account":
        add_account_event(did, seen_us, event.get("account"), batch)
    elif kind == "identity":
        batch.event("identity")
    else:
        batch.drop("unknown_kind")


def add_commit(did: str, seen_us: int, commit: Any, batch: EventBatch) -> None:
    """Add an operation as both versions of Jetstream spell it."""
    if type(commit) is not dict:
        batch.drop("commit_without_body")
        return
    get = commit.get
    add_operation(
        did,
        seen_us,
        get("rev"),
        get("collection"),
        get("rkey"),
        get("operation"),
        get("record"),
        batch,
    )


def add_account_event(did: str, seen_us: int, account: Any, batch: EventBatch) -> None:
    """Add an account's status as both versions of Jetstream spell it: the relay's own event."""
    body = account if type(account) is dict else {}
    said_us = time_us_of_text(body.get("time")) or seen_us
    add_account(did, seen_us, said_us, body.get("active"), body.get("status"), batch)
