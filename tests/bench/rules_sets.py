"""Trial places on sets with time: what they cost in recall, and how much more of the set is shown.

Owns: ``tried_on``, which uses the kernel, moments and measures of ``foryou evaluate``; the shares and bounds that are
tried. Leaves to others: which places and which posts (``trial_places``), the same on a simulated network
(bench_rules.py).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batch.lists import trial_places
from pipeline.evaluate.event_files import from_file
from pipeline.evaluate.measures import DEPTH, measure
from pipeline.evaluate.methods import ours
from pipeline.evaluate.methods.popularity import fill, popular_items
from pipeline.evaluate.splits import REPORTED, Split, rolling
from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US

TRIED = ((1 / 30, 5), (1 / 30, 20), (0.1, 5), (0.1, 20))  # trial_share, trial_max_likers


def name_of(share: float, most: int) -> str:
    """Return what the log calls lists of which a share of places tries posts."""
    return f"{share:.1%} of places try posts of at most {most} likers"


def tried_on(path: Path, note: Callable[[dict[str, Any]], None], seed: int) -> None:
    """Measure recall and coverage of places that try posts, on a set with time, at the moments that are reported."""
    events = from_file(path)
    later = list(rolling(events, 3, 6.0, REPORTED, 3000, seed))
    ranking = replace(Ranking(), trial_share=0.0)
    base = [_ranked(split, ranking) for split in later]
    usual = None
    for share, most in ((0.0, 5), *TRIED):
        recalls, shown, few, catalogue = [], set(), 0, 0
        for split, (lists, scores, likers) in zip(later, base, strict=True):
            found = (
                lists[:, :DEPTH].copy() if share == 0 else _tried(split, lists, scores, likers, share, most)
            )
            fill(found, popular_items(split, 1.0), split)
            measured = measure(split, found)
            recalls.append(measured.values[:, :2])
            names = np.unique(found[found >= 0])
            shown |= {(split.at_us, item) for item in names.tolist()}
            few += int(np.count_nonzero(likers[names] <= 5))
            catalogue += int(np.count_nonzero(split.exists))
        recall = np.concatenate(recalls)
        usual = recall if usual is None else usual
        draws = np.random.default_rng(seed).poisson(1.0, (1000, len(recall))).astype(float)
        change = (draws @ (recall - usual)[:, 0]) / draws.sum(1)
        low, high = np.quantile(change, [0.025, 0.975])
        note(
            {
                "date": datetime.now(UTC).strftime("%Y-%m-%d"), "set": events.name, "seed": seed, "stage": "rule",
                "method": name_of(share, most) if share else "the lists as they are",
                "parameters": {"trial_share": share, "trial_max_likers": most} if share else {},
                "viewers": len(recall), "moments": len(later),
                "recall": round(float(recall[:, 0].mean()), 5), "ndcg": round(float(recall[:, 1].mean()), 5),
                "recall_difference": [round(float(x), 5) for x in ((recall - usual)[:, 0].mean(), low, high)],
                "different_posts": len(shown), "different_posts_few_like": few,
                "coverage": round(len(shown) / catalogue, 5),
            }
        )  # fmt: skip


def _ranked(split: Split, ranking: Ranking) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = np.zeros((len(split.viewers), ranking.list_length), np.float32)
    lists = ours.rank(split, ranking.list_length, ranking, scores=scores)
    likers = np.bincount(split.events.items[split.since(ranking.post_max_age_hours)],
                         minlength=split.events.item_count)  # fmt: skip
    return lists, scores, likers


def _tried(
    split: Split, lists: np.ndarray, scores: np.ndarray, likers: np.ndarray, share: float, most: int
) -> np.ndarray:
    """Return first pages by the rule of ``trial_places``; of these sets no author is known, so nothing else moves."""
    hour = split.at_us // HOUR_US
    places = [place for place in range(DEPTH) if trial_places.is_place(place, share)]
    result = np.full((len(lists), DEPTH), -1, np.int32)
    keys = split.events.item_keys
    for row, viewer in enumerate(split.viewers.tolist()):
        order = [int(item) for item in lists[row] if item >= 0]
        pool = sorted(
            (trial_places.turn(viewer, hour, int(keys[item]), float(scores[row, rank])), rank)
            for rank, item in enumerate(order)
            if rank >= trial_places.AHEAD and likers[item] <= most and scores[row, rank] > 0
        )
        page = order[:DEPTH]
        for place in places:
            drawn = next((each for each in pool if each[1] >= place + trial_places.AHEAD), None)
            if drawn is not None:
                pool.remove(drawn)
                page.insert(place, order[drawn[1]])
        page = page[:DEPTH]
        result[row, : len(page)] = page
    return result
