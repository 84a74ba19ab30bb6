"""How close do lists come to the best possible, on a simulated network whose tastes are known?

    python tests/bench/bench_optimum.py [--people 6000] [--days 7] [--viewers 300] [--clustering middle] [--methods A,B]
        [--set name=value[,name=value] ...] [--seed 1] [--spree 0] [--silent-apps] [--log FILE]

The simulator knows how likely each person's next like falls on each post. The worth of a list of 30 is the sum of these
weights. The reachable optimum is the 30 best posts that somebody has liked by then, that may be listed, and that the
viewer has not liked. Shares are means over viewers with likes, with a 95 % bootstrap interval; share@300 is that of
lists of 300. Differences are to the first method, viewer by viewer. Nothing is tuned here.

A second table says of the first pages: the share of posts that viewers can read, and of posts in their own language, of
those whose language is not English; how much the pages of two strangers have in common; the share of posts that at most
five people like; how unequal the places are that authors have (``pipeline.evaluate.variety``). The row "optimum" is of
the best possible pages. Last comes one line of JSON; --log appends a line per method.

Nine apps of ten ask for the feed in a language (``pipeline.simulate.world.people``). With --silent-apps none does, so a
viewer's languages are known of their likes alone.

With --spree, each viewer has liked so many posts against their taste one to three hours ago: the newest likes of a
random stranger, as somebody does who reads of one event for an evening or lends their phone. The worth stays that of
the viewer's own taste, so the share that is lost says how far the latest likes carry a list away.
"""

import json
import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench_tools import parser_of

from pipeline.batch.kernel import Sparse
from pipeline.evaluate.like_events import LikeEvents, events_of
from pipeline.evaluate.methods.popularity import fill, popular_items
from pipeline.evaluate.methods.registry import METHODS, Method, ranked
from pipeline.evaluate.splits import Split, liked_before, with_own
from pipeline.evaluate.variety import exposure, few_likers, in_common
from pipeline.ranking import Ranking
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.simulate.world.communities import LANGUAGES
from pipeline.simulate.world.event_columns import Kind, join
from pipeline.simulate.world.posts import Mark
from pipeline.store.model import HOUR_US

END_US = 1_780_000_000_000_000
PAGE, LIST = 30, 300


def likes_in(world: World, until_us: int = END_US) -> pl.DataFrame:
    """Return the likes up to a time that are not taken back: user, post, time_us, one a pair; nobody's own posts."""
    made = join(world.kept_slots())
    made = made.take(made.time_us <= until_us)
    rows = pl.DataFrame({"kind": made.kind, "user": made.actor, "post": made.target, "rkey": made.rkey,
                         "time_us": made.time_us})  # fmt: skip
    likes = rows.filter(pl.col("kind") == Kind.LIKE, pl.col("post") >= 0)
    likes = likes.join(rows.filter(pl.col("kind") == Kind.UNLIKE), on=["user", "rkey"], how="anti")
    likes = likes.group_by("user", "post").agg(pl.col("time_us").min())
    return likes.filter(world.posts.of("author", likes["post"].to_numpy()) != likes["user"].to_numpy())


def may_be_listed(world: World, posts: np.ndarray) -> np.ndarray:
    """Tell which posts may be listed as long as they exist; those of before the history are not in the stream."""
    barred = world.posts.of("marks", posts) & int(Mark.REPLY | Mark.ADULT | Mark.HIDE) != 0
    return (world.posts.of("created_us", posts) >= world.parameters.start_us) & ~barred


def events_of_likes(
    world: World, likes: pl.DataFrame, *, silent_apps: bool = False
) -> tuple[LikeEvents, np.ndarray]:
    """Return likes as events, in which posts that are deleted later are allowed, and the post number of each item."""
    posts = likes["post"].unique().to_numpy()
    languages = world.people.communities.languages
    items = pl.DataFrame(
        {
            "post": posts,
            "key": world.posts.of("rkey", posts),
            "made_us": world.posts.of("created_us", posts),
            "author": world.posts.of("author", posts).astype(np.int64),
            "listable": may_be_listed(world, posts),
            "langs": [LANGUAGES[code][0] for code in languages[world.posts.of("community", posts)]],
        }
    ).sort("key", "author", descending=[True, False])
    users = likes["user"].unique().sort()
    likes = likes.join(items.select("post").with_row_index("item_no"), on="post")
    likes = likes.with_columns(user_no=pl.col("user").rank("dense") - 1).sort("time_us", "user_no", "item_no")
    codes = world.people.requested[users.to_numpy()].tolist()
    requested = (
        None if silent_apps else pl.Series([LANGUAGES[code][0] if code >= 0 else "" for code in codes])
    )
    return events_of("simulated", users, items, likes, requested), items["post"].to_numpy()


