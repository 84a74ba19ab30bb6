"""Page cursors: the token that a client returns to get the next page.

Owns: its encoding, and the secret that makes it unforgeable. Leaves to others: what it points at (``paging``).

A cursor names a feed, a list (a viewer's own, or the fallback of a language) and its generation, the order in which
the posts are shown, and a place in that order. So pages come from one list in one order to the end, whatever is
published, seen or restarted meanwhile. A cursor names no viewer: a place in a list is not a secret, and the token
of each request says whose list to read. Twelve bytes of keyed hash distinguish what this installation made from
anything else.
"""

import base64
import hashlib
import hmac
import re
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

from serving.secret_files import kept

KEY_BYTES = 32
_VERSION = 2
_LAYOUT = struct.Struct(">BB4sQI2sI")
# Body and hash are 36 bytes, and marks a multiple of three. They fill their characters exactly, so a cursor has one
# text.
_MAC_BYTES = 12
_TEXT = re.compile(r"(?:[A-Za-z0-9_-]{4}){12,1100}", re.ASCII)
BEGAN_MAX = 2**32 - 1


class CursorError(ValueError):
    """A text is not a cursor that this installation made for this feed."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page starts: ``place`` counts from 0 in the order that ``marks`` give the list.

    ``language`` is "" or two letters. ``marks`` are as in ``list_order``. ``began`` is when the first page was served,
    in seconds since 1970.
    """

    feed: str
    fallback: bool
    language: str
    generation: int
    place: int
    began: int = 0
    marks: bytes = b""


@dataclass(frozen=True, slots=True)
class CursorCodec:
    """Encodes and decodes cursors with an installation's key."""

    key: bytes

    def encode(self, cursor: Cursor) -> str:
        """Return the text of a cursor: 48 characters, and four for every twelve posts up to the last marked one."""
        body = _LAYOUT.pack(
            _VERSION,
            int(cursor.fallback),
            _feed_mark(cursor.feed),
            cursor.generation,
            cursor.place,
            cursor.language.encode("ascii"),
            cursor.began,
        )
        marks = cursor.marks.rstrip(b"\0")
        body += marks + b"\0" * (-len(marks) % 3)
        return base64.urlsafe_b64encode(body + self._mac(body)).decode("ascii")

    def decode(self, text: str, feed: str) -> Cursor:
        """Return the cursor of a text; raise CursorError when it is not ours or not of this feed."""
        if _TEXT.fullmatch(text) is None:
            raise CursorError("not a cursor of this service")
        raw = base64.urlsafe_b64decode(text)
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise CursorError("not a cursor of this service")
        version, fallback, mark, generation, place, language, began = _LAYOUT.unpack_from(body)
        if version != _VERSION or mark != _feed_mark(feed):
            raise CursorError("a cursor of another feed or version")
        marks = body[_LAYOUT.size :].rstrip(b"\0")
        text = language.rstrip(b"\0").decode("ascii")
        return Cursor(feed, bool(fallback), text, generation, place, began, marks)

    def _mac(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self.key, digest_size=_MAC_BYTES).digest()


def installation_key(path: Path) -> bytes:
    """Return the key in a file, which the first call makes; when it can't be written, cursors end with this process."""
    return kept(path, lambda: secrets.token_bytes(KEY_BYTES), lambda found: len(found) == KEY_BYTES)


def _feed_mark(feed: str) -> bytes:
    return hashlib.blake2b(feed.encode("utf-8"), digest_size=4).digest()
