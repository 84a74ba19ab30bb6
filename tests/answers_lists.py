"""What the queries of sql/explore about lists and their makers should answer, worked out in plain Python.

Owns: one function a query. Leaves to others: likes (``answers_likes``), viewers (``answers_viewers``), runs and the
stream (``answers_runs``).
"""

import math
from collections import Counter, defaultdict
from statistics import mean
from typing import Any

from analyst_store import FEED, SECOND, Store
from analyst_truth import SOURCES, Rows, listed, newest_first, rkey
from answers_viewers import outcomes, rate_of

from pipeline.store.model import HOUR_US


def _lists(store: Store, feed: str) -> dict[str, list[tuple[str, float, int, int]]]:
    return store.lists if feed == FEED else store.lists_of_second


def viewer_list(store: Store, viewer: str, rows: int = 30, feed: str = FEED) -> Rows:
    facts = listed(store)
    return [
        (place, post, SOURCES[source], score, co_likers, facts[post][1],
         (store.now_us - facts[post][0]) / HOUR_US)
        for place, (post, score, co_likers, source) in enumerate(_lists(store, feed)[viewer][:rows], 1)
    ]  # fmt: skip


def list_changes(store: Store, viewer: str, days: int, rows: int = 30, feed: str = FEED) -> Rows:
    """Since the day's first lists; tests/test_daily_lists.py has other days."""
    assert days == 0
    mine, first = _lists(store, feed)[viewer], store.first_lists[feed].get(viewer, [])
    now, then = (
        {post: (place, SOURCES[source], score) for place, (post, score, _, source) in enumerate(items, 1)}
        for items in (mine[:rows], first[:rows])
    )
    found = []
    for post, (place, source, score) in now.items():
        former = then.get(post, (None,))[0]
        change = "new" if former is None else "same"
        if former is not None and former != place:
            change = "up" if place < former else "down"
        found.append((place, former, change, post, source, score))
    return found + [
        (None, place, "out", post, *rest) for post, (place, *rest) in then.items() if post not in now
    ]


def viewer_co_likers(
    store: Store, viewer: str, hours: float = 48.0, rows: int = 20, feed: str = FEED
) -> Rows:
    places = {item[0]: place for place, item in enumerate(_lists(store, feed)[viewer], 1)}
    found: dict[str, list[int]] = defaultdict(list)
    for like in store.since(hours):
        if like.post in places:
            found[like.liker].append(places[like.post])
    return [
        (rank, did, weight, len(found[did]), min(found[did], default=None))
        for rank, (did, weight) in enumerate(store.neighbours[viewer][:rows], 1)
    ]


def viewer_taste(
    store: Store, viewer: str, hours: float = 48.0, min_neighbours: int = 3, rows: int = 20, feed: str = FEED
) -> Rows:
    """Both feeds have the same parameters of neighbours, so they share them; tests/test_sql_feeds.py has others."""
    assert feed in (FEED, SECOND)
    near = dict(store.neighbours[viewer])
    likers: dict[str, set[str]] = defaultdict(set)
    for like in store.since(hours):
        likers[like.author].add(like.liker)
    active = set().union(*likers.values())
    found = []
    for author, people in likers.items():
        mine = people & set(near)
        if len(mine) >= min_neighbours:
            lift = (len(mine) / len(active & set(near))) / (len(people) / len(active))
            found.append((author, len(mine), len(people), sum(near[who] for who in mine), lift))
    return sorted(found, key=lambda row: (-round(row[3], 9), row[0]))[:rows]


def viewer_communities(
    store: Store, viewer: str, hours: float = 168.0, rows: int = 20, feed: str = FEED
) -> Rows:
    assert feed in (FEED, SECOND)
    near = dict(store.neighbours[viewer])
    liked: dict[str, Counter[str]] = defaultdict(Counter)
    for like in store.since(hours):
        liked[like.liker][like.author] += 1
    groups: dict[str | None, list[float]] = defaultdict(list)
    for who, weight in near.items():
        ordered = sorted(liked[who].items(), key=lambda pair: (-pair[1], pair[0]))
        groups[ordered[0][0] if ordered else None].append(weight)
    total = sum(near.values())
    found = [(author, len(w), sum(w), sum(w) / total) for author, w in groups.items()]
    return sorted(found, key=lambda row: (-round(row[2], 9), row[0] is None, row[0]))[:rows]


def list_ages(store: Store, feed: str = FEED) -> Rows:
    facts, rows, lists = listed(store), [], _lists(store, feed)
    for name, first, last in (("1-10", 1, 10), ("11-30", 11, 30), ("31-100", 31, 100), ("101-", 101, 10**6)):
        items = [item for found in lists.values() for item in found[first - 1 : last]]
        ages = [(store.now_us - facts[item[0]][0]) / HOUR_US for item in items]
        if items:
            rows.append(
                (name, len(items), mean(ages), max(ages), mean(age >= 24 for age in ages),
                 mean(item[3] in (1, 3) for item in items))
            )  # fmt: skip
    return rows


