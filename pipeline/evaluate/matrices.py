"""Sparse matrices from columns of numbers: what every ranking here is made of.

Owns: building and slicing the kernel's ``Sparse``, reading its ``Top``. Leaves to others: multiplying
(``pipeline.batch.kernel``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, Top, compiled, sparse
from pipeline.evaluate.like_events import NONE, Ints, Small

Numbers = NDArray[np.integer[Any]]


def matrix(rows: Numbers, columns: Numbers, values: NDArray[np.float64] | None, row_count: int) -> Sparse:
    """Return a matrix of entries in any order; within a row they keep the order given."""
    if not len(rows) or not np.any(rows[1:] < rows[:-1]):
        return sparse(rows, columns, values, row_count)
    starts = np.zeros(row_count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=row_count), out=starts[1:])
    # Each entry goes straight to its place, because an array of their order would be as large as the entries.
    sorted_columns = np.empty(len(rows), np.int32)
    sorted_values = np.empty(0 if values is None else len(rows))
    _place(
        rows,
        columns,
        sorted_values if values is None else values,
        starts[:-1].copy(),
        sorted_columns,
        sorted_values,
    )
    return Sparse(starts, sorted_columns, sorted_values)


@compiled
def _place(
    rows: Any, columns: Any, values: Any, places: Any, sorted_columns: Any, sorted_values: Any
) -> None:
    for i in range(len(rows)):
        place = places[rows[i]]
        places[rows[i]] = place + 1
        sorted_columns[place] = columns[i]
        if len(values) > 0:
            sorted_values[place] = values[i]


def sorted_rows(rows: Numbers, columns: Numbers, row_count: int) -> Sparse:
    """Return a matrix of entries without values whose rows are sorted by column."""
    result = matrix(rows, columns, None, row_count)
    if result.columns is columns:
        result = Sparse(result.starts, result.columns.copy(), result.values)
    _sort_rows(result.starts, result.columns)
    return result


@compiled
def _sort_rows(starts: Any, columns: Any) -> None:
    for row in range(len(starts) - 1):
        columns[starts[row] : starts[row + 1]].sort()


def rows_of(a: Sparse, wanted: Numbers) -> Sparse:
    """Return some rows of a matrix, in the order of ``wanted``."""
    sizes = np.diff(a.starts)[wanted]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    places = np.repeat(a.starts[:-1][wanted] - starts[:-1], sizes) + np.arange(starts[-1])
    return Sparse(starts, a.columns[places], a.values[places] if len(a.values) else a.values)


def row_numbers(a: Sparse) -> Small:
    """Return the row of each entry."""
    return np.repeat(np.arange(len(a.starts) - 1, dtype=np.int32), np.diff(a.starts))


def columns_of(top: Top) -> Small:
    """Return the best columns of each row, (rows, keep), NONE where there are fewer."""
    return np.where(np.arange(top.columns.shape[1]) < top.filled[:, None], top.columns, NONE)


def scores_of(top: Top) -> Sparse:
    """Return the scores of the best columns of each row as a matrix."""
    taken = np.arange(top.columns.shape[1]) < top.filled[:, None]
    starts = np.concatenate(([0], np.cumsum(top.filled, dtype=np.int64)))
    return Sparse(starts, top.columns[taken], top.scores[taken].astype(np.float64))


@compiled
def contains(starts: Ints, columns: Small, rows: Ints, wanted: Ints) -> NDArray[np.bool_]:
    """Tell for each (row, column) whether the matrix, whose rows are sorted by column, has an entry there."""
    found = np.zeros(len(rows), np.bool_)
    for i in range(len(rows)):
        low, high = starts[rows[i]], starts[rows[i] + 1]
        place = low + np.searchsorted(columns[low:high], wanted[i])
        found[i] = place < high and columns[place] == wanted[i]
    return found
