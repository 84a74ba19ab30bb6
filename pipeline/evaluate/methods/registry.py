"""The registry of methods: each is a function of a split and parameters, with the values that tuning may try.

Owns: ``Method`` and ``METHODS``. Leaves to others: the rankings themselves. A new idea is one more entry: a
parameter set of our ranking, or a function (split, keep, **parameters) -> lists (viewers, keep), NONE where
empty.

Popular items fill every method's short lists, by the window that tuning chose for ``popular``. So a baseline is never
behind only because its lists are short.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SettingError, unknown
from pipeline.evaluate.like_events import EvaluateError
from pipeline.evaluate.measures import DEPTH
from pipeline.evaluate.methods import classical, ours
from pipeline.evaluate.methods.forecast import forecast_lists
from pipeline.evaluate.methods.popularity import decayed_lists, fill, popular_items, popular_lists
from pipeline.evaluate.methods.session_neighbours import session_neighbour_lists
from pipeline.evaluate.splits import Split
from pipeline.ranking import Ranking, ranking_from

Parameters = Mapping[str, Any]
Grid = Mapping[str | tuple[str, ...], tuple[Any, ...]]
Ranker = Callable[..., NDArray[np.int32]]

# Longer than any history: no decay, no window.
FOREVER = 2400.0


@dataclass(frozen=True, slots=True)
class Method:
    """``start``: parameters before tuning; ``starts``: changes of them that tuning may begin at instead.

    ``grid``: the values tuning tries, a parameter at a time, or several together where the key names several.
    ``one_by_one``: it may not rank several splits at once.
    """

    name: str
    about: str
    rank: Ranker
    start: Parameters = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)
    needs_implicit: bool = False
    starts: tuple[Parameters, ...] = ()
    one_by_one: bool = False

    def lists(self, split: Split, parameters: Parameters, popular_hours: float) -> NDArray[np.int32]:
        """Return finished lists of DEPTH items."""
        lists = self.rank(split, DEPTH, **parameters)
        fill(lists, popular_items(split, popular_hours), split)
        return lists


def ranked(split: Split, keep: int, *, base: Ranking, **changes: Any) -> NDArray[np.int32]:
    """Return our ranking's lists: ``base`` with some parameters changed."""
    return ours.rank(split, keep, replace(base, **changes))


# "For You" as its author published it; likes do not decay by their own age, and there is no crowd.
FOR_YOU = Ranking(
    max_seeds=500, likers_exponent=1.0, degree_exponent=1.0, degree_smoothing=0.0, newcomer_hours=0.0,
    overlap_exponent=1.0, max_neighbours=1000, max_seed_likers=1_000_000, candidate_window_hours=48.0,
    like_decay_exponent=0.0, score_exponent=0.5, half_life_hours=6.0, popularity_exponent=0.25, left_out_weight=0.0,
    crowd_weight=0.0,
)  # fmt: skip
# The open re-implementation: 400 seeds, 1000 co-likers, likes of the last 24 hours.
REIMPLEMENTATION = replace(FOR_YOU, max_seeds=400, candidate_window_hours=24.0, popularity_exponent=0.2)

FRESH_HOURS = (1.0, 3.0, 12.0, 48.0, FOREVER)
# A post's own age has no effect.
AGELESS: dict[str, Any] = {"post_max_age_hours": FOREVER, "half_life_hours": FOREVER}
# Every co-liker counts, without samples: cheap where viewers are few.
EVERYBODY: Parameters = {
    **AGELESS, "overlap_exponent": 1.0, "like_decay_hours": 1.0, "like_decay_exponent": 4.0,
    "max_seed_likers": 1_000_000, "max_neighbours": 10_000,
}  # fmt: skip
# For sets where time decides nearly everything: the crowd of the last hour, adjusted by taste.
NEWS: Parameters = {
    **AGELESS, "overlap_exponent": 1.0, "left_out_weight": 10.0, "like_decay_hours": 1.0, "like_decay_exponent": 6.0,
    "newcomer_hours": 0.0, "candidate_window_hours": 24.0, "max_seed_likers": 5000, "max_neighbours": 3000,
    "likers_exponent": 0.25, "seed_weight_newest": 1.0, "popularity_exponent": 0.1,
}  # fmt: skip
# What tuning may try of our ranking. It begins at the best of the defaults and the two sets above. A split caches the
# neighbours of a trial for the next, so the parameters that decide on neighbours come last. "Slow" must be among the
# values: an exponent of 0 means that a like never fades.
OURS_GRID: Grid = {
    ("post_max_age_hours", "half_life_hours"): (
        (96.0, 6.0), (96.0, 24.0), (96.0, 72.0), (336.0, 336.0), (FOREVER, 72.0), (FOREVER, FOREVER),
    ),
    ("like_decay_exponent", "like_decay_hours"): (
        (1.0, 0.1), (1.0, 0.5), (1.5, 0.2), (1.5, 0.5), (2.0, 0.2), (2.0, 0.5), (4.0, 0.5), (4.0, 1.0), (6.0, 1.0),
        (6.0, 2.0), (8.0, 1.0), (1.0, 6.0), (1.0, 24.0), (0.0, 1.0),
    ),
    "left_out_weight": (0.0, 0.3, 1.0, 3.0, 10.0),
    "crowd_weight": (0.0, 0.1, 0.3, 1.0),
    ("crowd_decay_exponent", "crowd_decay_hours"): (
        (1.0, 0.5), (2.0, 0.25), (4.0, 0.5), (4.0, 1.0), (8.0, 0.5), (8.0, 1.0), (12.0, 1.0),
        (4.0, 4.0), (2.0, 12.0), (0.0, 1.0),
    ),
    "fallback_smoothing": (10.0, 1000.0),
    "popularity_exponent": (0.0, 0.1),
    "candidate_window_hours": (24.0, 48.0, 96.0, 400.0),
    ("max_seed_likers", "max_neighbours"): (
        (300, 300), (1000, 1000), (5000, 3000), (1_000_000, 10_000),
    ),
    "overlap_exponent": (1.0, 1.25, 1.5),
    "degree_exponent": (0.5, 1.0),
    "likers_exponent": (0.25, 0.5, 0.75),
    "newcomer_hours": (0.0, 72.0),
    "seed_weight_newest": (0.1, 1.0),
}  # fmt: skip

