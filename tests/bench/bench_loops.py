"""How fast are the batch's compiled loops, and are they as fast as in another checkout?

    python tests/bench/bench_loops.py [--cases kernel_neighbours,…] [--rounds 5] [--before DIR] [--turns 5]

Each loop runs through the function that calls it, on one thread and random heavy-tailed arrays: once to compile, then
``rounds`` times. With ``--before``, this checkout and the one in DIR take turns, each time in a new process. DIR must
have the same functions. Prints medians of CPU milliseconds, with ``--before`` those of both checkouts and the median
of the turns' ratios. Last comes one line of JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import sql
from pipeline.batch.inputs.snapshot import Snapshot
from pipeline.batch.kernel import Sparse, Top, sparse, top_rows
from pipeline.batch.lists.arrange import Draw, Popular, arrange, rules_of
from pipeline.batch.lists.checks import check_entries
from pipeline.batch.neighbours.author_ranges import LAST_ACTOR
from pipeline.batch.neighbours.like_graph import LikeGraph
from pipeline.batch.neighbours.product_block import pick_block_seeds
from pipeline.batch.neighbours.product_of_graph import GraphHere, graph_answers, graph_matrices, viewer_block
from pipeline.batch.publish.list_packing import pack
from pipeline.ranking import Ranking

CASES = ("kernel_neighbours", "kernel_candidates", "arrange", "checks", "pack", "graph", "seeds")
RNG = np.random.default_rng(5)


def matrix(rows: NDArray[Any], columns: NDArray[Any], row_count: int, *, valued: bool = False) -> Sparse:
    """Return a matrix with an entry for each pair, once."""
    keys = np.unique(rows.astype(np.int64) << 32 | columns)
    values = RNG.uniform(0.1, 1, len(keys)) if valued else None
    return sparse(keys >> 32, keys & 0xFFFFFFFF, values, row_count)


def kernel_case(case: str) -> Callable[[], object]:
    """Return the product of 1,000 viewers: of neighbours, or of candidates with caps, exclusions and values."""
    likers, posts, viewers = 400_000, 100_000, 1000
    post = np.repeat(np.arange(posts), np.minimum(100, (RNG.pareto(0.7, posts) * 5 + 1).astype(int)))
    liker = (RNG.pareto(1.0, len(post)) * likers / 50).astype(np.int64) % likers
    if case == "kernel_neighbours":
        b = matrix(post, liker, posts)
        seeds = post[RNG.integers(0, len(post), viewers * 100)]
        a = matrix(np.repeat(np.arange(viewers), 100), seeds, viewers, valued=True)
        itself, names = matrix(np.arange(viewers), np.arange(viewers), viewers), RNG.permutation(likers)
        return lambda: top_rows(a, b, scale=np.ones(likers), power=1.25, excluded=itself, keep=300,
                                names=names.astype(np.int32))  # fmt: skip
    b = matrix(liker, post, likers, valued=True)
    near = liker[RNG.integers(0, len(post), viewers * 300)]
    a = matrix(np.repeat(np.arange(viewers), 300), near, viewers, valued=True)
    excluded = matrix(RNG.integers(0, viewers, viewers * 30), RNG.integers(0, posts, viewers * 30), viewers)
    groups, names = RNG.integers(0, 20_000, posts).astype(np.int32), RNG.permutation(posts).astype(np.int32)
    groups[:2000] = RNG.integers(0, 30, 2000)
    return lambda: top_rows(a, b, scale=np.ones(posts), power=0.5, excluded=excluded, keep=300, groups=groups,
                            per_group=3, counted=likers - 5, names=names)  # fmt: skip


def lists_case(case: str) -> Callable[[], object]:
    """Return arranging 3,000 lists with a tenth of trial places, checking them, or packing them."""
    posts, viewers = 50_000, 3000
    columns = np.stack([RNG.choice(posts - 500, 300, replace=False) for _ in range(viewers)]).astype(np.int32)
    scores = -np.sort(-RNG.uniform(0.1, 1, columns.shape).astype(np.float32))
    counts = RNG.integers(1, 9, columns.shape).astype(np.int32)
    top = Top(columns, scores, counts, RNG.integers(150, 301, viewers).astype(np.int32))
    authors = RNG.integers(0, 8000, posts).astype(np.int32)
    popular = Popular(
        np.arange(22) * 400, RNG.integers(0, posts, 8400).astype(np.int32), np.ones(8400, np.float32)
    )
    rows, ids = RNG.integers(0, 21, viewers), np.arange(viewers, dtype=np.int64)
    excluded = matrix(
        RNG.integers(0, viewers, viewers * 20), RNG.integers(posts - 500, posts, viewers * 20), viewers
    )
    seen = matrix(np.repeat(np.arange(viewers), 40), columns[:, :40].ravel(), viewers)
    draw = Draw(ids, 480_000, RNG.integers(0, 2**60, posts), RNG.integers(1, 12, posts) <= 5)
    ranking = replace(Ranking(), trial_share=0.1)

    def arranged() -> Any:
        return arrange(top, popular, rows, excluded, seen, authors, rules_of(ranking, viewers), 1, draw)

    lists = arranged()
    if case == "arrange":
        return arranged
    if case == "checks":
        author_ids = authors.astype(np.int64)
        return lambda: check_entries(
            ids + 10**6, lists, excluded, authors, author_ids, rules_of(ranking, viewers)
        )
    return lambda: pack(lists.starts, lists.posts.astype(np.int64), lists.scores, lists.co_likers)


def graph_case(case: str, folder: Path) -> Callable[[], object]:
    """Return reading 2 million likes into a like graph, or picking the seeds of its viewers."""
    count, actors, posts = 2_000_000, 40_000, 300_000
    post = (RNG.pareto(0.9, count) * posts / 2000).astype(np.int64) % posts
    liker = (RNG.pareto(1.2, count) * actors / 10).astype(np.int64) % actors
    likes = {"author_id": RNG.integers(0, actors, posts)[post].astype(np.int32), "post_rkey": post * 1_000_003,
             "liker_id": liker.astype(np.int32), "seen_us": RNG.integers(10**15, 2 * 10**15, count)}  # fmt: skip
    connection = duckdb.connect(config={"threads": 1})
    connection.register("made", pa.table(likes))
    connection.execute(
        "CREATE TABLE valid_likes AS FROM made ORDER BY author_id, post_rkey, liker_id, seen_us"
    )
    connection.execute("CREATE TABLE viewers AS SELECT DISTINCT liker_id AS viewer_id FROM valid_likes")
    connection.execute(f"CREATE TABLE actors AS SELECT {actors - 1} AS actor_id")
    connection.execute(
        "CREATE TABLE answer_weights AS SELECT liker_id AS viewer_id, author_id, post_rkey, -1.0::DOUBLE AS weight "
        "FROM valid_likes WHERE liker_id % 10 = 0 AND post_rkey % 17 = 0 GROUP BY ALL"
    )
    connection.execute("CREATE TABLE first_reported (liker_id INTEGER, first_us BIGINT)")
    connection.execute(sql.load("batch/params"))
    ranking = replace(Ranking(), block_viewers=3000)

    def made() -> LikeGraph:
        whole = GraphHere(Snapshot(connection, 0, [], 0), ranking, folder, [(0, LAST_ACTOR)], None, 1)
        whole.walk(0)
        whole.add_up()
        return whole.graph

    if case == "graph":
        return made
    graph = made()
    posts, co_likers = graph_matrices(connection, graph, ranking)
    answers = graph_answers(connection, graph)
    return lambda: [
        pick_block_seeds(viewer_block(graph, number, answers), posts, co_likers, ranking)
        for number in range(graph.viewers.blocks)
    ]


def measure(case: str, rounds: int) -> float:
    """Return the median of CPU milliseconds of a case."""
    with tempfile.TemporaryDirectory() as folder:
        if case.startswith("kernel"):
            work = kernel_case(case)
        elif case in ("arrange", "checks", "pack"):
            work = lists_case(case)
        else:
            work = graph_case(case, Path(folder))
        work()  # compile
        spent = []
        for _ in range(rounds):
            began = time.process_time()
            work()
            spent.append((time.process_time() - began) * 1e3)
    return statistics.median(spent)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="another checkout, to be compared with this one")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for case in options.cases.split(","):
        if options.before is None:
            figures[case] = round(measure(case, options.rounds), 1)
            print(f"{case:<18} {figures[case]:>7.1f} ms", flush=True)
            continue
        found: dict[Path, list[float]] = {options.before: [], Path(__file__).resolve().parents[2]: []}
        for turn in range(options.turns):
            for checkout in sorted(found, reverse=turn % 2 == 1):
                command = [sys.executable, __file__, "--cases", case, "--rounds", str(options.rounds)]
                environment = os.environ | {"PYTHONPATH": str(checkout)}
                answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                found[checkout].append(json.loads(answer.stdout.splitlines()[-1])["loops"][case])
        before, after = found.values()
        ratio = statistics.median(b / a for a, b in zip(before, after, strict=True))
        figures[case] = [statistics.median(before), statistics.median(after), round(ratio, 3)]
        print(
            f"{case:<18} before {figures[case][0]:>7.1f} ms, after {figures[case][1]:>7.1f} ms, ratio {ratio:.3f}",
            flush=True,
        )
    print(json.dumps({"bench": "loops", "loops": figures}))


if __name__ == "__main__":
    main()
