"""The sparse kernel: rows of A times B, and the best columns of each row, without building the product.

Owns: ``top_rows``. Leaves to others: what the matrices mean (``products``).

For each row of A it adds up the rows of B that A names (Gustavson's method) in a dense accumulator, then
keeps the best ``keep`` columns by

    score = (sum of a * b) ^ power * scale[column]

Sums are float64, scores are compared as float32; a tie goes to the smaller column, so callers number columns
in the order ties should have. Different orders of summation thus agree on the list but for one rounding in
about 10^8. Columns a row excludes are passed over; at most ``per_group`` columns of one group are kept, the
best ones. Counts of summands come out beside the scores.

Invariant: a workspace is clean (all zero) between rows, so the cost of a row is its own.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on first use, free of the interpreter's lock, and cache the machine code on disk."""
    try:
        return cast(Function, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(nogil=True)(function))


@dataclass(frozen=True, slots=True)
class Sparse:
    """A matrix in compressed rows. ``values`` of length 0 means every entry is 1."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Top:
    """The best columns of each row, best first: row r has ``filled[r]`` of them."""

    columns: NDArray[np.int32]
    scores: NDArray[np.float32]
    counts: NDArray[np.int32]
    filled: NDArray[np.int32]


def sparse(
    rows: NDArray[np.integer[Any]],
    columns: NDArray[np.integer[Any]],
    values: NDArray[np.float64] | None,
    row_count: int,
) -> Sparse:
    """Return a matrix of entries that are sorted by row."""
    starts = np.zeros(row_count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=row_count), out=starts[1:])
    return Sparse(
        starts,
        np.ascontiguousarray(columns, np.int32),
        np.empty(0) if values is None else np.ascontiguousarray(values, np.float64),
    )


def top_rows(
    a: Sparse,
    b: Sparse,
    *,
    scale: NDArray[np.float64],
    power: float,
    excluded: Sparse,
    keep: int,
    groups: NDArray[np.int32] | None = None,
    per_group: int = 0,
    threads: int = 1,
) -> Top:
    """Return the best ``keep`` columns of each row of A · B; see the module's text."""
    row_count, column_count = len(a.starts) - 1, len(scale)
    top = Top(
        np.zeros((row_count, keep), np.int32),
        np.zeros((row_count, keep), np.float32),
        np.zeros((row_count, keep), np.int32),
        np.zeros(row_count, np.int32),
    )
    if groups is None:
        groups, per_group = np.zeros(0, np.int32), 0
    group_count = int(groups.max()) + 1 if len(groups) else 0
    # The score's order without the power, to pass over most columns; none where it underflows.
    bound = np.power(scale, 1.0 / power)
    bound[bound < 1e-290] = np.inf
    spaces: SimpleQueue[list[Any]] = SimpleQueue()
    for _ in range(threads):
        spaces.put(
            [
                np.zeros(column_count, np.float64),
                np.zeros(column_count, np.int32),
                np.zeros(column_count, np.uint8),
                np.empty(column_count, np.int32),
                np.zeros(group_count, np.int32),
            ]
        )

    def work(first: int, last: int) -> None:
        space = spaces.get()
        _top_rows(
            first, last,
            a.starts, a.columns, a.values, b.starts, b.columns, b.values,
            scale, bound, power, excluded.starts, excluded.columns, keep, groups, per_group,
            space[0], space[1], space[2], space[3], space[4],
            top.columns, top.scores, top.counts, top.filled,
        )  # fmt: skip
        spaces.put(space)

    edges = _edges(a, b, threads * 4)
    if threads == 1:
        work(0, row_count)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, edges[:-1], edges[1:]))
    return top


def _edges(a: Sparse, b: Sparse, parts: int) -> list[int]:
    # Cut the rows into parts of about equal work.
    work = np.concatenate(([0], np.cumsum(np.diff(b.starts)[a.columns]))) if len(a.columns) else np.zeros(1)
    by_row = work[a.starts] + np.arange(len(a.starts))
    cuts = np.searchsorted(by_row, np.linspace(0, by_row[-1], parts + 1)[1:-1])
    return sorted({0, *cuts.tolist(), len(a.starts) - 1})


@compiled
def _worse(score_x: float, column_x: int, score_y: float, column_y: int) -> bool:
    return score_x < score_y or (score_x == score_y and column_x > column_y)


@compiled
def _sift_down(scores: Any, columns: Any, size: int, score: float, column: int) -> None:
    # Put an entry at the root of a heap whose root is the worst entry.
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and _worse(scores[child + 1], columns[child + 1], scores[child], columns[child]):
            child += 1
        if not _worse(scores[child], columns[child], score, column):
            break
        scores[i], columns[i] = scores[child], columns[child]
        i = child
    scores[i], columns[i] = score, column


