"""What do lists do to the people who read them, over weeks? Decides what one moment can't: exploration, variety, seeds.

    python tests/bench/bench_weeks.py [--people 2000] [--readers 400] [--days 14] [--hours 6] [--seeds 1,2,3]
        [--risers 0.1] [--arms default,trial-0.034,…] [--like-rate 0.04] [--clustering middle] [--log FILE]

On a simulated network, a share of the people read the feed and nothing else (``weeks_readers`` states all that is
assumed of them, ``weeks_loop`` how history and lists meet). Before, everybody likes by the world's law for WARM_DAYS
days. Then the readers read the default lists for SETTLE_DAYS days, which makes what they are used to. Then the arms
part, each from that moment and with the same luck. ``best`` makes the list that is worth most at each moment, which
nobody can know.

A line per world and arm; --log appends it as JSON, and a run with the same log goes on after what it holds. The table
has the mean of the worlds, with the worlds beside it. Likes are sums of chances, so that the luck of a draw is not in
them; what enters the history are drawn likes. ``early`` are posts that some reader saw while at most EARLY people liked
them, ``tried`` those that were in a trial place; ``later_good`` is the share of them that end in the top tenth by the
likes of people who do not read the feed, so a list can't make its own posts good.
"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench_optimum import END_US, likes_in, may_be_listed
from bench_tools import parser_of
from weeks_loop import Lister, Weeks, best, foryou, popular
from weeks_readers import POSTS_A_SESSION, Readers, tries_for

from pipeline.evaluate.variety import gini
from pipeline.ranking import Ranking
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.store.model import DAY_US, HOUR_US

WARM_DAYS, SETTLE_DAYS = 5.0, 2.0
LEAST_LIKES = 5  # of a reader, before they begin to read
EARLY = 5
FINISHED_HOURS = 48  # posts younger than this at the end are in no figure about posts
ARMS: dict[str, Lister] = {
    "default": foryou(Ranking()),
    "trial-0.034": foryou(Ranking(trial_share=0.034)),
    "trial-0.1": foryou(Ranking(trial_share=0.1)),
    "popularity-0.1": foryou(Ranking(popularity_exponent=0.1)),
    "newest-seed-1": foryou(Ranking(seed_weight_newest=1.0)),
    "popular": popular,
    "best": best,
}


def settled(options: Any, seed: int) -> tuple[Weeks, pl.DataFrame, int]:
    """Return readers who are used to the default lists, everybody's likes in the world, and the time by then."""
    days = WARM_DAYS + SETTLE_DAYS + options.days
    world = World(
        WorldParameters(users=options.people, days=days, seed=seed, end_us=END_US, clustering=options.clustering,
                        risers=options.risers, keep_hours=24)
    )  # fmt: skip
    world.make_until(END_US + 600_000_000)
    likes = likes_in(world)
    from_us = world.parameters.start_us + int(WARM_DAYS * DAY_US)
    before = (
        likes.filter(pl.col("time_us") < from_us).group_by("user").len().filter(pl.col("len") >= LEAST_LIKES)
    )
    able = before["user"].sort().to_numpy().astype(np.int64)
    people = np.sort(
        np.random.default_rng([seed, 50]).choice(able, min(options.readers, len(able)), replace=False)
    )
    weeks = Weeks(world, Readers(people, world.people.peak_hour[people], seed, 0.0), likes, from_us)
    weeks.learn(from_us)
    everybody = np.arange(len(people))
    split = weeks.split(from_us, everybody)
    items, _ = ARMS["default"](weeks, split, weeks.seen(everybody))
    rows, places = np.nonzero(items[:, : int(POSTS_A_SESSION)] >= 0)
    weeks.readers.tries = tries_for(weeks.weights(rows, items[rows, places], from_us), options.like_rate)
    until_us = from_us + int(SETTLE_DAYS * DAY_US)
    for at_us in range(from_us, until_us, int(options.hours * HOUR_US)):
        weeks.step(at_us, options.hours, ARMS["default"])
    weeks.readers.settle()
    return weeks, likes, until_us


def rising(world: World, likes: pl.DataFrame) -> dict[str, float]:
    """Return how much of the world's news is late: of posts that may be listed and ended two days before the end."""
    created_us = world.posts.of("created_us", likes["post"].to_numpy())
    rows = likes.with_columns(
        hours=(pl.col("time_us") - created_us) / HOUR_US,
        good=may_be_listed(world, likes["post"].to_numpy())
        & (created_us < END_US - FINISHED_HOURS * HOUR_US),
    ).filter("good")
    posts = rows.group_by("post").agg(
        pl.len(), early=(pl.col("hours") < 3).sum(), half=pl.col("hours").median()
    )
    top = posts.filter(pl.col("len") >= posts["len"].quantile(0.9))
    return {
        "likes_after_6_hours": _of((rows["hours"] >= 6).mean()),
        "top_tenth_with_two_likes_after_3_hours": _of((top["early"] <= 2).mean()),
        "top_tenth_liked_mostly_after_6_hours": _of((top["half"] >= 6).mean()),
    }


def measured(weeks: Weeks, begin_us: int, days: float) -> dict[str, float]:
    """Return the figures of an arm."""
    shown, count = (
        weeks.shown().with_columns(day=(pl.col("at_us") - begin_us) / DAY_US),
        len(weeks.readers.people),
    )
    figures: dict[str, float] = {}
    for name, first, last in (("first3", 0.0, 3.0), ("week1", 0.0, 7.0), ("last7", days - 7.0, days)):
        part = shown.filter(pl.col("day") >= first, pl.col("day") < last)
        reader_days = count * (last - first)
        figures |= {
            f"likes_{name}": _of(part["chance"].sum() / reader_days),
            f"sessions_{name}": _of(part.select("reader", "at_us").n_unique() / reader_days),
            f"per_post_{name}": _of(part["chance"].mean()),
        }
    figures["drawn_likes"] = int(shown["liked"].sum())
    figures["left_share"] = _of(weeks.readers.left.mean())
    figures["again_share"] = _of(shown["again"].mean())
    return figures | _of_posts(weeks, shown, begin_us)


