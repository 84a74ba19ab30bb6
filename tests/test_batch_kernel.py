"""The kernel against dense numpy, and against scipy's product."""

import numpy as np
import pytest

from pipeline.batch.kernel import Sparse, sparse, top_rows


def random_sparse(
    rng: np.random.Generator, rows: int, columns: int, density: float
) -> tuple[Sparse, np.ndarray]:
    dense = np.where(rng.random((rows, columns)) < density, rng.integers(1, 4, (rows, columns)) / 4, 0.0)
    row, column = np.nonzero(dense)
    return sparse(row, column, dense[row, column], rows), dense


def expected(product, counts, scale, power, banned, keep, groups, per_group):
    """Rank one row the slow way."""
    scores = (product**power * scale).astype(np.float32)
    order = [c for c in np.lexsort((np.arange(len(scores)), -scores)) if counts[c] and c not in banned]
    taken, used = [], {}
    for column in order:
        group = groups[column] if per_group else column
        if per_group and used.get(group, 0) == per_group:
            continue
        used[group] = used.get(group, 0) + 1
        taken.append(int(column))
        if len(taken) == keep:
            break
    return taken, scores


@pytest.mark.parametrize("power", [1.0, 0.5, 0.3])
@pytest.mark.parametrize(("keep", "per_group"), [(1, 0), (5, 0), (5, 1), (40, 2), (7, 3)])
@pytest.mark.parametrize("threads", [1, 3])
def test_best_columns(power: float, keep: int, per_group: int, threads: int):
    """Values are quarters, so that ties are common and sums exact."""
    rng = np.random.default_rng(keep * 10 + per_group)
    a, dense_a = random_sparse(rng, 30, 20, 0.3)
    b, dense_b = random_sparse(rng, 20, 60, 0.3)
    excluded, dense_x = random_sparse(rng, 30, 60, 0.1)
    scale = rng.integers(1, 4, 60) / 4
    groups = rng.integers(0, 6, 60).astype(np.int32)
    top = top_rows(
        a, b, scale=scale, power=power, excluded=excluded, keep=keep,
        groups=groups if per_group else None, per_group=per_group, threads=threads,
    )  # fmt: skip
    counts = (dense_a > 0).astype(int) @ (dense_b > 0).astype(int)
    for row in range(30):
        product = dense_a[row] @ dense_b
        banned = set(np.flatnonzero(dense_x[row]).tolist())
        taken, scores = expected(product, counts[row], scale, power, banned, keep, groups, per_group)
        size = top.filled[row]
        assert top.columns[row, :size].tolist() == taken
        assert top.scores[row, :size] == pytest.approx(scores[taken])
        assert top.counts[row, :size].tolist() == counts[row][taken].tolist()


@pytest.mark.parametrize(("keep", "per_group"), [(5, 0), (7, 2)])
def test_the_order_of_columns_in_memory_says_nothing_of_the_list(keep: int, per_group: int):
    """Columns stand in another order, with their former numbers as names: the lists are the same, ties and all."""
    rng = np.random.default_rng(keep)
    a, _ = random_sparse(rng, 30, 20, 0.3)
    b, dense_b = random_sparse(rng, 20, 60, 0.3)
    excluded, dense_x = random_sparse(rng, 30, 60, 0.1)
    scale, groups = rng.integers(1, 4, 60) / 4, rng.integers(0, 6, 60).astype(np.int32)
    grouped = groups if per_group else None
    usual = top_rows(
        a, b, scale=scale, power=1.0, excluded=excluded, keep=keep, groups=grouped, per_group=per_group
    )
    order = rng.permutation(60).astype(np.int32)  # by new column the former one

    def moved(dense: np.ndarray) -> Sparse:
        rows, columns = np.nonzero(dense[:, order])
        return sparse(rows, columns, dense[:, order][rows, columns].astype(np.float64), len(dense))

    other = top_rows(
        a, moved(dense_b), scale=scale[order], power=1.0, excluded=moved(dense_x), keep=keep,
        groups=None if grouped is None else groups[order], per_group=per_group, names=order,
    )  # fmt: skip
    assert other.filled.tolist() == usual.filled.tolist()
    for row, size in enumerate(usual.filled):
        assert other.columns[row, :size].tolist() == usual.columns[row, :size].tolist()
        assert other.counts[row, :size].tolist() == usual.counts[row, :size].tolist()
        assert other.scores[row, :size].tolist() == usual.scores[row, :size].tolist()


def test_a_prolific_group_does_not_shorten_the_list():
    """The best thousand columns are one group's; the list is still filled from the others."""
    columns, keep = 1200, 10
    a = sparse(np.zeros(1, int), np.zeros(1, int), np.ones(1), 1)
    b = sparse(np.zeros(columns, int), np.arange(columns), np.linspace(2, 1, columns), 1)
    groups = np.where(np.arange(columns) < 1000, 0, np.arange(columns)).astype(np.int32)
    nothing = sparse(np.zeros(0, int), np.zeros(0, int), None, 1)
    top = top_rows(
        a, b, scale=np.ones(columns), power=1.0, excluded=nothing, keep=keep, groups=groups, per_group=2
    )
    assert top.columns[0].tolist() == [0, 1, *range(1000, 1008)]


def test_ones_and_empty_rows():
    """A matrix without values is ones; an empty row has no columns."""
    a = sparse(np.array([0, 2]), np.array([1, 0]), np.array([0.5, 2.0]), 3)
    b = sparse(np.array([0, 0, 1]), np.array([2, 3, 3]), None, 2)
    nothing = sparse(np.zeros(0, int), np.zeros(0, int), None, 3)
    top = top_rows(a, b, scale=np.array([1.0, 1.0, 1.0, 3.0]), power=1.0, excluded=nothing, keep=2)
    assert top.filled.tolist() == [1, 0, 2]
    assert top.columns[0, 0] == 3
    assert top.scores[0, 0] == 1.5
    assert top.columns[2].tolist() == [3, 2]
