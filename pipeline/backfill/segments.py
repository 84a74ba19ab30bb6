"""The archive's file format: the blocks of a sealed segment into words about likes and statements about accounts.

Owns: the bytes of a ``.jss`` file. Leaves to others: what a like record says (``ingest.records``), which day a word
belongs to and where it is stored (``spool``). Malformed blocks and rows are counted by reason, never raised.

A segment is a header of 256 bytes, blocks of a few thousand events, and a footer. Each block is a zstd frame after its
length in eight bytes. A block has columns: nine of fixed width, then the texts and payloads, each column in one piece
(https://github.com/bluesky-social/jetstream, docs, section 3). numpy reads the fixed columns. Only rows of our kinds
are looked at one by one; for the others no string is made.

A row of a record has the revision of its commit. When the archive reads a repository whole, each record that it lists
is a row (RESYNC) with the revision that was read. A row of an account or a sync has none; the sync's payload has.
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

from pipeline.clock import SKEW_US
from pipeline.identifiers import is_did, rkey_to_int, tid_at, tid_to_int
from pipeline.ingest.cbor import CborError, decode_cbor
from pipeline.ingest.operations import LIKE
from pipeline.ingest.records import like_subject
from pipeline.store.model import ORDINARY_US, WordMark

HEADER_BYTES = 256
BLOCK_BYTES_MAX = 256 << 20  # of a decompressed block; the usual 4,096 events take about 2 MB
EARLIEST_US = 1_577_836_800_000_000  # 2020-01-01: earlier times are malformed
LATEST_US = 1 << 52  # a revision could not name a much later time

CREATE, UPDATE, DELETE, ACCOUNT, SYNC, RESYNC = 1, 2, 3, 5, 6, 7
_MARKS = {UPDATE: int(WordMark.AGAIN), RESYNC: int(WordMark.FETCHED)}

Column = NDArray[np.integer[Any]]

_COLUMNS = (
    ("seq", "<u8"), ("witnessed", "<i8"), ("indexed", "<i8"), ("kind", "u1"), ("collection", "u1"),
    ("did", "<u2"), ("rkey", "u1"), ("rev", "u1"), ("payload", "<u4"),
)  # fmt: skip
_RECORDS = (CREATE, UPDATE, DELETE, RESYNC)
_LIKE_BYTES = np.frombuffer(LIKE.encode(), dtype=np.uint8)


class SegmentError(Exception):
    """The file is not a sealed segment, or was cut short: it is worth fetching again."""


class ArchivedWord(NamedTuple):
    """A like record was created, changed, listed, or is deleted (author None); marks: ``store.model.WordMark``.

    indexed_us is a better time from the archive, 0 if it has none.
    """

    witnessed_us: int
    indexed_us: int
    liker: str
    rkey: int
    rev: int
    author: str | None
    post_rkey: int | None
    marks: int


@dataclass(slots=True)
class Rows:
    """What some blocks say, and counts by reason.

    An actor's earlier words are void up to a rev when the account was deleted then, or when its repository was read
    whole at that rev.
    """

    words: list[ArchivedWord] = field(default_factory=list)
    statements: dict[str, int] = field(default_factory=dict)  # DID -> that rev
    counts: Counter[str] = field(default_factory=Counter)
    events: int = 0

    def dids(self) -> set[str]:
        """Return every DID that the rows name."""
        dids = {word.liker for word in self.words}
        dids.update(word.author for word in self.words if word.author is not None)
        return dids | self.statements.keys()

    def state(self, did: str, rev: int) -> None:
        """Add that an actor's words before a rev are void."""
        self.statements[did] = max(rev, self.statements.get(did, 0))


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
    """Add what a block says; SegmentError when it can't be decompressed or its columns do not fit."""
    buffer = _decompressed(frame)
    columns, starts = _columns_of(buffer)
    rows.events += len(columns["kind"])
    text = buffer.decode("latin-1")  # one character per byte keeps positions; our checks refuse non-ASCII
    kinds = columns["kind"]
    accounts = np.flatnonzero((kinds == ACCOUNT) | (kinds == SYNC))
    ours = np.sort(np.concatenate([_like_rows(buffer, columns, starts), accounts]))
    fixed = [columns[name][ours].tolist() for name in ("witnessed", "indexed", "kind")]
    spans = [
        positions
        for name in ("did", "rkey", "rev", "payload")
        for positions in (starts[name][ours].tolist(), (starts[name][ours] + columns[name][ours]).tolist())
    ]
    for witnessed, indexed, kind, did_at, did_end, rkey_at, rkey_end, rev_at, rev_end, at, end in zip(
        *fixed, *spans, strict=True
    ):
        did = text[did_at:did_end]
        if not EARLIEST_US <= witnessed < LATEST_US:
            rows.counts["bad_time"] += 1
        elif not is_did(did):
            rows.counts["bad_did"] += 1
        elif kind == ACCOUNT:
            if _is_deletion(buffer[at:end], rows.counts):
                rows.state(did, tid_at(witnessed + SKEW_US))
        elif kind == SYNC:
            rev = _rev(_body(buffer[at:end], "sync", rows.counts).get("rev"), witnessed)
            rows.state(did, rev)
        elif (rkey := rkey_to_int(text[rkey_at:rkey_end])) is None:
            rows.counts["bad_rkey"] += 1
        else:
            rev = _rev(text[rev_at:rev_end], witnessed)
            if kind == RESYNC:
                rows.state(did, rev)
            subject: tuple[str | None, int | None] | None = (None, None)
            if kind != DELETE:
                subject = _subject(buffer[at:end], kind, rkey, rev, rows.counts)
            if subject is not None:
                rows.words.append(
                    ArchivedWord(witnessed, indexed, did, rkey, rev, *subject, _MARKS.get(kind, 0))
                )


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
    rows = np.flatnonzero((columns["collection"] == len(_LIKE_BYTES)) & np.isin(kinds, _RECORDS))
    names = np.frombuffer(buffer, dtype=np.uint8)[
        starts["collection"][rows, None] + np.arange(len(_LIKE_BYTES))
    ]
    likes: NDArray[np.int64] = rows[(names == _LIKE_BYTES).all(axis=1)]
    return likes


def _subject(
    payload: bytes, kind: int, rkey: int, rev: int, counts: Counter[str]
) -> tuple[str | None, int | None] | None:
    """Return what a record likes, (None, None) when it may have been a like before, None when it never was one."""
    try:
        subject = like_subject(decode_cbor(payload))
    except CborError as error:
        subject = error.reason("record")
    if not isinstance(subject, str):
        return subject
    counts[subject] += 1
    is_new = kind == CREATE and 0 <= (rev >> 10) - (rkey >> 10) < ORDINARY_US
    return None if is_new else (None, None)


def _body(payload: bytes, what: str, counts: Counter[str]) -> dict[Any, Any]:
    """Return the fields of a payload, none when it is malformed."""
    try:
        body = decode_cbor(payload)
    except CborError as error:
        counts[error.reason(what)] += 1
        return {}
    return body if type(body) is dict else {}


def _is_deletion(payload: bytes, counts: Counter[str]) -> bool:
    account = _body(payload, "account", counts)
    return account.get("active") is False and account.get("status") == "deleted"


def _rev(text: Any, witnessed_us: int) -> int:
    """Return a revision's number; where there is none, the time of the row stands in."""
    number = tid_to_int(text) if isinstance(text, str) else None
    return tid_at(witnessed_us) if number is None else number
