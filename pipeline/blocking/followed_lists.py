"""Members of the moderation lists that the operator follows, a file a list.

Owns: the files. Leaves to others: which lists are followed (``rules``), what follows for their members (``in_force``).
"""

from pathlib import Path

from pipeline.identifiers import is_did
from sql import places

MEMBERS_MAX = 50_000  # of one list


def members_of(data_dir: Path, list_uri: str) -> list[str]:
    """Return the members of a list as they were last fetched; none before that."""
    try:
        lines = places.members(data_dir, list_uri).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if is_did(line)][:MEMBERS_MAX]
