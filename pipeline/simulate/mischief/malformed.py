"""Malformed records, which clients and strangers write and which every reader must survive.

Owns: the malformed records of the stream (valid JSON, wrong content) and the frames of a broken server (``noise``:
any bytes). Leaves to others: how often they come (``parameters``, ``faults``).

The subject of a malformed like is never a post's at-uri with a DID, so a reader that counts one as a like is wrong.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import orjson

Event = dict[str, Any]
Change = Callable[[Event], None]
BIG_TEXT = 1_000_000


def _put(path: str, value: Any = ..., record: Any = ...) -> Change:
    """Return a change: a value at a path of an event, none by default; before that, the whole record if given."""

    def change(event: Event) -> None:
        if record is not ...:
            event["commit"]["record"] = record
        *parents, name = path.split(".")
        for parent in parents:
            event = event[parent]
        if value is ...:
            del event[name]
        else:
            event[name] = value

    return change


_CID = "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
_DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
_SUBJECT, _RECORD = "commit.record.subject", "commit.record"
# Where the damage is outside the record, the subject is not a post either.
_EMPTY, _NO_SUBJECT = {"$type": "app.bsky.feed.like"}, {"$type": "app.bsky.feed.like", "subject": None}
_LIKES: tuple[Change, ...] = (
    _put(_SUBJECT),
    _put(_SUBJECT, f"at://{_DID}/app.bsky.feed.post/"),
    _put(_SUBJECT, {"cid": _CID, "uri": 17}),
    _put(_SUBJECT, {"cid": _CID, "uri": "at://"}),
    _put(_SUBJECT, {"cid": _CID, "uri": "at://someone.example/app.bsky.feed.post/3mptbypluud2a"}),
    _put(_SUBJECT, {"cid": _CID, "uri": "https://bsky.app/profile/someone/post/3mptbypluud2a"}),
    _put(_SUBJECT, {"cid": _CID, "uri": f"at://{_DID}/app.bsky.feed.post/no tid"}),
    _put(_SUBJECT, {"cid": _CID, "uri": f"at://{_DID}/app.bsky.feed.post/3mpt\u0000"}),
    _put(_SUBJECT, {"cid": None}),
    _put(_SUBJECT, [{"uri": []}]),
    _put(_RECORD, [1, 2, 3]),
    _put(_RECORD, None),
    _put(_RECORD, "like"),
    _put("commit.rkey", record=_NO_SUBJECT),
    _put("commit.rkey", 12, _NO_SUBJECT),
    _put("commit.rkey", "spaces are not allowed", _NO_SUBJECT),
    _put("commit.operation", "upsert", _NO_SUBJECT),
    _put("commit.collection", record=_NO_SUBJECT),
    _put("commit.collection", 5, _NO_SUBJECT),
    _put("commit.rev", -1, _NO_SUBJECT),
    _put("did", "not-a-did", _EMPTY),
    _put("did", 5, _EMPTY),
    _put("kind", "wobble", _EMPTY),
    _put("commit", None, _EMPTY),
    _put("commit", [], _EMPTY),
)
_POSTS: tuple[Change, ...] = (
    _put(f"{_RECORD}.text", 12),
    _put(f"{_RECORD}.createdAt", 1783175888),
    _put(f"{_RECORD}.createdAt", "yesterday"),
    _put(f"{_RECORD}.createdAt", "9999-99-99T99:99:99Z"),
    _put(f"{_RECORD}.langs", "en"),
    _put(f"{_RECORD}.langs", [1, None, {"a": "b"}]),
    _put(f"{_RECORD}.labels", "porn"),
    _put(f"{_RECORD}.labels", {"values": [None, 3, {"val": 4}]}),
    _put(f"{_RECORD}.reply", None),
    _put(f"{_RECORD}.reply", {"parent": "x", "root": []}),
    _put(f"{_RECORD}.embed", {"$type": 4}),
    _put(f"{_RECORD}.embed", {"images": {}}),
    _put(_RECORD, {}),
    _put(_RECORD, None),
)
BAD_LIKES = len(_LIKES)
# One malformed post in fifty is a huge text.
BAD_POSTS = 50


def spoil_like(event: Event, which: int) -> bytes:
    """Return a like's line, malformed in one of BAD_LIKES ways."""
    _LIKES[which](event)
    return orjson.dumps(event)


def spoil_post(event: Event, which: int) -> bytes:
    """Return a post's line, malformed in one of BAD_POSTS ways."""
    if which == BAD_POSTS - 1:
        event["commit"]["record"]["text"] = "x" * BIG_TEXT
    else:
        _POSTS[which % len(_POSTS)](event)
    return orjson.dumps(event)


def noise(number: int, line: bytes) -> tuple[bool, bytes]:
    """Return (is it text, payload) of a frame that a broken server may send; ``line`` is a proper event."""
    rng = random.Random(number)
    event = json.loads(line)
    huge = dict(event, time_us=10**30)
    negative = dict(event, time_us=-(2**63), did=["x"])
    text = dict(event, time_us="soon")
    big = dict(event, kind="noise", padding="y" * BIG_TEXT)
    frames: tuple[tuple[bool, bytes], ...] = (
        (False, rng.randbytes(200)),
        (True, bytes(rng.choices(range(32, 127), k=300))),
        (True, b'{"hello":"world"}'),
        (True, b"[]"),
        (True, b"null"),
        (True, b""),
        (True, json.dumps(huge).encode()),
        (True, json.dumps(negative).encode()),
        (True, json.dumps(text).encode()),
        (True, json.dumps({"kind": "commit", "time_us": event["time_us"]}).encode()),
        (True, json.dumps(big).encode()),
        (True, b"[" * 5_000),
        (True, b'{"did":"\\ud800","time_us":NaN,"kind":"commit"}'),
    )
    return frames[number % len(frames)]
