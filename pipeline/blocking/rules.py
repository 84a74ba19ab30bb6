"""A rule of the operator: its form as a line of text, and what is a valid one.

Owns: the kinds of things that a rule can name, and the one form of each name. Leaves to others: the file
(``rule_file``), what an operator may type instead of that form (``typed``), which posts a rule is about
(``text_rules``, ``in_force``).

    block account did:plc:ewvi7nxzyoun6zhxrhs64oiz   # alice.example
    block post at://did:plc:…/app.bsky.feed.post/3mmoojp7etg2g
    block domain spam.example
    block hashtag giveaway
    block word buy now
    block list at://did:plc:…/app.bsky.graph.list/3mmoojp7etg2g
    allow account did:plc:…
    allow domain shop.spam.example
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import idna
import regex

from pipeline.errors import unknown
from pipeline.identifiers import is_did, parse_post_uri, rkey_to_int

BLOCK, ALLOW = "block", "allow"
KINDS = ("account", "post", "domain", "hashtag", "word", "list")
# What the operator may also let through, in spite of what else would hide it: an account's posts, one post, or links to
# a host below a blocked domain.
ALLOWED_KINDS = ("account", "post", "domain")
TEXT_KINDS = ("domain", "hashtag", "word")
LISTS_MAX = 100  # that are followed; each has up to 50,000 members
LIST_COLLECTION = "app.bsky.graph.list"
# A post has 300 graphemes; no hashtag of the app is longer than 64.
WORD_MAX_CHARACTERS, NOTE_MAX_CHARACTERS = 100, 200

_COMMENT = re.compile(r"\s+#(?:\s|$)")  # so that a hashtag may have its #, and a word too, as in c#
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
# Not what joins two emoji into one: it is seen.
_IGNORABLE = regex.compile(r"(?:(?!\u200d\p{Extended_Pictographic})\p{Default_Ignorable_Code_Point})+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``action`` is "block" or "allow"; ``value`` is in the form that ``canonical`` returns."""

    action: str
    kind: str
    value: str
    note: str = ""

    @property
    def subject(self) -> tuple[str, str]:
        """What the rule is about: of two rules about the same, one takes the other's place."""
        return self.kind, self.value

    def as_line(self) -> str:
        """Return the line that ``rule_of`` reads as this rule."""
        return f"{self.action} {self.kind} {self.value}" + (f"   # {self.note}" if self.note else "")


def rule_of(line: str) -> Rule | None:
    """Return the rule that a line states, None for an empty line or a comment; ValueError says what is wrong."""
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    text, *notes = _COMMENT.split(line.strip(), maxsplit=1)
    action, _, rest = text.partition(" ")
    kind, _, value = rest.strip().partition(" ")
    if action not in (BLOCK, ALLOW):
        raise ValueError(
            f"{unknown('rule', action, (BLOCK, ALLOW))}: a line is 'block KIND WHAT' or 'allow KIND WHAT'"
        )
    if kind not in KINDS:
        raise ValueError(unknown("kind", kind or "(none)", KINDS))
    return Rule(
        action, kind, canonical(action, kind, value), notes[0].strip()[:NOTE_MAX_CHARACTERS] if notes else ""
    )


def canonical(action: str, kind: str, value: str) -> str:
    """Return the one form of what a rule names; ValueError says why there is none."""
    if action == ALLOW and kind not in ALLOWED_KINDS:
        raise ValueError(
            f"allow is for {', '.join(ALLOWED_KINDS)}; a {kind} that is not blocked needs no rule"
        )
    value = value.strip()
    if not value:
        raise ValueError(f"the {kind} is missing")
    return _FORMS[kind](value)


def comparable(text: str) -> str:
    """Return a text as rules compare it: without regard to case, compatible forms, and characters that nobody sees."""
    small = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
    # Nobody sees whether an apostrophe is the typewriter's.
    return _SPACE.sub(" ", _IGNORABLE.sub("", small).replace("\u2019", "'")).strip()


def tag_of(text: str) -> str:
    """Return a hashtag as rules compare it, '' when nothing is left."""
    return comparable(text).lstrip("#").strip()


@lru_cache(maxsize=16_384)
def host_of(text: str) -> str | None:
    """Return a host name in the form of the DNS, in small letters; None when it is none."""
    text = text.rstrip(".")
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except idna.IDNAError:
            return None
    text = text.lower()
    return text if _HOST.fullmatch(text) else None


def _account(value: str) -> str:
    if not is_did(value):
        raise ValueError(f"{value} is not a DID; 'foryou block @HANDLE' finds that of a handle")
    return value


def _post(value: str) -> str:
    if parse_post_uri(value) is None:
        raise ValueError(f"{value} does not name a post: expected at://DID/app.bsky.feed.post/KEY")
    return value


def _list(value: str) -> str:
    parts = value.split("/")
    if len(parts) != 5 or parts[:2] != ["at:", ""] or parts[3] != LIST_COLLECTION or not is_did(parts[2]):
        raise ValueError(f"{value} does not name a list: expected at://DID/{LIST_COLLECTION}/KEY")
    if rkey_to_int(parts[4]) is None:
        raise ValueError(f"{parts[4]} is not the key of a record")
    return value


def _domain(value: str) -> str:
    host = host_of(value.removeprefix("*."))
    if host is None:
        raise ValueError(f"{value} is not a domain, such as spam.example")
    return host


def _hashtag(value: str) -> str:
    tag = tag_of(value)
    if not tag or " " in tag or len(tag) > WORD_MAX_CHARACTERS:
        raise ValueError(f"{value} is not a hashtag")
    return tag


def _word(value: str) -> str:
    word = comparable(value)
    if (
        not word
        or len(word) > WORD_MAX_CHARACTERS
        or word.startswith("# ")
        or " # " in word
        or word.endswith(" #")
    ):
        raise ValueError(f"{value!r} is not a word or a few, of at most {WORD_MAX_CHARACTERS} characters")
    return word


_FORMS = {
    "account": _account, "post": _post, "domain": _domain, "hashtag": _hashtag, "word": _word, "list": _list,
}  # fmt: skip
