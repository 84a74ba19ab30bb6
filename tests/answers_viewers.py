"""What the queries of sql/explore about viewers and what they do should answer, worked out in plain Python.

Owns: one function a query, rates and their bounds. Leaves to others: likes (``answers_likes``), lists
(``answers_lists``), runs and the stream (``answers_runs``).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from statistics import mean
from typing import Any

from analyst_store import FEED, SECOND, Store
from analyst_truth import SOURCES, Rows, day, partial, rkey

from pipeline.store.model import HOUR_US

Outcome = tuple[Any, bool, bool, bool, bool]  # impression, liked, less, more, ripe


def outcomes(store: Store, days: float, within_hours: float = 24.0, feed: str = "") -> list[Outcome]:
    """Each feed's first impressions of the span, with what became of them."""
    liked = {(like.liker, like.post): like.seen_us for like in store.since(24 * days)}
    answered = {(feed, *row) for row, feed in store.answered_in.items()}
    first: dict[tuple[str, str, str], Any] = {}
    for shown in sorted(_span(store, days, feed), key=lambda shown: shown.served_us):
        first.setdefault((shown.feed, shown.viewer, shown.post), shown)
    found = []
    for key, shown in first.items():
        pair = key[1:]
        at_us = liked.get(pair)
        liked_soon = (
            at_us is not None and shown.served_us <= at_us <= shown.served_us + within_hours * HOUR_US
        )
        ripe = shown.served_us + within_hours * HOUR_US <= store.now_us
        found.append(
            (shown, liked_soon, (*key, "requestLess") in answered, (*key, "requestMore") in answered, ripe)
        )
    return found


def _span(store: Store, days: float, feed: str) -> list[Any]:
    since = store.now_us - int(24 * days * HOUR_US)
    return [shown for shown in _of(store, feed) if since < shown.served_us <= store.now_us]


def _of(store: Store, feed: str) -> list[Any]:
    """Impressions of a feed, of all for ''."""
    return [shown for shown in store.impressions if feed in ("", shown.feed)]


Interval = tuple[float | None, float | None, float | None]  # a rate, and its bounds


def rate_of(viewers: Iterable[list[bool]]) -> Interval:
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
            sum(map(len, viewers.values())), sum(map(len, ripe)), sum(map(sum, ripe)), *rate_of(ripe)
        )  # fmt: skip
    return rates


def like_rate_by_position(
    store: Store, days: float = 7.0, within_hours: float = 24.0, places: int = 30, feed: str = ""
) -> Rows:
    found = _rates(outcomes(store, days, within_hours, feed), lambda shown: shown.position)
    return [(place, *rates) for place, rates in sorted(found.items()) if place <= places]


def like_rate_by_source(store: Store, days: float = 7.0, within_hours: float = 24.0, feed: str = "") -> Rows:
    found = _rates(outcomes(store, days, within_hours, feed), lambda shown: SOURCES[shown.source])
    return sorted(((name, *rates) for name, rates in found.items()), key=lambda row: (-row[1], row[0]))


def like_rate_by_age(store: Store, days: float = 7.0, within_hours: float = 24.0, feed: str = "") -> Rows:
    spans = ((1, "under 1 h"), (6, "1-6 h"), (24, "6-24 h"), (48, "1-2 days"), (math.inf, "2 days or more"))

    def span_of(shown: Any) -> str:
        age = (shown.served_us - (rkey(shown.post) >> 10)) / HOUR_US
        return next(name for limit, name in spans if age < limit)

    found = _rates(outcomes(store, days, within_hours, feed), span_of)
    return [(name, *found[name]) for _, name in spans if name in found]


def show_less_rate(store: Store, days: float = 7.0, feed: str = "") -> Rows:
    groups: dict[tuple[date, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes(store, days, feed=feed):
        groups[day(outcome[0].served_us), SOURCES[outcome[0].source]].append(outcome)
    rows = []
    for (when, source), found in groups.items():
        n, less, more = len(found), sum(row[2] for row in found), sum(row[3] for row in found)
        whole = [first for first, _ in groups]
        rows.append((when, source, n, less, more, less / n, more / n, partial(store, when, whole)))
    return sorted(rows, key=lambda row: (-row[0].toordinal(), row[1]))


def repeat_rate(store: Store, days: float = 7.0, feed: str = "") -> Rows:
    seen: set[tuple[str, str, str]] = set()
    by_day: dict[date, list[tuple[str, bool]]] = defaultdict(list)
    for shown in sorted(_span(store, days, feed), key=lambda shown: shown.served_us):
        by_day[day(shown.served_us)].append((shown.viewer, (shown.feed, shown.viewer, shown.post) in seen))
        seen.add((shown.feed, shown.viewer, shown.post))
    rows = []
    for when, found in sorted(by_day.items(), reverse=True):
        again = sum(repeated for _, repeated in found)
        rows.append((when, len({viewer for viewer, _ in found}), len(found), again, again / len(found),
                     partial(store, when, by_day)))  # fmt: skip
    return rows


def viewer_retention(store: Store, weeks: int = 8, feed: str = "") -> Rows:
    came: dict[str, set[date]] = defaultdict(set)
    for shown in _of(store, feed):
        when = day(shown.served_us)
        came[shown.viewer].add(when - timedelta(days=when.weekday()))
    return _cohorts(store, came, 7, day(store.now_us - 168 * weeks * HOUR_US))


def viewers_per_day(store: Store, days: float = 14.0, feed: str = "") -> Rows:
    groups: dict[date, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for shown in _span(store, days, feed):
        groups[day(shown.served_us)][shown.viewer].append(shown.position)
    return [
        (when, len(viewers), sum(map(len, viewers.values())), mean(map(len, viewers.values())),
         mean(map(max, viewers.values())), partial(store, when, groups))
        for when, viewers in sorted(groups.items(), reverse=True)
    ]  # fmt: skip


def retention_by_day(store: Store, days: int = 14, feed: str = "") -> Rows:
    came: dict[str, set[date]] = defaultdict(set)
    for shown in _of(store, feed):
        came[shown.viewer].add(day(shown.served_us))
    return _cohorts(store, came, 1, day(store.now_us - 24 * days * HOUR_US))


def _cohorts(store: Store, came: dict[str, set[date]], length: int, oldest: date) -> Rows:
    """Return who came again how many spans of so many days after the first, by first span."""
    counted: Counter[tuple[date, int]] = Counter()
    for found in came.values():
        counted.update((min(found), (when - min(found)).days // length) for when in found)
    return [
        (
            first,
            later,
            viewers,
            viewers / counted[first, 0],
            first + timedelta(days=length * (later + 1)) > day(store.now_us),
        )
        for (first, later), viewers in sorted(counted.items())
        if first > oldest
    ]


def feed_overview(store: Store, days: float = 7.0, within_hours: float = 24.0) -> Rows:
    rows: Rows = []
    for feed, lists in ((FEED, store.lists), (SECOND, store.lists_of_second)):
        shown = _span(store, days, feed)
        found = outcomes(store, days, within_hours, feed)
        mine: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in found:
            mine[outcome[0].viewer].append(outcome)
        rates = rate_of([[o[1] for o in each if o[4]] for each in mine.values()])
        rows.append(
            (feed, len(lists), mean(map(len, lists.values())), len(mine), len(shown), sum(o[4] for o in found), *rates,
             sum(o[2] for o in found) / len(found))
        )  # fmt: skip
    return rows
