"""The lines of rare events: likes with odd keys or subjects, accounts, identities, profiles, malformed ones.

Owns: their JSON. Leaves to others: the common lines (``render``), posts (``render_post``). ``fields`` are the texts of
one row: did, time, rev, created, cid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipeline.simulate.mischief.malformed import spoil_like, spoil_post
from pipeline.simulate.world.event_columns import Kind

Fields = Mapping[str, str]
PROFILE_CREATED = "2024-02-06T10:00:00.000Z"


def _event(fields: Fields, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"did": fields["did"], "time_us": int(fields["time"]), "kind": kind, kind: body}


def commit_event(
    fields: Fields, operation: str, collection: str, rkey: str, record: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a commit of one record, or of its deletion."""
    body: dict[str, Any] = {
        "rev": fields["rev"],
        "operation": operation,
        "collection": collection,
        "rkey": rkey,
    }
    if record is not None:
        body |= {"record": {"$type": collection, **record}, "cid": fields["cid"]}
    return _event(fields, "commit", body)


def odd_like_line(kind: Kind, fields: Fields, rkey: str, subject_cid: str, subject_uri: str) -> bytes:
    """Return the line of a like, an update or a deletion of one, whatever its key and subject."""
    collection = "app.bsky.feed.like"
    if kind is Kind.UNLIKE:
        return orjson.dumps(commit_event(fields, "delete", collection, rkey))
    record = {"createdAt": fields["created"], "subject": {"cid": subject_cid, "uri": subject_uri}}
    operation = "update" if kind is Kind.LIKE_UPDATE else "create"
    return orjson.dumps(commit_event(fields, operation, collection, rkey, record))


def identity_line(fields: Fields, handle: str, sequence: int) -> bytes:
    """Return the line of an identity event."""
    body = {"did": fields["did"], "handle": handle, "seq": sequence, "time": fields["created"]}
    return orjson.dumps(_event(fields, "identity", body))


def account_line(fields: Fields, kind: Kind, sequence: int) -> bytes:
    """Return the line of an account event."""
    body: dict[str, Any] = {"active": kind is Kind.ACTIVE, "did": fields["did"], "seq": sequence}
    if kind is not Kind.ACTIVE:
        body["status"] = kind.name.lower()
    return orjson.dumps(_event(fields, "account", body | {"time": fields["created"]}))


def profile_line(fields: Fields, name: str, description: str, labels: Sequence[str]) -> bytes:
    """Return the line of a profile update, with self-labels."""
    record: dict[str, Any] = {"createdAt": PROFILE_CREATED, "description": description, "displayName": name}
    if labels:
        values = [{"val": value} for value in labels]
        record["labels"] = {"$type": "com.atproto.label.defs#selfLabels", "values": values}
    return orjson.dumps(commit_event(fields, "update", "app.bsky.actor.profile", "self", record))


def bad_line(fields: Fields, kind: Kind, rkey: str, which: int) -> bytes:
    """Return the line of a malformed record."""
    record: dict[str, Any] = {"createdAt": fields["created"]}
    if kind is Kind.BAD_LIKE:
        record["subject"] = {"cid": fields["cid"], "uri": "at://nowhere"}
        return spoil_like(commit_event(fields, "create", "app.bsky.feed.like", rkey, record), which)
    record |= {"langs": ["en"], "text": "rubbish"}
    return spoil_post(commit_event(fields, "create", "app.bsky.feed.post", rkey, record), which)
