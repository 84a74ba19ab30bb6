"""The Jetstream v1 wire (``/subscribe``): its address, and its messages into events.

Owns: everything that is particular to this wire. Leaves to others: the connection (``follow``), reading
records (``records``). ``decode`` never raises: whatever is malformed is counted by reason, and a message
with a usable time still moves the cursor, so that one poisonous event can't stop the stream.

Wire: https://github.com/bluesky-social/jetstream. One JSON object a text frame; time_us is the cursor.
"""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson

from pipeline.identifiers import is_did, rkey_to_int
from pipeline.ingest.records import created_us, like_subject, post_flags, post_langs
from pipeline.store.events import AccountChange, EventBatch, Like, Post, PostDeletion, Unlike
from pipeline.store.model import AccountStatus

WIRE = "jetstream-v1"
LIKE = "app.bsky.feed.like"
POST = "app.bsky.feed.post"

# Outside these, a time_us is no time: 2020-01-01 and 2100-01-01.
_EARLIEST_US = 1_577_836_800_000_000
_LATEST_US = 4_102_444_800_000_000

_STATUSES = {
    "deactivated": AccountStatus.DEACTIVATED,
    "takendown": AccountStatus.TAKENDOWN,
    "suspended": AccountStatus.SUSPENDED,
    "deleted": AccountStatus.DELETED,
}


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
        _decode_commit(did, seen_us, event.get("commit"), batch)
    elif kind == "account":
        _decode_account(did, seen_us, event.get("account"), batch)
    elif kind == "identity":
        batch.event("identity")
    else:
        batch.drop("unknown_kind")


def _decode_commit(did: str, seen_us: int, commit: Any, batch: EventBatch) -> None:
    if type(commit) is not dict:
        batch.drop("commit_without_body")
        return
    collection = commit.get("collection")
    if collection not in (LIKE, POST):
        batch.drop("other_collection")
        return
    rkey = rkey_to_int(commit.get("rkey"))
    if rkey is None:
        batch.drop("bad_rkey")
        return
    operation = commit.get("operation")
    if operation not in ("create", "update", "delete"):
        batch.drop("unknown_operation")
    elif collection == LIKE:
        _decode_like(did, rkey, seen_us, operation, commit.get("record"), batch)
    elif rkey < 0:
        batch.drop("post_rkey_no_tid")
    else:
        _decode_post(did, rkey, seen_us, operation, commit.get("record"), batch)


def _decode_like(did: str, rkey: int, seen_us: int, operation: str, record: Any, batch: EventBatch) -> None:
    if operation == "delete":
        batch.unlikes.append(Unlike(did, rkey, seen_us))
        batch.event("unlike")
        return
    if operation == "update":
        # The record now says something else: what stood there before is gone, on whatever day it was.
        batch.unlikes.append(Unlike(did, rkey, seen_us - 1))
    subject = like_subject(record)
    if isinstance(subject, str):
        batch.drop(subject)
        return
    batch.likes.append(Like(did, rkey, subject[0], subject[1], seen_us))
    batch.event("like")


def _decode_post(did: str, rkey: int, seen_us: int, operation: str, record: Any, batch: EventBatch) -> None:
    if operation == "delete":
        batch.post_deletions.append(PostDeletion(did, rkey, seen_us))
        batch.event("post_deletion")
        return
    if not isinstance(record, dict):
        batch.drop("post_without_record")
        return
    made_us = created_us(record, seen_us)
    batch.posts.append(Post(did, rkey, made_us, seen_us, post_flags(record), post_langs(record)))
    batch.event("post")


def _decode_account(did: str, seen_us: int, account: Any, batch: EventBatch) -> None:
    active = account.get("active") if type(account) is dict else None
    if type(active) is not bool:
        batch.drop("account_without_active")
        return
    word = account.get("status")
    status = AccountStatus.INACTIVE
    if active:
        status = AccountStatus.ACTIVE
    elif isinstance(word, str):
        status = _STATUSES.get(word, AccountStatus.INACTIVE)
    batch.accounts.append(AccountChange(did, status, seen_us))
    batch.event("account")