def coverage(store: Store, hours: float = 24.0, items: int = 100, feed: str = FEED) -> Rows:
    lists = _lists(store, feed)
    counts = Counter(like.liker for like in store.since(hours))
    bands = (("all", 1, 10**9), ("1 like", 1, 1), ("2-5 likes", 2, 5), ("6-20 likes", 6, 20),
             ("21 likes or more", 21, 10**9))  # fmt: skip
    rows = []
    for name, least, most in bands:
        people = [who for who, likes in counts.items() if least <= likes <= most]
        if people:
            having = sum(who in lists for who in people)
            long = sum(len(lists.get(who, [])) >= items for who in people)
            rows.append((name, len(people), having, long, having / len(people), long / len(people)))
    return rows


def most_listed_posts(store: Store, places: int = 30, rows: int = 20, feed: str = FEED) -> Rows:
    lists = _lists(store, feed)
    found: dict[str, list[int]] = defaultdict(list)
    for items in lists.values():
        for place, item in enumerate(items[:places], 1):
            found[item[0]].append(place)
    facts = listed(store)
    ordered = sorted(
        found, key=lambda post: (-len(found[post]), mean(found[post]), -rkey(post), facts[post][2])
    )
    return [
        (post, len(found[post]), len(found[post]) / len(lists), mean(found[post]), facts[post][1])
        for post in ordered[:rows]
    ]


def known_authors(store: Store, days: float = 7.0, places: int = 30, feed: str = FEED) -> Rows:
    liked = {(like.liker, like.author) for like in store.since(24 * days)}
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for viewer, items in _lists(store, feed).items():
        for post, _, _, source in items[:places]:
            for group in ("all", SOURCES[source]):
                found[group].append((viewer, post.split("/")[2]))
    rows: Rows = []
    for group, pairs in sorted(found.items(), key=lambda pair: (pair[0] != "all", pair[0])):
        viewers, known = {viewer for viewer, _ in pairs}, sum(pair in liked for pair in pairs)
        new = sum(pair not in liked for pair in set(pairs))
        rows.append((group, len(viewers), len(pairs), known, known / len(pairs), new / len(viewers)))
    return rows


def author_exposure(store: Store, hours: float = 48.0, places: int = 30, feed: str = FEED) -> Rows:
    since = store.now_us - int(hours * HOUR_US)
    things = {
        "likes": Counter(like.author for like in store.since(hours)),
        "places in lists": Counter(
            item[0].split("/")[2] for items in _lists(store, feed).values() for item in items[:places]
        ),
        "impressions": Counter(
            shown.post.split("/")[2]
            for shown in store.impressions
            if shown.feed == feed and since < shown.served_us <= store.now_us
        ),
    }
    rows: Rows = []
    for what, counts in things.items():
        got = sorted(counts.values(), reverse=True)
        n, total = len(got), sum(got)
        # Half of the mean difference of two authors drawn at random, as a share of the mean.
        apart = sum(abs(one - other) for one in got for other in got) / n**2
        half = next(k for k in range(1, n + 1) if sum(got[:k]) * 2 >= total)
        rows.append(
            (what, n, total, apart / (2 * total / n), sum(got[: math.ceil(n / 100)]) / total,
             sum(got[: math.ceil(n / 10)]) / total, half)
        )  # fmt: skip
    return rows


def beyond_popularity(
    store: Store, days: float = 3.0, within_hours: float = 24.0, places: int = 30, feed: str = FEED
) -> Rows:
    likes = Counter(like.post for like in store.since(24 * days))
    ordered = sorted(likes, key=lambda post: (-likes[post], newest_first(store, post)))
    place_of = {post: place for place, post in enumerate(ordered, 1)}
    spans = (("1-30", 1, 30), ("31-100", 31, 100), ("101-1000", 101, 1000), ("beyond 1000", 1001, 10**9))
    listed_posts = [item[0] for items in _lists(store, feed).values() for item in items[:places]]
    served = outcomes(store, days, within_hours, feed)
    rows: Rows = []
    for name, first, last in spans:

        def inside(post: str, first: int = first, last: int = last) -> bool:
            return first <= place_of.get(post, 10**9) <= last

        mine: dict[str, list[Any]] = defaultdict(list)
        for outcome in served:
            if inside(outcome[0].post):
                mine[outcome[0].viewer].append(outcome)
        ripe = [[o[1] for o in found if o[4]] for found in mine.values()]
        items = sum(map(inside, listed_posts))
        rows.append(
            (name, items, items / len(listed_posts), sum(map(len, mine.values())), sum(map(len, ripe)),
             sum(map(sum, ripe)), *rate_of(ripe))
        )  # fmt: skip
    return rows
