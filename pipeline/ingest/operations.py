"""What an event says, whichever wire it came by: an operation on a record, or an account's status.

Owns: which collections are wanted, and the reasons for which an operation is dropped. Leaves to others: the bytes
(``jetstream``, ``jetstream_v2``, ``firehose``), the fields of records (``records``). Never raises for any input.
"""

from typing import Any

from pipeline.identifiers import rkey_to_int, tid_at, tid_to_int
from pipeline.ingest.records import created_us, like_subject, post_flags, post_langs, profile_level
from pipeline.store.events import AccountChange, EventBatch, Like, Post, PostDeletion, ProfileWord, Unlike
from pipeline.store.model import ORDINARY_US, AccountStatus, PostFlag, WordMark

LIKE = "app.bsky.feed.like"
POST = "app.bsky.feed.post"
PROFILE = "app.bsky.actor.profile"
WANTED = (LIKE, POST, PROFILE)

_STATUSES = {
    "deactivated": AccountStatus.DEACTIVATED,
    "takendown": AccountStatus.TAKENDOWN,
    "suspended": AccountStatus.SUSPENDED,
    "deleted": AccountStatus.DELETED,
}


def add_operation(
    did: str,
    seen_us: int,
    rev: Any,
    collection: Any,
    rkey_text: Any,
    operation: Any,
    record: Any,
    batch: EventBatch,
) -> None:
    """Add an operation on a record to the batch; ``record`` is a dict, or None where there is none."""
    if collection == LIKE:
        add_like(did, seen_us, rev, rkey_text, operation, like_subject(record), batch)
    elif collection == POST:
        _add_post(did, seen_us, rev, rkey_text, operation, record, batch)
    elif collection == PROFILE:
        _add_profile(did, seen_us, rev, rkey_text, operation, record, batch)
    else:
        batch.drop("other_collection")


def add_like(
    did: str,
    seen_us: int,
    rev: Any,
    rkey_text: Any,
    operation: Any,
    subject: tuple[str, int] | str,
    batch: EventBatch,
) -> None:
    """Add an operation on a like; ``subject`` is (author DID, rkey number), or why there is none."""
    rkey = rkey_to_int(rkey_text)
    if rkey is None:
        batch.drop("bad_rkey")
        return
    rev_number = _rev_number(rev, seen_us)
    if operation == "delete":
        batch.unlikes.append(Unlike(did, rkey, seen_us, rev_number))
        batch.event("unlike")
        return
    if operation not in ("create", "update"):
        batch.drop("unknown_operation")
        return
    again = operation == "update"
    if isinstance(subject, str):
        batch.drop(subject)
        # The record may have been a like of a post until now: always after an update, and when the key is older.
        if again or not 0 <= (rev_number >> 10) - (rkey >> 10) < ORDINARY_US:
            batch.unlikes.append(Unlike(did, rkey, seen_us, rev_number))
        return
    batch.likes.append(Like(did, rkey, *subject, seen_us, rev_number, WordMark.AGAIN if again else 0))
    batch.event("like")


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


def add_identity(did: str, batch: EventBatch) -> None:
    """Note that a DID's document changed, perhaps its key."""
    batch.identities.append(did)
    batch.event("identity")


def add_reset(did: str, batch: EventBatch) -> None:
    """Note that a repository was replaced without operations on the stream (``#sync``).

    This happens with a new account, and after a move to another PDS, an import or a repair. Likes may have been added
    and deleted unseen. Only the repository can tell which, so it is fetched again if the account is known.
    """
    batch.resets.append(did)
    batch.event("sync")


def add_too_big(did: str, batch: EventBatch) -> None:
    """Note a commit that was too big for the stream (``tooBig``): some of its operations, or all, are missing.

    The repository has them, as after a ``#sync``. What the commit does bring counts besides.
    """
    batch.resets.append(did)
    batch.drop("commit_too_big")


def _add_post(
    did: str, seen_us: int, rev: Any, rkey_text: Any, operation: Any, record: Any, batch: EventBatch
) -> None:
    rkey = rkey_to_int(rkey_text)
    if rkey is None:
        batch.drop("bad_rkey")
    elif operation not in ("create", "update", "delete"):
        batch.drop("unknown_operation")
    elif rkey < 0:
        batch.drop("post_rkey_no_tid")
    elif operation == "delete":
        batch.post_deletions.append(PostDeletion(did, rkey, seen_us, _rev_number(rev, seen_us)))
        batch.event("post_deletion")
    elif not isinstance(record, dict):
        batch.drop("post_without_record")
    else:
        # A key is made once: an edit that claims to be new does not make the post younger.
        made_us, flags, langs = (
            min(created_us(record, seen_us), rkey >> 10),
            post_flags(record),
            post_langs(record),
        )
        if batch.blocks is not None and batch.blocks(record):
            flags |= PostFlag.BLOCKED
            batch.event("blocked_post")
        batch.posts.append(Post(did, rkey, made_us, seen_us, flags, langs, _rev_number(rev, seen_us)))
        batch.event("post")


def _add_profile(
    did: str, seen_us: int, rev: Any, rkey: Any, operation: Any, record: Any, batch: EventBatch
) -> None:
    if rkey != "self":  # an account has one profile; records under other keys say nothing
        batch.drop("bad_rkey")
    elif operation not in ("create", "update", "delete"):
        batch.drop("unknown_operation")
    elif operation != "delete" and not isinstance(record, dict):
        batch.drop("profile_without_record")
    else:
        level = 0 if operation == "delete" else profile_level(record)
        batch.profiles.append(ProfileWord(did, level, seen_us, _rev_number(rev, seen_us)))
        batch.event("profile")


def _rev_number(rev: Any, seen_us: int) -> int:
    """Return a revision's number; where a host sends none, its time stands in."""
    number = tid_to_int(rev) if type(rev) is str else None
    return tid_at(seen_us) if number is None else number