def events_in(world: World, *, silent_apps: bool = False) -> tuple[LikeEvents, np.ndarray]:
    """Return the likes that exist at the end of history, and the post number of each item."""
    events, posts = events_of_likes(world, likes_in(world), silent_apps=silent_apps)
    return replace(events, allowed=events.allowed & (world.posts.of("deleted_us", posts) > END_US)), posts


def split_of(
    events: LikeEvents, viewers: np.ndarray, at_us: int = END_US, exists: np.ndarray | None = None
) -> Split:
    """Return everything known at a time when all likes of the events were made, for some viewers."""
    liked = liked_before(events, len(events.users), viewers)
    nothing = Sparse(np.zeros(len(viewers) + 1, np.int64), np.zeros(0, np.int32), np.empty(0))
    activity = np.bincount(events.users, minlength=events.user_count)[viewers]
    barred = with_own(liked, events, viewers)
    exists = events.allowed if exists is None else exists
    return Split(events, at_us, len(events.users), viewers, nothing, liked, barred, activity, exists)


def after_spree(events: LikeEvents, viewers: np.ndarray, count: int, rng: np.random.Generator) -> LikeEvents:
    """Return the events with ``count`` likes of a stranger's newest items by each viewer, one to three hours ago."""
    newest: dict[int, list[int]] = {}
    for user, item in zip(events.users[::-1].tolist(), events.items[::-1].tolist(), strict=True):
        if events.allowed[item] and len(newest.setdefault(user, [])) < count:
            newest[user].append(item)
    readers = [user for user, items in newest.items() if len(items) == count]
    liked = set(zip(events.users.tolist(), events.items.tolist(), strict=True))
    users, items = [], []
    for viewer in viewers.tolist():
        stranger = int(rng.choice(readers))
        fresh = [item for item in newest[stranger] if (viewer, item) not in liked and stranger != viewer]
        users += [viewer] * len(fresh)
        items += fresh
    times_us = END_US - rng.integers(HOUR_US, 3 * HOUR_US, len(users))
    all_users = np.concatenate([events.users, np.array(users, np.int32)])
    all_items = np.concatenate([events.items, np.array(items, np.int32)])
    all_times = np.concatenate([events.times_us, times_us])
    order = np.lexsort((all_items, all_users, all_times))
    return replace(events, users=all_users[order], items=all_items[order], times_us=all_times[order])


def worth(world: World, split: Split, posts: np.ndarray) -> np.ndarray:
    """Return (viewers, items): the weight of each item, 0 for what may not be in the viewer's list."""
    result = np.zeros((len(split.viewers), len(posts)), np.float32)
    listable = np.flatnonzero(split.exists)
    for row, viewer in enumerate(split.viewers.tolist()):
        person = int(split.events.user_keys[viewer])
        result[row, listable] = world.like_weight(person, posts[listable], END_US)
        result[row, split.barred.columns[split.barred.starts[row] : split.barred.starts[row + 1]]] = 0
    return result


def shares(weights: np.ndarray, lists: np.ndarray, depth: int) -> np.ndarray:
    """Return each viewer's share of the optimum."""
    best = np.sort(np.partition(weights, -depth, axis=1)[:, -depth:], axis=1).sum(1)
    got = np.where(
        lists[:, :depth] >= 0, np.take_along_axis(weights, np.maximum(lists[:, :depth], 0), 1), 0
    ).sum(1)
    return got / np.maximum(best, 1e-30)


