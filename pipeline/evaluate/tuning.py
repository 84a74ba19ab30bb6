"""Choosing parameters on the earlier windows, the same way for every method.

Owns: ``tune``. Leaves to others: which values may be tried (``methods``).

Coordinate ascent: from the start values, one parameter after another takes the value with the best objective, until
a whole round changes nothing or ``ROUNDS`` are over. The objective is recall@30 + NDCG@30, each the mean over the
tuning windows' viewers. Deterministic; nothing of the reported windows is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.evaluate.measures import hits_of
from pipeline.evaluate.methods import Method
from pipeline.evaluate.splits import Split

ROUNDS = 3
LEAST = 1e-5  # a gain below this is none


@dataclass(frozen=True, slots=True)
class Trial:
    """One line of the sweep: a parameter set and what it reached on the tuning windows."""

    method: str
    parameters: dict[str, Any]
    recall: float
    ndcg: float

    @property
    def objective(self) -> float:
        """What tuning maximises."""
        return self.recall + self.ndcg


def tune(
    method: Method, splits: Sequence[Split], popular_hours: float, tried: Callable[[Trial], None]
) -> dict[str, Any]:
    """Return the parameters that are best on these splits; every trial is told to ``tried``."""

    def attempt(parameters: dict[str, Any]) -> Trial:
        sums, viewers = [0.0, 0.0], 0
        for split in splits:
            recall, ndcg, _, _ = hits_of(split, method.lists(split, parameters, popular_hours))
            sums = [sums[0] + recall.sum(), sums[1] + ndcg.sum()]
            viewers += len(recall)
        trial = Trial(method.name, parameters, float(sums[0] / viewers), float(sums[1] / viewers))
        tried(trial)
        return trial

    best = attempt(dict(method.start))
    if not method.grid:
        return best.parameters
    for _ in range(ROUNDS):
        before = best
        for name, values in method.grid.items():
            base = best.parameters.get(name, getattr(best.parameters.get("base"), name, None))
            for value in values:
                if value == base:
                    continue
                trial = attempt({**best.parameters, name: value})
                if trial.objective > best.objective + LEAST:
                    best = trial
        if best is before:
            break
    return best.parameters
