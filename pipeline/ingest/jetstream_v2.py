"""The Jetstream v2 wire (``network.bsky.jetstream.subscribeEvents``): its address, dictionary and messages.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what
operations say (``operations``). ``MessageDecoder`` never raises for any input: whatever is malformed is counted by
reason.

Wire: the lexicon network.bsky.jetstream.subscribeEvents. One JSON object a message, in an envelope {"$type":
"message", "payload": {...}}; with a dictionary each message is one zstd frame. The cursor is a seq of this
host, inclusive, or from 10^15 on a time in microseconds, which also another host understands.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import orjson
import zstandard

from pipeline.clock import WhenSeen, as_claimed
from pipeline.identifiers import is_did
from pipeline.ingest.jetstream import (
    LATEST_US,
    MISFITS,
    Commit,
    WaitingEvents,
    add_account_event,
    add_commit,
    needs_whole_record,
)
from pipeline.ingest.operations import WANTED, add_identity, add_reset
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


class _Payload(
    Commit, gc=False, tag_field="$type", tag=_COMMIT, rename={"witnessed_at": "witnessedAt"}, kw_only=True
):
    seq: int
    did: str
    time: str = ""
    witnessed_at: str = ""


class _Message(msgspec.Struct, gc=False):
    payload: _Payload


_decode_message = msgspec.json.Decoder(_Message).decode


def subscribe_url(url: str, cursor: int, dictionary_id: int | None) -> str:
    """Return the address to connect to; ``cursor`` is a seq or a time in microseconds, as its size tells."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in _OURS]
    query += [("collections", name) for name in WANTED]
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


class MessageDecoder:
    """Decodes the messages of one connection, compressed with its dictionary or not at all."""

    def __init__(self, dictionary: bytes | None = None) -> None:
        self._decompress = None
        if dictionary is not None:
            known = zstandard.ZstdCompressionDict(dictionary)
            self._decompress = zstandard.ZstdDecompressor(dict_data=known).decompress

    def __call__(
        self, messages: Iterable[str | bytes], batch: EventBatch, when_seen: WhenSeen = as_claimed
    ) -> None:
        """Add what messages say to the batch; ``when_seen`` decides when each was seen."""
        decode(messages if self._decompress is None else self._unpacked(messages, batch), batch, when_seen)

    def _unpacked(self, messages: Iterable[str | bytes], batch: EventBatch) -> Iterator[str | bytes]:
        assert self._decompress is not None
        for message in messages:
            if isinstance(message, str):
                yield message
                continue
            try:
                # The library heeds its limit only where a frame does not tell its size.
                if zstandard.frame_content_size(message) > MESSAGE_BYTES_MAX:
                    batch.drop("not_zstd")
                    continue
                unpacked = self._decompress(message, MESSAGE_BYTES_MAX)
            except (zstandard.ZstdError, MemoryError):
                batch.drop("not_zstd")
            else:
                yield unpacked


def decode(messages: Iterable[str | bytes], batch: EventBatch, when_seen: WhenSeen = as_claimed) -> None:
    """Add what decompressed messages say to the batch; ``when_seen`` decides when each was seen."""
    waiting = WaitingEvents()
    seqs: list[int] = []
    claims: list[int] = []
    for message in messages:
        typed = payload = None
        try:
            typed = _decode_message(message).payload
            if needs_whole_record(typed, batch):
                typed = None
        except MISFITS:
            pass
        if typed is not None:
            seq: Any = typed.seq
            claimed_us = time_us_of_text(typed.witnessed_at) or time_us_of_text(typed.time)
        else:
            payload = _read_with_care(message, batch)
            if payload is None:
                continue
            seq = payload.get("seq")
            claimed_us = time_us_of_text(payload.get("witnessedAt")) or time_us_of_text(payload.get("time"))
        if (
            type(seq) is not int
            or not 0 < seq < TIME_CURSOR_MIN
            or claimed_us is None
            or claimed_us > LATEST_US
        ):
            batch.drop("bad_time")
            continue
        if typed is not None:
            waiting.add(typed.did, typed, len(claims))
        elif payload is not None:
            waiting.odd.append((len(claims), payload))
        seqs.append(seq)
        claims.append(claimed_us)
    if not claims:
        return
    seen = when_seen(claims)
    batch.reach(seqs[0], seqs[-1], seen)
    waiting.add_to(batch, seen, _add_with_care)


def _read_with_care(message: str | bytes, batch: EventBatch) -> dict[str, Any] | None:
    """Return the payload of a message that does not fit the types; None when it has none of an event."""
    try:
        envelope = orjson.loads(message)
    except (orjson.JSONDecodeError, RecursionError):
        batch.drop("not_json")
        return None
    payload = envelope.get("payload") if type(envelope) is dict else None
    if type(envelope) is dict and envelope.get("$type") == "error":
        batch.counts["connection", "error_frame"] += 1
        return None
    if type(payload) is not dict or type(payload.get("$type")) is not str:
        batch.drop("not_an_event")
        return None
    if payload["$type"] == _TYPE + "info":
        _note_info(payload.get("name"), batch)
        return None
    return payload


def _add_with_care(payload: dict[str, Any], seen_us: int, batch: EventBatch) -> None:
    did, kind = payload.get("did"), payload["$type"].removeprefix(_TYPE)
    if not is_did(did):
        batch.drop("bad_did")
    elif kind == "commit":
        add_commit(did, seen_us, payload, batch)
    elif kind == "account":
        add_account_event(did, seen_us, payload.get("account"), batch)
    elif kind == "identity":
        add_identity(did, batch)
    elif kind == "sync":
        add_reset(did, batch)
    else:
        batch.drop("unknown_kind")


def _note_info(name: Any, batch: EventBatch) -> None:
    known = name if name in ("OutdatedCursor", "FutureCursor") else "other"
    batch.counts["connection", f"info_{known}"] += 1
    if name == "FutureCursor":
        # This host never gave the seq we asked for, and went on live: what lies between would be lost.
        batch.cursor_is_void = True
