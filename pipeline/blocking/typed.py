"""What an operator may type to name a thing, as the rule's own form of it.

Owns: telling kinds apart by their form, addresses of the app, and handles. Leaves to others: what is valid (``rules``).

    did:plc:…                                       an account
    @alice.example                                  the account that has this handle
    https://bsky.app/profile/alice.example          the same; likewise …/post/KEY and …/lists/KEY
    at://DID/app.bsky.feed.post/KEY                 a post; likewise app.bsky.graph.list
    domain:spam.example                             links to a host and all hosts below it
    '#giveaway' or hashtag:giveaway                 a hashtag
    giveaway, 'buy now' or word:giveaway            a word, or several that follow one another
"""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pipeline.blocking.rules import KINDS, LIST_COLLECTION, TEXT_KINDS, canonical, host_of
from pipeline.errors import PipelineError
from pipeline.identifiers import POST_COLLECTION, is_did

_PAGES = {"post": ("post", POST_COLLECTION), "lists": ("list", LIST_COLLECTION)}


class TypedError(PipelineError):
    """What was typed names nothing that a rule can be about."""


class NamedThing(NamedTuple):
    """A kind, what it names, and a note for the reader of the file."""

    kind: str
    value: str
    note: str = ""


def named(action: str, text: str, did_of: Callable[[str], str]) -> NamedThing:
    """Return what a text names; ``did_of`` returns the DID of a handle. TypedError says what is wrong."""
    try:
        kind, value, note = _named(text.strip(), did_of)
        return NamedThing(kind, canonical(action, kind, value), note)
    except ValueError as error:
        raise TypedError(str(error)) from error


def _named(text: str, did_of: Callable[[str], str]) -> NamedThing:
    kind, separator, value = text.partition(":")
    if separator and kind in KINDS:
        if kind in TEXT_KINDS:
            return NamedThing(kind, value)
        found = _named(value, did_of)
        if found.kind != kind:
            raise ValueError(f"{value} is not a {kind}")
        return found
    if text.startswith("@") or is_did(text):
        return _account(text.removeprefix("@"), did_of)
    if text.startswith("at://"):
        return _record(text, did_of)
    if text.startswith(("https://", "http://")):
        return _address(text, did_of)
    if text.startswith("#"):
        return NamedThing("hashtag", text)
    if "." in text and " " not in text and host_of(text) is not None:
        raise ValueError(f"{text} may be a handle or a domain: type @{text} or domain:{text}")
    return NamedThing("word", text)


def _account(text: str, did_of: Callable[[str], str]) -> NamedThing:
    if is_did(text):
        return NamedThing("account", text)
    return NamedThing("account", did_of(text), text.lower())


def _record(text: str, did_of: Callable[[str], str]) -> NamedThing:
    parts = text.split("/")
    if len(parts) != 5 or not parts[2]:
        raise ValueError(f"{text} is not the address of a record")
    owner = _account(parts[2], did_of)
    kind = next((kind for kind, collection in _PAGES.values() if collection == parts[3]), None)
    if kind is None:
        raise ValueError(f"{text} is neither a post nor a list")
    return NamedThing(kind, f"at://{owner.value}/{parts[3]}/{parts[4]}", owner.note)


def _address(text: str, did_of: Callable[[str], str]) -> NamedThing:
    """Return what an address names: in any app whose addresses are like the official one's, else its host."""
    split = urlsplit(text)
    parts = [unquote(part) for part in split.path.split("/") if part]
    if len(parts) == 2 and parts[0] == "profile":
        return _account(parts[1], did_of)
    if len(parts) == 4 and parts[0] == "profile" and parts[2] in _PAGES:
        return _record(f"at://{parts[1]}/{_PAGES[parts[2]][1]}/{parts[3]}", did_of)
    if len(parts) == 2 and parts[0] == "hashtag":
        return NamedThing("hashtag", parts[1])
    if not split.hostname:
        raise ValueError(f"{text} has no host")
    return NamedThing("domain", split.hostname)
