"""The Jetstream v1 wire (``/subscribe``): its address, and its messages into events.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), what
operations say (``operations``). ``decode`` never raises: whatever is malformed is counted by reason, and a
message with a usable time still moves the cursor, so that one poisonous event can't stop the stream.

Wire: https://github.com/bluesky-social/jetstream. One JSON object a text frame; time_us is the cursor.

Nearly all messages are well-formed commits. They are read through msgspec's types, which skip what is not
asked for, and their likes are numbered many at a time (``plain_likes``); any message that does not fit the
types is read again with care, field by field.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import orjson

from pipeline.clock import WhenSeen, as_claimed
from pipeline.identifiers import is_did
from pipeline.ingest.operations import (
    LIKE,
    POST,
    WANTED,
    add_account,
    add_identity,
    add_operation,
    add_too_big,
)
from pipeline.ingest.plain_likes import LikeTexts, add_likes
from pipeline.store.events import EventBatch

WIRE = "jetstream-v1"

# Outside these, a time_us is no time: 2020-01-01 and 2100-01-01.
EARLIEST_US = 1_577_836_800_000_000
LATEST_US = 4_102_444_800_000_000


class _Subject(msgspec.Struct, gc=False):
    uri: str


class _Object(msgspec.Struct, gc=False):
    """Any object: only that it is there counts."""


class Record(msgspec.Struct, gc=False):
    """What is read of a like, a post or a profile."""

    subject: _Subject | None = None
    created_at: str | None = msgspec.field(name="createdAt", default=None)
    reply: _Object | None = None
    embed: Any = None
    langs: list[str] | None = None
    labels: Any = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``records`` reads it."""
        return {
            "subject": None if self.subject is None else {"uri": self.subject.uri},
            "createdAt": self.created_at,
            "reply": self.reply,
            "embed": self.embed,
            "langs": self.langs,
            "labels": self.labels,
        }


class Commit(msgspec.Struct, gc=False):
    """An operation as both versions of Jetstream spell it."""

    operation: str
    collection: str
    rkey: str
    rev: str = ""
    record: Record | None = None
    too_big: bool = msgspec.field(name="tooBig", default=False)


class _Event(msgspec.Struct, gc=False):
    did: str
    time_us: int
    kind: str
    commit: Commit | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
MISFITS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def subscribe_url(url: str, cursor: int) -> str:
    """Return the address to connect to: the collections, and the cursor in microseconds to resume from."""
    parts = urlsplit(url)
    query = [
        (key, value) for key, value in parse_qsl(parts.query) if key not in {"wantedCollections", "cursor"}
    ]
    query += [("wantedCollections", name) for name in WANTED]
    query.append(("cursor", str(cursor)))
    return urlunsplit(parts._replace(query=urlencode(query)))


def needs_whole_record(commit: Commit | None, batch: EventBatch) -> bool:
    """Tell whether the types leave out what is needed: the operator's rules are about all that a post says."""
    return (
        batch.blocks is not None
        and commit is not None
        and commit.collection == POST
        and commit.record is not None
    )


def decode(messages: Iterable[str | bytes], batch: EventBatch, when_seen: WhenSeen = as_claimed) -> None:
    """Add what messages say to the batch; ``when_seen`` decides when each was seen."""
    waiting = WaitingEvents()
    claims: list[int] = []
    for message in messages:
        commit: Commit | None = None
        time_us: Any = None
        try:
            typed = _decode_event(message)
            if typed.kind == "commit" and not needs_whole_record(typed.commit, batch):
                commit = typed.commit
            did, time_us = typed.did, typed.time_us
        except MISFITS:
            pass
        event = None
        if commit is None:
            event = _read_with_care(message, batch)
            if event is None:
                continue
            time_us = event.get("time_us")
        if not (type(time_us) is int and EARLIEST_US < time_us < LATEST_US):
            batch.drop("bad_time")
            continue
        if commit is not None:
            waiting.add(did, commit, len(claims))
        elif event is not None:
            waiting.odd.append((len(claims), event))
        claims.append(time_us)
    if not claims:
        return
    seen = when_seen(claims)
    batch.reach(seen[0], seen[-1], seen)
    waiting.add_to(batch, seen, _add_with_care)


class WaitingEvents:
    """Events of either version of Jetstream until it is decided when they were seen; each knows its place among them.

    Of a like only its texts are kept. Thousands of decoded messages do not fit the processor's caches.
    """

    __slots__ = ("likes", "odd", "others")

    def __init__(self) -> None:
        self.likes: list[LikeTexts] = []
        self.others: list[tuple[int, str, Commit]] = []
        self.odd: list[tuple[int, dict[str, Any]]] = []  # read field by field

    def add(self, did: str, commit: Commit, place: int) -> None:
        """Add an operation that fits the types."""
        record = commit.record
        if (
            commit.operation == "create"
            and commit.collection == LIKE
            and record is not None
            and record.subject is not None
            and not commit.too_big
        ):
            self.likes.append((did, commit.rkey, commit.rev, record.subject.uri, place))
        else:
            self.others.append((place, did, commit))

    def add_to(
        self,
        batch: EventBatch,
        seen: Sequence[int],
        add_with_care: Callable[[dict[str, Any], int, EventBatch], None],
    ) -> None:
        """Add all to the batch, which keeps no order but that of an account's words: those are all odd."""
        for place, event in self.odd:
            add_with_care(event, seen[place], batch)
        for place, did, commit in self.others:
            if not is_did(did):
                batch.drop("bad_did")
                continue
            if commit.too_big:
                add_too_big(did, batch)
            add_operation(
                did,
                seen[place],
                commit.rev,
                commit.collection,
                commit.rkey,
                commit.operation,
                None if commit.record is None else commit.record.as_dict(),
                batch,
            )
        add_likes(self.likes, seen, batch)


def _read_with_care(message: str | bytes, batch: EventBatch) -> dict[str, Any] | None:
    """Return an event that does not fit the types, as a dict; None when it is not one."""
    try:
        event = orjson.loads(message)
    except (orjson.JSONDecodeError, RecursionError):
        batch.drop("not_json")
        return None
    if type(event) is not dict:
        batch.drop("not_an_event")
        return None
    return event


def _add_with_care(event: dict[str, Any], seen_us: int, batch: EventBatch) -> None:
    did, kind = event.get("did"), event.get("kind")
    if not is_did(did):
        batch.drop("bad_did")
    elif kind == "commit":
        add_commit(did, seen_us, event.get("commit"), batch)
    elif kind == "account":
        add_account_event(did, seen_us, event.get("account"), batch)
    elif kind == "identity":
        add_identity(did, batch)
    else:
        batch.drop("unknown_kind")


def add_commit(did: str, seen_us: int, commit: Any, batch: EventBatch) -> None:
    """Add an operation as both versions of Jetstream spell it."""
    if type(commit) is not dict:
        batch.drop("commit_without_body")
        return
    get = commit.get
    if get("tooBig") is True:
        add_too_big(did, batch)
        if get("operation") is None:  # none of its operations is left
            return
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
    add_account(did, seen_us, body.get("active"), body.get("status"), batch)
