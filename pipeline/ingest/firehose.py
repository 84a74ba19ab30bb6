"""The firehose of a relay or a PDS (``com.atproto.sync.subscribeRepos``): its frames into events.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what operations
say (``operations``). ``decode`` never raises: whatever is malformed is counted by reason, and a frame with a
usable seq still moves the cursor.

Wire: https://atproto.com/specs/event-stream and /specs/sync. A frame is two DAG-CBOR objects, header and
body; records lie in the body's CAR blocks. time is the word of each PDS (``pipeline.clock``). seq is the
cursor, each host counts its own. Frames are not verified, as is usual for feeds: the relay, or the operator's
own PDS, is trusted.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import libipld

from pipeline.clock import WhenSeen, as_claimed
from pipeline.identifiers import is_did
from pipeline.ingest import car
from pipeline.ingest.jetstream import LATEST_US
from pipeline.ingest.operations import LIKE, POST, add_account, add_operation, add_reset
from pipeline.ingest.records import time_us_of_text
from pipeline.store.events import EventBatch

WIRE = "firehose"
PATH = "com.atproto.sync.subscribeRepos"

_SEQ_MAX = 2**63 - 1


def subscribe_url(url: str, cursor: int | None) -> str:
    """Return the address to connect to: events after the seq ``cursor``; 0 is the oldest kept, None what comes."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "cursor"]
    if cursor is not None:
        query.append(("cursor", str(cursor)))
    return urlunsplit(parts._replace(query=urlencode(query)))


def decode(messages: Iterable[str | bytes], batch: EventBatch, when_seen: WhenSeen = as_claimed) -> None:
    """Add what frames say to the batch; ``when_seen`` decides when each was seen."""
    frames: list[tuple[Any, dict[str, Any]]] = []
    claims: list[int] = []
    for message in messages:
        frame = _read(message, batch)
        if frame is None:
            continue
        seq, claimed_us = frame[1].get("seq"), time_us_of_text(frame[1].get("time"))
        if type(seq) is not int or not 0 < seq <= _SEQ_MAX or claimed_us is None or claimed_us > LATEST_US:
            batch.drop("bad_time")
            continue
        frames.append(frame)
        claims.append(claimed_us)
    if not frames:
        return
    seen = when_seen(claims)
    batch.reach(frames[0][1]["seq"], frames[-1][1]["seq"], seen)
    for (kind, body), seen_us in zip(frames, seen, strict=True):
        _add(kind, body, seen_us, batch)


def _read(message: str | bytes, batch: EventBatch) -> tuple[Any, dict[str, Any]] | None:
    """Return a frame's kind and body; None when there is no event in it."""
    try:
        header, body = libipld.decode_dag_cbor_multi(message if type(message) is bytes else b"")
    except (
        ValueError,
        RecursionError,
    ):  # also when there are more or fewer than two objects, or too deep ones
        batch.drop("not_a_frame")
        return None
    if type(header) is not dict or type(body) is not dict:
        batch.drop("not_a_frame")
        return None
    if header.get("op") == -1:
        _decode_error(body, batch)
        return None
    if header.get("t") == "#info":
        batch.event("info")  # OutdatedCursor: the host goes on from the oldest it keeps
        return None
    return header.get("t"), body


def _add(kind: Any, body: dict[str, Any], seen_us: int, batch: EventBatch) -> None:
    did = body.get("repo") if kind == "#commit" else body.get("did")
    if not is_did(did):
        batch.drop("bad_did")
    elif kind == "#commit":
        _decode_commit(did, seen_us, body, batch)
    elif kind == "#account":
        add_account(did, seen_us, body.get("active"), body.get("status"), batch)
    elif kind == "#identity":
        batch.event("identity")
    elif kind == "#sync":
        add_reset(did, batch)
    else:
        batch.drop("unknown_kind")


def _decode_commit(did: str, seen_us: int, body: dict[str, Any], batch: EventBatch) -> None:
    ops = body.get("ops")
    if type(ops) is not list:
        batch.drop("commit_without_body")
        return
    wanted = []
    for op in ops:
        path = op.get("path") if type(op) is dict else None
        if type(path) is not str:
            batch.drop("commit_without_body")
            continue
        collection, _, rkey = path.partition("/")
        if collection in (LIKE, POST):
            wanted.append((collection, rkey, op.get("action"), op.get("cid")))
        else:
            batch.drop("other_collection")
    # Most commits of other collections end here: their blocks are not looked at.
    cids = {cid for *_, cid in wanted if type(cid) is bytes and cid}
    found = _records(body.get("blocks"), cids, batch) if cids else {}
    for collection, rkey, action, cid in wanted:
        record = found.get(cid) if type(cid) is bytes else None
        add_operation(did, seen_us, body.get("rev"), collection, rkey, action, record, batch)


def _records(data: Any, cids: set[bytes], batch: EventBatch) -> dict[bytes, Any]:
    try:
        return car.records(data if type(data) is bytes else b"", cids)
    except (ValueError, RecursionError):
        batch.drop("bad_blocks")
        return {}


def _decode_error(body: dict[str, Any], batch: EventBatch) -> None:
    # The host closes after it. FutureCursor: its seq went back (a new host at an old address); asking with
    # the same cursor again would go on for ever.
    name = body.get("error")
    known = name if name in {"FutureCursor", "ConsumerTooSlow"} else "other"
    batch.counts["connection", f"error_{known}"] += 1
    if name == "FutureCursor":
        batch.cursor_is_void = True
