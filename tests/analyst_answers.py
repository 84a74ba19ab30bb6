"""What every query of sql/explore should answer, worked out in plain Python from a ``Store``'s truth.

Owns: one function a query, ``ANSWERS[name](store, **parameters)`` → rows in the order of the query's columns.
Nothing here reads our SQL, the views or the copies under them.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from statistics import mean, median, stdev
from typing import Any

from analyst_store import Like, Store

import sql
from pipeline.identifiers import parse_post_uri
from pipeline.store.model import HOUR_US

Rows = list[tuple[Any, ...]]
SOURCES = {1: "co-likers", 2: "popular", 3: "trial"}


def at(time_us: int) -> datetime:
    """Return a time as the views show it: UTC, without a zone."""
    return datetime(1970, 1, 1) + timedelta(microseconds=time_us)


def day(time_us: int) -> date:
    return at(time_us).date()


def partial(store: Store, when: date, days: Iterable[date]) -> bool:
    """A day in which the answer begins, or which is not over."""
    return when == min(days) or when >= day(store.now_us)


def rkey(post: str) -> int:
    parsed = parse_post_uri(post)
    assert parsed is not None
    return parsed[1]


def number_of(store: Store, did: str) -> int:
    return next(number for number, known in store.dids.items() if known == did)


def newest_first(store: Store, post: str) -> tuple[int, int]:
    """The documented order of ties: newer rkey, then the smaller number of the author."""
    numbers = {did: number for number, did in store.dids.items()}
    return -rkey(post), numbers[post.split("/")[2]]


def likes_per_hour(store: Store, hours: float = 48) -> Rows:
    found: dict[int, list[Like]] = defaultdict(list)
    for like in store.since(hours):
        found[like.seen_us // HOUR_US].append(like)
    return [
        (
            at(hour * HOUR_US),
            len(likes),
            len({x.liker for x in likes}),
            len({x.post for x in likes}),
            hour == min(found)
            or (hour + 1) * HOUR_US > store.now_us
            or any(begin < (hour + 1) * HOUR_US and end > hour * HOUR_US for begin, end, *_ in store.gaps),
        )
        for hour, likes in sorted(found.items())
    ]


def most_liked_posts(store: Store, hours: float = 24, rows: int = 20) -> Rows:
    found: dict[str, list[int]] = defaultdict(list)
    for like in store.since(hours):
        found[like.post].append(like.seen_us)
    ordered = sorted(found, key=lambda post: (-len(found[post]), newest_first(store, post)))
    return [(post, len(found[post]), at(min(found[post]))) for post in ordered[:rows]]


def rising_posts(store: Store, hours: float = 2, min_likes: int = 5, rows: int = 20) -> Rows:
    now = Counter(like.post for like in store.since(hours))
    before = Counter(like.post for like in store.since(2 * hours, hours))
    found = [
        (post, likes, before[post], (likes + 1) / (before[post] + 1))
        for post, likes in now.items()
        if likes >= min_likes
    ]
    return sorted(found, key=lambda row: (-row[3], -row[1], newest_first(store, row[0])))[:rows]


def rising_authors(store: Store, hours: float = 24, min_likers: int = 5, rows: int = 20) -> Rows:
    def likers(likes: Iterable[Like]) -> Counter[str]:
        return Counter(author for author, _ in {(like.author, like.liker) for like in likes})

    now, before = likers(store.since(hours)), likers(store.since(2 * hours, hours))
    found = [
        (author, count, before[author], (count + 1) / (before[author] + 1))
        for author, count in now.items()
        if count >= min_likers
    ]
    return sorted(found, key=lambda row: (-row[3], -row[1], row[0]))[:rows]


def shared_likers(store: Store, post: str, other: str, days: float = 30.0) -> Rows:
    times = {(like.liker, like.post): like.seen_us for like in store.since(24 * days)}
    both = [liker for liker, liked in times if liked == post and (liker, other) in times]
    return [(liker, at(times[liker, post]), at(times[liker, other])) for liker in sorted(both)]


def post_life(store: Store, post: str, days: float = 30.0) -> Rows:
    created_us = rkey(post) >> 10
    ages = Counter(
        (like.seen_us - created_us) // HOUR_US for like in store.since(24 * days) if like.post == post
    )
    rows, so_far = [], 0
    for age in sorted(ages):
        so_far += ages[age]
        rows.append((age, ages[age], so_far))
    return rows


def listed(store: Store) -> dict[str, tuple[int, int, int]]:
    """Post: created_us, likers, author's number, of the posts that lists name."""
    query = "SELECT uri, created_us, likers, author_id FROM posts"
    return {row[0]: row[1:] for row in store.rows("serving", query)}


