"""The firehose of a relay or a PDS (``com.atproto.sync.subscribeRepos``): its frames into events.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what operations
say (``operations``). ``decode`` never raises: whatever is malformed is counted by reason, and a frame with a
usable seq still moves the cursor.

Wire: https://atproto.com/specs/event-stream and /specs/sync. A frame is two DAG-CBOR objects, header and
body; records lie in the body's CAR blocks. time is the word of each PDS (``pipeline.clock``). seq is the
cursor, each host counts its own. Frames are not verified, as is usual for feeds: the relay, or the operator's
own PDS, is trusted.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pipeline.clock import WhenSeen, as_claimed
from pipeline.identifiers import is_did
from pipeline.ingest import car
from pipeline.ingest.cbor import CborError, decode_cbor_pair
from pipeline.ingest.jetstream import LATEST_US
from pipeline.ingest.operations import (
    WANTED,
    add_account,
    add_identity,
    add_operation,
    add_reset,
    add_too_big,
)
from pipeline.ingest.records import time_us_of_text
from pipeline.store.events import EventBatch

WIRE = "firehose"
PATH = "com.atproto.sync.subscribeRepos"

_SEQ_MAX = 2**63 - 1

_Operation = tuple[str, str, Any, Any]  # collection, rkey, action, record
# What a frame says: the account's DID, (active, status) of it, the repository's revision, operations on its records.
_Event = tuple[str, tuple[Any, Any] | None, Any, Sequence[_Operation]]


def subscribe_url(url: str, cursor: int | None) -> str:
    """Return the address to connect to: events after the seq ``cursor``; 0 is the oldest kept, None what comes."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "cursor"]
    if cursor is not None:
        query.append(("cursor", str(cursor)))
    return urlunsplit(parts._replace(query=urlencode(query)))


def decode(messages: Iterable[str | bytes], batch: EventBatch, when_seen: WhenSeen = as_claimed) -> None:
    """Add what frames say to the batch; ``when_seen`` decides when each was seen.

    Of a frame only what is wanted is kept until then: its blocks are a hundred times as large.
    """
    events: list[_Event] = []
    seqs: list[int] = []
    claims: list[int] = []
    for message in messages:
        frame = _read(message, batch)
        if frame is None:
            continue
        kind, body = frame
        seq, claimed_us = body.get("seq"), time_us_of_text(body.get("time"))
        if type(seq) is not int or not 0 < seq <= _SEQ_MAX or claimed_us is None or claimed_us > LATEST_US:
            batch.drop("bad_time")
            continue
        seqs.append(seq)
        claims.append(claimed_us)
        events.append(_event(kind, body, batch))
    if not events:
        return
    seen = when_seen(claims)
    batch.reach(seqs[0], seqs[-1], seen)
    for (did, account, rev, operations), seen_us in zip(events, seen, strict=True):
        if account is not None:
            add_account(did, seen_us, *account, batch)
        for operation in operations:
            add_operation(did, seen_us, rev, *operation, batch)


def _read(message: str | bytes, batch: EventBatch) -> tuple[Any, dict[str, Any]] | None:
    """Return a frame's kind and body; None when there is no event in it."""
    try:
        header, body = decode_cbor_pair(message if type(message) is bytes else b"")
    except CborError as error:
        batch.drop(error.reason("frame"))
        return None
    if type(header) is not dict or type(body) is not dict:
        batch.drop("bad_frame")
        return None
    if header.get("op") == -1:
        _decode_error(body, batch)
        return None
    if header.get("t") == "#info":
        batch.event("info")  # OutdatedCursor: the host goes on from the oldest it keeps
        return None
    return header.get("t"), body


def _event(kind: Any, body: dict[str, Any], batch: EventBatch) -> _Event:
    """Return what a frame says of an account or of records; the rest is counted here."""
    did = body.get("repo") if kind == "#commit" else body.get("did")
    if not is_did(did):
        batch.drop("bad_did")
    elif kind == "#commit":
        if body.get("tooBig") is True:
            add_too_big(did, batch)
        return did, None, body.get("rev"), _operations(body, batch)
    elif kind == "#account":
        return did, (body.get("active"), body.get("status")), None, ()
    elif kind == "#identity":
        add_identity(did, batch)
    elif kind == "#sync":
        add_reset(did, batch)
    else:
        batch.drop("unknown_kind")
    return "", None, None, ()


def _operations(body: dict[str, Any], batch: EventBatch) -> Sequence[_Operation]:
    ops = body.get("ops")
    if type(ops) is not list:
        batch.drop("commit_without_body")
        return ()
    wanted: dict[str, tuple[str, str, Any, Any]] = {}
    for op in ops:
        path = op.get("path") if type(op) is dict else None
        if type(path) is not str:
            batch.drop("commit_without_body")
            continue
        collection, _, rkey = path.partition("/")
        if collection in WANTED:
            action = op.get("action")
            if path in wanted:  # of several operations on a record the last one counts
                action = "update" if action == "create" else action
                batch.event("operation_replaced")
            wanted[path] = (collection, rkey, action, op.get("cid"))
        else:
            batch.drop("other_collection")
    # Most commits of other collections end here: their blocks are not looked at.
    cids = {cid for *_, cid in wanted.values() if type(cid) is bytes and cid}
    found = _records(body.get("blocks"), cids, batch) if cids else {}
    return [
        (collection, rkey, action, found.get(cid) if type(cid) is bytes else None)
        for collection, rkey, action, cid in wanted.values()
    ]


def _records(data: Any, cids: set[bytes], batch: EventBatch) -> dict[bytes, Any]:
    try:
        return car.records(data if type(data) is bytes else b"", cids, batch.drop)
    except ValueError:
        batch.drop("bad_blocks")
        return {}


def _decode_error(body: dict[str, Any], batch: EventBatch) -> None:
    # The host closes after it. FutureCursor: its seq went back (a new host at an old address); asking with
    # the same cursor again would go on for ever.
    name = body.get("error")
    known = name if name in ("FutureCursor", "ConsumerTooSlow") else "other"  # it may be a list
    batch.counts["connection", f"error_{known}"] += 1
    if name == "FutureCursor":
        batch.cursor_is_void = True
