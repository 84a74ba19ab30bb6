"""TIDs, record keys and post URIs as integers, and back.

Owns: the encoding that makes a like five integers. Leaves to others: interning DIDs (``store.actors``).

A TID is 13 characters of a sortable base 32: a zero bit, 53 bits of microseconds since 1970, 10 bits of
clock id (https://atproto.com/specs/tid). Its number fits a signed 64-bit integer and sorts as the text does.
"""

import hashlib
import re
from typing import TypeGuard

TID_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
POST_COLLECTION = "app.bsky.feed.post"
DID_MAX_BYTES = 2048

_TID_PATTERN = r"[2-7a-j][2-7a-z]{12}"
_DID_PATTERN = r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]"
_TID = re.compile(_TID_PATTERN, re.ASCII)
_DID = re.compile(_DID_PATTERN, re.ASCII)
_RKEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}", re.ASCII)
# Python reads base 32 with its own digits; translating first lets int() do the work in C.
_TO_PYTHON_DIGITS = str.maketrans(TID_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_POST_URI = re.compile(rf"at://({_DID_PATTERN})/app\.bsky\.feed\.post/({_TID_PATTERN})", re.ASCII)


def is_did(text: object) -> TypeGuard[str]:
    """Tell whether this is a syntactically valid DID (https://atproto.com/specs/did)."""
    return isinstance(text, str) and len(text) <= DID_MAX_BYTES and _DID.fullmatch(text) is not None


def tid_to_int(text: str) -> int | None:
    """Return a TID's number, or None when the text is no TID."""
    if _TID.fullmatch(text) is None:
        return None
    return int(text.translate(_TO_PYTHON_DIGITS), 32)


def tid_from_int(number: int) -> str:
    """Return the TID of a number in 0 .. 2**63 - 1."""
    return "".join(TID_ALPHABET[number >> shift & 31] for shift in range(60, -1, -5))


def tid_at(time_us: int, clock: int = 0) -> int:
    """Return the number of the TID made at a time by the clock of this id (0 .. 1023)."""
    return time_us << 10 | clock


def tid_time_us(number: int) -> int:
    """Return when a TID claims to have been made; a claim only, since clients choose their rkeys."""
    return number >> 10


def rkey_to_int(text: object) -> int | None:
    """Return a record key's number: the TID's, or a negative 63-bit hash of any other valid key.

    None when it is no record key (https://atproto.com/specs/record-key). The hash can't be turned back; it
    serves to match a deletion to its record.
    """
    if not isinstance(text, str):
        return None
    number = tid_to_int(text)
    if number is not None:
        return number
    if _RKEY.fullmatch(text) is None or text in {".", ".."}:
        return None
    return -1 - (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1)


def parse_post_uri(uri: object) -> tuple[str, int] | None:
    """Return (author DID, rkey number) of a post's at-uri, or None when it names no post by DID and TID."""
    if not isinstance(uri, str):
        return None
    match = _POST_URI.fullmatch(uri)
    if match is None or len(match[1]) > DID_MAX_BYTES:
        return None
    return match[1], int(match[2].translate(_TO_PYTHON_DIGITS), 32)


def post_uri(author_did: str, rkey: int) -> str:
    """Return the at-uri of a post."""
    return f"at://{author_did}/{POST_COLLECTION}/{tid_from_int(rkey)}"
