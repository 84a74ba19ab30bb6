"""Choosing parameters on the earlier windows, the same way for every method.

Owns: ``tune``. Leaves to others: which values may be tried (``registry``).

From the best of a method's starts, one entry of the grid after another takes the value with the best
objective, until a whole round changes nothing, ``ROUNDS`` are over, or ``MOST_TRIALS`` were made. A value
must be surely better than the one it replaces: better in most windows, and its mean gain over the windows
more than ``SURE`` times the standard error of that mean. What gains much in one hour and loses in others is a
matter of that hour, and did not come again later. An entry is a parameter, or several that work against one
another (how fast a like decays, and its shape; how many neighbours, and of how many likers), which then
change together: one at a time they end where neither can move alone. The objective is recall@30 + NDCG@30,
each the mean over the tuning windows' viewers. Deterministic; nothing of the reported windows is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluate.measures import hits_of
from pipeline.evaluate.methods.registry import Method
from pipeline.evaluate.splits import Split

ROUNDS = 3
MOST_TRIALS = 120  # bounds the time
LEAST = 1e-5  # a gain below this is none
SURE = 1.5  # of five windows without any gain one in ten passes


@dataclass(frozen=True, slots=True)
class Trial:
    """One line of the sweep: a parameter set and what it reached on the tuning windows."""

    method: str
    parameters: dict[str, Any]
    recall: float
    ndcg: float
    by_window: tuple[float, ...] = ()  # the objective

    @property
    def objective(self) -> float:
        """What tuning maximises."""
        return self.recall + self.ndcg

    def beats(self, other: "Trial") -> bool:
        """Tell whether this one's gain over another is more than chance among the windows."""
        gains = np.subtract(self.by_window, other.by_window)
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
        likely = gains.mean() > SURE * error and np.median(gains) > 0
        return bool(self.objective > other.objective + LEAST and likely)


def tune(
    method: Method,
    splits: Sequence[Split],
    popular_hours: float,
    tried: Callable[[Trial], None],
    most: int = MOST_TRIALS,
) -> dict[str, Any]:
    """Return the parameters that are best on these splits; every trial, at most ``most``, is told to ``tried``.

    With none allowed they are the method's own.
    """
    if most == 0:
        return dict(method.start)

    made: dict[str, Trial] = {}

    def attempt(parameters: dict[str, Any]) -> Trial:
        known = repr(sorted(parameters.items()))
        if known in made:
            return made[known]
        sums, viewers, by_window = [0.0, 0.0], 0, []
        for split in splits:
            recall, ndcg, _, _ = hits_of(split, method.lists(split, parameters, popular_hours))
            sums = [sums[0] + recall.sum(), sums[1] + ndcg.sum()]
            viewers += len(recall)
            by_window.append(float(recall.mean() + ndcg.mean()))
        mean_recall, mean_ndcg = (float(total / viewers) for total in sums)
        trial = Trial(method.name, parameters, mean_recall, mean_ndcg, tuple(by_window))
        made[known] = trial
        tried(trial)
        return trial

    starts = [attempt({**method.start, **changes}) for changes in ({}, *method.starts)[:most]]
    best = max(starts, key=lambda trial: trial.objective)
    if not method.grid:
        return best.parameters
    for _ in range(ROUNDS):
        before = best
        for entry, values in method.grid.items():
            names = (entry,) if isinstance(entry, str) else entry
            base = {name: _value(best.parameters, name) for name in names}
            rivals = []
            for value in values:
                changes = dict(zip(names, (value,) if isinstance(entry, str) else value, strict=True))
                if changes == base:
                    continue
                if len(made) >= most:
                    break
                rivals.append(attempt({**best.parameters, **changes}))
            rivals.sort(key=lambda trial: trial.objective, reverse=True)
            best = next((trial for trial in rivals if trial.beats(best)), best)
            if len(made) >= most:
                return best.parameters
        if best is before:
            break
    return best.parameters


def _value(parameters: dict[str, Any], name: str) -> Any:
    """Return a parameter's value, where it is not among them that of the ranking they change."""
    return parameters.get(name, getattr(parameters.get("base"), name, None))
