"""Sparse matrices from columns of numbers: what every ranking here is made of.

Owns: building and turning round the kernel's ``Sparse``. Leaves to others: multiplying
(``pipeline.batch.kernel``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, compiled, sparse
from pipeline.evaluate.like_events import Ints


def matrix(
    rows: NDArray[np.integer],
    columns: NDArray[np.integer],
    values: NDArray[np.float64] | None,
    row_count: int,
) -> Sparse:
    """Return a matrix of entries in any order; within a row they keep the order given."""
    if not len(rows) or not np.any(rows[1:] < rows[:-1]):
        return sparse(rows, columns, values, row_count)
    starts = np.zeros(row_count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=row_count), out=starts[1:])
    # Dealing the entries out, row by row, needs no order of them, which is as large as they are.
    dealt = np.empty(len(rows), np.int32)
    worth = np.empty(0 if values is None else len(rows))
    _deal(rows, columns, worth if values is None else values, starts[:-1].copy(), dealt, worth)
    return Sparse(starts, dealt, worth)


@compiled
def _deal(rows: Any, columns: Any, values: Any, places: Any, dealt: Any, worth: Any) -> None:
    for i in range(len(rows)):
        place = places[rows[i]]
        places[rows[i]] = place + 1
        dealt[place] = columns[i]
        if len(values) > 0:
            worth[place] = values[i]


@compiled
def sort_rows(starts: Any, columns: Any) -> None:
    """Sort the columns of each row, in place."""
    for row in range(len(starts) - 1):
        columns[starts[row] : starts[row + 1]].sort()


def rows_of(a: Sparse, wanted: NDArray[np.integer]) -> Sparse:
    """Return some rows of a matrix, in the order asked for."""
    sizes = np.diff(a.starts)[wanted]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    places = spans(a.starts[:-1][wanted], sizes)
    return Sparse(starts, a.columns[places], a.values[places] if len(a.values) else a.values)


def spans(firsts: Ints, sizes: Ints) -> Ints:
    """Return firsts[0], firsts[0] + 1 … (sizes[0] of them), firsts[1] … as one array."""
    total = int(sizes.sum())
    if not total:
        return np.zeros(0, np.int64)
    ends = np.cumsum(sizes)
    result: Ints = np.repeat(firsts - (ends - sizes), sizes)
    result += np.arange(total)
    return result


def stacked(parts: Sequence[Sparse]) -> Sparse:
    """Return one matrix of several, one below the other."""
    if not parts:
        return Sparse(np.zeros(1, np.int64), np.zeros(0, np.int32), np.empty(0))
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return Sparse(
        np.concatenate(([0], np.cumsum(sizes))),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def row_numbers(a: Sparse) -> Ints:
    """Return the row of each entry."""
    return np.repeat(np.arange(len(a.starts) - 1, dtype=np.int32), np.diff(a.starts))


def transposed(a: Sparse, column_count: int) -> Sparse:
    """Return the matrix with rows and columns exchanged."""
    return matrix(a.columns, row_numbers(a), a.values if len(a.values) else None, column_count)


@compiled
def contains(starts: Ints, columns: NDArray[np.int32], rows: Ints, wanted: Ints) -> NDArray[np.bool_]:
    """Tell for each (row, column) whether the matrix, whose rows are sorted by column, has an entry there."""
    found = np.zeros(len(rows), np.bool_)
    for i in range(len(rows)):
        low, high = starts[rows[i]], starts[rows[i] + 1]
        place = low + np.searchsorted(columns[low:high], wanted[i])
        found[i] = place < high and columns[place] == wanted[i]
    return found
