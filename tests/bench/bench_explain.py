"""Does ``foryou explain`` say what the batch did, for every item of many lists, and how long does it take?

    python tests/bench/bench_explain.py [--lists 1000] [--users 2500] [--days 6] [--seed 1] [--processes 2]

The simulated store has tombstones, fetched likes, an account that is active again, and viewers who answered posts. For
random lists, every item's score and every neighbour's weight is compared with its explanation; so is, once, every
popular post that fills lists. Prints a table with the largest relative difference, then one line of JSON. The exit
status is 1 when a difference is above 1e-5.
"""

import json
import multiprocessing
import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from analyst_store import Store, build
from bench_tools import parser_of
from explained import Checked, check_list, check_popular

from pipeline.explore.generation_inputs import GenerationInputs

LIMIT = 1e-5
made: list[Store] = []  # what the processes inherit


def part(viewers: list[str]) -> tuple[Checked, list[float]]:
    """Check some lists; return also the seconds of each explanation."""
    checked, seconds = Checked(), []
    with closing(GenerationInputs(made[0].data_dir, 1)) as inputs:
        for viewer in viewers:
            began = time.perf_counter()
            check_list(made[0], inputs, viewer, checked)
            seconds.append(time.perf_counter() - began)
    return checked, seconds


def popular(task: tuple[Checked, list[str]]) -> Checked:
    """Check posts that fill lists up, each in one viewer's list."""
    before, posts = task
    checked = Checked(popular=before.popular)
    with closing(GenerationInputs(made[0].data_dir, 1)) as inputs:
        for post in posts:
            check_popular(inputs, post, checked)
    return checked


def main() -> int:
    """Check, print; return the exit status."""
    parser = parser_of(__doc__, lists=1_000, users=2_500, days=6.0, seed=1, processes=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = build(Path(folder) / "data", users=options.users, days=options.days, seed=options.seed)
        _ = store.lists, store.neighbours  # read once, before the processes begin
        made.append(store)
        viewers = random.Random(options.seed).sample(sorted(store.lists), options.lists)
        print(f"{len(store.likes):,} likes, {len(store.lists):,} lists", flush=True)
        began, checked = time.perf_counter(), Checked()
        seconds: list[float] = []
        with multiprocessing.get_context("fork").Pool(options.processes) as pool:
            blocks = [viewers[start : start + 20] for start in range(0, len(viewers), 20)]
            for found, took in pool.imap_unordered(part, blocks):
                checked.add(found)
                seconds += took
            named = sorted(checked.popular)
            tasks = [(checked, named[start : start + 10]) for start in range(0, len(named), 10)]
            for found in list(pool.imap_unordered(popular, tasks)):
                checked.add(found)
        whole = time.perf_counter() - began
    print(f"{options.lists:,} lists: {checked.scores:,} scores ({len(named):,} of popular posts) and "
          f"{checked.weights:,} weights in {whole:.0f} s, {sorted(seconds)[len(seconds) // 2]:.2f} s a list; "
          f"largest relative difference {checked.worst:.1e}")  # fmt: skip
    print(json.dumps({"bench": "explain", "lists": options.lists, "users": options.users, "scores": checked.scores,
                      "weights": checked.weights, "seconds": round(whole), "worst": checked.worst}))  # fmt: skip
    return int(checked.worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
