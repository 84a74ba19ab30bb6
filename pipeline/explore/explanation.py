"""What is known about a viewer's list, and about one post in it.

Owns: ``Explanation``. Leaves to others: the numbers (``explain_command``), which rule decided (``verdict``), words for
people (``explain_text``).
"""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(slots=True)
class Explanation:
    """What is known about a viewer's list, and about one post in it; rows are as ``sql/explain`` returns them.

    ``variant`` is the EXPERIMENT/VARIANT whose parameters made the list, "" outside an experiment. ``forecast_us`` is
    up to when the likes were that the crowd's forecast was learned from, None without one. ``scored`` has the posts
    with a score, before the rules; ``listed`` is the list itself; ``shared`` has the seeds shared with each neighbour.
    ``facts``, ``contributors``, ``popular_score`` and ``verdict`` are about the post.
    """

    viewer: str
    generation: int
    snapshot_us: int
    neighbours_us: int
    parameters: dict[str, float]
    variant: str = ""
    forecast_us: int | None = None
    neighbours: int = 0
    listed: list[Row] = field(default_factory=list)
    scored: list[Row] = field(default_factory=list)
    shared: list[Row] = field(default_factory=list)
    post: str | None = None
    facts: Row | None = None
    contributors: list[Row] = field(default_factory=list)
    popular_score: float | None = None
    verdict: list[str] = field(default_factory=list)
