"""Which posts a rule about texts is about: links to a domain, hashtags, words.

Owns: what of a post's record is a link, a hashtag or a text, and comparing these with rules. Leaves to others: the
rules (``rules``), when a post comes in (``ingest``), and what the operator allows in spite of it (``batch``).

Texts are not stored, so this happens once, when the post comes in. A record is a stranger's: any field may be missing,
mistyped or huge, and nothing here raises.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import regex

from pipeline.blocking.rules import BLOCK, TEXT_KINDS, Rule, comparable, host_of, tag_of

# The lexicon allows 300 graphemes of text, 1,000 of a description of a picture, 8 tags, 4 pictures. More is not read.
TEXT_MAX_CHARACTERS, FACETS_MAX, TAGS_MAX, PICTURES_MAX = 10_000, 300, 64, 20
TextCheck = Callable[[Mapping[str, Any]], bool]  # of a post's record
_LINK, _TAG = "app.bsky.richtext.facet#link", "app.bsky.richtext.facet#tag"
# As browsers read it: any number of slashes, either way round, and no whitespace inside.
_AUTHORITY = re.compile(r"https?:[/\\]*([^/\\?#]*)", re.IGNORECASE)
_UNSEEN_IN_ADDRESSES = re.compile(r"[\x00-\x20]")
# Between words by Unicode's rules (UAX 29): in scripts without spaces, between all ideographs and syllables.
_BETWEEN_WORDS = regex.compile(r"\b", flags=regex.VERSION1 | regex.WORD)


class TextRules:
    """The operator's rules about texts, ready to be compared with records."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        of_kind: dict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            of_kind[rule.kind].append(rule)
        self._domains = {rule.value: rule.action == BLOCK for rule in of_kind["domain"]}
        self._hashtags = frozenset(rule.value for rule in of_kind["hashtag"])
        self._phrases: dict[str, list[list[str]]] = defaultdict(list)
        for rule in of_kind["word"]:
            parts = _parts(rule.value)
            self._phrases[parts[0]].append(parts)

    def block(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a rule blocks a post for what its record says."""
        return bool(
            (self._domains and any(map(self._blocks_link, _links(record))))
            or (self._hashtags and any(tag_of(tag) in self._hashtags for tag in _hashtags(record)))
            or (self._phrases and any(map(self._has_phrase, _texts(record))))
        )

    def _blocks_link(self, address: str) -> bool:
        """Tell whether a link leads to a blocked domain; of several the longest counts."""
        found = _AUTHORITY.match(_UNSEEN_IN_ADDRESSES.sub("", address[:TEXT_MAX_CHARACTERS]))
        host = None if found is None else host_of(_host_name(found[1]))
        labels = host.split(".") if host else []
        for first in range(len(labels) - 1):
            blocked = self._domains.get(".".join(labels[first:]))
            if blocked is not None:
                return blocked
        return False

    def _has_phrase(self, text: str) -> bool:
        parts = _parts(comparable(text[:TEXT_MAX_CHARACTERS]))
        if self._phrases.keys().isdisjoint(parts):
            return False
        return any(
            parts[place : place + len(phrase)] == phrase
            for place, part in enumerate(parts)
            for phrase in self._phrases.get(part, ())
        )


def check_of(rules: Iterable[Rule]) -> TextCheck | None:
    """Return what tells whether rules block a post for what its record says; None when no rule is about that."""
    about_texts = [rule for rule in rules if rule.kind in TEXT_KINDS]
    return TextRules(about_texts).block if any(rule.action == BLOCK for rule in about_texts) else None


def _parts(text: str) -> list[str]:
    """Return a text's words, and what is between them, in order."""
    return [part for part in _BETWEEN_WORDS.split(text) if part]


def _host_name(authority: str) -> str:
    return unquote(authority.rpartition("@")[2]).partition(":")[0]


def _links(record: Mapping[str, Any]) -> Iterator[str]:
    for feature in _features(record):
        if feature.get("$type") == _LINK:
            yield from _strings(feature.get("uri"))
    yield from _strings(_card(record).get("uri"))


def _hashtags(record: Mapping[str, Any]) -> Iterator[str]:
    for feature in _features(record):
        if feature.get("$type") == _TAG:
            yield from _strings(feature.get("tag"))
    yield from _strings(*_list(record.get("tags"), TAGS_MAX))


def _texts(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader sees or hears of a post."""
    yield from _strings(record.get("text"))
    yield from _hashtags(record)
    card, media = _card(record), _media(record)
    yield from _strings(card.get("title"), card.get("description"), media.get("alt"))
    for key in ("images", "items"):  # of app.bsky.embed.images and of app.bsky.embed.gallery
        for picture in _list(media.get(key), PICTURES_MAX):
            yield from _strings(_dict(picture).get("alt"))


def _features(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for facet in _list(record.get("facets"), FACETS_MAX):
        yield from map(_dict, _list(_dict(facet).get("features"), FACETS_MAX))


def _media(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a post's embed, without the quote that it may be joined with."""
    embed = _dict(record.get("embed"))
    return _dict(embed.get("media")) if embed.get("$type") == "app.bsky.embed.recordWithMedia" else embed


def _card(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return _dict(_media(record).get("external"))


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _strings(*values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))
