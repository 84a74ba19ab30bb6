"""How many fake accounts does it take to place a post in other people's lists?

    python tests/bench/bench_ring.py [--people 4000] [--days 7] [--viewers 300] [--fakes 10,100,500,2000]
        [--rings plain,sly,...] [--set name=value,...] [--log FILE]

On a simulated network, a ring of fakes likes one new post within the last minutes. A plain ring likes nothing else.
Each account of a sly ring also likes five posts of the last day that a community likes most, to become a neighbour of
everybody who likes them. An aged ring is a sly one whose accounts also liked an old post four days ago, so that they
are not newcomers (``newcomer_hours``). The others are sly rings too:

- backdated: only the accounts' own server tells of their likes of the popular posts, with keys of twenty days ago. In
  "believed" these times are taken for times that a stream reported, as they were once.
- switching: each account is given up within a day and another one made, so all first likes are of the last day.
- slow: the ring grew evenly over the world's days.

Lists are the default ranking's, cut at a page of 30. Prints per size the share of viewers with the post on the first
page and in the list of 300, how many neighbours of a viewer are of the ring, and the post's place in the fallback list;
the viewers are the targeted community's, for a plain ring all. Last, one line of JSON; --log appends a line per result.
"""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from bench_optimum import END_US, LIST, PAGE, events_in, split_of
from bench_tools import parser_of

from pipeline.evaluate.like_events import NONE, LikeEvents, Requested
from pipeline.evaluate.methods import ours
from pipeline.evaluate.methods.crowd import PopularItems
from pipeline.ranking import Ranking
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.store.model import HOUR_US

OLD_HOURS = 100.0
BACKDATED_HOURS = 480.0
# How long ago each account's first like was reported, in hours: the least and the most. None: as they like the target.
FIRST_LIKES = {"aged": (OLD_HOURS, OLD_HOURS), "switching": (0.5, 24.0), "slow": (0.5, 150.0)}


