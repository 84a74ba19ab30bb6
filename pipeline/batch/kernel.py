"""The sparse kernel: rows of A · B, and the best columns of each row, without building the product.

Owns: ``top_rows``, and the forms of its matrices. Leaves to others: what the matrices mean
(``neighbours.product_block``, ``lists.product``).

For each row of A it adds up the rows of B that A names (Gustavson's method) in a dense accumulator. Then it keeps
the best ``keep`` columns by

    score = (sum of a * b) ^ power * scale[column]

Rows may differ in their scales, which are a few rows of a table, and in how many columns of a group they may have.
Columns may be of kinds, and a row's scores of each kind are then multiplied by a factor, also a row of a table.

Sums are float64. Scores are compared as float32, and a tie goes to the column with the smaller name. So the list
does not depend on the order of summation, except for one rounding in about 10^8. Columns that a row excludes are
passed over. Of one group at most so many columns are kept as the row may have, the best ones. Each score comes with
the number of its summands; those from B's rows after the first ``counted`` do not count.

The accumulator is too large for the caches, so each access to a column waits for memory. Three things follow. A
column's sum and count lie side by side. Callers give small numbers to the columns with most entries. No branch
asks whether a column is new, since a processor mispredicts that every other time. Columns are read as unsigned
numbers, which spares a test for negative indices. An excluded column's count is negative while its row is at work.

Invariant: a workspace is clean (all zero) between rows, so the cost of a row depends on that row alone.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

# What a summand that does not count adds to a count: too little to show, enough to mark the column as touched.
UNCOUNTED = 2.0**-30
FULL = 4  # times as many keys as are wanted, at which those that can't be kept are left out
NO_NUMBERS = np.zeros(0, np.int32)

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on first use, free of the interpreter's lock, and cache the machine code on disk.

    Arrays travel in NamedTuples, whose fields say their types and shapes. A loop first takes them out of the tuple: to
    do so within the loop would cost a reference count at every turn.
    """
    try:
        dispatcher = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(nogil=True)(function))
    cache = dispatcher._cache  # type: ignore[attr-defined]
    load = cache.load_overload

    def load_or_forget(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except (AttributeError, ImportError, TypeError):
            # The index names a class of another version of the program. Numba asks whether it is stale after this.
            cache.flush()
            return None

    cache.load_overload = load_or_forget
    return cast(Function, dispatcher)


class Sparse(NamedTuple):
    """A matrix in compressed rows: row r has the entries starts[r] .. starts[r + 1]."""

    starts: NDArray[np.int64]  # (rows + 1)
    columns: NDArray[np.int32]  # (entries)
    values: NDArray[np.float64]  # (entries), or (0) when every entry is 1


class Top(NamedTuple):
    """The best columns of each row by name, best first: row r has ``filled[r]`` of them."""

    columns: NDArray[np.int32]  # (rows, keep)
    scores: NDArray[np.float32]  # (rows, keep)
    counts: NDArray[np.int32]  # (rows, keep)
    filled: NDArray[np.int32]  # (rows)


class Kinds(NamedTuple):
    """Kinds of columns, and what a row's scores of each kind are multiplied by, at most 1."""

    of_columns: NDArray[np.int32]  # (columns)
    factors: NDArray[np.float64]  # (factors, kinds)
    factors_of: NDArray[np.int32]  # (rows): which of the factors


class Selection(NamedTuple):
    """What decides which columns of a row are kept, and what they are called."""

    scales: NDArray[np.float64]  # (scales, columns)
    scale_of: NDArray[np.int32]  # (rows): which of the scales
    power: float
    keep: int
    groups: NDArray[np.int32]  # (columns), or (0) without groups
    per_group: NDArray[np.int32]  # (rows), or (0) without groups
    counted: int  # rows of B whose summands count
    names: NDArray[np.int32]  # (columns): the name of each, or (0) when it is the column's number
    named: NDArray[np.int32]  # (columns): the column of each name, or (0)
    kinds: NDArray[np.int32]  # (columns): the kind of each, or (0) without kinds
    factors: NDArray[np.float64]  # (factors, kinds)
    factors_of: NDArray[np.int32]  # (rows): which of the factors


class Workspace(NamedTuple):
    """What one thread needs for a row."""

    cells: NDArray[np.float64]  # (columns, 2): sum and count
    touched: NDArray[np.int32]  # (columns + 1): columns that the row has entries in
    scores: NDArray[np.float32]  # (columns + 1)
    bits: NDArray[np.uint32]  # the same memory as scores
    keys: NDArray[np.uint64]  # (columns): score bits and name, to be sorted
    used: NDArray[np.int32]  # (groups): columns kept of each


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
    scale_of: NDArray[np.int32] | None = None,
    groups: NDArray[np.int32] | None = None,
    per_group: int | NDArray[np.int32] = 0,
    counted: int | None = None,
    names: NDArray[np.int32] | None = None,
    kinds: Kinds | None = None,
    threads: int = 1,
) -> Top:
    """Return the best ``keep`` columns of each row of A · B; see the module's text. A must have values.

    ``scale`` is (columns), or a table (scales, columns) of which ``scale_of`` names each row's. ``per_group`` is one
    number or (rows).
    ``names`` numbers the columns anew, from 0 without gaps: the answer calls a column so, and a tie goes to the smaller
    name. By default a column's name is its number.
    """
    if len(a.values) != len(a.columns):
        raise ValueError("the left matrix has entries without values")
    row_count, column_count = len(a.starts) - 1, scale.shape[-1]
    columns, counts = np.zeros((2, row_count, keep), np.int32)
    top = Top(columns, np.zeros((row_count, keep), np.float32), counts, np.zeros(row_count, np.int32))
    if scale_of is None:
        scale_of = np.zeros(row_count, np.int32)
    most = NO_NUMBERS if groups is None else np.full(row_count, per_group, np.int32)
    if groups is None:
        groups = NO_NUMBERS
    named = NO_NUMBERS
    if names is not None:
        named = np.empty(column_count, np.int32)
        named[names] = np.arange(column_count, dtype=np.int32)
    if kinds is None:
        kinds = Kinds(NO_NUMBERS, np.ones((1, 1)), np.zeros(row_count, np.int32))
    selection = Selection(
        np.ascontiguousarray(np.atleast_2d(scale)), scale_of, power, keep, groups, most,
        len(b.starts) - 1 if counted is None else counted,
        NO_NUMBERS if names is None else names, named, *kinds,
    )  # fmt: skip
    spaces: SimpleQueue[Workspace] = SimpleQueue()
    for _ in range(threads):
        spaces.put(_workspace(column_count, int(groups.max()) + 1 if len(groups) else 0))

    def work(first: int, last: int) -> None:
        space = spaces.get()
        _top_rows(first, last, a, b, excluded, selection, space, top)
        spaces.put(space)

    edges = _edges(a, b, threads * 4)
    if threads == 1:
        work(0, row_count)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, edges[:-1], edges[1:]))
    return top


