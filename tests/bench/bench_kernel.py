"""How fast is our sparse kernel beside sparse_dot_topn, on the neighbours product of a heavy-tailed graph?

    pip install -c constraints.txt '.[bench]'
    python tests/bench/bench_kernel.py [--viewers 5000] [--likers 1000000] [--posts 400000] [--seed 0]

Both multiply the same matrices (viewers x seed posts, seed posts x likers, at most 100 likers per post) on two threads
and keep the best K of each row. They take turns three times; medians are shown. Ours also raises to a power, scales,
counts summands, breaks ties in the documented way and leaves out excluded columns. The lists' scores must agree.
Prints a table and, last, one line of JSON.
"""

import argparse
import json
import statistics
import time

import numpy as np
import scipy.sparse as sp
from bench_tools import parser_of
from sparse_dot_topn import sp_matmul_topn

from pipeline.batch.kernel import Sparse, Top, top_rows


def graph(options: argparse.Namespace) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return (viewers x posts, posts x likers): posts with Pareto-many likers, seeds picked by popularity."""
    rng = np.random.default_rng(options.seed)
    degree = np.minimum(100, (rng.pareto(0.7, options.posts) * 5 + 1).astype(int))
    likers = (rng.pareto(1.0, degree.sum()) * options.likers / 50 % options.likers).astype(np.int64)
    post = np.repeat(np.arange(options.posts), degree)
    b = sp.csr_matrix((np.ones(len(post)), (post, likers)), shape=(options.posts, options.likers))
    seeds = post[rng.integers(0, len(post), options.viewers * 100)]
    viewer = np.repeat(np.arange(options.viewers), 100)
    a = sp.csr_matrix((np.ones(len(seeds)), (viewer, seeds)), shape=(options.viewers, options.posts))
    a.sum_duplicates()
    b.sum_duplicates()
    a.data = rng.uniform(0.1, 1.0, a.nnz)  # so that ties at the cut are rare
    return a, b


def ours(a: sp.csr_matrix, b: sp.csr_matrix, keep: int) -> Top:
    """Return the best columns by our kernel."""
    nothing = Sparse(np.zeros(a.shape[0] + 1, np.int64), np.zeros(0, np.int32), np.empty(0))
    left, right = (Sparse(m.indptr.astype(np.int64), m.indices.astype(np.int32), m.data) for m in (a, b))
    scale = np.ones(b.shape[1])
    return top_rows(left, right, scale=scale, power=1.0, excluded=nothing, keep=keep, threads=2)


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, viewers=5_000, likers=1_000_000, posts=400_000, seed=0)
    options = parser.parse_args()
    a, b = graph(options)
    ours(a[:10], b, 10)  # compile
    multiplications = int(np.diff(b.indptr)[a.indices].sum() / options.viewers)
    figures: dict[str, object] = {"viewers": options.viewers, "multiplications_per_viewer": multiplications}
    print(f"{'K':>5} {'ours s':>8} {'sparse_dot_topn s':>18} {'ratio':>6}")
    for keep in (100, 300, 1000):
        times: list[tuple[float, float]] = []
        for _ in range(3):
            began = time.perf_counter()
            top = ours(a, b, keep)
            between = time.perf_counter()
            theirs = sp_matmul_topn(a, b, top_n=keep, n_threads=2, sort=True)
            times.append((between - began, time.perf_counter() - between))
        scores = np.concatenate([top.scores[row, : top.filled[row]] for row in range(options.viewers)])
        assert np.allclose(scores, theirs.data, rtol=1e-5)
        mine, other = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{keep:5} {mine:8.3f} {other:18.3f} {mine / other:6.2f}")
        figures[f"k{keep}"] = {"ours_s": round(mine, 3), "sparse_dot_topn_s": round(other, 3)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
