"""Finding a few records in a commit's CAR, without decoding the rest of it.

Owns: walking a CAR's sections (https://ipld.io/specs/transport/car/carv1). Leaves to others: which records
are wanted, what they say (``firehose``). Nothing is verified, as the module ``firehose`` says.

A commit carries some ten nodes of its repository's tree beside the record; decoding all of them took most of
the time that a frame takes (tests/bench/RESULTS.md).
"""

from collections.abc import Callable, Collection
from typing import Any

from pipeline.ingest.cbor import CborError, decode_cbor


def records(data: bytes, cids: Collection[bytes], drop: Callable[[str], None]) -> dict[bytes, Any]:
    """Return the decoded block of each wanted CID that is in a CAR; ValueError when the CAR is broken before it is.

    A block that can't be decoded is None, and ``drop`` gets the reason: the others of its commit still count.
    """
    found: dict[bytes, Any] = {}
    size, position = _varint(data, 0)
    position += size  # the header: only which CID is the root
    end = len(data)
    if position > end:
        raise ValueError("the header ends beyond the CAR")
    while position < end and len(found) < len(cids):
        size, start = _varint(data, position)
        position = start + size
        if not 0 < size <= end - start:
            raise ValueError("a block ends beyond the CAR")
        for cid in cids:
            if data.startswith(cid, start):
                found[cid] = _record(data[start + len(cid) : position], drop)
    return found


def _record(block: bytes, drop: Callable[[str], None]) -> Any:
    try:
        return decode_cbor(block)
    except CborError as error:
        drop(error.reason("record"))
        return None


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position and the position after it; ValueError where there is none."""
    number = shift = 0
    while shift < 63:
        if position >= len(data):
            raise ValueError("the CAR ends within a number")
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise ValueError("a number in the CAR has no end")
