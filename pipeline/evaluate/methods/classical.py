"""Classical recommenders of implicit feedback: item and user neighbourhoods, BM25, matrix factorisation.

Owns: item-item cosine, BM25 and ALS by the package ``implicit`` (the extra ``evaluate``), user-user cosine by
our own kernel. Leaves to others: filling short lists, choosing parameters (``tuning``).

None of these uses time. ``fresh_hours`` is what an operator would add first: only items liked within so many hours
may be listed. Tuning may choose any value, which makes the baselines as strong as it can.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, sparse, top_rows
from pipeline.evaluate.like_events import NONE, EvaluateError
from pipeline.evaluate.matrices import columns_of, matrix, rows_of, scores_of
from pipeline.evaluate.splits import Split

# Dense scores (viewers x items) held at once, about 1 GB.
DENSE_CELLS = 100_000_000


def available() -> bool:
    """Tell whether the package ``implicit`` is installed."""
    try:
        import implicit.als  # noqa: F401
    except ImportError:
        return False
    return True


def item_item_cosine(split: Split, keep: int, *, neighbours: int, fresh_hours: float) -> NDArray[np.int32]:
    """Rank by the summed cosine of an item's likers with those of the viewer's items."""
    from implicit.nearest_neighbours import CosineRecommender

    return _recommended(CosineRecommender(K=neighbours, num_threads=1), split, keep, fresh_hours)


def bm25(
    split: Split, keep: int, *, neighbours: int, k1: float, b: float, fresh_hours: float
) -> NDArray[np.int32]:
    """Rank by items alike under BM25 weights."""
    from implicit.nearest_neighbours import BM25Recommender

    model = BM25Recommender(K=neighbours, K1=k1, B=b, num_threads=1)
    return _recommended(model, split, keep, fresh_hours)


def als(
    split: Split, keep: int, *, factors: int, regularization: float, alpha: float, fresh_hours: float
) -> NDArray[np.int32]:
    """Rank by the factors of alternating least squares (Hu, Koren, Volinsky 2008), 15 rounds."""
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            random_state=1,
            num_threads=1,
        )
        return _recommended(model, split, keep, fresh_hours)


def user_user_cosine(split: Split, keep: int, *, neighbours: int, fresh_hours: float) -> NDArray[np.int32]:
    """Rank by the summed cosine of those who share likes with the viewer and liked the item."""
    events = split.events
    users, items = events.users[: split.cut], events.items[: split.cut]
    norm = 1 / np.sqrt(np.maximum(np.bincount(users, minlength=events.user_count), 1))
    likers = matrix(items, users, None, events.item_count)
    listable = np.zeros(events.item_count)
    listable[_fresh_items(split, fresh_hours)] = 1.0
    wanted = listable[items] > 0
    liked = matrix(users[wanted], items[wanted], None, events.user_count)
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    step = max(1, 4_000_000 // neighbours)
    for first in range(0, len(split.viewers), step):
        rows = np.arange(first, min(first + step, len(split.viewers)))
        own = rows_of(split.liked, rows)
        own = Sparse(own.starts, own.columns, np.ones(len(own.columns)))
        itself = sparse(np.arange(len(rows)), split.viewers[rows], None, len(rows))
        near = top_rows(own, likers, scale=norm, power=1.0, excluded=itself, keep=neighbours)
        barred = rows_of(split.barred, rows)
        lists[rows] = columns_of(
            top_rows(scores_of(near), liked, scale=listable, power=1.0, excluded=barred, keep=keep)
        )
    return lists


def _fresh_items(split: Split, hours: float) -> NDArray[np.int32]:
    items = np.unique(split.events.items[split.since(hours)])
    return items[split.exists[items]].astype(np.int32)


def _recommended(model: Any, split: Split, keep: int, fresh_hours: float) -> NDArray[np.int32]:
    from scipy.sparse import csr_matrix

    events = split.events
    likes = np.ones(split.cut, np.float32), (events.users[: split.cut], events.items[: split.cut])
    known = csr_matrix(likes, shape=(events.user_count, events.item_count))
    model.fit(known, show_progress=False)
    items = _fresh_items(split, fresh_hours)
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    if not len(items):
        return lists
    step = max(1, DENSE_CELLS // max(events.item_count, 1))
    for first in range(0, len(split.viewers), step):
        viewers = split.viewers[first : first + step].astype(np.int32)
        found, scores = model.recommend(viewers, known[viewers], N=min(keep, len(items)), items=items)
        # Too few items: the package pads with -1, or with scores of nothing or of what is liked already.
        good = (found >= 0) & np.isfinite(scores) & (scores > 0)
        lists[first : first + step, : found.shape[1]] = np.where(good, found, NONE)
    return np.take_along_axis(lists, np.argsort(lists == NONE, axis=1, kind="stable"), axis=1)


def require() -> None:
    """Raise EvaluateError, saying what to install, when the package is missing."""
    if not available():
        raise EvaluateError("these methods need the package implicit: pip install 'foryou[evaluate]'")
