"""The bytes of a list, as sql/serving/0001_serving.sql defines them.

Owns: ``pack`` and ``same_posts``. Leaves to others: reading them back, which is the web app's.

A list of n entries: n x uint32 post_id, n x float32 score, n x uint16 co_likers, n x uint8 source, all
little-endian, 11 n bytes.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

ITEM_BYTES = 11


def pack(
    starts: NDArray[np.int64],
    post_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    co_likers: NDArray[np.int32],
    sources: NDArray[np.uint8],
) -> list[bytes]:
    """Return each list's bytes; list i is starts[i] .. starts[i + 1] of the arrays."""
    sizes = np.diff(starts)
    size = np.repeat(sizes, sizes)
    first = np.repeat(starts[:-1], sizes)
    place = np.arange(len(size)) - first
    buffer = np.empty(len(size) * ITEM_BYTES, np.uint8)
    offset = first * ITEM_BYTES
    fields: tuple[NDArray[Any], ...] = (
        post_ids.astype("<u4"),
        scores.astype("<f4"),
        np.minimum(co_likers, 65_535).astype("<u2"),
        sources.astype("u1"),
    )
    for values in fields:
        width = values.dtype.itemsize
        target = (offset + place * width)[:, None] + np.arange(width)
        buffer[target] = np.ascontiguousarray(values).view(np.uint8).reshape(-1, width)
        offset = offset + size * width
    whole = buffer.tobytes()
    edges = (starts * ITEM_BYTES).tolist()
    return [whole[first:last] for first, last in pairwise(edges)]


def same_posts(one: bytes, other: bytes) -> bool:
    """Tell whether two lists name the same posts in the same order, with the same sources.

    Scores decay with the snapshot's time in all lists alike, and say nothing that the order does not.
    """
    size = len(one) // ITEM_BYTES
    return (
        len(one) == len(other)
        and one[: 4 * size] == other[: 4 * size]
        and one[10 * size :] == other[10 * size :]
    )
