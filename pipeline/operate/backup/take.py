"""Taking a backup while ingest, batch and web app run: ``foryou backup``.

Owns: the order of the steps, which makes the copies agree. Leaves to others: the lake's files (``lake_copy``), the
form of the folder (``manifest``).

Invariants:
- No day is missing. A day's likes are in the lake when its file exists, else in landing.sqlite; ingest deletes the
  rows of days in the lake. The web app does the same with impressions in activity.sqlite. The lake is listed before
  and after the snapshots of both stores begin. It is copied only if nothing changed in between: then it is the lake
  at the moment of the snapshots.
- No number is unknown. The lake and serving.sqlite name actors by landing.sqlite's numbers, so neither copy is newer
  than landing's.
- No damaged day of likes gets into a backup: a file that the last one does not have is compared with its checksums.
- A killed backup leaves a folder named *.partial. Nothing takes it for a backup, and the next backup removes it.
"""

import logging
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.lake.day_files import check
from pipeline.operate.backup import lake_copy
from pipeline.operate.backup.manifest import (
    FORMAT,
    PARTIAL,
    BackupError,
    Manifest,
    partial_backups,
    stamp,
    whole_backups,
)
from pipeline.settings import Settings
from pipeline.store.fsync import sync
from pipeline.store.locks import exclusive
from sql import places
from sql.sqlite import connect, current_version

log = logging.getLogger("foryou.backup")

TRIES = 50
RETRY_SECONDS = 0.2
PAGES_A_STEP = 2_560  # 10 MB; a signal is handled between two steps


def run(settings: Settings, folder: Path, *, keep: int | None, lists: bool) -> None:
    """Take a backup into ``folder`` and print where it is."""
    backup = take(settings.data_dir, folder, keep=keep, lists=lists)
    total = sum(path.stat().st_size for path in backup.rglob("*") if path.is_file())
    print(f"{backup}  {total / 1e6:,.1f} MB")


def take(
    data_dir: Path,
    folder: Path,
    *,
    keep: int | None = None,
    lists: bool = False,
    clock: Callable[[], float] = time.time,
) -> Path:
    """Copy what cannot be computed again into a new folder of ``folder``; return that folder.

    ``lists`` adds serving.sqlite and the neighbours, which take a while to compute again. ``keep`` is how many of the
    newest backups remain. Raises BackupError when there is nothing to copy, no room, or the copying fails.
    """
    if not places.landing(data_dir).exists():
        raise BackupError(f"nothing to back up in {data_dir}: it has no landing.sqlite")
    if folder.resolve().is_relative_to(places.lake(data_dir).resolve()):
        raise BackupError(f"{folder} is inside the lake; choose a folder elsewhere")
    try:
        with exclusive(folder, "backup"):
            for left in partial_backups(folder):
                shutil.rmtree(left)
            goal = folder / stamp(clock())
            for _ in range(20):
                if not goal.exists():
                    break
                time.sleep(0.1)  # the last one was made in this very second
                goal = folder / stamp(clock())
            else:
                raise BackupError(f"{goal} exists already: does the clock stand still?")
            partial = goal.with_name(goal.name + PARTIAL)
            partial.mkdir(mode=0o700)  # what viewers did is private, and so is the key of page cursors
            try:
                _fill(data_dir, partial, whole_backups(folder), lists, stamp(clock()))
                partial.rename(goal)
                sync(folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            for old in whole_backups(folder)[: -keep if keep else 0]:
                shutil.rmtree(old)
    except (OSError, sqlite3.Error, StoreError) as error:
        raise BackupError(f"the backup into {folder} failed: {error}") from error
    return goal


def _fill(data_dir: Path, partial: Path, earlier: list[Path], lists: bool, taken_at: str) -> None:
    schemas = {}
    with ExitStack() as stack:
        if lists and places.serving(data_dir).exists():
            serving = stack.enter_context(closing(_snapshot(places.serving(data_dir))))
            schemas["serving"] = _copy_store(serving, places.serving(partial))
        stores, to_copy = _stores_and_lake(stack, data_dir, partial, lists)
        _require_room(partial, data_dir, sum(file.size for file, _ in to_copy))
        for name, store in stores.items():
            schemas[name] = _copy_store(store, places.store(partial, name))
        lake_copy.copy_held(to_copy, partial, earlier[-1] if earlier else None)
    check(*lake_copy.new_likes(partial, earlier[-1] if earlier else None))
    for path_of in (places.cursor_key, places.rules):
        if path_of(data_dir).exists():
            shutil.copy2(path_of(data_dir), path_of(partial))
            sync(path_of(partial))
    files = {str(path.relative_to(partial)): path.stat().st_size for path in _files(partial)}
    Manifest(FORMAT, taken_at, files, schemas).write(partial)
    for path in [*partial.rglob("*"), partial]:
        if path.is_dir():
            sync(path)


def _stores_and_lake(
    stack: ExitStack, data_dir: Path, partial: Path, lists: bool
) -> tuple[dict[str, sqlite3.Connection], list[tuple[lake_copy.LakeFile, int]]]:
    """Return the stores in read transactions, by name, and the lake of that moment: linked, or held open."""
    names = [name for name in ("activity", "landing") if places.store(data_dir, name).exists()]
    for _ in range(TRIES):
        with ExitStack() as attempt:
            before = lake_copy.listed(data_dir, lists=lists)
            try:
                to_copy = attempt.enter_context(lake_copy.held(data_dir, before, partial))
            except FileNotFoundError:
                to_copy = None
            if to_copy is not None:
                stores = {
                    name: attempt.enter_context(closing(_snapshot(places.store(data_dir, name))))
                    for name in names
                }
                if lake_copy.listed(data_dir, lists=lists) == before:
                    stack.enter_context(attempt.pop_all())
                    return stores, to_copy
        shutil.rmtree(places.lake(partial), ignore_errors=True)
        log.info("the lake changed meanwhile; trying again")
        time.sleep(RETRY_SECONDS)
    raise BackupError(f"the lake of {data_dir} changed {TRIES} times within seconds: try again later")


def _snapshot(path: Path) -> sqlite3.Connection:
    """Return a read transaction on a store: it shows the store as it is now, whatever its writer does later."""
    connection = connect(path, read_only=True)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot begins with a read
    except BaseException:
        connection.close()
        raise
    return connection


def _copy_store(source: sqlite3.Connection, goal: Path) -> int:
    """Copy a store's snapshot page by page; return its schema's version."""
    version = current_version(source)
    with closing(sqlite3.connect(goal)) as copied:
        source.backup(copied, pages=PAGES_A_STEP)
    sync(goal)
    return version


def _require_room(partial: Path, data_dir: Path, lake_bytes: int) -> None:
    stores = (places.landing(data_dir), places.activity(data_dir))
    needed = lake_bytes + sum(path.stat().st_size for path in stores if path.exists())
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise BackupError(
            f"{partial.parent} has {free / 1e9:.1f} GB free, but the backup may need {needed / 1e9:.1f} GB"
        )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
