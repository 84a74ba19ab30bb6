"""How close is a simulated world to the real network? ``python tests/bench/bench_calibration.py`` prints the table.

Owns: measuring a world the way the real one was measured. Leaves to others: the model's parameters, which are where
they are used (``people``, ``day_plan``, ``posts``, ``attention``, ``odd_likes``). pipeline/simulate/README.md has the
table and says what the world does not reproduce. In short, with 10,000 people: likes per liker 7 128 1134 (real 8 151
1008), 53 % of top-level posts without a like (54 %), first like after 4.8 min (5.6), last engagement after 3.9 h (3.8).
But the tail of likes per post is too steep: 3.3 (2.15), and 2.4 with 40,000 people.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.simulate.parameters import DAY_US, HOUR_US, WorldParameters
from pipeline.simulate.randomness import Column, Flags, Ints
from pipeline.simulate.timeline import World
from pipeline.simulate.world.event_columns import Events, Kind, join
from pipeline.simulate.world.posts import Mark

WEEK_US = 8 * DAY_US
TAIL_FROM, REPLY_TAIL_FROM = 127, 42
# Young posts have not had their likes yet: posts count when at least this old at the end.
SETTLED_US = 3 * DAY_US


class Row(NamedTuple):
    """A statistic, the real network's value and the world's."""

    statistic: str
    real: str
    simulated: str


def measure(world: World) -> list[Row]:
    """Return the table for a world whose history is made: 8 days of history or more compare fairly."""
    events = join(world.kept_slots())
    first_week = events.take(events.time_us < world.parameters.start_us + WEEK_US)
    return [
        *_people(world, first_week),
        *_posts(world, events),
        *_times(world, events),
        *_mix(events),
        *_hours(events),
        *_bytes(world),
    ]


def _percentiles(values: Column, points: Sequence[float]) -> str:
    return " ".join(f"{value:.0f}" for value in np.percentile(values, points)) if len(values) else "-"


def _people(world: World, week: Events) -> list[Row]:
    count = world.people.count
    likes = np.bincount(week.actor[week.kind == Kind.LIKE], minlength=count)
    every = np.bincount(week.actor[week.kind < Kind.IDENTITY], minlength=count)
    likers, active = likes[likes > 0], every[every > 0]
    days = (week.time_us - world.parameters.start_us) // DAY_US
    pairs = np.unique(week.actor.astype(np.int64) * 64 + days)
    active_days = np.bincount(pairs // 64, minlength=count)
    return [
        Row("likes per liker, 8 days: P50 P90 P99", "8 151 1008", _percentiles(likers, [50, 90, 99])),
        Row("  maximum", "70092", str(likers.max())),
        Row("  mean", "69", f"{likers.mean():.0f}"),
        Row("active people who like", "74.8 %", f"{100 * len(likers) / len(active):.1f} %"),
        Row("active in 8 days, of --users", "all", f"{100 * len(active) / count:.1f} %"),
        Row(
            "events per person: P25 50 75 90 95 99",
            "3 8 39 159 341 1185",
            _percentiles(active, [25, 50, 75, 90, 95, 99]),
        ),
        Row(
            "active days of 8: P25 50 75 90",
            "1 3 6 8",
            _percentiles(active_days[active_days > 0], [25, 50, 75, 90]),
        ),
    ]


def exponent(counts: Column, least: int) -> tuple[float, int]:
    """Return the power-law exponent of the counts of ``least`` or more, and how many those are."""
    tail = counts[counts >= least]
    logs = float(np.log(tail / (least - 0.5)).sum())
    return (1 + len(tail) / logs if logs else 0.0), len(tail)


def _settled(world: World, events: Events) -> tuple[Ints, Flags]:
    """Return the posts of the stream that are old enough, and which of them are replies."""
    written = events.target[
        (events.kind == Kind.POST) & (events.time_us < world.parameters.end_us - SETTLED_US)
    ]
    return written, (world.posts.of("marks", written) & int(Mark.REPLY)) != 0


def _posts(world: World, events: Events) -> list[Row]:
    liked = events.target[(events.kind == Kind.LIKE) & (events.target >= 0)]
    counts = np.bincount(liked, minlength=world.posts.end)
    posts, replies = _settled(world, events)
    top, answers = counts[posts[~replies]], counts[posts[replies]]
    (alpha, tail), (alpha_reply, _) = exponent(top, TAIL_FROM), exponent(answers, REPLY_TAIL_FROM)
    return [
        Row("top-level posts without likes", "54.3 %", f"{100 * np.mean(top == 0):.1f} %"),
        Row("  liked ones with 127 or more", "1.6 %", f"{100 * tail / max(1, int(np.sum(top > 0))):.1f} %"),
        Row("  exponent from 127 likes", "2.15", f"{alpha:.2f}"),
        Row("replies' exponent from 42 likes", "2.26", f"{alpha_reply:.2f}"),
        Row("replies without likes", "not known", f"{100 * np.mean(answers == 0):.1f} %"),
        Row("likes per post", "5.7", f"{len(liked) / max(1, int(np.sum(events.kind == Kind.POST))):.1f}"),
        Row("replies among posts", "45.6 %", f"{100 * np.mean(replies):.1f} %"),
    ]


def _times(world: World, events: Events) -> list[Row]:
    posts, replies = _settled(world, events)
    top = posts[~replies]
    chosen = np.zeros(world.posts.end, np.bool_)
    chosen[top] = True
    like = (events.kind == Kind.LIKE) & (events.target >= 0)
    rows = events.take(like)
    rows = rows.take(chosen[rows.target])
    delays = (rows.time_us - world.posts.of("created_us", rows.target)) / 60e6
    order = np.lexsort((delays, rows.target))
    target, delay = rows.target[order], delays[order]
    starts = np.flatnonzero(np.concatenate([[True], target[1:] != target[:-1]]))
    first = delay[starts]
    engaged = events.take(like | (events.kind == Kind.REPOST))
    engaged = engaged.take(chosen[engaged.target])
    answering = events.take(events.kind == Kind.POST)
    parents = world.posts.of("parent", answering.target)
    answered = np.flatnonzero(world.posts.of("marks", answering.target) & int(Mark.REPLY))
    answered = answered[chosen[parents[answered]]]
    last = np.zeros(world.posts.end, np.int64)
    np.maximum.at(last, engaged.target, engaged.time_us)
    np.maximum.at(last, parents[answered], answering.time_us[answered])
    touched = np.flatnonzero(last)
    lives = (last[touched] - world.posts.of("created_us", touched)) / HOUR_US
    betas = _betas(delay, starts)
    points = (10, 25, 50, 75, 90, 95, 99)
    return [
        Row(
            "first like after, min: P10 25 50 75 90 95 99",
            "0.4 1.2 5.6 35 192 480 1800",
            " ".join(f"{value:.1f}" for value in np.percentile(first, points)),
        ),
        Row("last engagement after, h: median", "3.8", f"{np.median(lives):.1f}"),
        Row("  P99", "134", f"{np.percentile(lives, 99):.0f}"),
        Row(
            "growth exponent of likes: mean, deviation", "0.49 0.27", f"{betas.mean():.2f} {betas.std():.2f}"
        ),
    ]


def _betas(delay: Column, starts: Ints) -> Column:
    """Return the slope of log N over log t of posts with 20 likes or more, as far as half of their likes."""
    ends = np.append(starts[1:], len(delay))
    betas = []
    for low, high in zip(starts, ends, strict=True):
        if high - low >= 20:
            half = low + (high - low) // 2
            times, numbers = np.log(delay[low:half]), np.log(np.arange(1, half - low + 1))
            betas.append(np.polyfit(times, numbers, 1)[0])
    return np.array(betas if betas else [0.0])


def _mix(events: Events) -> list[Row]:
    kinds = np.bincount(events.kind, minlength=len(Kind))

    def ratio(kind: Kind, made: Kind) -> str:
        return f"{100 * kinds[kind] / kinds[made]:.1f} %"

    shares = [
        100 * kinds[[made, deleted]].sum() / kinds.sum()
        for made, deleted in (
            (Kind.LIKE, Kind.UNLIKE),
            (Kind.POST, Kind.UNPOST),
            (Kind.REPOST, Kind.UNREPOST),
            (Kind.FOLLOW, Kind.UNFOLLOW),
        )
    ]
    return [
        Row(
            "mix: likes posts reposts follows, %", "69 11 10 6", " ".join(f"{share:.1f}" for share in shares)
        ),
        Row("unlikes per like", "1.2 %", ratio(Kind.UNLIKE, Kind.LIKE)),
        Row("reposts deleted", "3.7 %", ratio(Kind.UNREPOST, Kind.REPOST)),
        Row("follows deleted", "13 %", ratio(Kind.UNFOLLOW, Kind.FOLLOW)),
    ]


def _hours(events: Events) -> list[Row]:
    shares = np.bincount(events.time_us // HOUR_US % 24, minlength=24) * 24 / len(events)
    busiest, quietest = int(np.argmax(shares)), int(np.argmin(shares))
    return [
        Row("busiest and quietest hour (UTC)", "14-22, 6-10", f"{busiest}, {quietest}"),
        Row("  against the mean", "not known", f"{shares.max():.2f} {shares.min():.2f}"),
        Row("  by hour from 0 h, % of the mean", "-", " ".join(f"{100 * share:.0f}" for share in shares)),
    ]


def _bytes(world: World) -> list[Row]:
    sizes: dict[str, list[int]] = {"like": [], "post": [], "delete": [], "any": []}
    for number, line in enumerate(world.lines()):
        if number == 50_000:
            break
        sizes["any"].append(len(line))
        if len(line) > 100_000:
            continue
        if b'"operation":"delete"' in line:
            sizes["delete"].append(len(line))
        elif b'"operation":"create","collection":"app.bsky.feed.like"' in line:
            sizes["like"].append(len(line))
        elif b'"operation":"create","collection":"app.bsky.feed.post"' in line:
            sizes["post"].append(len(line))
    means = {name: f"{np.mean(values or [0]):.0f}" for name, values in sizes.items()}
    return [
        Row(
            "bytes of a like, a post, a deletion",
            "529 846 196",
            f"{means['like']} {means['post']} {means['delete']}",
        ),
        Row("bytes of an event", "552", means["any"]),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python tests/bench/bench_calibration.py", description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=11.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clustering", default="middle")
    given = parser.parse_args(arguments)
    world = World(
        WorldParameters(
            users=given.users,
            days=given.days,
            seed=given.seed,
            clustering=given.clustering,
            end_us=1_783_036_800_000_000,
        )
    )
    world.make_until(world.parameters.end_us)
    table = [Row("statistic", "real network", "simulated"), *measure(world)]
    widths = [max(len(row[column]) for row in table) for column in range(2)]
    for row in table:
        sys.stdout.write(f"{row[0]:<{widths[0]}} | {row[1]:<{widths[1]}} | {row[2]}\n")


if __name__ == "__main__":
    main()
