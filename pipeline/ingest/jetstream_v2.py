"""The Jetstream v2 wire (``network.bsky.jetstream.subscribeEvents``): its address, dictionary and messages.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what
operations say (``operations``). ``Decoder`` never raises for any input: whatever is malformed is counted by reason.

Wire: the lexicon network.bsky.jetstream.subscribeEvents. One JSON object a message, in an envelope
{"$type": "message", "payload": {...}}; with a dictionary each message is one zstd frame. The cursor is a seq of this
host, inclusive, or from 10^15 on a time in microseconds, which also another host understands.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import orjson
import zstandard

from pipeline.identifiers import is_did
from pipeline.ingest.jetstream import (
    LATEST_US,
    MISFITS,
    add_account_event,
    add_commit,
    subject_of,
)
from pipeline.ingest.operations import LIKE, POST, add_like, add_reset
from pipeline.ingest.records import time_us_of_text
from pipeline.store.events import EventBatch

WIRE = "jetstream-v2"
PATH = "network.bsky.jetstream.subscribeEvents"
DICTIONARY_PATH = "/xrpc/network.bsky.jetstream.getZstdDictionary"
TIME_CURSOR_MIN = 10**15  # a cursor from here on is a time in microseconds
MESSAGE_BYTES_MAX = 32 << 20  # of a message once decompressed

_TYPE = PATH + "#"
_COMMIT = _TYPE + "commit"
_OURS = {"cursor", "kinds", "collections", "zstdDictionary", "wantedCollections"}
_DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"


class _Payload(msgspec.Struct, gc=False, rename={"type": "$type", "witnessed_at": "witnessedAt"}):
    type: str
    seq: int
    did: str
    time: str
    collection: str
    operation: str
    rkey: str
    rev: str = ""
    witnessed_at: str = ""
    record: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct, gc=False):
    payload: _Payload


_decode_message = msgspec.json.Decoder(_Message).decode


def subscribe_url(
    url: str, cursor: int, dictionary_id: int | None, collections: Iterable[str] = (LIKE, POST)
) -> str:
    """Return the address to connect to; ``cursor`` is a seq or a time in microseconds, as its size tells."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in _OURS]
    query += [("collections", name) for name in collections]
    query.append(("cursor", str(cursor)))
    if dictionary_id is not None:
        query.append(("zstdDictionary", str(dictionary_id)))
    return urlunsplit(parts._replace(query=urlencode(query)))


def dictionary_url(url: str) -> str:
    """Return where this host's zstd dictionary is."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, DICTIONARY_PATH, "", ""))


def dictionary_id(blob: bytes) -> int | None:
    """Return the id of a zstd dictionary (RFC 8878, section 5), None when the bytes are none."""
    if len(blob) < 8 or blob[:4] != _DICTIONARY_MAGIC:
        return None
    return int.from_bytes(blob[4:8], "little")


class Decoder:
    """Decodes the messages of one connection, compressed with its dictionary or not at all."""

    def __init__(self, dictionary: bytes | None = None) -> None:
        self._decompress = None
        if dictionary is not None:
            known = zstandard.ZstdCompressionDict(dictionary)
            self._decompress = zstandard.ZstdDecompressor(dict_data=known).decompress

    def __call__(self, message: str | bytes, batch: EventBatch) -> None:
        """Add what one message says to the batch."""
        if self._decompress is not None and isinstance(message, bytes):
            try:
                message = self._decompress(message, max_output_size=MESSAGE_BYTES_MAX)
            except (zstandard.ZstdError, MemoryError):
                batch.drop("not_zstd")
                return
        decode(message, batch)


def decode(message: str | bytes, batch: EventBatch) -> None:
    """Add what one decompressed message says to the batch."""
    try:
        event = _decode_message(message).payload
        if event.type != _COMMIT or event.collection != LIKE:
            decode_with_care(message, batch)
            return
        subject = subject_of(event.operation, event.record)
    except MISFITS:
        decode_with_care(message, batch)
        return
    seen_us = time_us_of_text(event.witnessed_at or event.time)
    if not _reach(event.seq, seen_us, batch):
        return
    if is_did(event.did):
        add_like(event.did, batch.event_us, event.rev, event.rkey, event.operation, subject, batch)
    else:
        batch.drop("bad_did")


def decode_with_care(message: str | bytes, batch: EventBatch) -> None:
    """Do the same for any message, however odd."""
    try:
        envelope = orjson.loads(message)
    except (orjson.JSONDecodeError, RecursionError):
        batch.drop("not_json")
        return
    payload = envelope.get("payload") if type(envelope) is dict else None
    if type(envelope) is dict and envelope.get("$type") == "error":
        batch.counts["connection", "error_frame"] += 1
        return
    if type(payload) is not dict or type(payload.get("$type")) is not str:
        batch.drop("not_an_event")
        return
    kind = payload["$type"].removeprefix(_TYPE)
    if kind == "info":
        _note_info(payload.get("name"), batch)
        return
    seen_us = time_us_of_text(payload.get("witnessedAt")) or time_us_of_text(payload.get("time"))
    if not _reach(payload.get("seq"), seen_us, batch):
        return
    did = payload.get("did")
    if not is_did(did):
        batch.drop("bad_did")
    elif kind == "commit":
        add_commit(did, batch.event_us, payload, batch)
    elif kind == "account":
        add_account_event(did, batch.event_us, payload.get("account"), batch)
    elif kind == "identity":
        batch.event(kind)
    elif kind == "sync":
        add_reset(did, batch)
    else:
        batch.drop("unknown_kind")


def _reach(seq: Any, seen_us: int | None, batch: EventBatch) -> bool:
    if type(seq) is not int or not 0 < seq < TIME_CURSOR_MIN or seen_us is None or seen_us > LATEST_US:
        batch.drop("bad_time")
        return False
    batch.reach(seq, seen_us)
    return True


def _note_info(name: Any, batch: EventBatch) -> None:
    known = name if name in ("OutdatedCursor", "FutureCursor") else "other"
    batch.counts["connection", f"info_{known}"] += 1
    if name == "FutureCursor":
        # This host never gave the seq we asked for, and went on live: what lies between would be lost.
        batch.cursor_is_void = True
