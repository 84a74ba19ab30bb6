"""What the queries of sql/explore about likes and posts should answer, worked out in plain Python.

Owns: one function a query. Leaves to others: lists (``answers_lists``), viewers (``answers_viewers``), runs and the
stream (``answers_runs``).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from statistics import median

from analyst_store import Like, Store
from analyst_truth import Rows, at, day, newest_first, rkey

import sql
from pipeline.store.model import HOUR_US


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


def languages(store: Store, hours: float = 24.0) -> Rows:
    query = (
        "SELECT a.did, p.rkey, p.created_us, p.langs FROM posts p JOIN actors a ON a.actor_id = p.author_id"
    )
    oldest = store.now_us - int(336 * HOUR_US)
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
