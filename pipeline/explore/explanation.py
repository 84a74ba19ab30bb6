"""What is known of a viewer's list, and of one post in it.

Owns: ``Explanation``. Leaves to others: the numbers (``explain_command``), which rule decided (``verdict``),
words for people (``explain_text``).
"""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(slots=True)
class Explanation:
    """What is known of a viewer's list, and of one post in it; rows as ``sql/explain`` returns them.

    ``variant``: EXPERIMENT/VARIANT whose parameters made the list, nothing outside an experiment.
    ``scored``: posts with a score, before the rules; ``listed``: the list itself; ``shared``: seeds shared
    with each neighbour. ``facts``, ``contributors``, ``popular_score`` and ``verdict`` are of the post.
    """

    viewer: str
    generation: int
    snapshot_us: int
    neighbours_us: int
    parameters: dict[str, float]
    variant: str = ""
    neighbours: int = 0
    listed: list[Row] = field(default_factory=list)
    scored: list[Row] = field(default_factory=list)
    shared: list[Row] = field(default_factory=list)
    post: str | None = None
    facts: Row | None = None
    contributors: list[Row] = field(default_factory=list)
    popular_score: float | None = None
    verdict: list[str] = field(default_factory=list)


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values, for JSON."""
    return {name: getattr(explanation, name) for name in explanation.__dataclass_fields__}
