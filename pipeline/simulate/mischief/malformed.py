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
BIG_TEXT = 1_000_000


def _subject(value: Any) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        event["commit"]["record"]["subject"] = value

    return change


def _commit(name: str, value: Any) -> Callable[[Event], None]:
    """Change a field of the commit, and the record so that its subject is not a post."""

    def change(event: Event) -> None:
        event["commit"]["record"] = {"$type": "app.bsky.feed.like", "subject": None}
        if value is None:
            del event["commit"][name]
        else:
            event["commit"][name] = value

    return change


def _record(name: str, value: Any) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        event["commit"]["record"][name] = value

    return change


def _whole(value: Any) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        event["commit"]["record"] = value

    return change


def _top(name: str, value: Any) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        event["commit"]["record"] = {"$type": "app.bsky.feed.like"}
        event[name] = value

    return change


_CID = "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
_LIKES: tuple[Callable[[Event], None], ...] = (
    lambda event: event["commit"]["record"].pop("subject"),
    _subject("at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/"),
    _subject({"cid": _CID, "uri": 17}),
    _subject({"cid": _CID, "uri": "at://"}),
    _subject({"cid": _CID, "uri": "at://someone.example/app.bsky.feed.post/3mptbypluud2a"}),
    _subject({"cid": _CID, "uri": "https://bsky.app/profile/someone/post/3mptbypluud2a"}),
    _subject({"cid": _CID, "uri": "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/no tid"}),
    _subject({"cid": _CID, "uri": "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3mpt\u0000"}),
    _subject({"cid": None}),
    _subject([{"uri": []}]),
    _whole([1, 2, 3]),
    _whole(None),
    _whole("like"),
    _commit("rkey", None),
    _commit("rkey", 12),
    _commit("rkey", "spaces are not allowed"),
    _commit("operation", "upsert"),
    _commit("collection", None),
    _commit("collection", 5),
    _commit("rev", -1),
    _top("did", "not-a-did"),
    _top("did", 5),
    _top("kind", "wobble"),
    _top("commit", None),
    _top("commit", []),
)
_POSTS: tuple[Callable[[Event], None], ...] = (
    _record("text", 12),
    _record("createdAt", 1783175888),
    _record("createdAt", "yesterday"),
    _record("createdAt", "9999-99-99T99:99:99Z"),
    _record("langs", "en"),
    _record("langs", [1, None, {"a": "b"}]),
    _record("labels", "porn"),
    _record("labels", {"values": [None, 3, {"val": 4}]}),
    _record("reply", None),
    _record("reply", {"parent": "x", "root": []}),
    _record("embed", {"$type": 4}),
    _record("embed", {"images": {}}),
    _whole({}),
    _whole(None),
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
