"""The bytes of a list, as sql/serving/0001_schema.sql defines them.

Owns: ``pack``, ``length`` and ``same_posts``. Leaves to others: reading a list back, which is the web app's.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import compiled

LAYOUT = 2
NEVER_MULTIPLE_OF = 11  # bytes: what would be one gets a zero byte more
WIDE_POSTS, WIDE_CO_LIKERS, TRIED = 1, 2, 4
STEPS = (1 << 20) - 2  # between the lowest and the highest score

# Where in the head of a list its parts lie: how many items, the lowest post_id, the lowest and the highest score.
COUNT, LOWEST, SCORES, HEAD_BYTES = 2, 4, 8, 16


def pack(
    starts: NDArray[np.int64],
    post_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    co_likers: NDArray[np.int32],
    tried: NDArray[np.bool_] | None = None,
) -> list[bytes]:
    """Return each list's bytes; list i is starts[i] .. starts[i + 1] of the arrays.

    A post without co-likers is in the list as popular; nothing else marks it. ``tried`` are the posts in trial places.
    Scores are positive; one that is not becomes 0.
    """
    sizes = np.diff(starts)
    if len(sizes) and sizes.max() > 0xFFFF:
        raise ValueError(f"a list of {sizes.max()} items: 65535 at most")
    counts = np.minimum(co_likers, 0xFFFF).astype(np.int64)
    widths = np.zeros(len(sizes), np.int64)
    lengths = np.zeros(len(sizes), np.int64)
    _measure(starts, post_ids, counts, widths, lengths)
    edges = np.concatenate(([0], np.cumsum(lengths)))
    buffer = np.zeros(edges[-1], np.uint8)
    bounds = np.zeros((len(sizes), 2), np.float32)
    _write(starts, post_ids, scores, counts, widths, edges, buffer, bounds)
    filled = sizes > 0
    buffer[edges[:-1][filled, None] + np.arange(SCORES, HEAD_BYTES)] = bounds.view(np.uint8)[filled]
    whole = buffer.tobytes()
    packed = [whole[first:last] for first, last in pairwise(edges.tolist())]
    if tried is not None and tried.any():
        some = np.add.reduceat(np.append(tried, False), starts[:-1]) * (sizes > 0)
        for row in np.flatnonzero(some).tolist():
            packed[row] = _with_tried(packed[row], tried[starts[row] : starts[row + 1]])
    return packed


def _with_tried(blob: bytes, tried: NDArray[np.bool_]) -> bytes:
    """Return a list's bytes with the bits of its trial places."""
    bits = np.packbits(tried, bitorder="little").tobytes()
    whole = blob[:1] + bytes([blob[1] | TRIED]) + blob[2 : _marks_end(blob)] + bits
    return whole if len(whole) % NEVER_MULTIPLE_OF else whole + bytes(1)


def _marks_end(blob: bytes) -> int:
    widths, count = blob[1], length(blob)
    wide = (widths & WIDE_POSTS > 0) + (widths & WIDE_CO_LIKERS > 0)
    return HEAD_BYTES + count * (6 + wide) + (count + 1) // 2


def length(blob: bytes) -> int:
    """Return how many items a list has."""
    return int.from_bytes(blob[COUNT:LOWEST], "little")


def same_posts(one: bytes, other: bytes) -> bool:
    """Tell whether two lists name the same posts in the same order, popular ones in the same places.

    Scores decay with the snapshot's time in all lists alike, and say nothing that the order does not.
    """
    return one == other or (bool(one and other) and _order(one) == _order(other))


def _order(blob: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the bytes that say which posts a list names, which are popular, and which are in trial places."""
    widths, count = blob[1], length(blob)
    ids_end = HEAD_BYTES + count * (4 if widths & WIDE_POSTS else 3)
    counts = np.frombuffer(blob, "<u2" if widths & WIDE_CO_LIKERS else "u1", count, ids_end)
    early = blob[_marks_end(blob) :] if widths & TRIED else b""
    return blob[COUNT:SCORES], blob[HEAD_BYTES:ids_end], (counts > 0).tobytes(), early


@compiled
def _measure(starts: Any, post_ids: Any, co_likers: Any, widths: Any, lengths: Any) -> None:
    """Write each list's flags for wide numbers, and its bytes without trial bits; both arrays are (lists)."""
    for row in range(len(starts) - 1):
        first, last = starts[row], starts[row + 1]
        size = last - first
        if size == 0:
            continue
        span = post_ids[first:last].max() - post_ids[first:last].min()
        width, item = 0, 6  # three bytes of the post's number, one of co-likers, two of the score
        if span > 0xFFFFFF:
            width, item = width | WIDE_POSTS, item + 1
        if co_likers[first:last].max() > 0xFF:
            width, item = width | WIDE_CO_LIKERS, item + 1
        total = HEAD_BYTES + size * item + (size + 1) // 2
        widths[row] = width
        lengths[row] = total + (total % NEVER_MULTIPLE_OF == 0)


@compiled
def _write(
    starts: Any, post_ids: Any, scores: Any, co_likers: Any, widths: Any, edges: Any, buffer: Any, bounds: Any
) -> None:
    """Write the lists: list i is edges[i] .. edges[i + 1] of ``buffer``, which is zero at first.

    The lowest and the highest score go into ``bounds`` (lists, 2): their bytes are not written here.
    """
    for row in range(len(starts) - 1):
        first, last = starts[row], starts[row + 1]
        size = last - first
        if size == 0:
            continue
        at, width = edges[row], widths[row]
        lowest_post = post_ids[first:last].min()
        low, high = np.float32(np.inf), np.float32(0)
        for i in range(first, last):
            if scores[i] > 0:
                low, high = min(low, scores[i]), max(high, scores[i])
        if high == 0:
            low = np.float32(0)
        bounds[row, 0], bounds[row, 1] = low, high
        buffer[at], buffer[at + 1] = LAYOUT, width
        buffer[at + COUNT], buffer[at + COUNT + 1] = size & 255, size >> 8
        for byte in range(4):
            buffer[at + LOWEST + byte] = (lowest_post >> (8 * byte)) & 255
        top_bytes = 2 if width & WIDE_POSTS else 1
        count_bytes = 2 if width & WIDE_CO_LIKERS else 1
        ids = at + HEAD_BYTES
        tops = ids + 2 * size  # of the posts' numbers
        counts = tops + top_bytes * size
        marks = counts + count_bytes * size
        mark_tops = marks + 2 * size
        spread = np.log(np.float64(high) / np.float64(low)) if high > low else 0.0
        for i in range(size):
            number = post_ids[first + i] - lowest_post
            buffer[ids + 2 * i], buffer[ids + 2 * i + 1] = number & 255, (number >> 8) & 255
            for byte in range(top_bytes):
                buffer[tops + top_bytes * i + byte] = (number >> (16 + 8 * byte)) & 255
            liked = co_likers[first + i]
            for byte in range(count_bytes):
                buffer[counts + count_bytes * i + byte] = (liked >> (8 * byte)) & 255
            score, mark = np.float64(scores[first + i]), 0
            if score > 0:
                mark = 1
                if spread > 0:
                    mark += int(np.rint(np.log(score / np.float64(low)) / spread * STEPS))
            buffer[marks + 2 * i], buffer[marks + 2 * i + 1] = mark & 255, (mark >> 8) & 255
            buffer[mark_tops + i // 2] |= (mark >> 16) << (4 * (i % 2))