_ALL = (
    Method("foryou", "our ranking, its parameters tuned on the earlier windows", ranked,
           {"base": Ranking()}, OURS_GRID, starts=(EVERYBODY, NEWS)),
    Method("foryou-ageless", "the defaults without limits on a post's age: a first event may come long after it",
           ranked, {"base": replace(Ranking(), **AGELESS)}),
    Method("foryou-default", "our ranking as shipped: the default parameters, limits on a post's age included", ranked,
           {"base": Ranking()}),
    Method("popular", "most liked in the last hours, with the best window", popular_lists,
           {"hours": 1.0}, {"hours": (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 12.0, 24.0)}),
    Method("popular-decayed", "most liked, a like counting half after some minutes or hours", decayed_lists,
           {"half_life_hours": 0.25}, {"half_life_hours": (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 6.0, 24.0)}),
    Method("forecast", "what is expected to be liked in the next hours, the same for everybody", forecast_lists,
           {"base": replace(Ranking(), **AGELESS)}),
    Method("foryou-now", "the defaults without limits on a post's age, the crowd what is popular now", ranked,
           {"base": replace(Ranking(), forecast_weight=0.0, **AGELESS)}),
    Method("item-cosine", "items alike by their likers (cosine, implicit)", classical.item_item_cosine,
           {"neighbours": 200, "fresh_hours": FOREVER},
           {"fresh_hours": FRESH_HOURS, "neighbours": (50, 200, 1000)}, needs_implicit=True),
    Method("user-cosine", "people alike by their likes (cosine)", classical.user_user_cosine,
           {"neighbours": 500, "fresh_hours": FOREVER}, {"fresh_hours": FRESH_HOURS, "neighbours": (100, 500, 2000)}),
    Method("vmis-knn", "sessions alike by the viewer's latest likes (VMIS-kNN, as in Serenade)",
           session_neighbour_lists,
           {"recent_sessions": 500, "neighbours": 100, "latest": 9, "pause_hours": 0.5, "idf": 1.0},
           {"pause_hours": (0.5, 3.0, 24.0, FOREVER), ("recent_sessions", "neighbours"):
            ((100, 50), (500, 100), (500, 500), (1000, 1000), (2500, 1500), (5000, 5000)),
            "latest": (1, 2, 3, 5, 9), "idf": (0.0, 0.5, 1.0, 2.0)}),
    Method("bm25", "items alike under BM25 weights (implicit)", classical.bm25,
           {"neighbours": 200, "k1": 1.2, "b": 0.75, "fresh_hours": FOREVER},
           {"fresh_hours": FRESH_HOURS, "neighbours": (50, 200, 1000), "b": (0.25, 0.75)}, needs_implicit=True),
    Method("als", "factors by alternating least squares (implicit)", classical.als,
           {"factors": 64, "regularization": 0.05, "alpha": 10.0, "fresh_hours": FOREVER},
           {"fresh_hours": FRESH_HOURS, "alpha": (1.0, 10.0, 40.0), "factors": (64, 128)}, needs_implicit=True),
    Method("for-you-formula", "the known feed's published formula", ranked, {"base": FOR_YOU}),
    Method("re-implementation", "the open re-implementation's formula", ranked, {"base": REIMPLEMENTATION}),
)  # fmt: skip
METHODS: dict[str, Method] = {method.name: method for method in _ALL}
REFERENCE = "foryou"


def variant(text: str) -> Method:
    """Return our ranking with the changes of a text ``name=value,name=value``; EvaluateError when it is wrong."""
    kinds = {item.name: item.type for item in fields(Ranking)}
    changes: dict[str, Any] = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        if name not in kinds:
            raise EvaluateError(f"--variant {pair}: {unknown('parameter', name, tuple(kinds))}")
        try:
            changes[name] = int(value) if kinds[name] is int else float(value)
        except ValueError as error:
            kind = "a whole number" if kinds[name] is int else "a number"
            raise EvaluateError(f"--variant {pair}: {name} must be {kind}") from error
        try:
            ranking_from({name: changes[name]})
        except SettingError as error:
            raise EvaluateError(f"--variant {pair}: {error}") from error
    return Method(text, "the tuned ranking, changed", ranked, changes)


def chosen(names: str | None) -> list[Method]:
    """Return the methods that a comma-separated text names, all that can run for None; always the reference too."""
    if names is None:
        return [method for method in METHODS.values() if not method.needs_implicit or classical.available()]
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in METHODS:
            raise EvaluateError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
        if METHODS[name].needs_implicit:
            classical.require()
    return [METHODS[name] for name in dict.fromkeys([REFERENCE, "popular", *wanted])]
