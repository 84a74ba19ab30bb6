"""Checks of this machine: settings, data directory, disk, stores, lake.

Owns: those, and what keeps analysts from writing. Leaves to others: what needs the network (``network_checks``).
"""

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from pipeline.blocking.followed_lists import fetched_at, followed, members_of
from pipeline.blocking.rule_file import rules_of
from pipeline.errors import StoreError
from pipeline.explore.box.landlock import version as landlock_version
from pipeline.feeds import feeds_of
from pipeline.lake.day_files import check
from pipeline.operate.doctor.findings import Check, SkippedError, WrongError
from pipeline.settings import Settings
from sql import places
from sql.sqlite import connect, current_version, migrations_of

FREE_MIN_BYTES = 5e9
FREE_MIN_SHARE = 0.1
STORES = ("landing", "serving", "activity", "keys")
CHECK_SECONDS = 10.0
LISTS_OLD_SECONDS = 86_400.0
PARQUET = b"PAR1"  # its first and its last four bytes
OTHERS = stat.S_IRWXG | stat.S_IRWXO
IN_CONTAINER = (Path("/run/.containerenv"), Path("/.dockerenv"))  # Podman's mark, and Docker's
DAMAGED = "see OPERATIONS.md, 'A store is damaged'"


def checks(settings: Settings) -> list[Check]:
    """Return the checks of this machine."""
    return [
        Check("settings", lambda: _settings(settings), "correct it in foryou.toml"),
        Check("data directory", lambda: _data_dir(settings.data_dir)),
        Check("permissions", lambda: _permissions(settings.data_dir), needs=("data directory",)),
        Check("disk", lambda: _disk(settings.data_dir)),
        Check("stores", lambda: _stores(settings.data_dir), needs=("data directory",)),
        Check("lake", lambda: _lake(settings.data_dir), needs=("data directory",)),
        Check("rules", lambda: _rules(settings.data_dir), "correct the line", needs=("data directory",)),
        Check("analysts' SQL", lambda: analysts_sql(landlock_version())),
    ]


def _rules(data_dir: Path) -> str:
    """Read the operator's rules, and look when the lists that they follow were fetched."""
    rules = rules_of(data_dir)
    if not rules:
        raise SkippedError("nothing is blocked")
    old = [
        uri for uri in followed(rules) if not 0 <= time.time() - fetched_at(data_dir, uri) < LISTS_OLD_SECONDS
    ]
    if old:
        raise WrongError(
            f"the members of {', '.join(old)} were not fetched for a day",
            "run 'foryou block --refresh', which says why; does 'foryou schedule' run?",
            blocks=False,
        )
    members = sum(len(members_of(data_dir, uri)) for uri in followed(rules))
    return f"{len(rules)} rules" + (f", {members} members of followed lists" if members else "")


def analysts_sql(version: int) -> str:
    """Return how ``foryou sql`` is kept from writing, by the version of Landlock that the kernel has, 0 for none."""
    if not version:
        raise SkippedError(
            "this system has no Landlock, so DuckDB's own settings alone keep 'foryou sql' from writing: "
            "give analysts an account that can't write to the data directory"
        )
    return f"Landlock {version}: queries have no right to write, nor to read secrets"


def _settings(settings: Settings) -> str:
    feeds = feeds_of(settings)
    if settings.hostname == "localhost":
        raise WrongError("FORYOU_HOSTNAME is not set", "set it to this service's host name on the internet")
    if settings.publisher_did == settings.service_did:
        raise WrongError(
            "FORYOU_PUBLISHER_DID is not set",
            "set it to the DID of the Bluesky account that publishes the feed",
        )
    if settings.listen[0] in ("0.0.0.0", "::") and not any(mark.exists() for mark in IN_CONTAINER):
        raise WrongError(
            f"FORYOU_LISTEN is {settings.listen[0]}: the web app listens on every network of this machine",
            "set it to the one address that the proxy in front uses, or to 127.0.0.1 with the proxy here",
        )
    seen = f"{settings.hostname}, {settings.feed_uri}"
    experiments = sum(len(feed.variants) > 1 for feed in feeds)
    if len(feeds) > 1:
        seen += f" and {len(feeds) - 1} more feeds"
    return seen + (f", {experiments} with an experiment" if experiments else "")


