"""What every query of sql/explore should answer, worked out in plain Python from a ``Store``'s truth.

Owns: ``ANSWERS[name](store, **parameters)`` → rows in the order of the query's columns. Leaves to others: the answers,
by topic. Nothing there reads our SQL, the views or the copies under them.
"""

from collections.abc import Callable

import answers_experiments
import answers_likes
import answers_lists
import answers_runs
import answers_viewers
from analyst_truth import Rows

ANSWERS: dict[str, Callable[..., Rows]] = {
    name: answer
    for topic in (answers_experiments, answers_likes, answers_lists, answers_runs, answers_viewers)
    for name, answer in vars(topic).items()
    if callable(answer) and getattr(answer, "__annotations__", {}).get("return") is Rows and name[0] != "_"
}
