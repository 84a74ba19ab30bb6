"""TIDs, record keys and post URIs as integers, and back.

Owns: the encoding that makes a like five integers. Leaves to others: numbers for DIDs (``store.actors``).

A TID is 13 characters of a sortable base 32: a zero bit, 53 bits of microseconds since 1970, 10 bits of clock id
(https://atproto.com/specs/tid). Its number fits a signed 64-bit integer and sorts as the text does.

atproto's AtUri and string formats are not used here: every like of the stream comes this way, and they are many times
slower.
"""

import hashlib
import re
from typing import TypeGuard

TID_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
POST_COLLECTION = "app.bsky.feed.post"
# The specification allows any DID 2,048 characters. But atproto has two methods, and each DID that somebody writes into
# a like is a row for ever. A did:plc has 32 characters, and a host name at most 253, with "did:web:" and "%3A65535".
PLC_CHARACTERS = 32
DID_MAX_CHARACTERS = 8 + 253 + 8

_DID = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]", re.ASCII)
_PLC = re.compile(r"did:plc:[a-z2-7]{24}", re.ASCII)
_RKEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}", re.ASCII)
# Python reads base 32 with its own digits; after a translation, int() does the work in C. Every other byte becomes one
# that int() refuses.
_TO_PYTHON_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[TID_ALPHABET.index(chr(byte))] if chr(byte) in TID_ALPHABET else 33
    for byte in range(256)
)


def is_did(text: object) -> TypeGuard[str]:
    """Tell whether this is a DID (https://atproto.com/specs/did), no longer than its method allows."""
    if not isinstance(text, str):
        return False
    if _PLC.fullmatch(text) is not None:
        return True  # nearly all are; this is quicker than the pattern
    most = PLC_CHARACTERS if text.startswith("did:plc:") else DID_MAX_CHARACTERS
    return len(text) <= most and _DID.fullmatch(text) is not None


def tid_to_int(text: str) -> int | None:
    """Return a TID's number, or None when the text is not a TID.

    The syntax allows a first character that makes a number of 64 bits. The first bit of a TID is zero, so such a key
    is not a TID. Any user can write a record under it, and no store of signed 64-bit numbers could hold it.
    """
    if len(text) != 13:
        return None
    try:
        number = int(text.encode("ascii").translate(_TO_PYTHON_DIGITS), 32)
    except ValueError:
        return None
    return number if number < 1 << 63 else None


def tid_from_int(number: int) -> str:
    """Return the TID of a number in 0 .. 2**63 - 1."""
    return "".join(TID_ALPHABET[number >> shift & 31] for shift in range(60, -1, -5))


def tid_at(time_us: int, clock: int = 0) -> int:
    """Return the number of the TID made at a time by a clock with this id (0 .. 1023)."""
    return time_us << 10 | clock


def tid_time_us(number: int) -> int:
    """Return when a TID claims to have been made; only a claim, for clients choose their rkeys."""
    return number >> 10


def rkey_to_int(text: object) -> int | None:
    """Return a record key's number: the TID's, or a negative 63-bit hash of any other valid key.

    None when it is not a record key (https://atproto.com/specs/record-key). The hash serves only to match a deletion
    to its record.
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
    """Return (author DID, rkey number) of a post's at-uri, or None unless it names a post by DID and TID."""
    if not isinstance(uri, str):
        return None
    parts = uri.split("/", 5)
    if (
        len(parts) != 5
        or parts[0] != "at:"
        or parts[1]
        or parts[3] != POST_COLLECTION
        or not is_did(parts[2])
    ):
        return None
    number = tid_to_int(parts[4])
    return None if number is None else (parts[2], number)


def post_uri(author_did: str, rkey: int) -> str:
    """Return the at-uri of a post."""
    return f"at://{author_did}/{POST_COLLECTION}/{tid_from_int(rkey)}"
