"""The stream of a labeler (``com.atproto.label.subscribeLabels``): its frames into statements.

Owns: everything that is particular to this wire, and which labels count. Leaves to others: the connection (``follow``),
keys (whoever gives ``verifies``), what a statement changes (``store.labels``). ``decode`` never raises: whatever is
malformed, wrongly signed or of no use is counted by reason, and a frame with a usable seq still moves the cursor.

Wire: https://atproto.com/specs/label and /specs/event-stream. A frame is two DAG-CBOR objects as on the relay's wire.
What a label is about and what it says are looked at first: a signature costs fifty times as much.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import libipld

from pipeline.identifiers import is_did, parse_post_uri
from pipeline.ingest.cbor import CborError, decode_cbor_pair
from pipeline.ingest.records import time_us_of_text
from pipeline.store.labels import ACCOUNT, PROFILE, LabelBatch, LabelStatement

WIRE = "labels"
_SEQ_MAX = 2**63 - 1
_PROFILE_URI = re.compile(r"at://([^/]+)/app\.bsky\.actor\.profile/self")
_NOT_SIGNED = ("sig", "$type")
_KNOWN_ERRORS = ("FutureCursor", "ConsumerTooSlow")

Verifies = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class WantedLabels:
    """Which labels count: those that a labeler signed, with values that withhold something, on posts lists may name."""

    labeler: str
    verifies: Verifies
    levels: Mapping[str, int]
    first_rkey: int
    last_rkey: int
    after_seq: int  # what comes up to here is stored already


def subscribe_url(url: str, cursor: int) -> str:
    """Return the address to connect to: messages after the seq ``cursor``, 0 for all there are."""
    return f"{url}?{urlencode({'cursor': cursor})}"


def decode(messages: Iterable[bytes], wanted: WantedLabels) -> LabelBatch:
    """Return what messages say."""
    batch = LabelBatch()
    for message in messages:
        batch.messages += 1
        body = _read(message, batch)
        if body is None:
            continue
        seq, labels = body.get("seq"), body.get("labels")
        if type(seq) is not int or not 0 < seq <= _SEQ_MAX:
            _drop(batch, "bad_seq")
            continue
        batch.reached += 1
        if seq <= max(wanted.after_seq, batch.seq):
            _drop(batch, "replayed")
            continue
        batch.seq, batch.first_seq = seq, batch.first_seq or seq
        if type(labels) is not list:
            _drop(batch, "malformed")
            continue
        words = [_statement(label, wanted, batch.counts) for label in labels]
        # Of one message the order may be any: the time of the label decides.
        found = sorted((word for word in words if word is not None), key=lambda word: word[0])
        batch.statements += [word for _, word in found]
        if found:
            batch.stated_us = max(batch.stated_us, found[-1][0])
    return batch


def seq_and_age(message: bytes) -> tuple[int, float] | None:
    """Return a message's seq, and how many seconds ago its newest label was made; None when it has no label."""
    body = _read(message, LabelBatch()) or {}
    seq, labels = body.get("seq"), body.get("labels")
    times = [time_us_of_text(label.get("cts")) for label in _list(labels) if type(label) is dict]
    made_us = max((time_us for time_us in times if time_us is not None), default=None)
    return None if type(seq) is not int or made_us is None else (seq, time.time() - made_us / 1e6)


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _read(message: bytes, batch: LabelBatch) -> dict[str, Any] | None:
    """Return a frame's body; None when there are no labels in it."""
    try:
        header, body = decode_cbor_pair(message)
    except CborError as error:
        _drop(batch, error.reason("frame"))
        return None
    if type(header) is not dict or type(body) is not dict:
        _drop(batch, "bad_frame")
        return None
    if header.get("op") == -1:
        name = body.get("error")
        known = name if name in _KNOWN_ERRORS else "other"
        batch.counts["connection", f"label_error_{known}"] += 1
        batch.cursor_is_void = batch.cursor_is_void or name == "FutureCursor"
        return None
    if header.get("t") == "#info":
        batch.counts["event", "label_info"] += 1
        batch.outdated = batch.outdated or body.get("name") == "OutdatedCursor"
        return None
    if header.get("t") != "#labels":
        _drop(batch, "unknown_kind")
        return None
    return body


def _statement(
    label: Any, wanted: WantedLabels, counts: Counter[tuple[str, str]]
) -> tuple[int, LabelStatement] | None:
    """Return what a label says and when it was made, None when it does not count."""
    word = _read_label(label, wanted)
    if isinstance(word, str):
        counts["drop", f"label_{word}"] += 1
        return None
    counts["event", "label" if word[1].level else "label_negated"] += 1
    return word


def _read_label(label: Any, wanted: WantedLabels) -> tuple[int, LabelStatement] | str:
    """Return the same, or the reason why it does not count."""
    if type(label) is not dict:
        return "malformed"
    val, uri, neg, exp = label.get("val"), label.get("uri"), label.get("neg", False), label.get("exp")
    made_us = time_us_of_text(label.get("cts"))
    if type(val) is not str or type(uri) is not str or type(neg) is not bool or made_us is None:
        return "malformed"
    until_us = None if exp is None else time_us_of_text(exp)
    if exp is not None and until_us is None:
        return "malformed"
    if label.get("src") != wanted.labeler:
        return "of_another_labeler"
    level = wanted.levels.get(val)
    if level is None:
        return "other_value"
    subject = _subject(uri)
    if subject is None:
        return "other_subject"
    did, rkey = subject
    if rkey >= 0 and not wanted.first_rkey <= rkey <= wanted.last_rkey:
        return "of_old_post" if rkey < wanted.first_rkey else "of_future_post"
    signature = label.get("sig")
    if type(signature) is not bytes:
        return "unsigned"
    if not _is_signed(label, signature, wanted.verifies):
        return "bad_signature"
    if neg or (until_us is not None and until_us <= time.time_ns() // 1000):
        level = 0
    return made_us, LabelStatement(did, rkey, val, level, until_us)


def _subject(uri: str) -> tuple[str, int] | None:
    """Return the DID and the record key of what a label is about; None for what no list has."""
    if uri.startswith("did:"):
        return (uri, ACCOUNT) if is_did(uri) else None
    post = parse_post_uri(uri)
    if post is not None:
        return post
    profile = _PROFILE_URI.fullmatch(uri)
    return (profile[1], PROFILE) if profile is not None and is_did(profile[1]) else None


def _is_signed(label: dict[str, Any], signature: bytes, verifies: Verifies) -> bool:
    signed = {name: value for name, value in label.items() if name not in _NOT_SIGNED}
    try:
        if verifies(signature, libipld.encode_dag_cbor(signed)):
            return True
        # Labelers differ in whether "not negated" is written out, in what they sign and in what they send.
        if signed.pop("neg", None) is None:
            signed["neg"] = False
        elif label["neg"]:
            return False
        return verifies(signature, libipld.encode_dag_cbor(signed))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return False


def _drop(batch: LabelBatch, reason: str) -> None:
    batch.counts["drop", f"label_{reason}"] += 1
