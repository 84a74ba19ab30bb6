"""The manifest of the lists that the head gives: which parts there are, in which order.

Owns: its form, and reading and writing it. Leaves to others: making parts (``give_lists``) and taking them
(``take_lists``).

The first part has all lists, and each of the others what is new since the part before. Parts are counted on, also
when a new first one takes the place of all before it: a node that has one of the others need not begin anew.
``chain`` names the head's serving.sqlite: its numbers of posts mean nothing in another.

Invariant: a part is whole before the manifest names it, and its file stays for an hour after the manifest does not.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.nodes.shared_files import put_text
from sql import places

FORM = 1


@dataclass(frozen=True, slots=True)
class ListPart:
    """One part: its number, its file's name, its size, and when it was made."""

    number: int
    file: str
    size: int
    made_us: int


@dataclass(frozen=True, slots=True)
class PartManifest:
    """The parts of a chain, and how far they go in the head's serving.sqlite.

    ``inode`` is that store's, ``newest_post`` (post_id, author_id, rkey) of the post with the greatest number.
    ``renewal`` and ``deleted`` change with the tables that are given whole.
    """

    chain: str
    inode: int
    generation: int
    newest_post: tuple[int, int, int]
    renewal: str
    deleted: str
    parts: tuple[ListPart, ...]

    def write(self, shared_dir: Path) -> None:
        """Make it the one that counts."""
        put_text(json.dumps({"form": FORM, **asdict(self)}), places.list_manifest(shared_dir))


def read_manifest(shared_dir: Path) -> PartManifest | None:
    """Return the manifest, None while there is none; StoreError when it is of another version."""
    try:
        found = json.loads(places.list_manifest(shared_dir).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if found.pop("form", None) != FORM:
        raise StoreError(
            f"{places.list_manifest(shared_dir)} is of another version: run one version of foryou on all machines"
        )
    parts = tuple(ListPart(**part) for part in found.pop("parts"))
    return PartManifest(**{**found, "newest_post": tuple(found["newest_post"])}, parts=parts)