@compiled
def _sift_up(scores: Any, columns: Any, i: int, score: float, column: int) -> None:
    while i > 0:
        parent = (i - 1) >> 1
        if not _worse(score, column, scores[parent], columns[parent]):
            break
        scores[i], columns[i] = scores[parent], columns[parent]
        i = parent
    scores[i], columns[i] = score, column


@compiled
def _select(
    touched: Any, count: int, sums: Any, marks: Any, scale: Any, bound: Any, power: float,
    limit: int, heap_scores: Any, heap_columns: Any,
) -> int:  # fmt: skip
    """Fill the heap with the best ``limit`` columns, sorted best first; return how many there are."""
    size = 0
    threshold = 0.0
    for t in range(count):
        column = touched[t]
        if marks[column] != 0:
            continue
        total = sums[column]
        if size == limit and total * bound[column] < threshold:
            continue
        if power == 1.0:
            raised = total
        elif power == 0.5:
            raised = np.sqrt(total)
        else:
            raised = total**power
        score: Any = np.float32(raised * scale[column])
        if not score > 0.0:
            continue
        if size < limit:
            _sift_up(heap_scores, heap_columns, size, score, column)
            size += 1
        elif _worse(heap_scores[0], heap_columns[0], score, column):
            _sift_down(heap_scores, heap_columns, size, score, column)
        else:
            continue
        if size == limit:
            # A little below what a float32 rounding could lift over the worst entry.
            threshold = np.float64(heap_scores[0]) ** (1.0 / power) * (1.0 - 1e-5)
    remaining = size
    while remaining > 1:
        remaining -= 1
        score, column = heap_scores[remaining], heap_columns[remaining]
        heap_scores[remaining], heap_columns[remaining] = heap_scores[0], heap_columns[0]
        _sift_down(heap_scores, heap_columns, remaining, score, column)
    return size


@compiled
def _top_rows(
    first: int, last: int,
    a_starts: Any, a_columns: Any, a_values: Any, b_starts: Any, b_columns: Any, b_values: Any,
    scale: Any, bound: Any, power: float, x_starts: Any, x_columns: Any,
    keep: int, groups: Any, per_group: int,
    sums: Any, counts: Any, marks: Any, touched: Any, used: Any,
    top_columns: Any, top_scores: Any, top_counts: Any, top_filled: Any,
) -> None:  # fmt: skip
    room = keep if per_group == 0 else 2 * keep
    heap_scores = np.empty(room, np.float32)
    heap_columns = np.empty(room, np.int32)
    for row in range(first, last):
        count = 0
        for x in range(a_starts[row], a_starts[row + 1]):
            inner = a_columns[x]
            value = a_values[x]
            if b_values.size == 0:
                for y in range(b_starts[inner], b_starts[inner + 1]):
                    column = b_columns[y]
                    if counts[column] == 0:
                        touched[count] = column
                        count += 1
                    counts[column] += 1
                    sums[column] += value
            else:
                for y in range(b_starts[inner], b_starts[inner + 1]):
                    column = b_columns[y]
                    if counts[column] == 0:
                        touched[count] = column
                        count += 1
                    counts[column] += 1
                    sums[column] += value * b_values[y]
        for x in range(x_starts[row], x_starts[row + 1]):
            marks[x_columns[x]] = 1
        limit = room
        while True:
            size = _select(
                touched, count, sums, marks, scale, bound, power, limit, heap_scores, heap_columns
            )  # fmt: skip
            filled = 0
            looked = 0
            while looked < size and filled < keep:
                column = heap_columns[looked]
                looked += 1
                if per_group > 0:
                    if used[groups[column]] == per_group:
                        continue
                    used[groups[column]] += 1
                top_columns[row, filled] = column
                top_scores[row, filled] = heap_scores[looked - 1]
                top_counts[row, filled] = counts[column]
                filled += 1
            if per_group > 0:
                for t in range(looked):
                    used[groups[heap_columns[t]]] = 0
            if filled == keep or size < limit:
                break
            limit *= 4  # so many columns fell to the cap that the list is short: look at more of them
            heap_scores = np.empty(limit, np.float32)
            heap_columns = np.empty(limit, np.int32)
        top_filled[row] = filled
        room = limit
        for x in range(x_starts[row], x_starts[row + 1]):
            marks[x_columns[x]] = 0
        for t in range(count):
            sums[touched[t]] = 0.0
            counts[touched[t]] = 0
