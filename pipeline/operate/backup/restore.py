"""Restoring a backup: ``foryou restore``.

Owns: checking a backup, and filling an empty data directory from it. Leaves to others: what the stores mean.

Invariants: nothing is overwritten. landing.sqlite, which makes a folder an installation, comes last, so that an
interrupted restore is never taken for a whole one. No store newer than this program is restored.
"""

import os
import shutil
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

from pipeline.operate.backup.manifest import (
    MANIFEST,
    STORES,
    BackupError,
    Manifest,
    read_manifest,
    whole_backups,
)
from pipeline.settings import Settings
from pipeline.store.fsync import sync
from pipeline.store.locks import exclusive
from sql import places
from sql.sqlite import migrations_of

DUTIES = ("up", "ingest", "schedule", "batch")


def run(settings: Settings, backup: Path) -> None:
    """Restore into the data directory and print what it holds now."""
    found, manifest = restore(backup, settings.data_dir)
    total = sum(manifest.files.values())
    print(
        f"{settings.data_dir} now holds the backup {found}: {len(manifest.files)} files, {total / 1e6:,.1f} MB. "
        "Ingest resumes at the backup's moment; the next batch makes the lists, unless the backup has them."
    )


def restore(backup: Path, data_dir: Path) -> tuple[Path, Manifest]:
    """Fill an empty data directory from a backup, or from the newest of a folder of backups.

    Returns the backup's folder and manifest. Raises BackupError before it writes anything when the backup is not
    whole or is newer than this program, or when the data directory is in use or not empty.
    """
    backup = _whole(backup)
    manifest = read_manifest(backup)
    _check(backup, manifest)
    try:
        with ExitStack() as stack:
            for duty in DUTIES:
                stack.enter_context(exclusive(data_dir, duty))
            web = places.web(data_dir)
            present = sorted(
                path.name
                for path in [*data_dir.iterdir(), *web.iterdir()]
                if path != web and not path.name.startswith(".")
            )
            if present:
                raise BackupError(
                    f"{data_dir} is not empty ({', '.join(present[:3])}): restore into an empty folder; "
                    "after an interrupted restore, empty it first"
                )
            last = places.landing(data_dir)
            goals = {name: places.of_backup(data_dir, name) for name in manifest.files}
            for name, goal in sorted(goals.items(), key=lambda item: (item[1] == last, item)):
                _put(backup / name, goal)
            sync(data_dir)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"the restore into {data_dir} failed: {error}") from error
    return backup, manifest


def _whole(backup: Path) -> Path:
    if (backup / MANIFEST).is_file():
        return backup
    backups = whole_backups(backup) if backup.is_dir() else []
    if not backups:
        raise BackupError(f"{backup} is not a backup and holds none: a backup is a folder with {MANIFEST}")
    return backups[-1]


def _check(backup: Path, manifest: Manifest) -> None:
    for name, size in manifest.files.items():
        path = backup / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            is_ = "is missing" if found is None else f"has {found:,} bytes instead of {size:,}"
            raise BackupError(f"the backup {backup} is damaged: {name} {is_}")
    for store, version in manifest.schemas.items():
        newest = max(migrations_of(store), default=0) if store in STORES else 0
        if version > newest:
            raise BackupError(
                f"the backup's {store}.sqlite has schema version {version}, but this program knows {newest}: "
                "upgrade foryou, or restore a backup made before the upgrade"
            )


def _put(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    draft = goal.with_name(f".{goal.name}.restoring")
    draft.unlink(missing_ok=True)
    if goal.suffix == ".parquet":  # never changed in place, so the backup and the lake may share it
        try:
            os.link(source, draft)
        except OSError:
            shutil.copy2(source, draft)
    else:
        shutil.copy2(source, draft)
    if goal.suffix == ".sqlite":
        _check_store(draft, source)
    sync(draft)
    draft.rename(goal)
    sync(goal.parent)


def _check_store(draft: Path, source: Path) -> None:
    # The copy is checked: SQLite may make a log beside it, and the backup's own disk may be read-only.
    with closing(sqlite3.connect(draft)) as store:
        verdict = store.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise BackupError(f"{source} is damaged: {verdict}")