def _workspace(column_count: int, group_count: int) -> Workspace:
    scores = np.empty(column_count + 1, np.float32)
    return Workspace(
        np.zeros((column_count, 2), np.float64), np.empty(column_count + 1, np.int32), scores,
        scores.view(np.uint32), np.empty(column_count, np.uint64), np.zeros(group_count, np.int32),
    )  # fmt: skip


def _edges(a: Sparse, b: Sparse, parts: int) -> list[int]:
    """Cut the rows into parts of about equal work."""
    sizes = b.starts[a.columns + 1] - b.starts[a.columns]  # b may have hundreds of millions of rows
    work = np.concatenate(([0], np.cumsum(sizes)))
    by_row = work[a.starts] + np.arange(len(a.starts))
    cuts = np.searchsorted(by_row, np.linspace(0, by_row[-1], parts + 1)[1:-1])
    return sorted({0, *cuts.tolist(), len(a.starts) - 1})


@compiled
def _top_rows(
    first: int, last: int, a: Sparse, b: Sparse, excluded: Sparse, selection: Selection, space: Workspace, top: Top
) -> None:  # fmt: skip
    """Write the best columns of the rows from ``first`` up to ``last``."""
    cells, touched = space.cells, space.touched
    keep, scales, scale_of = selection.keep, selection.scales, selection.scale_of
    room = keep if selection.per_group.size == 0 else 2 * keep
    for row in range(first, last):
        count = _add_up(row, a, b, selection.counted, cells, touched)
        for x in range(excluded.starts[row], excluded.starts[row + 1]):
            cells[excluded.columns[x], 1] *= -1.0
        scale, factors = scales[scale_of[row]], selection.factors[selection.factors_of[row]]
        size, left_out = _write_keys(count, scale, factors, selection, space, room)
        limit = room
        while True:
            _best_first(space.keys, size, limit)
            filled = _take(row, min(limit, size), selection, space, top)
            if filled == keep or (size <= limit and not left_out):
                break
            if left_out:
                size, left_out = _write_keys(count, scale, factors, selection, space, 0)
            limit *= 4  # so many columns fell to the cap that the list is short: look at more of them
        top.filled[row] = filled
        for t in range(count):
            cells[touched[t], 0] = 0.0
            cells[touched[t], 1] = 0.0


