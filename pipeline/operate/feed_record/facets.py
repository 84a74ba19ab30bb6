"""What of a feed's description is a link, a hashtag or a mention: the record's descriptionFacets.

Owns: finding them as the official app finds them in a post, and their places in UTF-8 bytes. Leaves to others: who has
a handle (``pipeline.handles``), when facets are made (``record``).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import regex
from publicsuffixlist import PublicSuffixList

TAG_MAX_CHARACTERS = 64
_TYPE = "app.bsky.richtext.facet"
_LINK = re.compile(
    r"(?:^|(?<=[\s(]))(?:https?://\S+|(?P<domain>[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)+)(?![\w@])\S*)",
    re.IGNORECASE,
)
_MENTION = re.compile(r"(?:^|(?<=[\s(]))@([a-zA-Z0-9.-]+)\b")
# A tag that is a number is none; nor is one that begins with what makes # a keycap.
_TAG = regex.compile(
    r"(?:^|(?<=\s))[#\uff03]((?!\ufe0f)[^\s\p{Cf}\u20e3]*[^\d\s\p{P}\p{Cf}\u20e3]+[^\s\p{Cf}\u20e3]*)"
)
_END = regex.compile(r"\p{P}+$")
_domains = PublicSuffixList(accept_unknown=False)


def facets_of(text: str, did_of: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """Return a text's facets in order; ``did_of`` returns the DID of a handle, None for one that nobody has."""
    facets: list[dict[str, Any]] = []
    end = 0
    for start, stop, feature in sorted(_found(text, did_of), key=lambda found: found[:2]):
        if start < end:
            continue  # within another one
        end = stop
        index = {"byteStart": len(text[:start].encode()), "byteEnd": len(text[:stop].encode())}
        facets.append({"$type": _TYPE, "index": index, "features": [feature]})
    return facets


def _found(text: str, did_of: Callable[[str], str | None]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for match in _LINK.finditer(text):
        domain = match["domain"]
        if domain and _domains.publicsuffix(domain.lower()) is None:
            continue  # such as file.txt
        shown = _without_end(match[0])
        uri = shown if domain is None else f"https://{shown}"
        yield match.start(), match.start() + len(shown), {"$type": f"{_TYPE}#link", "uri": uri}
    for match in _MENTION.finditer(text):
        did = did_of(match[1].lower()) if "." in match[1] else None
        if did is not None:
            yield match.start(), match.end(1), {"$type": f"{_TYPE}#mention", "did": did}
    for match in _TAG.finditer(text):
        tag = _END.sub("", match[1])
        if tag and len(tag) <= TAG_MAX_CHARACTERS:
            yield match.start(), match.start(1) + len(tag), {"$type": f"{_TYPE}#tag", "tag": tag}


def _without_end(link: str) -> str:
    """Return a link without the punctuation that ends a sentence, or the bracket that it stands in."""
    link = re.sub(r"[.,;:!?]+$", "", link)
    return link[:-1] if link.endswith(")") and "(" not in link else link
