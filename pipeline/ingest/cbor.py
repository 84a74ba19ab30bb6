"""DAG-CBOR from the network: the one place where it is decoded.

Owns: how large and how deep an object may be, and the reason by which one that can't be read is counted. Leaves to
others: what objects say. Nothing but ``CborError`` is raised, whatever the bytes are.

libipld allows as many levels as the interpreter's recursion limit, 1,000. It counts the levels of the object, not
those of its caller. Deeper ones raise RecursionError there, which is no ValueError. Small objects grow when decoded:
an empty list takes one byte on the wire and 64 in memory, so the size is bounded before.
"""

from typing import Any

import libipld

FRAME_BYTES_MAX = 8 << 20  # of one message; the specification allows 5 MB
RECORD_BYTES_MAX = 2 << 20  # the specification allows 1 MB


class CborError(ValueError):
    """Bytes that are not read as DAG-CBOR: they are none, or too deep, or too large."""

    def __init__(self, wrong: str) -> None:
        super().__init__(f"{wrong.replace('_', ' ')} DAG-CBOR")
        self._wrong = wrong

    def reason(self, what: str) -> str:
        """Return the reason by which it is counted: bad_record, record_too_deep or record_too_large."""
        return f"bad_{what}" if self._wrong == "bad" else f"{what}_{self._wrong}"


def decode_cbor(data: bytes, bytes_max: int = RECORD_BYTES_MAX) -> Any:
    """Return the one object that the bytes are; CborError when they are none, or too much."""
    if len(data) > bytes_max:
        raise CborError("too_large")
    try:
        return libipld.decode_dag_cbor(data)
    except RecursionError as error:
        raise CborError("too_deep") from error
    except ValueError as error:
        raise CborError("bad") from error


def decode_cbor_pair(data: bytes, bytes_max: int = FRAME_BYTES_MAX) -> tuple[Any, Any]:
    """Return the two objects that a frame is, header and body; CborError when there are not two, or too much."""
    if len(data) > bytes_max:
        raise CborError("too_large")
    try:
        header, body = libipld.decode_dag_cbor_multi(data)
    except RecursionError as error:
        raise CborError("too_deep") from error
    except ValueError as error:  # also when there are more or fewer than two
        raise CborError("bad") from error
    return header, body
