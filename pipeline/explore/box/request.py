"""What the process outside hands to the one inside, as JSON.

Owns: its fields. A query's text is data here: nobody outside looks into it but for the names of small tables.
"""

import json
from dataclasses import asdict, dataclass, field

from pipeline.explore.queries import Value


@dataclass(frozen=True, slots=True)
class BoxRequest:
    """A query, or a shell when ``text`` is None, and the bounds of the process."""

    data_dir: str
    threads: int
    form: str
    spill: str
    max_rows: int
    parent: int  # the process outside
    name: str = ""
    text: str | None = None
    values: dict[str, Value] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)

    def to_json(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self)).encode()


def from_json(text: bytes) -> BoxRequest:
    """Return the request that ``to_json`` wrote."""
    return BoxRequest(**json.loads(text))
