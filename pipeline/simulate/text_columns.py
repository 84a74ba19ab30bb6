"""Columns of numbers as columns of text bytes: DIDs, TIDs, CIDs, times, and lines of fixed width.

Owns: fast formatting; a column is a uint8 matrix with one row per event. Leaves to others: what the lines say
(``render``). The encodings agree with ``pipeline.identifiers`` and with the package atproto, which the tests check.
Its CID class is not used here: it makes one value at a time, and these columns hold thousands.
"""

import re
from collections.abc import Mapping

import numpy as np

from pipeline.identifiers import TID_ALPHABET
from pipeline.simulate.randomness import Bytes, Ints, Words, hashed

_BASE32 = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)
_TID_DIGITS = np.frombuffer(TID_ALPHABET.encode(), np.uint8)
_TID_SHIFTS = np.arange(60, -1, -5, dtype=np.int64)
_WORD_SHIFTS = np.arange(55, -1, -5, dtype=np.uint64)
_PLACES = 10 ** np.arange(15, -1, -1, dtype=np.int64)
_PLACEHOLDER = re.compile(r"<(\w+)>")

DID_WIDTH, TID_WIDTH, CID_WIDTH, TIME_WIDTH, ISO_WIDTH = 32, 13, 59, 16, 24


def _base32(words: Words, width: int) -> Bytes:
    """Return ``width`` pseudo-random base 32 characters for each word."""
    parts = [
        _BASE32[((hashed(part, words)[:, None] >> _WORD_SHIFTS) & np.uint64(31)).astype(np.intp)]
        for part in range(-(-width // 12))
    ]
    return np.concatenate(parts, axis=1)[:, :width]


def did_matrix(words: Words) -> Bytes:
    """Return a did:plc of each word, (n, 32)."""
    prefix = np.frombuffer(b"did:plc:", np.uint8)
    return np.concatenate([np.tile(prefix, (len(words), 1)), _base32(words, 24)], axis=1)


def cid_matrix(words: Words) -> Bytes:
    """Return a well-formed CID (version 1, dag-cbor, sha-256, base 32) of each word, (n, 59)."""
    prefix = np.frombuffer(b"bafyrei", np.uint8)
    body = _base32(words, CID_WIDTH - len(prefix))
    # 288 bits in base 32: the first body character holds 3 free bits, the last ends in two zero bits.
    body[:, 0] = _BASE32[(words & np.uint64(7)).astype(np.intp)]
    body[:, -1] = _BASE32[((words >> np.uint64(8) & np.uint64(7)) << np.uint64(2)).astype(np.intp)]
    return np.concatenate([np.tile(prefix, (len(words), 1)), body], axis=1)


def tid_matrix(numbers: Ints) -> Bytes:
    """Return TIDs, (n, 13)."""
    result: Bytes = _TID_DIGITS[(numbers[:, None] >> _TID_SHIFTS) & 31]
    return result


def time_matrix(times_us: Ints) -> Bytes:
    """Return times as 16 decimal digits, (n, 16)."""
    return (times_us[:, None] // _PLACES % 10 + ord("0")).astype(np.uint8)


def iso_matrix(times_us: Ints) -> Bytes:
    """Return times as ISO 8601 with milliseconds and Z, (n, 24)."""
    texts = np.datetime_as_string(times_us.astype("datetime64[us]"), unit="ms").astype("S23")
    matrix = np.empty((len(times_us), ISO_WIDTH), np.uint8)
    matrix[:, :23] = texts.view(np.uint8).reshape(len(times_us), 23)
    matrix[:, 23] = ord("Z")
    return matrix


def texts(matrix: Bytes) -> list[str]:
    """Return a column's rows as strings."""
    width = matrix.shape[1]
    joined = np.ascontiguousarray(matrix).tobytes().decode("ascii")
    return [joined[at : at + width] for at in range(0, len(joined), width)]


class FixedLine:
    """A line with fields of fixed widths, written <name> in the template.

    ``widths`` is by a name's last part: <subject_did> is as wide as <did>.
    """

    def __init__(self, template: str, widths: Mapping[str, int]) -> None:
        self._fields: list[tuple[str, int, int]] = []
        text, at = "", 0
        for match in _PLACEHOLDER.finditer(template):
            text += template[at : match.start()]
            width = widths[match[1].rpartition("_")[2]]
            self._fields.append((match[1], len(text), width))
            text += "?" * width
            at = match.end()
        self._blank = np.frombuffer((text + template[at:]).encode("ascii"), np.uint8)

    def lines(self, count: int, columns: Mapping[str, Bytes]) -> list[bytes]:
        """Return ``count`` lines filled from the columns."""
        matrix = np.tile(self._blank, (count, 1))
        for name, at, width in self._fields:
            matrix[:, at : at + width] = columns[name]
        joined, width = matrix.tobytes(), len(self._blank)
        return [joined[at : at + width] for at in range(0, len(joined), width)]
