"""The likes that an evaluation works on, as arrays sorted by time.

Owns: ``Events`` and reading them from a Parquet file of (user, item, ts_ms). Leaves to others: reading them
from the store (``from_store``), cutting them at a moment (``splits``).

Invariants: users and items are numbered 0, 1, 2 …, users in the order of their keys, items newest first, so
that a smaller number wins a tie as in the batch. One like a (user, item): the earliest.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import PipelineError

Ints = NDArray[np.int64]
Small = NDArray[np.int32]

NONE = -1  # a place without an item


class EvaluateError(PipelineError):
    """Something that keeps an evaluation from running, in one line for whoever asked for it."""


@dataclass(frozen=True, slots=True)
class Events:
    """Likes sorted by time; ``users``, ``items`` and ``times_us`` have one entry a like.

    ``user_keys``, ``item_keys``: what the numbers stand for (actor ids and record keys, or the file's own).
    ``created_us``: when each item was made; where nobody knows, when it was first liked. ``allowed``: items that may be
    recommended. ``authors``: a number an item, None where unknown; ``owners``: the user who made each item, NONE for
    nobody who likes. ``speaks``: (items, languages by name), None where unknown.
    """

    name: str
    users: Small
    items: Small
    times_us: Ints
    user_keys: Ints
    item_keys: Ints
    created_us: Ints
    allowed: NDArray[np.bool_]
    authors: Small | None = None
    speaks: NDArray[np.bool_] | None = None
    owners: Small | None = None

    @property
    def user_count(self) -> int:
        """The number of users."""
        return len(self.user_keys)

    @property
    def item_count(self) -> int:
        """The number of items."""
        return len(self.item_keys)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of items, newest first; the fields of ``Events`` that speak of them, authors by their keys."""

    item_keys: Ints
    created_us: Ints
    allowed: NDArray[np.bool_]
    author_keys: Ints | None = None
    speaks: NDArray[np.bool_] | None = None


def from_file(path: Path) -> Events:
    """Return the likes of a Parquet file with the integer columns user, item and ts_ms."""
    try:
        table = pq.read_table(path, columns=["user", "item", "ts_ms"])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise EvaluateError(f"can't read user, item and ts_ms of {path}: {error}") from error
    columns = []
    for name in ("user", "item", "ts_ms"):
        column = table.column(name)
        if not pa.types.is_integer(column.type) or column.null_count:
            raise EvaluateError(f"{path}: {name} must be whole numbers without gaps")
        columns.append(column.to_numpy().astype(np.int64))
    if not len(columns[0]):
        raise EvaluateError(f"{path} has no rows")
    users, items, times_ms = columns
    return numbered(path.stem, users, items, times_ms * 1000)


def numbered(
    name: str,
    users: Ints,
    items: Ints,
    times_us: Ints,
    known: "Known | None" = None,
) -> Events:
    """Return events of raw user keys and times, and of item keys, or of places in what is ``known`` of items."""
    user_keys, users = np.unique(users, return_inverse=True)
    if known is None:
        keys, items = np.unique(items, return_inverse=True)
        first = np.full(len(keys), np.iinfo(np.int64).max)
        np.minimum.at(first, items, times_us)
        order = np.lexsort((keys, -first))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        items = place[items]
        known = Known(keys[order], first[order], np.ones(len(order), np.bool_))
    # Sorted by (user, item, time), the first of each pair is the earliest.
    order = np.lexsort((times_us, items, users))
    users, items, times_us = users[order], items[order], times_us[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    users, items, times_us = users[fresh], items[fresh], times_us[fresh]
    order = np.lexsort((items, users, times_us))
    authors = owners = None
    if known.author_keys is not None:
        authors = np.unique(known.author_keys, return_inverse=True)[1].astype(np.int32)
        place = np.minimum(np.searchsorted(user_keys, known.author_keys), len(user_keys) - 1)
        owners = np.where(user_keys[place] == known.author_keys, place, NONE).astype(np.int32)
    return Events(
        name,
        users[order].astype(np.int32),
        items[order].astype(np.int32),
        times_us[order],
        user_keys,
        known.item_keys,
        known.created_us,
        known.allowed,
        authors,
        known.speaks,
        owners,
    )
