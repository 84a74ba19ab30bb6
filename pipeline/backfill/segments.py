"""The archive's file format: the blocks of a sealed segment into likes, unlikes and void accounts.

Owns: the bytes of a ``.jss`` file. Leaves to others: what a like record says (``ingest.records``), which day a row
belongs to and where it is stored (``spool``). Malformed blocks and rows are counted by reason, never raised.

A segment is a header of 256 bytes, blocks of a few thousand events, and a footer. Each block is a zstd frame after its
length in eight bytes. A block has columns: nine of fixed width, then the texts and payloads, each column in one piece
(https://github.com/bluesky-social/jetstream, docs, section 3). numpy reads the fixed columns. Only rows of our kinds
are looked at one by one; for the others no string is made.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from pipeline.identifiers import is_did, rkey_to_int
from pipeline.ingest.cbor import CborError, decode_cbor
from pipeline.ingest.operations import LIKE
from pipeline.ingest.records import like_subject

HEADER_BYTES = 256
BLOCK_BYTES_MAX = 256 << 20  # of a decompressed block; the usual 4,096 events take about 2 MB
EARLIEST_US = 1_577_836_800_000_000  # 2020-01-01: earlier times are malformed

CREATE, UPDATE, DELETE, ACCOUNT, SYNC = 1, 2, 3, 5, 6

Column = NDArray[np.integer[Any]]

_COLUMNS = (
    ("seq", "<u8"), ("witnessed", "<i8"), ("indexed", "<i8"), ("kind", "u1"), ("collection", "u1"),
    ("did", "<u2"), ("rkey", "u1"), ("rev", "u1"), ("payload", "<u4"),
)  # fmt: skip
_LIKE_BYTES = np.frombuffer(LIKE.encode(), dtype=np.uint8)


class SegmentError(Exception):
    """The file is not a sealed segment, or was cut short: it is worth fetching again."""


class ArchivedLike(NamedTuple):
    """A like record was created or changed. indexed_us is a better time from the archive, 0 if it has none."""

    seq: int
    witnessed_us: int
    indexed_us: int
    liker: str
    rkey: int
    author: str
    post_rkey: int


class ArchivedUnlike(NamedTuple):
    """A like record was deleted or replaced."""

    seq: int
    witnessed_us: int
    liker: str
    rkey: int
    replaced: bool  # the record has other content now


class VoidAccount(NamedTuple):
    """An actor's earlier rows are void: the account was deleted, or its repository is read again from here on."""

    seq: int
    did: str


@dataclass(slots=True)
class Rows:
    """The rows of some blocks, in the order of the archive, and counts by reason."""

    likes: list[ArchivedLike] = field(default_factory=list)
    unlikes: list[ArchivedUnlike] = field(default_factory=list)
    void_accounts: list[VoidAccount] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    events: int = 0

    def dids(self) -> set[str]:
        """Return every DID that the rows name."""
        dids = {like.liker for like in self.likes}
        dids.update(like.author for like in self.likes)
        dids.update(unlike.liker for unlike in self.unlikes)
        dids.update(account.did for account in self.void_accounts)
        return dids


