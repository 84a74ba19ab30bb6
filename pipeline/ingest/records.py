"""Reading the records users wrote, where any field may be missing, mistyped or huge.

Owns: what a like names, what ranking needs of a post, and whom an author's profile withholds posts from. Never raises
for any input: a like without a usable subject is a reason to drop it, an odd post simply has fewer flags. Lexicons:
app.bsky.feed.like, app.bsky.feed.post, app.bsky.actor.profile.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pipeline.identifiers import POST_COLLECTION, parse_post_uri
from pipeline.store.model import PostFlag, WithheldFrom, time_us_of

_LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)
_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
_LANGS_MAX = 3  # as the lexicon has it
_REPLY, _QUOTE, _VIDEO = int(PostFlag.REPLY), int(PostFlag.QUOTE), int(PostFlag.VIDEO)
_EMBEDS = {
    "app.bsky.embed.images": int(PostFlag.IMAGES),
    "app.bsky.embed.gallery": int(PostFlag.IMAGES),
    "app.bsky.embed.external": int(PostFlag.EXTERNAL),
}
_WITHHELD = {
    "!hide": int(WithheldFrom.EVERYBODY),
    "!no-promote": int(WithheldFrom.EVERYBODY),
    "porn": int(WithheldFrom.EVERYBODY),
    "sexual": int(WithheldFrom.EVERYBODY),
    "nudity": int(WithheldFrom.EVERYBODY),
    "graphic-media": int(WithheldFrom.EVERYBODY),
    "!no-unauthenticated": int(WithheldFrom.ANONYMOUS),
}
_LABELS = {
    "porn": int(PostFlag.ADULT),
    "sexual": int(PostFlag.ADULT),
    "nudity": int(PostFlag.ADULT),
    "graphic-media": int(PostFlag.ADULT),
    "!hide": int(PostFlag.HIDE),
    "!no-promote": int(PostFlag.HIDE),
    "!no-unauthenticated": int(PostFlag.SIGNED_IN),
}


def like_subject(record: Any) -> tuple[str, int] | str:
    """Return (author DID, rkey number) of the liked post, or the reason why the like is dropped."""
    if not isinstance(record, dict):
        return "like_without_record"
    subject = record.get("subject")
    if not isinstance(subject, dict) or not isinstance(subject.get("uri"), str):
        return "like_without_subject"
    return parse_post_uri(subject["uri"]) or "like_of_no_post"


def time_us_of_text(text: Any) -> int | None:
    """Return the time an RFC 3339 text with a zone names, None when it is no such text or before 2020."""
    if type(text) is not str or len(text) > 64:
        return None
    fraction = text[20:-1]
    if fraction.isdecimal() and len(text) <= 27 and text[19] == "." and text[-1] == "Z" and text.isascii():
        second_us = _second_us(text[:19])  # the usual form: events of one second share most of it
        if second_us is not None:
            return second_us + int(fraction if len(fraction) == 6 else fraction.ljust(6, "0"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or not moment > _EARLIEST:
        return None
    return time_us_of(moment)


@lru_cache(maxsize=256)
def _second_us(text: str) -> int | None:
    """Return the time that YYYY-MM-DDTHH:MM:SS names in UTC, None when it is before 2020 or of another form."""
    return time_us_of_text(f"{text}Z") if _SECOND.fullmatch(text) else None


def created_us(record: dict[str, Any], seen_us: int) -> int:
    """Return when a record says it was made, never later than it was seen and never before 1970.

    createdAt is the client's claim: a date in the future would pin a post to the top.
    """
    text = record.get("createdAt")
    if not isinstance(text, str) or len(text) > 64:
        return seen_us
    usual = time_us_of_text(text)
    if usual is not None:
        return min(usual, seen_us)
    try:
        claimed = datetime.fromisoformat(text)
        if claimed.tzinfo is None:
            claimed = claimed.replace(tzinfo=UTC)
        return min(max(time_us_of(claimed), 0), seen_us)
    except (ValueError, OverflowError):
        return seen_us


def post_flags(record: dict[str, Any]) -> int:
    """Return a post's PostFlag bits."""
    flags = 0  # plain numbers: adding PostFlags up costs a microsecond
    if record.get("reply") is not None:
        flags |= _REPLY
    embed = record.get("embed")
    if isinstance(embed, dict) and embed.get("$type") == "app.bsky.embed.recordWithMedia":
        flags |= _quote(embed.get("record"))
        embed = embed.get("media")
    if isinstance(embed, dict):
        kind = embed.get("$type")
        if kind == "app.bsky.embed.record":
            flags |= _quote(embed)
        elif kind == "app.bsky.embed.video":
            flags |= 0 if embed.get("presentation") == "gif" else _VIDEO  # the app plays that as a picture
        elif isinstance(kind, str):
            flags |= _EMBEDS.get(kind, 0)
    for label in _self_labels(record):
        flags |= _LABELS.get(label, 0)
    return flags


def _quote(embed: Any) -> int:
    """Return QUOTE for the embed of a post; what else a record embeds, such as a feed or a list, is no quote."""
    reference = embed.get("record") if isinstance(embed, dict) else None
    uri = reference.get("uri") if isinstance(reference, dict) else None
    parts = uri.split("/", 4) if isinstance(uri, str) else []
    return _QUOTE if len(parts) == 5 and parts[3] == POST_COLLECTION else 0


def profile_level(record: dict[str, Any]) -> int:
    """Return from whom a profile record withholds its author's posts: a post with these labels is no more shown."""
    return self_label_level(_self_labels(record))


def self_label_level(labels: Iterable[str]) -> int:
    """Return from whom an author withholds all posts who labelled their profile so."""
    return max((_WITHHELD.get(label, 0) for label in labels), default=0)


def post_langs(record: dict[str, Any]) -> str:
    """Return a post's languages as primary subtags, 'en,pt'; '' when it names none."""
    langs = record.get("langs")
    if not isinstance(langs, list):
        return ""
    return _primary_langs(tuple(tag for tag in langs[:_LANGS_MAX] if isinstance(tag, str) and len(tag) < 64))


@lru_cache(maxsize=4096)
def _primary_langs(tags: tuple[str, ...]) -> str:
    primary = [tag.split("-", 1)[0].lower() for tag in tags]
    return ",".join(dict.fromkeys(tag for tag in primary if _LANGUAGE.fullmatch(tag)))


def _self_labels(record: dict[str, Any]) -> list[str]:
    labels = record.get("labels")
    values = labels.get("values") if isinstance(labels, dict) else None
    if not isinstance(values, list):
        return []
    named = [value.get("val") for value in values[:10] if isinstance(value, dict)]
    return [value for value in named if isinstance(value, str)]
