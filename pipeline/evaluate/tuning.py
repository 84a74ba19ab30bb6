"""Choosing parameters on the earlier windows, in the same way for every method.

Owns: ``tune``. Leaves to others: which values may be tried (``registry``).

Tuning begins at the best of a method's starts. It goes through the grid entry by entry and takes the value with the
best objective. It ends when a whole round changes nothing, after ``ROUNDS``, or after ``MOST_TRIALS`` trials. A value
must be surely better than the one it replaces: better in most windows, and its mean gain over the windows more than
``SURE`` times the standard error of that mean. A large gain in one hour with losses in others is chance, and did not
come again later. An entry is one parameter, or several that work against one another and so change together (how
fast a like decays, and its shape; how many neighbours, and of how many likers): tuned one at a time, neither could
move alone. The objective is recall@30 + NDCG@30, each the mean over the tuning windows' viewers. Tuning is
deterministic and reads nothing of the reported windows.

The windows of a trial are ranked side by side, a thread a core: the products hold no lock of the interpreter. Methods
of one's own are ranked one window after another, because nobody promised that they can do otherwise.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluate.measures import Floats, hits_of
from pipeline.evaluate.methods.registry import Method
from pipeline.evaluate.splits import Split

ROUNDS = 3
MOST_TRIALS = 120  # bounds the time
LEAST = 1e-5  # a smaller gain counts as none
SURE = 1.5  # with five windows, one in ten changes that bring nothing passes


@dataclass(frozen=True, slots=True)
class Trial:
    """A parameter set and what it reached on the tuning windows."""

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
        """Tell whether the gain over another trial is more than chance among the windows."""
        gains = np.subtract(self.by_window, other.by_window)
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
        likely = gains.mean() > SURE * error and np.median(gains) > 0
        return bool(self.objective > other.objective + LEAST and likely)


def tune(
    method: Method,
    splits: Sequence[Split],
    popular_hours: float,
    report_trial: Callable[[Trial], None],
    most: int = MOST_TRIALS,
) -> dict[str, Any]:
    """Return the parameters that are best on these splits; the method's own when ``most`` trials is 0.

    ``report_trial`` gets each trial as it ends.
    """
    if most == 0:
        return dict(method.start)
    made: dict[str, Trial] = {}

    def attempt(parameters: dict[str, Any]) -> Trial:
        known = repr(sorted(parameters.items()))
        if known in made:
            return made[known]
        sums, viewers, by_window = [0.0, 0.0], 0, []

        def worth(split: Split) -> tuple[Floats, Floats, Floats, Floats]:
            return hits_of(split, method.lists(split, parameters, popular_hours))

        if method.one_by_one:
            found = list(map(worth, splits))
        else:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                found = list(pool.map(worth, splits))
        for recall, ndcg, _, _ in found:
            sums = [sums[0] + recall.sum(), sums[1] + ndcg.sum()]
            viewers += len(recall)
            by_window.append(float(recall.mean() + ndcg.mean()))
        mean_recall, mean_ndcg = (float(total / viewers) for total in sums)
        trial = Trial(method.name, parameters, mean_recall, mean_ndcg, tuple(by_window))
        made[known] = trial
        report_trial(trial)
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
    """Return a parameter's value; one that is not given has the value of the ranking that the parameters change."""
    return parameters.get(name, getattr(parameters.get("base"), name, None))