@compiled
def _add_up(row: int, a: Sparse, b: Sparse, counted: int, cells: Any, touched: Any) -> int:
    """Add a row of A · B to the cells; return how many columns it has entries in, which ``touched`` names."""
    a_columns, a_values = a.columns, a.values
    b_starts, b_columns, b_values = b.starts, b.columns, b.values
    count = 0
    for x in range(a.starts[row], a.starts[row + 1]):
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
    return count


@compiled
def _raised(total: float, power: float) -> Any:
    """Return a power, by roots where it can be: they take a tenth of the time."""
    root = np.sqrt(total)
    return total * np.sqrt(root) if power == 1.25 else total * root if power == 1.5 else total**power


@compiled
def _write_keys(
    count: int, scales: Any, factors: Any, selection: Selection, space: Workspace, wanted: int
) -> tuple[int, bool]:
    """Write a key for every column that may be kept; return how many, and whether any was left out.

    A larger key is better. Its upper half is the score's bits, which sort as positive floats do. Its lower half is the
    name, inverted. With ``wanted`` > 0, columns that can't be among so many best are left out on the way. Whenever
    ``FULL`` times as many keys have been written, all but the best are dropped, and the worst of those is what a
    further column must reach.
    """
    cells, touched, scores = space.cells, space.touched, space.scores
    bits, keys = space.bits, space.keys
    power, names, kinds = selection.power, selection.names, selection.kinds
    size, left_out = 0, False
    least = 0.0  # what the score, for a root its square, must reach; a margin leaves room for the rounding of scores
    for t in range(count):
        column = np.uint32(touched[t])
        if cells[column, 1] < 0.0:
            continue
        total = cells[column, 0]
        scale = scales[column]
        if kinds.size:
            scale *= factors[kinds[column]]
        if power == 0.5:
            if total * scale * scale < least:
                continue
            raised = np.sqrt(total)
        else:
            raised = total if power == 1.0 else _raised(total, power)
            if raised * scale < least:
                continue
        scores[size] = raised * scale
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
def _take(row: int, size: int, selection: Selection, space: Workspace, top: Top) -> int:
    """Write a row's best columns, of ``size`` sorted keys, none beyond its group's cap; return how many."""
    cells, keys, bits, used = space.cells, space.keys, space.bits, space.used
    named, groups = selection.named, selection.groups
    per_group = selection.per_group[row] if groups.size else 0
    columns = top.columns
    filled = place = 0
    while place < size and filled < selection.keep:
        name = np.int64(0xFFFFFFFF) - np.int64(keys[place] & np.uint64(0xFFFFFFFF))
        column = np.int64(named[name]) if named.size else name
        place += 1
        if per_group > 0:
            if used[groups[column]] == per_group:
                continue
            used[groups[column]] += 1
        bits[0] = keys[place - 1] >> np.uint64(32)
        columns[row, filled] = name
        top.scores[row, filled] = space.scores[0]
        top.counts[row, filled] = np.int32(cells[column, 1])
        filled += 1
    if per_group > 0:
        for kept in range(filled):
            name = columns[row, kept]
            used[groups[named[name] if named.size else name]] = 0
    return filled