def with_ring(
    events: LikeEvents, fakes: int, others: np.ndarray, rng: np.random.Generator, kind: str = "sly"
) -> LikeEvents:
    """Return events in which new users like item 0, a new one by a new author, and five of ``others`` each.

    ``kind``: and each of them liked an old item before, or their likes of ``others`` have old keys.
    """
    count = events.user_count
    members = np.arange(count, count + fakes)
    users, items = [events.users, members], [events.items + 1, np.zeros(fakes, np.int64)]
    ages = [np.zeros(0), rng.uniform(0.02, 0.2, fakes)]
    if len(others):
        picked = np.concatenate([rng.choice(others, min(5, len(others)), replace=False) for _ in members])
        users.append(np.repeat(members, min(5, len(others))))
        items.append(picked + 1)
        backdated = kind in ("backdated", "believed")
        ages.append(
            np.full(len(picked), BACKDATED_HOURS) if backdated else rng.uniform(0.2, 2.0, len(picked))
        )
    if kind in FIRST_LIKES:
        old = np.flatnonzero(events.created_us < END_US - (FIRST_LIKES[kind][1] + 1) * HOUR_US)
        users.append(members)
        items.append(rng.choice(old, fakes) + 1)
        ages.append(rng.uniform(*FIRST_LIKES[kind], fakes))
    times_us = np.concatenate([events.times_us, (END_US - np.concatenate(ages) * HOUR_US).astype(np.int64)])
    order = np.argsort(times_us, kind="stable")
    reported_us = np.where(times_us == np.int64(END_US - BACKDATED_HOURS * HOUR_US), END_US, times_us)

    def first(column: np.ndarray, value: object) -> np.ndarray:
        return np.concatenate([np.asarray([value], column.dtype), column])

    assert events.requested is not None
    languages = events.requested.languages
    requested = Requested(
        np.concatenate([events.requested.first, np.full(fakes, NONE)]),
        np.concatenate([languages, np.zeros((fakes, languages.shape[1]), bool)]),
    )
    return replace(
        events,
        users=np.concatenate(users)[order].astype(np.int32),
        items=np.concatenate(items)[order].astype(np.int32),
        times_us=times_us[order],
        user_keys=np.concatenate([events.user_keys, events.user_keys.max() + 1 + np.arange(fakes)]),
        item_keys=first(events.item_keys, events.item_keys.max() + 1),
        created_us=first(events.created_us, END_US - HOUR_US // 2),
        allowed=first(events.allowed, True),
        authors=first(events.authors, events.authors.max() + 1),
        owners=first(events.owners, -1),
        speaks=np.concatenate([events.speaks[:1] | True, events.speaks]),
        requested=requested,
        reported_us=reported_us[order] if kind == "backdated" else None,
    )


def measured(events: LikeEvents, people: int, viewers: np.ndarray, ranking: Ranking) -> dict[str, float]:
    """Return how far item 0 comes, and how many neighbours are of the ring: users that the world does not have."""
    split = split_of(events, viewers)
    lists = ours.rank(split, LIST, ranking)
    taken = sum(int((weights.columns >= people).sum()) for _, weights, _ in ours.near_viewers(split, ranking))
    popular = PopularItems(split, events.allowed, ranking).lists[0]
    place = np.flatnonzero(popular == 0)
    return {
        "page": float((lists[:, :PAGE] == 0).any(1).mean()),
        "list": float((lists == 0).any(1).mean()),
        "neighbours": taken / len(viewers),
        "fallback_place": int(place[0]) + 1 if len(place) else 0,
    }


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, people=4000, days=7.0, viewers=300, fakes="1,3,10,30,100,500,2000")
    parser.add_argument(
        "--set", default="", help="parameters of the ranking changed: name=value[,name=value]"
    )
    parser.add_argument("--rings", default="plain,sly,aged,believed,backdated,switching,slow")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the results as JSON lines")
    options = parser.parse_args()
    kinds = {item.name: item.type for item in fields(Ranking)}
    pairs = [pair.split("=") for pair in options.set.split(",") if pair]
    changes = {name: kinds[name](value) for name, value in pairs}
    ranking = replace(Ranking(), **changes)
    world = World(WorldParameters(users=options.people, days=options.days, seed=1, end_us=END_US))
    world.make_until(END_US + 600_000_000)
    events, posts = events_in(world)
    rng = np.random.default_rng(1)
    homes = world.people.home[events.user_keys]
    community = int(np.bincount(homes).argmax())
    recent = (events.created_us > END_US - 24 * HOUR_US) & events.allowed
    recent &= world.posts.of("community", posts) == community
    popular = np.argsort(-np.bincount(events.items, minlength=len(posts)) * recent, kind="stable")[:10]
    everyone = np.sort(rng.choice(events.user_count, min(options.viewers, events.user_count), replace=False))
    members = np.flatnonzero(homes == community)
    print(f"{events.user_count:,} likers, {len(members):,} of them in the targeted community")
    found = []
    for kind in options.rings.split(","):
        others, viewers = (popular[:0], everyone) if kind == "plain" else (popular, members)
        for fakes in (int(size) for size in options.fakes.split(",")):
            ring = with_ring(events, fakes, others, np.random.default_rng(fakes), kind)
            row = measured(ring, events.user_count, viewers, ranking)
            found.append({"ring": kind, "fakes": fakes, **row})
            print(
                f"{kind:<9} {fakes:>6} fakes: first page {row['page']:6.1%}, list {row['list']:6.1%}, "
                f"neighbours {row['neighbours']:6.1f}, "
                f"fallback place {row['fallback_place'] or 'none'}",
                flush=True,
            )
    print(json.dumps({"people": options.people, "rings": found}))
    if options.log is not None:
        head = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "set": f"simulated, middle, {options.people} people",
            "stage": "ring",
            "method": "foryou-default",
            "parameters": changes,
        }
        with options.log.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({**head, **row}) + "\n" for row in found)


if __name__ == "__main__":
    main()
