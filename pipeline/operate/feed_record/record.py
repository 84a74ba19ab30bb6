"""What the feed's record should be: app.bsky.feed.generator.

Owns: the limits of its fields, and making the new record from the present one and what the publisher asks for.
Leaves to others: finding links in a description (``facets``), reading and writing the record (``repository``).

Invariant: a field that the publisher did not name keeps its value, even one that this program does not know.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import regex
from atproto import CID, models
from atproto.exceptions import ModelError

from pipeline.errors import PipelineError
from pipeline.operate.feed_record.facets import facets_of
from pipeline.operate.feed_record.service_check import FEED_COLLECTION

NAME = "For You"
DESCRIPTION = "People who liked what you liked also like this."
AVATAR_MAX_BYTES = 1_000_000
_LIMITS = {"displayName": ("name", 24, 240), "description": ("description", 300, 3000)}
CONTENT_MODES = {
    "video": "app.bsky.feed.defs#contentModeVideo",
    "unspecified": "app.bsky.feed.defs#contentModeUnspecified",
}
_GRAPHEME = regex.compile(r"\X")
_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class RecordError(PipelineError):
    """A field of the record is not as Bluesky allows it."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """A picture: its bytes and its media type."""

    content: bytes
    mime: str

    @property
    def cid(self) -> str:
        """The CID under which a PDS stores these bytes: CIDv1, raw, SHA-256."""
        return str(CID.decode(b"\x01\x55\x12\x20" + hashlib.sha256(self.content).digest()))

    def is_in(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record's picture is this one."""
        blob = record.get("avatar")
        reference = blob.get("ref") if isinstance(blob, dict) else None
        return isinstance(reference, dict) and reference.get("$link") == self.cid


@dataclass(frozen=True, slots=True)
class WantedFields:
    """What the publisher asks for; None means as it is, or the default in a new record."""

    did: str
    name: str | None = None
    description: str | None = None
    accepts_interactions: bool | None = None
    avatar: Avatar | None = None
    content_mode: str | None = None  # "video" or "unspecified"
    labels: tuple[str, ...] | None = None  # what the feed says of itself; () for nothing


def read_avatar(path: Path) -> Avatar:
    """Read a picture; RecordError when it is not a PNG or JPEG, or is too large."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"the avatar {path} can't be read: {error.strerror}") from error
    if len(content) > AVATAR_MAX_BYTES:
        raise RecordError(
            f"the avatar {path} has {len(content):,} bytes; at most {AVATAR_MAX_BYTES:,} are allowed"
        )
    for magic, mime in _MAGIC.items():
        if content.startswith(magic):
            return Avatar(content, mime)
    raise RecordError(f"the avatar {path} is neither a PNG nor a JPEG picture")


def record_of(
    present: Mapping[str, Any] | None,
    wanted: WantedFields,
    now: float,
    did_of: Callable[[str], str | None] = lambda handle: None,
) -> dict[str, Any]:
    """Return the record as it should be; its avatar is that of ``present``, since a new one is uploaded first.

    A new description gets new facets; ``did_of`` finds those whom it mentions. Raises RecordError for what Bluesky
    would refuse.
    """
    if present is None:
        created = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        present = {
            "displayName": NAME,
            "description": DESCRIPTION,
            "acceptsInteractions": True,
            "createdAt": created,
        }
    fields = {
        "did": wanted.did,
        "displayName": wanted.name,
        "description": wanted.description,
        "acceptsInteractions": wanted.accepts_interactions,
        "contentMode": wanted.content_mode and CONTENT_MODES[wanted.content_mode],
    }
    record = {"$type": FEED_COLLECTION, **present}
    record |= {name: value for name, value in fields.items() if value is not None}
    if wanted.labels is not None:
        values = [{"val": value} for value in wanted.labels]
        record["labels"] = {"$type": "com.atproto.label.defs#selfLabels", "values": values}
        if not values:
            del record["labels"]
    # The lexicon limits bytes and graphemes; atproto's model counts code points.
    for field, (flag, graphemes, size) in _LIMITS.items():
        text = record.get(field, "")
        if isinstance(text, str) and (len(text.encode()) > size or count_graphemes(text) > graphemes):
            raise RecordError(
                f"--{flag} is too long: at most {graphemes} characters and {size} bytes are allowed"
            )
    if not record.get("displayName"):
        raise RecordError("--name is empty")
    text = record.get("description")
    if "descriptionFacets" not in present or text != present.get(
        "description"
    ):  # else they may be made by hand
        record.pop("descriptionFacets", None)
        facets = facets_of(text, did_of) if isinstance(text, str) else []
        if facets:
            record["descriptionFacets"] = facets
    try:
        models.get_or_create(record, models.AppBskyFeedGenerator.Record, strict_string_format=True)
    except ModelError as error:
        field, reason = str(error).splitlines()[1:3]
        raise RecordError(f"the record's {field} is wrong: {reason.strip()}") from error
    return record


def changes(present: Mapping[str, Any] | None, record: Mapping[str, Any], avatar: Avatar | None) -> list[str]:
    """Return what writing the record would change, a line each; none when it is as it should be."""
    before = present or {}
    lines = [
        f"{name}: {_shown(before.get(name))} -> {_shown(record.get(name))}"
        for name in sorted(record.keys() | before.keys())
        if before.get(name) != record.get(name) and name != "$type"
    ]
    if avatar is not None and not avatar.is_in(before):
        lines.append(f"avatar: a new picture of {len(avatar.content):,} bytes")
    return lines


def count_graphemes(text: str) -> int:
    """Count the characters that a reader sees, as the lexicon does: extended grapheme clusters (UAX 29)."""
    return len(_GRAPHEME.findall(text))


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)
