"""What the queries of sql/explore about experiments should answer, worked out in plain Python.

Owns: one function a query. Leaves to others: outcomes of impressions and rates (``answers_viewers``).
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

from analyst_store import EXPERIMENT, FEED, Store
from analyst_truth import Rows, day
from answers_viewers import Interval, Outcome, outcomes, rate_of

from pipeline.store.model import HOUR_US

SHARES = (("age/young", 0.0, 0.4), ("age/short", 0.4, 0.6), ("age/control", 0.6, 1.0))
assert list(EXPERIMENT["age"]) == ["young", "short"]


def experiment_results(store: Store, days: float = 7.0, within_hours: float = 24.0, feed: str = "") -> Rows:
    groups: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes(store, days, within_hours, feed):
        groups[outcome[0].variant][outcome[0].viewer].append(outcome)
    likes = {
        variant: rate_of([[o[1] for o in found if o[4]] for found in viewers.values()])
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
        row += [*likes[variant], *rate_of([[o[2] for o in found] for found in viewers.values()])]
        control = variant.split("/")[0] + "/control"
        row += _change(
            likes[variant],
            likes.get(control, (None, None, None)) if variant != control else (None, None, None),
        )
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


def _number(viewer: str) -> float:
    return int(hashlib.sha256(f"age {viewer}".encode()).hexdigest()[:8], 16) / 2**32


def _variant(viewer: str) -> str:
    return next(name for name, first, last in SHARES if first <= _number(viewer) < last)


def experiment_members(store: Store, variant: str = "", rows: int = 1000, feed: str = "") -> Rows:
    found = [
        (FEED, _variant(viewer), viewer, _number(viewer), False)
        for viewer in store.lists
        if variant in ("", _variant(viewer)) and feed in ("", FEED)
    ]
    return sorted(found)[:rows]


def experiment_split(store: Store, days: float = 7.0, feed: str = "") -> Rows:
    since = store.now_us - int(24 * days * HOUR_US)
    found: Rows = []
    for name, first, last in SHARES if feed in ("", FEED) else ():
        people, planned = sum(_variant(viewer) == name for viewer in store.lists), last - first
        everybody = len(store.lists)
        spread = math.sqrt(everybody * planned * (1 - planned))
        shown = {
            each.viewer
            for each in store.impressions
            if each.variant == name and since < each.served_us <= store.now_us
        }
        surprise = (people - everybody * planned) / spread
        found.append((FEED, name, planned, people, people / everybody, surprise, len(shown)))
    return found


def experiment_metrics(
    store: Store, days: float = 7.0, within_hours: float = 24.0, effect: float = 0.1, feed: str = ""
) -> Rows:
    groups: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes(store, days, within_hours, feed):
        if outcome[0].variant:
            groups[outcome[0].variant][outcome[0].viewer].append(outcome)
    metrics: dict[str, Callable[[list[Outcome]], tuple[float, float]]] = {
        "like_rate": lambda found: (sum(o[1] for o in found if o[4]), sum(o[4] for o in found)),
        "less_rate": lambda found: (sum(o[2] for o in found), len(found)),
        "active_days": lambda found: (len({day(o[0].served_us) for o in found}), 1),
        "impressions": lambda found: (len(found), 1),
    }
    rows: Rows = []
    for variant in sorted(groups):
        if variant == "age/control":
            continue
        for metric, measure in metrics.items():
            mine, control = (
                [pair for pair in map(measure, groups[name].values()) if pair[1]]
                for name in (variant, "age/control")
            )
            rows.append((FEED, variant, metric, len(mine), *_comparison(mine, control, effect)))
    return rows


def _comparison(
    mine: list[tuple[float, float]], control: list[tuple[float, float]], effect: float
) -> list[Any]:
    """Values and bounds by influence: each viewer's distance from the ratio, in shares of the mean n."""
    values, spreads = [], []
    for found in (mine, control):
        value, n = sum(k for k, _ in found) / sum(n for _, n in found), mean(n for _, n in found)
        values.append(value)
        spreads.append(stdev([(k - value * n_of) / n for k, n_of in found]) ** 2)
    change, size = values[0] - values[1], abs(effect * values[1])
    variance = spreads[0] / len(mine) + spreads[1] / len(control)
    if variance < 1e-20:
        return [*values, change, None, None, None, None, None, None]
    error = math.sqrt(variance)
    # The likelihood of the change under a normal mixture of effects, over that under no change, stays below 1 / 0.05.
    mixture = variance + size**2
    safe = (
        math.sqrt(2 * variance * mixture / size**2 * math.log(math.sqrt(mixture / variance) / 0.05))
        if size
        else None
    )
    needed = math.ceil(2.8**2 * sum(spreads) / size**2) if size else None
    bounds = [None, None] if safe is None else [change - safe, change + safe]
    return [*values, change, change - 1.96 * error, change + 1.96 * error, *bounds, 2.8 * error, needed]
