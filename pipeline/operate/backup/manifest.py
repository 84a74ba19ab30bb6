"""What a backup is: a folder of files, and backup.json which names them all.

Owns: the names, the manifest, and finding the backups in a folder. Leaves to others: filling a backup (``take``)
and reading it back (``restore``).

Invariant: a folder whose name is a time, such as 2026-11-24T10-08-12Z, is a whole backup. It is filled under another
name, and renamed when everything in it is on the disk.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.store.fsync import sync

MANIFEST = "backup.json"
FORMAT = 1
PARTIAL = ".partial"
# Schema folder by store; the name of the file is the same.
STORES = ("landing", "activity", "serving")

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", re.ASCII)


class BackupError(PipelineError):
    """A backup can't be taken, is not whole, or can't be restored here."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup: bytes by path, and each store's schema version by name."""

    format: int
    taken_at: str
    files: dict[str, int]
    schemas: dict[str, int]

    def write(self, folder: Path) -> None:
        """Write it into a backup, to the disk."""
        path = folder / MANIFEST
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        sync(path)


def read_manifest(folder: Path) -> Manifest:
    """Return a backup's manifest; BackupError when this program can't read it."""
    path = folder / MANIFEST
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
        names = [name for name in manifest.files if name.startswith("/") or ".." in Path(name).parts]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BackupError(f"{path} does not list a backup's files: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(
            f"{folder} is a backup of format {manifest.format}, but this program knows {FORMAT}: upgrade foryou"
        )
    if names:
        raise BackupError(f"{path} names a file outside the backup: {names[0]}")
    return manifest


def stamp(seconds: float) -> str:
    """Return the name of a backup taken at a time in seconds since 1970."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H-%M-%SZ}"


def whole_backups(folder: Path) -> list[Path]:
    """Return the whole backups of a folder, oldest first."""
    found = [path for path in folder.glob("*Z") if _STAMP.fullmatch(path.name)]
    return sorted(path for path in found if (path / MANIFEST).is_file())


def partial_backups(folder: Path) -> Iterable[Path]:
    """Return the folders that killed backups left in a folder."""
    return [path for path in folder.glob(f"*{PARTIAL}") if _STAMP.fullmatch(path.name.removesuffix(PARTIAL))]
