"""What an event says, whichever wire it came by: an operation on a record, or an account's status.

Owns: which collections are wanted, and the reasons for which an operation is dropped. Leaves to others: the
bytes (``jetstream``, ``firehose``), the records' fields (``records``). Never raises for any input.
"""

from typing import Any

from pipeline.identifiers import rkey_to_int
from pipeline.ingest.records import created_us, like_subject, post_flags, post_langs
from pipeline.store.events import AccountChange, EventBatch, Like, Post, PostDeletion, Unlike
from pipeline.store.model import AccountStatus

LIKE = "app.bsky.feed.like"
POST = "app.bsky.feed.post"

_STATUSES = {
    "deactivated": AccountStatus.DEACTIVATED,
    "takendown": AccountStatus.TAKENDOWN,
    "suspended": AccountStatus.SUSPENDED,
    "deleted": AccountStatus.DELETED,
}


def add_operation(
    did: str, seen_us: int, collection: Any, rkey_text: Any, operation: Any, record: Any, batch: EventBatch
) -> None:
    """Add what an operation on a record says to the batch."""
    if collection not in (LIKE, POST):
        batch.drop("other_collection")
        return
    rkey = rkey_to_int(rkey_text)
    if rkey is None:
        batch.drop("bad_rkey")
    elif operation not in ("create", "update", "delete"):
        batch.drop("unknown_operation")
    elif collection == LIKE:
        _add_like(did, rkey, seen_us, operation, record, batch)
    elif rkey < 0:
        batch.drop("post_rkey_no_tid")
    else:
        _add_post(did, rkey, seen_us, operation, record, batch)


def add_account(did: str, seen_us: int, active: Any, word: Any, batch: EventBatch) -> None:
    """Add an account's status to the batch: ``active`` decides, ``word`` explains."""
    if type(active) is not bool:
        batch.drop("account_without_active")
        return
    status = AccountStatus.INACTIVE
    if active:
        status = AccountStatus.ACTIVE
    elif isinstance(word, str):
        status = _STATUSES.get(word, AccountStatus.INACTIVE)
    batch.accounts.append(AccountChange(did, status, seen_us))
    batch.event("account")


def _add_like(did: str, rkey: int, seen_us: int, operation: str, record: Any, batch: EventBatch) -> None:
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


def _add_post(did: str, rkey: int, seen_us: int, operation: str, record: Any, batch: EventBatch) -> None:
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