def viewer_list(store: Store, viewer: str, rows: int = 30) -> Rows:
    facts = listed(store)
    return [
        (place, post, SOURCES[source], score, co_likers, facts[post][1],
         (store.now_us - facts[post][0]) / HOUR_US)
        for place, (post, score, co_likers, source) in enumerate(store.lists[viewer][:rows], 1)
    ]  # fmt: skip


def list_changes(store: Store, viewer: str, days: int, rows: int = 30) -> Rows:
    """Since the day's first lists; tests/test_daily_lists.py has other days."""
    assert days == 0
    now, then = (
        {post: (place, SOURCES[source], score) for place, (post, score, _, source) in enumerate(items, 1)}
        for items in (store.lists[viewer][:rows], store.first_lists.get(viewer, [])[:rows])
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


def viewer_co_likers(store: Store, viewer: str, hours: float = 48.0, rows: int = 20) -> Rows:
    places = {item[0]: place for place, item in enumerate(store.lists[viewer], 1)}
    found: dict[str, list[int]] = defaultdict(list)
    for like in store.since(hours):
        if like.post in places:
            found[like.liker].append(places[like.post])
    return [
        (rank, did, weight, len(found[did]), min(found[did], default=None))
        for rank, (did, weight) in enumerate(store.neighbours[viewer][:rows], 1)
    ]


def viewer_taste(
    store: Store, viewer: str, hours: float = 48.0, min_neighbours: int = 3, rows: int = 20
) -> Rows:
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


def viewer_communities(store: Store, viewer: str, hours: float = 168.0, rows: int = 20) -> Rows:
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


def list_ages(store: Store) -> Rows:
    facts, rows = listed(store), []
    for name, first, last in (("1-10", 1, 10), ("11-30", 11, 30), ("31-100", 31, 100), ("101-", 101, 10**6)):
        items = [item for found in store.lists.values() for item in found[first - 1 : last]]
        ages = [(store.now_us - facts[item[0]][0]) / HOUR_US for item in items]
        if items:
            rows.append(
                (name, len(items), mean(ages), max(ages), mean(age >= 24 for age in ages),
                 mean(item[3] in (1, 3) for item in items))
            )  # fmt: skip
    return rows


def generation_lag(store: Store, rows: int = 20) -> Rows:
    runs: dict[int, list[tuple[int, int, int, int]]] = {}
    for generation, snapshot_us, published_us, lists, items in store.rows(
        "serving", "SELECT * FROM generations ORDER BY generation"
    ):
        runs.setdefault(snapshot_us, []).append((generation, published_us, lists, items))
    answer, before = [], None
    for snapshot_us in sorted(runs):
        generation, published_us = (max(row[column] for row in runs[snapshot_us]) for column in (0, 1))
        apart = None if before is None else (published_us - before) / 60e6
        lists, items = (sum(row[column] for row in runs[snapshot_us]) for column in (2, 3))
        answer.append((generation, at(snapshot_us), at(published_us), (published_us - snapshot_us) / 60e6, apart,
                       lists, items))  # fmt: skip
        before = published_us
    return answer[::-1][:rows]


def coverage(store: Store, hours: float = 24.0, items: int = 100) -> Rows:
    counts = Counter(like.liker for like in store.since(hours))
    bands = (("all", 1, 10**9), ("1 like", 1, 1), ("2-5 likes", 2, 5), ("6-20 likes", 6, 20),
             ("21 likes or more", 21, 10**9))  # fmt: skip
    rows = []
    for name, least, most in bands:
        people = [who for who, likes in counts.items() if least <= likes <= most]
        if people:
            having = sum(who in store.lists for who in people)
            long = sum(len(store.lists.get(who, [])) >= items for who in people)
            rows.append((name, len(people), having, long, having / len(people), long / len(people)))
    return rows


def most_listed_posts(store: Store, places: int = 30, rows: int = 20) -> Rows:
    found: dict[str, list[int]] = defaultdict(list)
    for items in store.lists.values():
        for place, item in enumerate(items[:places], 1):
            found[item[0]].append(place)
    facts = listed(store)
    ordered = sorted(
        found, key=lambda post: (-len(found[post]), mean(found[post]), -rkey(post), facts[post][2])
    )
    return [
        (post, len(found[post]), len(found[post]) / len(store.lists), mean(found[post]), facts[post][1])
        for post in ordered[:rows]
    ]


def languages(store: Store, hours: float = 24.0) -> Rows:
    query = (
        "SELECT a.did, p.rkey, p.created_us, p.langs FROM posts p JOIN actors a ON a.actor_id = p.author_id"
    )
    oldest = store.now_us - int(96 * HOUR_US)
    known = {
        (did, key): (created_us, langs.split(","))
        for did, key, created_us, langs in store.rows("landing", query)
        if created_us > oldest and f"{did}/{key}" not in _deleted(store)
    }
    posts: Counter[str] = Counter()
    for created_us, langs in known.values():
        if created_us > store.now_us - hours * HOUR_US:
            posts.update(langs)
    likes: Counter[str] = Counter()
    likers: dict[str, set[str]] = defaultdict(set)
    span = store.since(hours)
    for like in span:
        for language in known.get((like.author, rkey(like.post)), (0, ["unknown"]))[1]:
            likes[language] += 1
            likers[language].add(like.liker)
    found = [
        (language, posts[language], likes[language], len(likers[language]), likes[language] / len(span))
        for language in posts.keys() | likes.keys()
    ]
    return sorted(found, key=lambda row: (-row[2], -row[1], row[0]))


def _deleted(store: Store) -> set[str]:
    return {f"{uri.split('/')[2]}/{rkey(uri)}" for uri in store.truth.deleted_posts}


def _degrees(counts: Iterable[int], tail_from: int) -> Rows:
    counts = list(counts)
    tail = [count for count in counts if count >= tail_from]
    exponent = 1 + len(tail) / sum(math.log(count / (tail_from - 0.5)) for count in tail) if tail else None
    bands: dict[int, list[int]] = defaultdict(list)
    for count in counts:
        bands[count.bit_length() - 1].append(count)
    return [
        (2**band, 2 ** (band + 1) - 1, len(found), sum(found), sum(found) / sum(counts), exponent)
        for band, found in sorted(bands.items())
    ]


def liker_degrees(store: Store, hours: float = 24.0, tail_from: int = 20) -> Rows:
    return _degrees(Counter(like.liker for like in store.since(hours)).values(), tail_from)


def post_degrees(store: Store, hours: float = 24.0, tail_from: int = 20) -> Rows:
    return _degrees(Counter(like.post for like in store.since(hours)).values(), tail_from)


def like_rings(
    store: Store,
    hours: float = 24.0,
    min_likers: int = 5,
    min_likes: int = 3,
    share: float = 0.5,
    rows: int = 20,
) -> Rows:
    pairs = Counter((like.liker, like.author) for like in store.since(hours))
    totals = Counter(like.liker for like in store.since(hours))
    likers: dict[str, list[str]] = defaultdict(list)
    for liker, author in pairs:
        likers[author].append(liker)
    found = []
    for author, people in likers.items():
        if len(people) >= min_likers:
            devoted = sum(
                totals[who] >= min_likes and pairs[who, author] >= totals[who] * share for who in people
            )
            mutual = sum((author, who) in pairs for who in people)
            found.append((author, len(people), devoted, mutual, devoted / len(people), mutual / len(people)))
    return sorted(found, key=lambda row: (-row[4], -row[5], -row[1], row[0]))[:rows]


def bulk_likers(store: Store, hours: float = 24.0, rows: int = 20) -> Rows:
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for like in store.since(hours):
        found[like.liker][like.seen_us // HOUR_US] += 1
    answer = [(who, sum(c.values()), max(c.values()), len(c)) for who, c in found.items()]
    return sorted(answer, key=lambda row: (-row[1], row[0]))[:rows]


def batch_costs(store: Store, job: str = "", rows: int = 20) -> Rows:
    runs: dict[tuple[int, str], Rows] = defaultdict(list)
    for row in store.rows(
        "serving", "SELECT run_id, job, step, started_us, seconds, peak_mb, outcome FROM runs"
    ):
        if job in ("", row[1]):
            runs[row[0], row[1]].append(row)
    answer = []
    for (run_id, name), steps in runs.items():
        longest = max(steps, key=lambda step: step[4])
        answer.append(
            (run_id, name, at(min(step[3] for step in steps)), sum(step[4] for step in steps),
             max(step[5] for step in steps), longest[2], longest[4], "done")
        )  # fmt: skip
    return sorted(answer, key=lambda row: (row[2], row[1]), reverse=True)[:rows]


def batch_steps(store: Store, job: str = "candidates") -> Rows:
    found = store.rows("serving", f"SELECT run_id, step, seconds, rows FROM runs WHERE job = '{job}'")
    last = max(row[0] for row in found)
    steps = [row[1:] for row in found if row[0] == last]
    total = sum(step[1] for step in steps)
    answer = [
        (name, seconds, seconds / total, rows, rows / seconds if seconds else None)
        for name, seconds, rows in steps
    ]
    return sorted(answer, key=lambda row: (-row[1], row[0]))


def stream_gaps(store: Store) -> Rows:
    return [
        (at(first), at(last), (last - first) / HOUR_US, day(first), day(last), host, wire)
        for first, last, host, wire in sorted(store.gaps, reverse=True)
    ]


def dropped_events(store: Store) -> Rows:
    found = store.rows("landing", "SELECT kind, name, value FROM counters WHERE kind IN ('event', 'drop')")
    total = sum(row[2] for row in found)
    drops = [(name, value, value / total) for kind, name, value in found if kind == "drop"]
    return sorted(drops, key=lambda row: (-row[1], row[0]))


def like_quality(store: Store, hours: float = 24.0) -> Rows:
    counted: Counter[str] = Counter()
    pairs = set()
    active = 0
    since = store.now_us - int(hours * HOUR_US)
    void = void_records(store)
    for like in store.undone:
        status, hidden_us = store.truth.accounts.get(like.liker, ("active", 0))
        left_us = max(hidden_us if status == "deleted" else 0, store.departed.get(like.liker, 0))
        if like.seen_us > since and not store.undone_keys[like] < store.departed.get(like.liker, 0):
            counted["records"] += 1
            counted["unliked later" if store.undone_keys[like] >= left_us else "account not active"] += 1
    for like in store.records():
        if like.seen_us <= since or like.seen_us > store.now_us or not store.stored(like):
            continue
        if like.seen_us <= store.departed.get(like.liker, 0):
            continue
        counted["records"] += 1
        if like.liker in store.truth.accounts or like.author in store.truth.accounts or store.went(like):
            counted["account not active"] += 1
        elif like.post in store.truth.deleted_posts:
            counted["post deleted"] += 1
        elif like.liker == like.author:
            counted["own post"] += 1
        else:
            active += 1
            pairs.add((like.liker, like.post))
    for seen_us in void:  # what an account did before it was deleted, whether an unlike undoes it or not
        if since < seen_us <= store.now_us:
            counted["records"] += 1
            counted["account not active"] += 1
    counted["repeated"], counted["counted"] = active - len(pairs), len(pairs)
    names = (
        "records",
        "unliked later",
        "account not active",
        "post deleted",
        "own post",
        "repeated",
        "counted",
    )
    return [(name, counted[name], counted[name] / counted["records"]) for name in names]


def void_records(store: Store) -> list[int]:
    """Return when the likes were seen that the account which came back made before, and that are in the lake still."""
    import duckdb

    files = [str(path) for path in (store.data_dir / "lake" / "likes").glob("day=*/likes.parquet")]
    connection = duckdb.connect()
    connection.execute(sql.load("lake/macros"))
    left_us = {number: store.departed[did] for number, did in store.dids.items() if did in store.departed}
    query = "SELECT liker_id, rkey, seen_us FROM lake_likes($files)"
    rows = connection.execute(query, {"files": files}).fetchall()
    return [seen_us for liker, rkey, seen_us in rows if rkey >> 10 < left_us.get(liker, 0)]


def day_quality(store: Store) -> Rows:
    import pyarrow.parquet as pq

    sizes: dict[date | None, int] = {}
    for path in (store.data_dir / "lake" / "likes").glob("day=*/likes.parquet"):
        sizes[date.fromisoformat(path.parent.name.removeprefix("day="))] = pq.read_metadata(path).num_rows
    middle = median(sizes.values())
    (newest,) = store.rows("landing", "SELECT max(seen_us) FROM watermark")[0]
    records = [like for like in store.records() if day(like.seen_us) == day(newest)]
    alive = [x for x in records if store.truth.accounts.get(x.liker, ("active", 0))[0] != "deleted"]
    rows: Rows = [(None, len(alive), len(alive) / middle, 0)]
    for which in sorted((found for found in sizes if found), reverse=True):
        first = int(datetime(which.year, which.month, which.day, tzinfo=UTC).timestamp()) * 1_000_000
        last = first + 24 * HOUR_US
        hours = sum(max(0, min(end, last) - max(begin, first)) for begin, end, *_ in store.gaps) / HOUR_US
        rows.append((which, sizes[which], sizes[which] / middle, hours))
    return rows


Outcome = tuple[Any, bool, bool, bool, bool]  # impression, liked, less, more, ripe


def outcomes(store: Store, days: float, within_hours: float = 24.0) -> list[Outcome]:
    """First impressions of the span, with what became of them."""
    liked = {(like.liker, like.post): like.seen_us for like in store.since(24 * days)}
    answered = {row[:3] for row in store.interactions}
    first: dict[tuple[str, str], Any] = {}
    for shown in sorted(_span(store, days), key=lambda shown: shown.served_us):
        first.setdefault((shown.viewer, shown.post), shown)
    found = []
    for pair, shown in first.items():
        at_us = liked.get(pair)
        liked_soon = (
            at_us is not None and shown.served_us <= at_us <= shown.served_us + within_hours * HOUR_US
        )
        ripe = shown.served_us + within_hours * HOUR_US <= store.now_us
        found.append(
            (shown, liked_soon, (*pair, "requestLess") in answered, (*pair, "requestMore") in answered, ripe)
        )
    return found


def _span(store: Store, days: float) -> list[Any]:
    since = store.now_us - int(24 * days * HOUR_US)
    return [shown for shown in store.impressions if since < shown.served_us <= store.now_us]


Interval = tuple[float | None, float | None, float | None]  # a rate, and its bounds


def _rate(viewers: Iterable[list[bool]]) -> Interval:
    """Return the rate of what each viewer's impressions led to, and its bounds, viewers being independent."""
    having = [found for found in viewers if found]
    n, people = sum(map(len, having)), len(having)
    if not n:
        return None, None, None
    rate = sum(map(sum, having)) / n
    if people < 2:
        return rate, None, None
    if rate in (0.0, 1.0):
        trials: float = people
    else:
        squares = sum((sum(found) - rate * len(found)) ** 2 for found in having)
        trials = min(n, rate * (1 - rate) * n**2 * (people - 1) / people / squares if squares > 1e-12 else n)
    z = 1.96  # of 95 %, as is usual
    # The bounds are the two rates from which this one is z standard errors away: roots of a quadratic.
    a, b, c = 1 + z**2 / trials, -(2 * rate + z**2 / trials), rate**2
    root = math.sqrt(max(b**2 - 4 * a * c, 0))
    return rate, max((-b - root) / (2 * a), 0), min((-b + root) / (2 * a), 1)


def _rates(found: Iterable[Outcome], key: Callable[[Any], Any]) -> dict[Any, tuple[Any, ...]]:
    groups: dict[Any, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in found:
        groups[key(outcome[0])][outcome[0].viewer].append(outcome)
    rates = {}
    for name, viewers in groups.items():
        ripe = [[o[1] for o in mine if o[4]] for mine in viewers.values()]
        rates[name] = (
            sum(map(len, viewers.values())), sum(map(len, ripe)), sum(map(sum, ripe)), *_rate(ripe)
        )  # fmt: skip
    return rates


def like_rate_by_position(
    store: Store, days: float = 7.0, within_hours: float = 24.0, places: int = 30
) -> Rows:
    found = _rates(outcomes(store, days, within_hours), lambda shown: shown.position)
    return [(place, *rates) for place, rates in sorted(found.items()) if place <= places]


def like_rate_by_source(store: Store, days: float = 7.0, within_hours: float = 24.0) -> Rows:
    found = _rates(outcomes(store, days, within_hours), lambda shown: SOURCES[shown.source])
    return sorted(((name, *rates) for name, rates in found.items()), key=lambda row: (-row[1], row[0]))


def like_rate_by_age(store: Store, days: float = 7.0, within_hours: float = 24.0) -> Rows:
    spans = ((1, "under 1 h"), (6, "1-6 h"), (24, "6-24 h"), (48, "1-2 days"), (math.inf, "2 days or more"))

    def span_of(shown: Any) -> str:
        age = (shown.served_us - (rkey(shown.post) >> 10)) / HOUR_US
        return next(name for limit, name in spans if age < limit)

    found = _rates(outcomes(store, days, within_hours), span_of)
    return [(name, *found[name]) for _, name in spans if name in found]


def show_less_rate(store: Store, days: float = 7.0) -> Rows:
    groups: dict[tuple[date, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes(store, days):
        groups[day(outcome[0].served_us), SOURCES[outcome[0].source]].append(outcome)
    rows = []
    for (when, source), found in groups.items():
        n, less, more = len(found), sum(row[2] for row in found), sum(row[3] for row in found)
        whole = [first for first, _ in groups]
        rows.append((when, source, n, less, more, less / n, more / n, partial(store, when, whole)))
    return sorted(rows, key=lambda row: (-row[0].toordinal(), row[1]))


def repeat_rate(store: Store, days: float = 7.0) -> Rows:
    seen: set[tuple[str, str]] = set()
    by_day: dict[date, list[tuple[str, bool]]] = defaultdict(list)
    for shown in sorted(_span(store, days), key=lambda shown: shown.served_us):
        by_day[day(shown.served_us)].append((shown.viewer, (shown.viewer, shown.post) in seen))
        seen.add((shown.viewer, shown.post))
    rows = []
    for when, found in sorted(by_day.items(), reverse=True):
        again = sum(repeated for _, repeated in found)
        rows.append((when, len({viewer for viewer, _ in found}), len(found), again, again / len(found),
                     partial(store, when, by_day)))  # fmt: skip
    return rows


def viewer_retention(store: Store, weeks: int = 8) -> Rows:
    came: dict[str, set[date]] = defaultdict(set)
    for shown in store.impressions:
        when = day(shown.served_us)
        came[shown.viewer].add(when - timedelta(days=when.weekday()))
    counted: Counter[tuple[date, int]] = Counter()
    for found in came.values():
        counted.update((min(found), (week - min(found)).days // 7) for week in found)
    oldest = day(store.now_us - 168 * weeks * HOUR_US)
    return [
        (
            first,
            later,
            viewers,
            viewers / counted[first, 0],
            first + timedelta(days=7 * (later + 1)) > day(store.now_us),
        )
        for (first, later), viewers in sorted(counted.items())
        if first > oldest
    ]


def experiment_results(store: Store, days: float = 7.0, within_hours: float = 24.0) -> Rows:
    groups: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes(store, days, within_hours):
        groups[outcome[0].variant][outcome[0].viewer].append(outcome)
    likes = {
        variant: _rate([[o[1] for o in found if o[4]] for found in viewers.values()])
        for variant, viewers in groups.items()
    }
    rows = []
    for variant, viewers in sorted(groups.items()):
        everything = [o for found in viewers.values() for o in found]
        row: list[Any] = [variant, len(viewers), len(everything), sum(o[4] for o in everything)]
        active = [len({day(o[0].served_us) for o in found}) for found in viewers.values()]
        row.append(mean(active))
        if len(set(active)) > 1:
            spread = 1.96 * stdev(active) / math.sqrt(len(active))
            row += [max(mean(active) - spread, 0), mean(active) + spread]
        else:
            row += [None, None]
        row += [*likes[variant], *_rate([[o[2] for o in found] for found in viewers.values()])]
        control = variant.split("/")[0] + "/control"
        row += _change(likes[variant], likes[control] if variant != control else (None, None, None))
        rows.append(tuple(row))
    return rows


def _change(mine: Interval, control: Interval) -> list[float | None]:
    (rate, low, high), (other, other_low, other_high) = mine, control
    if rate is None or other is None:
        return [None, None, None]
    if low is None or high is None or other_low is None or other_high is None:
        return [rate - other, None, None]
    down, up = math.hypot(rate - low, other_high - other), math.hypot(high - rate, other - other_low)
    return [rate - other, rate - other - down, rate - other + up]


def viewers_per_day(store: Store, days: float = 14.0) -> Rows:
    groups: dict[date, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for shown in _span(store, days):
        groups[day(shown.served_us)][shown.viewer].append(shown.position)
    return [
        (when, len(viewers), sum(map(len, viewers.values())), mean(map(len, viewers.values())),
         mean(map(max, viewers.values())), partial(store, when, groups))
        for when, viewers in sorted(groups.items(), reverse=True)
    ]  # fmt: skip


ANSWERS: dict[str, Callable[..., Rows]] = {
    name: answer
    for name, answer in list(globals().items())
    if callable(answer) and getattr(answer, "__annotations__", {}).get("return") is Rows and name[0] != "_"
}
