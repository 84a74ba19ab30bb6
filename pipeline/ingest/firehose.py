"""The firehose of a relay or a PDS (``com.atproto.sync.subscribeRepos``): its frames into events.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what operations
say (``operations``). ``decode`` never raises: whatever is malformed is counted by reason, and a frame with a
usable seq still moves the cursor.

Wire: https://atproto.com/specs/event-stream and /specs/sync. A frame is two DAG-CBOR objects, header and
body; records lie in the body's CAR blocks. time is the word of each PDS (``stream_clock``). seq is the
cursor, each host counts its own. Frames are not verified, as is usual for feeds: the relay, or the operator's
own PDS, is trusted.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import libipld

from pipeline.identifiers import is_did
from pipeline.ingest import car
from pipeline.ingest.jetstream import LATEST_US
from pipeline.ingest.operations import LIKE, POST, add_account, add_operation, add_reset
from pipeline.ingest.records import time_us_of_text
from pipeline.ingest.stream_clock import StreamClock
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


class FrameDecoder:
    """Decodes the frames of one connection, each seen when the stream is."""

    def __init__(self, resumed_us: int) -> None:
        self._seen = StreamClock(resumed_us).seen_us

    def __call__(self, messages: Iterable[str | bytes], batch: EventBatch) -> None:
        """Add what frames say to the batch."""
        for message in messages:
            decode(message, batch, self._seen)


def decode(message: str | bytes, batch: EventBatch, seen: Callable[[int], int] | None = None) -> None:
    """Add what one frame says to the batch; ``seen`` tells when an event is seen that claims a time."""
    try:
        header, body = libipld.decode_dag_cbor_multi(message if type(message) is bytes else b"")
    except ValueError:  # also when there are more or fewer than two objects
        batch.drop("not_a_frame")
        return
    if type(header) is not dict or type(body) is not dict:
        batch.drop("not_a_frame")
        return
    if header.get("op") == -1:
        _decode_error(body, batch)
        return
    kind = header.get("t")
    if kind == "#info":
        batch.event("info")  # OutdatedCursor: the host goes on from the oldest it keeps
        return
    seq, said_us = body.get("seq"), time_us_of_text(body.get("time"))
    if type(seq) is not int or not 0 < seq <= _SEQ_MAX or said_us is None or said_us > LATEST_US:
        batch.drop("bad_time")
        return
    seen_us = said_us if seen is None else seen(said_us)
    batch.reach(seq, seen_us)
    did = body.get("repo") if kind == "#commit" else body.get("did")
    if not is_did(did):
        batch.drop("bad_did")
    elif kind == "#commit":
        _decode_commit(did, seen_us, body, batch)
    elif kind == "#account":
        add_account(did, seen_us, said_us, body.get("active"), body.get("status"), batch)
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