def first_pages(world: World, split: Split, posts: np.ndarray, lists: np.ndarray) -> dict[str, float]:
    """Return what first pages (viewers, PAGE) of items are like, whatever they are worth."""
    people, pages = world.people, lists[:, :PAGE]
    spoken = people.communities.languages
    languages = spoken[world.posts.of("community", posts)]
    persons = split.events.user_keys[split.viewers]
    home = spoken[people.home[persons]]
    filled = pages >= 0
    readable = people.reads[persons[:, None], languages[pages]] & filled
    own = (languages[pages] == home[:, None]) & filled
    others = home != 0
    # As ``foryou evaluate`` measures them; the same strangers for every method.
    common = in_common(pages, np.random.default_rng(1))
    return {
        "readable": readable.sum() / max(filled.sum(), 1),
        "readable_others": readable[others].sum() / max(filled[others].sum(), 1),
        "own_language": own[others].sum() / max(filled[others].sum(), 1),
        "common": float(common.mean()),
        "few_likers": float(few_likers(split, pages).mean()),
        "author_gini": float(exposure(split, pages, 1)[0]),
    }


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, people=6000, days=7.0, viewers=300, seed=1, spree=0)
    parser.add_argument("--clustering", choices=("weak", "middle", "strong"), default="middle")
    parser.add_argument(
        "--methods", default="foryou-default,for-you-formula,re-implementation,popular,user-cosine"
    )
    parser.add_argument(
        "--set", nargs="*", default=[], help="variants of the default: name=value[,name=value]"
    )
    parser.add_argument("--silent-apps", action="store_true", help="no viewer's app names a language")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the results as JSON lines")
    options = parser.parse_args()
    world = World(
        WorldParameters(
            users=options.people,
            days=options.days,
            seed=options.seed,
            end_us=END_US,
            clustering=options.clustering,
        )
    )
    started = time.monotonic()
    world.make_until(END_US + 600_000_000)
    events, posts = events_in(world, silent_apps=options.silent_apps)
    rng = np.random.default_rng(options.seed)
    viewers = np.sort(rng.choice(events.user_count, min(options.viewers, events.user_count), replace=False))
    if options.spree:
        events = after_spree(events, viewers, options.spree, np.random.default_rng(options.seed))
    split = split_of(events, viewers)
    weights = worth(world, split, posts)
    print(
        f"{options.clustering}: {events.user_count:,} likers, {len(events.users):,} likes, "
        f"{int(events.allowed.sum()):,} listable posts; made in {time.monotonic() - started:.0f} s"
    )
    methods = [METHODS[name] for name in options.methods.split(",") if name]
    kinds = {item.name: item.type for item in fields(Ranking)}
    for text in options.set:
        changes = {key: kinds[key](value) for key, value in (pair.split("=") for pair in text.split(","))}
        methods.append(Method(text, "", ranked, {"base": replace(Ranking(), **changes)}))
    found: dict[str, dict[str, Any]] = {}
    best = np.argpartition(-weights, PAGE, axis=1)[:, :PAGE]
    pages = {"optimum": first_pages(world, split, posts, best)}
    first = None
    for method in methods:
        started = time.monotonic()
        lists = method.rank(split, LIST, **method.start)
        fill(lists, popular_items(split, 1.0), split)
        page, whole = shares(weights, lists, PAGE), shares(weights, lists, LIST)
        first = page if first is None else first
        draws = rng.poisson(1.0, (1000, len(page))).astype(float)
        low, high = np.quantile((draws @ page) / draws.sum(1), [0.025, 0.975])
        less, more = np.quantile((draws @ (page - first)) / draws.sum(1), [0.025, 0.975])
        by_class = [
            float(page[(split.activity >= least) & (split.activity <= most)].mean())
            for least, most in ((1, 5), (6, 20), (21, 1 << 62))
        ]
        pages[method.name] = first_pages(world, split, posts, lists)
        found[method.name] = {
            **pages[method.name],
            "share": page.mean(),
            "low": low,
            "high": high,
            "at_300": whole.mean(),
            "difference": [float((page - first).mean()), less, more],
            "by_class": by_class,
        }
        print(
            f"{method.name:<40} {page.mean():6.3f} ({low:.3f} to {high:.3f}), {(page - first).mean():+.4f} "
            f"({less:+.4f} to {more:+.4f})  @300 {whole.mean():.3f}  by class "
            + " ".join(f"{share:.3f}" for share in by_class)
            + f"  {time.monotonic() - started:.1f} s",
            flush=True,
        )
    names = tuple(pages["optimum"])
    print(f"\n{'first pages':<40} " + " ".join(f"{name:>15}" for name in names))
    for name, row in pages.items():
        print(f"{name:<40} " + " ".join(f"{row[column]:>15.3f}" for column in names))
    print(json.dumps({"clustering": options.clustering, "shares": found}, default=float))
    if options.log is not None:
        head = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "set": f"simulated, {options.clustering}, {options.people} people, seed {options.seed}",
            "stage": "optimum",
        }
        with options.log.open("a", encoding="utf-8") as file:
            for name, row in found.items():
                figures = json.dumps(
                    {**head, "method": name, **row}, default=lambda value: round(float(value), 4)
                )
                file.write(figures + "\n")


if __name__ == "__main__":
    main()