def block_frames(path: Path) -> Iterator[bytes]:
    """Yield the compressed blocks of a sealed segment; SegmentError when the file is not one or was cut short."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES or header[:4] != b"jss0":
            raise SegmentError("its header is not that of a segment")
        checksum, version, blocks, _ = struct.unpack_from("<QHII", header, 4)
        if checksum == 0:
            raise SegmentError("it is not sealed")
        if version != 1:
            raise SegmentError(f"its format has version {version}, but this program knows 1: upgrade foryou")
        for _ in range(blocks):
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or not 0 < length <= BLOCK_BYTES_MAX:
                raise SegmentError("a block's length is wrong")
            frame = file.read(length)
            if len(frame) < length:
                raise SegmentError("it was cut short")
            yield frame


def decode_block(frame: bytes, rows: Rows) -> None:
    """Add a block's rows; SegmentError when it can't be decompressed or its columns do not fit."""
    buffer = _decompressed(frame)
    columns, starts = _columns_of(buffer)
    rows.events += len(columns["kind"])
    text = buffer.decode("latin-1")  # one character per byte keeps positions; our checks refuse non-ASCII
    kinds = columns["kind"]
    accounts = np.flatnonzero((kinds == ACCOUNT) | (kinds == SYNC))
    ours = np.sort(np.concatenate([_like_rows(buffer, columns, starts), accounts]))
    fixed = [columns[name][ours].tolist() for name in ("seq", "witnessed", "indexed", "kind")]
    spans = [
        positions
        for name in ("did", "rkey", "payload")
        for positions in (starts[name][ours].tolist(), (starts[name][ours] + columns[name][ours]).tolist())
    ]
    for seq, witnessed, indexed, kind, did_at, did_end, rkey_at, rkey_end, at, end in zip(
        *fixed, *spans, strict=True
    ):
        did = text[did_at:did_end]
        if witnessed < EARLIEST_US or seq >= 2**63:
            rows.counts["bad_time"] += 1
        elif not is_did(did):
            rows.counts["bad_did"] += 1
        elif kind in (ACCOUNT, SYNC):
            if kind == SYNC or _is_deletion(buffer[at:end], rows):
                rows.void_accounts.append(VoidAccount(seq, did))
        elif (rkey := rkey_to_int(text[rkey_at:rkey_end])) is None:
            rows.counts["bad_rkey"] += 1
        else:
            if kind != CREATE:
                rows.unlikes.append(ArchivedUnlike(seq, witnessed, did, rkey, kind == UPDATE))
            if kind != DELETE:
                _add_like(seq, witnessed, indexed, did, rkey, buffer[at:end], rows)


def _decompressed(frame: bytes) -> bytes:
    try:
        if zstandard.frame_content_size(frame) > BLOCK_BYTES_MAX:
            raise SegmentError("a block claims an absurd size")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=BLOCK_BYTES_MAX)
    except zstandard.ZstdError as error:
        raise SegmentError(f"a block can't be decompressed: {error}") from error


def _columns_of(buffer: bytes) -> tuple[dict[str, Column], dict[str, NDArray[np.int64]]]:
    """Return the fixed columns, and by column where each row's text or payload begins in the buffer."""
    if len(buffer) < 4:
        raise SegmentError("a block has no columns")
    count = int.from_bytes(buffer[:4], "little")
    position = 4
    columns: dict[str, Column] = {}
    for name, kind in _COLUMNS:
        width = np.dtype(kind).itemsize
        if position + width * count > len(buffer):
            raise SegmentError("a block's columns are cut short")
        columns[name] = np.frombuffer(buffer, dtype=kind, count=count, offset=position)
        position += width * count
    starts: dict[str, NDArray[np.int64]] = {}
    for name in ("collection", "did", "rkey", "rev", "payload"):
        ends = position + np.cumsum(columns[name], dtype=np.int64)
        starts[name] = ends - columns[name]
        position = int(ends[-1]) if count else position
    if position != len(buffer):
        raise SegmentError("a block's columns do not fill it")
    return columns, starts


def _like_rows(
    buffer: bytes, columns: dict[str, Column], starts: dict[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    kinds = columns["kind"]
    rows = np.flatnonzero((columns["collection"] == len(_LIKE_BYTES)) & (kinds >= CREATE) & (kinds <= DELETE))
    names = np.frombuffer(buffer, dtype=np.uint8)[
        starts["collection"][rows, None] + np.arange(len(_LIKE_BYTES))
    ]
    likes: NDArray[np.int64] = rows[(names == _LIKE_BYTES).all(axis=1)]
    return likes


def _add_like(
    seq: int, witnessed: int, indexed: int, did: str, rkey: int, payload: bytes, rows: Rows
) -> None:
    try:
        record = decode_cbor(payload)
    except CborError as error:
        rows.counts[error.reason("record")] += 1
        return
    subject = like_subject(record)
    if isinstance(subject, str):
        rows.counts[subject] += 1
        return
    rows.likes.append(ArchivedLike(seq, witnessed, indexed, did, rkey, *subject))


def _is_deletion(payload: bytes, rows: Rows) -> bool:
    try:
        account = decode_cbor(payload)
    except CborError as error:
        rows.counts[error.reason("account")] += 1
        return False
    return type(account) is dict and account.get("active") is False and account.get("status") == "deleted"
