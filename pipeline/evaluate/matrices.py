"""Sparse matrices from columns of numbers: what every ranking here is made of.

Owns: building and turning round the kernel's ``Sparse``. Leaves to others: multiplying (``pipeline.batch.kernel``).
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, compiled, sparse
from pipeline.evaluate.events import Ints


def matrix(
    rows: NDArray[np.integer],
    columns: NDArray[np.integer],
    values: NDArray[np.float64] | None,
    row_count: int,
) -> Sparse:
    """Return a matrix of entries in any order; within a row they keep the order given."""
    if len(rows) and np.any(rows[1:] < rows[:-1]):
        order = np.argsort(rows, kind="stable")
        rows, columns = rows[order], columns[order]
        values = None if values is None else values[order]
    return sparse(rows, columns, values, row_count)


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
    result: Ints = np.arange(total) + np.repeat(firsts - (ends - sizes), sizes)
    return result


def row_numbers(a: Sparse) -> Ints:
    """Return the row of each entry."""
    return np.repeat(np.arange(len(a.starts) - 1), np.diff(a.starts))


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
