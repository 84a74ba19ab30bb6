"""The sparse kernel: rows of A times B, and the best columns of each row, without building the product.

Owns: ``top_rows``. Leaves to others: what the matrices mean (``product``).

For each row of A it adds up the rows of B that A names (Gustavson's method) in a dense accumulator, then
keeps the best ``keep`` columns by

    score = (sum of a * b) ^ power * scale[column]

Sums are float64, scores are compared as float32; a tie goes to the column with the smaller name. Different
orders of summation thus agree on the list but for one rounding in about 10^8. Columns a row excludes are
passed over; at most ``per_group`` columns of one group are kept, the best ones. Counts of summands come out
beside the scores, those from B's rows after the first ``counted`` left out.

A column's sum and count lie side by side, for the accumulator is too large for the caches and an access to a
column that is not there waits for memory. So callers do well to give those columns small numbers that have
most entries. An excluded column's count is negative meanwhile. No branch asks whether a column is new, for a
processor guesses that wrong every other time; columns are read without a sign, which spares a look at whether
they count from the end.

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

# What a summand that does not count adds to a count: too little to show, enough to mark the column as touched.
UNCOUNTED = 2.0**-30
FULL = 4  # times as many keys as are wanted, at which those that can't be kept are left out

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
    """The best columns of each row by name, best first: row r has ``filled[r]`` of them."""

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
    counted: int | None = None,
    names: NDArray[np.int32] | None = None,
    threads: int = 1,
) -> Top:
    """Return the best ``keep`` columns of each row of A · B; see the module's text. A must have values.

    ``names`` has a different number for each column, from 0 to how many there are less one: the answer calls it so,
    and a tie goes to the smaller one. By default a column's name is its number.
    """
    if len(a.values) != len(a.columns):
        raise ValueError("the left matrix has entries without values")
    row_count, column_count = len(a.starts) - 1, len(scale)
    columns, counts = np.zeros((2, row_count, keep), np.int32)
    top = Top(columns, np.zeros((row_count, keep), np.float32), counts, np.zeros(row_count, np.int32))
    if groups is None:
        groups, per_group = np.zeros(0, np.int32), 0
    group_count = int(groups.max()) + 1 if len(groups) else 0
    counted = len(b.starts) - 1 if counted is None else counted
    named = np.zeros(0, np.int32)  # by name the column
    if names is None:
        names = named
    else:
        named = np.empty(column_count, np.int32)
        named[names] = np.arange(column_count, dtype=np.int32)
    spaces: SimpleQueue[list[Any]] = SimpleQueue()
    for _ in range(threads):
        spaces.put(
            [
                np.zeros((column_count, 2), np.float64),
                np.empty(column_count + 1, np.int32),
                np.empty(column_count + 1, np.float32),
                np.empty(column_count, np.uint64),
                np.zeros(group_count, np.int32),
            ]
        )

    def work(first: int, last: int) -> None:
        cells, touched, scores, keys, used = space = spaces.get()
        _top_rows(
            first, last,
            a.starts, a.columns, a.values, b.starts, b.columns, b.values,
            scale, power, excluded.starts, excluded.columns, keep, groups, per_group, counted, names, named,
            cells, touched, scores, scores.view(np.uint32), keys, used,
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
    # Cut the rows into parts of about equal work. All of b's starts may be hundreds of millions.
    sizes = b.starts[a.columns + 1] - b.starts[a.columns]
    work = np.concatenate(([0], np.cumsum(sizes)))
    by_row = work[a.starts] + np.arange(len(a.starts))
    cuts = np.searchsorted(by_row, np.linspace(0, by_row[-1], parts + 1)[1:-1])
    return sorted({0, *cuts.tolist(), len(a.starts) - 1})


@compiled
def _raised(total: float, power: float) -> Any:
    """Return a power, by roots where it can be: they take a tenth of the time."""
    root = np.sqrt(total)
    return total * np.sqrt(root) if power == 1.25 else total * root if power == 1.5 else total**power


@compiled
def _select(
    touched: Any, count: int, cells: Any, scale: Any, power: float, names: Any, scores: Any, bits: Any, keys: Any,
    wanted: int,
) -> tuple[int, bool]:  # fmt: skip
    """Write a key for every column that may be kept, larger is better; return how many, and whether any is left out.

    A key is the score's bits (positive floats sort as their bits do), then the name, turned round. With ``wanted`` > 0
    those that can't be among so many best are left out on the way: whenever ``FULL`` times as many have come together,
    the others go, and the least that stays is what a further one must reach.
    """
    size, left_out = 0, False
    least = 0.0  # what the score, for a root its square, must reach; a margin leaves room for the rounding of scores
    for t in range(count):
        column = np.uint32(touched[t])
        if cells[column, 1] < 0.0:
            continue
        total = cells[column, 0]
        if power == 0.5:
            if total * scale[column] * scale[column] < least:
                continue
            raised = np.sqrt(total)
        else:
            raised = total if power == 1.0 else _raised(total, power)
            if raised * scale[column] < least:
                continue
        scores[size] = raised * scale[column]
        if not scores[size] > 0.0:
            continue
        name = names[column] if names.size else column
        keys[size] = (np.uint64(bits[size]) << np.uint64(32)) | np.uint64(0xFFFFFFFF - name)
        size += 1
        if wanted > 0 and size == FULL * wanted:
            _best_first(keys, size, wanted)
            size, left_out = wanted, True
            bits[size] = keys[size - 1] >> np.uint64(32)
            least = np.float64(scores[size]) * (1.0 - 1e-5)
            if power == 0.5:
                least *= least
    return size, left_out


@compiled
def _best_first(keys: Any, size: int, limit: int) -> None:
    """Bring the ``limit`` largest of ``size`` distinct keys to the front, in order (Hoare's selection)."""
    low, high = 0, size - 1
    while low < high and limit < size:
        x, y, z = keys[low], keys[(low + high) >> 1], keys[high]
        pivot = max(min(x, y), min(max(x, y), z))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if limit - 1 <= j:
            high = j
        elif limit - 1 >= i:
            low = i
        else:
            break
    kept = keys[: min(limit, size)]
    kept.sort()
    kept[:] = kept[::-1].copy()


@compiled
def _top_rows(
    first: int, last: int,
    a_starts: Any, a_columns: Any, a_values: Any, b_starts: Any, b_columns: Any, b_values: Any,
    scale: Any, power: float, x_starts: Any, x_columns: Any,
    keep: int, groups: Any, per_group: int, counted: int, names: Any, named: Any,
    cells: Any, touched: Any, scores: Any, bits: Any, keys: Any, used: Any,
    top_columns: Any, top_scores: Any, top_counts: Any, top_filled: Any,
) -> None:  # fmt: skip
    room = keep if per_group == 0 else 2 * keep
    for row in range(first, last):
        count = 0
        for x in range(a_starts[row], a_starts[row + 1]):
            inner = a_columns[x]
            value = a_values[x]
            one = 1.0 if inner < counted else UNCOUNTED
            if b_values.size == 0:
                for y in range(b_starts[inner], b_starts[inner + 1]):
                    column = np.uint32(b_columns[y])
                    touched[count] = column
                    count += cells[column, 1] == 0.0
                    cells[column, 1] += one
                    cells[column, 0] += value
            else:
                for y in range(b_starts[inner], b_starts[inner + 1]):
                    column = np.uint32(b_columns[y])
                    touched[count] = column
                    count += cells[column, 1] == 0.0
                    cells[column, 1] += one
                    cells[column, 0] += value * b_values[y]
        for x in range(x_starts[row], x_starts[row + 1]):
            cells[x_columns[x], 1] *= -1.0
        size, left_out = _select(touched, count, cells, scale, power, names, scores, bits, keys, room)
        limit = room
        while True:
            _best_first(keys, size, limit)
            filled = 0
            looked = 0
            while looked < min(limit, size) and filled < keep:
                name = np.int64(0xFFFFFFFF) - np.int64(keys[looked] & np.uint64(0xFFFFFFFF))
                place = np.int64(named[name]) if named.size else name
                looked += 1
                if per_group > 0:
                    if used[groups[place]] == per_group:
                        continue
                    used[groups[place]] += 1
                bits[0] = keys[looked - 1] >> np.uint64(32)
                top_columns[row, filled] = name
                top_scores[row, filled] = scores[0]
                top_counts[row, filled] = np.int32(cells[place, 1])
                filled += 1
            for kept in range(filled):
                if per_group > 0:
                    name = top_columns[row, kept]
                    used[groups[named[name] if named.size else name]] = 0
            if filled == keep or (size <= limit and not left_out):
                break
            if left_out:
                size, left_out = _select(touched, count, cells, scale, power, names, scores, bits, keys, 0)
            limit *= 4  # so many columns fell to the cap that the list is short: look at more of them
        top_filled[row] = filled
        room = limit
        for t in range(count):
            cells[touched[t], 0] = 0.0
            cells[touched[t], 1] = 0.0