def _of_posts(weeks: Weeks, shown: pl.DataFrame, begin_us: int) -> dict[str, float]:
    """Return what became of the posts that were new in these weeks."""
    base, world, size = weeks.base, weeks.world, weeks.base.item_count
    until_us = END_US - FINISHED_HOURS * HOUR_US
    fresh = base.allowed & (base.created_us >= begin_us) & (base.created_us < until_us)
    others = np.bincount(base.items, minlength=size)
    good = others >= np.quantile(others[fresh & (others > 0)], 0.9)
    seen = shown.filter(~pl.col("again"))

    def marked(rows: pl.DataFrame) -> np.ndarray:
        marks = np.zeros(size, bool)
        marks[rows["item"].to_numpy()] = True
        return marks & fresh

    early, tried = marked(seen.filter(pl.col("likers") <= EARLY)), marked(seen.filter("trial"))
    mine = np.bincount(seen.filter("liked")["item"].to_numpy(), minlength=size)
    numbers = np.arange(world.posts.base, world.posts.end)
    created_us = world.posts.of("created_us", numbers)
    written = may_be_listed(world, numbers) & (created_us >= begin_us) & (created_us < until_us)
    total = (others + mine)[fresh]
    authors = base.authors
    assert authors is not None
    places = np.bincount(authors[seen["item"].to_numpy()], minlength=int(authors.max()) + 1)
    places = places[np.unique(authors[fresh])]
    trial = seen.filter("trial")
    first = seen.group_by("item").agg(pl.col("at_us").min())
    first = first.filter(pl.Series((good & fresh)[first["item"].to_numpy()]))
    waited_us = first["at_us"].to_numpy() - base.created_us[first["item"].to_numpy()]
    return {
        "new_posts": int(written.sum()),
        "likes_a_new_post": _of(total.sum() / written.sum()),
        "five_likes": _of((total >= 5).sum() / written.sum()),
        "authors_gini": _of(gini(places.astype(float))),
        "different_posts": int(seen["item"].n_unique()),
        "early_posts": int(early.sum()),
        "early_later_good": _of(good[early].mean() if early.any() else 0),
        "tried_posts": int(tried.sum()),
        "tried_later_good": _of(good[tried].mean() if tried.any() else 0),
        "not_early_later_good": _of(good[fresh & ~early].mean()),
        "good_seen_early": _of(early[fresh & good].mean()),
        "good_first_seen_hours": _of(np.median(waited_us) / HOUR_US),
        "trial_per_post": _of(trial["chance"].mean() if len(trial) else 0),
    }


def _of(value: Any) -> float:
    return round(float(value), 5)


def table(lines: list[dict[str, Any]]) -> None:
    """Print the mean of the worlds of each arm, and the worlds."""
    arms = [name for name in ARMS if any(line["arm"] == name for line in lines)]
    skip = {"date", "arm", "seed", "settings", "cpu_seconds", "world"}
    for figure in [name for name in lines[0] if name not in skip] if lines else []:
        print(f"\n{figure}")
        for arm in arms:
            values = [
                line[figure] for line in sorted(lines, key=lambda line: line["seed"]) if line["arm"] == arm
            ]
            print(f"  {arm:<16} {np.mean(values):10.4f}   " + " ".join(f"{value:.4f}" for value in values))


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, people=2000, readers=400, days=14.0, hours=6.0, seeds="1,2,3", risers=0.1,
                       like_rate=0.04, arms=",".join(ARMS))  # fmt: skip
    parser.add_argument("--clustering", choices=("weak", "middle", "strong"), default="middle")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="append results, and leave out what is in it"
    )
    options = parser.parse_args()
    known = ("people", "readers", "days", "hours", "risers", "like_rate", "clustering")
    settings = {name: getattr(options, name) for name in known}
    lines = []
    if options.log is not None and options.log.exists():
        lines = [json.loads(text) for text in options.log.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if line["settings"] == settings]
    done = {(line["seed"], line["arm"]) for line in lines}
    for seed in map(int, options.seeds.split(",")):
        wanted = [arm for arm in options.arms.split(",") if (seed, arm) not in done]
        if not wanted:
            continue
        started = time.process_time()
        start, likes, begin_us = settled(options, seed)
        head = {"likes": len(likes), "tries": _of(start.readers.tries), **rising(start.world, likes)}
        print(f"seed {seed}: {head}, settled in {time.process_time() - started:.0f} s of CPU", flush=True)
        for arm in wanted:
            started, weeks = time.process_time(), start.copy()
            for at_us in range(begin_us, END_US, int(options.hours * HOUR_US)):
                weeks.step(at_us, options.hours, ARMS[arm])
            line = {
                "date": datetime.now(UTC).strftime("%Y-%m-%d"), "arm": arm, "seed": seed, "settings": settings,
                "world": head, **measured(weeks, begin_us, options.days),
                "cpu_seconds": round(time.process_time() - started, 1),
            }  # fmt: skip
            lines.append(line)
            print(json.dumps({name: value for name, value in line.items() if name != "settings"}), flush=True)
            if options.log is not None:
                with options.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    table(lines)


if __name__ == "__main__":
    main()