def _data_dir(data_dir: Path) -> str:
    if not data_dir.is_dir():
        raise WrongError(f"{data_dir} does not exist", "start foryou, or set FORYOU_DATA_DIR")
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        owner = data_dir.stat().st_uid
        raise WrongError(
            f"user {os.geteuid()} may not write in {data_dir}, which belongs to user {owner}",
            f"run the command as the user that runs foryou: sudo -u '#{owner}' foryou doctor",
        )
    return str(data_dir)


def _permissions(data_dir: Path) -> str:
    """Check that all files have one owner, and that nobody else can read them."""
    owner, is_open = data_dir.stat().st_uid, data_dir.stat().st_mode & OTHERS
    for path in sorted(data_dir.iterdir()):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue  # SQLite removed a write-ahead log
        if found.st_uid != owner:
            raise WrongError(
                f"{path.name} belongs to user {found.st_uid}, the data directory to user {owner}",
                f"chown -R {owner} {data_dir}",
            )
        if is_open and found.st_mode & OTHERS and found.st_size:  # Git's empty mark of a folder says nothing
            raise WrongError(
                f"other users of this machine can enter {data_dir} and read {path.name} there",
                f"chmod 700 {data_dir}",
            )
    return "one owner, who alone can read the files"


def _disk(data_dir: Path) -> str:
    place = next(path for path in (data_dir, *data_dir.resolve().parents) if path.exists())
    usage = shutil.disk_usage(place)
    seen = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB free"
    if usage.free < min(FREE_MIN_BYTES, FREE_MIN_SHARE * usage.total):
        raise WrongError(seen, "free some space, or keep fewer days of likes: seed_window_days in [ranking]")
    return seen


def _stores(data_dir: Path) -> str:
    seen = []
    for name in STORES:
        path = places.store(data_dir, name)
        if not path.exists():
            continue
        newest = max(migrations_of(name))
        try:
            with closing(connect(path, read_only=True)) as store:
                version = current_version(store)
        except sqlite3.Error as error:
            raise WrongError(f"{path} can't be read: {error}", DAMAGED) from error
        if version > newest:
            raise WrongError(
                f"{path} has schema version {version}, but this program knows {newest}",
                "upgrade foryou, or restore the backup made before the upgrade",
            )
        seen.append(f"{name} version {version}" if version else f"{name} without a schema yet")
    if not seen:
        raise SkippedError("there are no stores yet")
    return ", ".join(seen)


def _lake(data_dir: Path) -> str:
    """Check both ends of every file, and for CHECK_SECONDS all pages of the newest ones.

    A disk that was full leaves incomplete files. A daily look of the job compact compares all pages of a day with their
    checksums.
    """
    days = sorted(places.closed_days(data_dir), reverse=True)
    if not days:
        raise SkippedError("no day is closed yet")
    changes = places.changes(data_dir)
    paths = [path for day in days for path in _files_of(data_dir, day, changes)]
    size = sum(_ends(path) for path in paths)
    until = time.monotonic() + CHECK_SECONDS
    checked = 0
    for path in paths:
        if time.monotonic() > until:
            break
        try:
            check(path)
        except StoreError as error:
            if path.exists():  # else removed just now, because its day is past or was written again
                raise WrongError(str(error), DAMAGED) from error
        checked += 1
    return (
        f"{len(days)} closed days, {places.day_name(days[-1])} to {places.day_name(days[0])}, {size / 1e9:.1f} GB; "
        f"{checked} of {len(paths)} files read whole"
    )


def _files_of(data_dir: Path, day: int, changes: Mapping[int, places.ChangesFile]) -> list[Path]:
    return [places.likes(data_dir, day), *([changes[day].path] if day in changes else [])]


def _ends(path: Path) -> int:
    """Return a file's size; WrongError when it does not begin and end as Parquet does."""
    try:
        with path.open("rb") as file:
            first = file.read(len(PARQUET))
            size = file.seek(-len(PARQUET), os.SEEK_END) + len(PARQUET)
            last = file.read()
    except FileNotFoundError:
        return 0  # removed just now, because its day is past
    except OSError as error:
        raise WrongError(f"{path} can't be read: {error}", DAMAGED) from error
    if not first == last == PARQUET:
        raise WrongError(f"{path} is not whole", DAMAGED)
    return size
