"""Where everything in the data directory is, and which days have files there.

Owns: the name of every file and folder, how the lake names days, and that nobody else can read them. Leaves to
others: what is in the files. The pipeline and the web app share these names, and ``serving`` may not import
``pipeline``: so they are in this package.

    landing.sqlite, serving.sqlite, activity.sqlite, keys.sqlite, removals.sqlite,
    sessions.sqlite                                                   the stores
    cursor.key                                                        signs page cursors
    client.key                                                        signs requests to authorization servers
    dashboard.json                                                    figures for the operator's page
    exchange.json                                                     what ``foryou sync`` knows of other machines
    rules.txt                                                         what the operator blocks and allows
    lists/HASH.txt                                                    members of a moderation list that is followed
    lake/likes/day=YYYY-MM-DD/likes.parquet                           a closed day
    lake/changes/day=YYYY-MM-DD/changes-COMMIT.parquet                  what was reported of it since, up to that commit
    lake/impressions/day=YYYY-MM-DD/impressions.parquet               what viewers were shown on a day
    lake/neighbours*.parquet, lake/popular-*.parquet                  what runs of the batch leave for each other
    lake/forecast-*.parquet, lake/moments-*.parquet                   what will be liked, learned from the past
    lake/neighbour-parts/RUN                                          the rows of neighbours that a run made
    lake/.runs/JOB                                                    input and parts of a job on several machines
    lake/.tmp                                                         files that are being written for the lake
    lake/.held                                                        links to the files that a run reads
    explore                                                           copies for analysts
    tmp, tmp-liked, tmp-recent, tmp-waiting                           working folders of batch runs
    tmp-viewer-*                                                      what commands about one viewer spill
    backfill/HOST                                                     what was fetched from an archive
    log                                                               logs of the parts that ``foryou demo`` runs
    .DUTY.lock                                                        held by the process that does this duty
    web                                                               where there is one, all that the web app writes
    tmp-sync                                                          what ``foryou sync`` is about to give or take

The folder that all machines see, where several serve:

    manifest.json, lists/N.sqlite                                     lists by bucket of their viewers, as parts
    removals.sqlite, cursor.key                                       copies for the nodes
    journals/MACHINE/FILE                                             what viewers did, as each machine writes it
    machines/MACHINE.json                                             what each machine has

What the web app writes is activity.sqlite, keys.sqlite, sessions.sqlite, cursor.key, client.key and its locks. An
operator who makes the folder ``web`` can give it the right to write there alone.

Invariant: a day is in the lake exactly when its file exists; ``pipeline.lake`` puts it there with one rename.
"""

import hashlib
import os
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

ACTIVITY_DAYS = (
    90  # how long is kept what viewers did: in activity.sqlite, and as days of impressions in the lake
)

_OF_WEB_APP = ("activity", "keys", "sessions")  # stores
_FILES_OF_WEB_APP = (*(f"{name}.sqlite" for name in _OF_WEB_APP), "cursor.key", "client.key")
_LOCKS_OF_WEB_APP = ("known", "why")

_FIRST_DAY = date(1970, 1, 1)
_DAY = "day="


def keep_private() -> None:
    """Make all files and folders that this process makes from now on its user's alone."""
    os.umask(0o077)


def store(data_dir: Path, name: str) -> Path:
    """Return the SQLite file of a store: 'landing', 'serving', 'activity', 'keys', 'sessions' or 'removals'."""
    return (web(data_dir) if name in _OF_WEB_APP else data_dir) / f"{name}.sqlite"


def web(data_dir: Path) -> Path:
    """Return the folder of what the web app writes: the data directory, unless it has a folder ``web``."""
    folder = data_dir / "web"
    return folder if folder.is_dir() else data_dir


def outside_web(data_dir: Path) -> list[Path]:
    """Return the web app's files that are not in its folder, where it does not look for them."""
    if web(data_dir) == data_dir:
        return []
    return [path for name in _FILES_OF_WEB_APP if (path := data_dir / name).exists()]


def of_backup(data_dir: Path, name: str) -> Path:
    """Return where a backup's file belongs; backups have no folder ``web``."""
    return (web(data_dir) if name in _FILES_OF_WEB_APP else data_dir) / name


def landing(data_dir: Path) -> Path:
    """Return the store that ingest writes."""
    return store(data_dir, "landing")


def serving(data_dir: Path) -> Path:
    """Return the store that the batch writes."""
    return store(data_dir, "serving")


def activity(data_dir: Path) -> Path:
    """Return the store that the web app writes."""
    return store(data_dir, "activity")


def keys(data_dir: Path) -> Path:
    """Return the web app's cache of viewers' signing keys."""
    return store(data_dir, "keys")


def removals(data_dir: Path) -> Path:
    """Return what ingest tells the web app to leave out of lists."""
    return store(data_dir, "removals")


def cursor_key(data_dir: Path) -> Path:
    """Return the file of the key that signs page cursors."""
    return web(data_dir) / "cursor.key"


def sessions(data_dir: Path) -> Path:
    """Return the web app's record of who is signed in."""
    return store(data_dir, "sessions")


def client_key(data_dir: Path) -> Path:
    """Return the file of the key by which authorization servers know this installation."""
    return web(data_dir) / "client.key"


def dashboard(data_dir: Path) -> Path:
    """Return the figures of the operator's page."""
    return data_dir / "dashboard.json"


def exchange(data_dir: Path) -> Path:
    """Return what ``foryou sync`` knows of the exchange with other machines."""
    return data_dir / "exchange.json"


def rules(data_dir: Path) -> Path:
    """Return what the operator blocks and allows."""
    return data_dir / "rules.txt"


def members(data_dir: Path, list_uri: str) -> Path:
    """Return the file of the members of a moderation list."""
    return data_dir / "lists" / f"{hashlib.sha256(list_uri.encode()).hexdigest()[:32]}.txt"


def all_members(data_dir: Path) -> list[Path]:
    """Return all files that ``members`` names, as far as they exist."""
    return sorted((data_dir / "lists").glob("*.txt"))


def lock(data_dir: Path, duty: str) -> Path:
    """Return the file that the process locks which does a duty: 'ingest', 'batch', …"""
    return (web(data_dir) if duty in _LOCKS_OF_WEB_APP else data_dir) / f".{duty}.lock"


def logs(data_dir: Path) -> Path:
    """Return the folder of the logs of processes under one parent."""
    return data_dir / "log"


def working(data_dir: Path, tier: str = "") -> Path:
    """Return the folder where a batch run spills and stages; runs beside it, and other commands, have their own."""
    return data_dir / (f"tmp-{tier}" if tier else "tmp")


def viewer_working(data_dir: Path) -> Path:
    """Return how the paths begin of folders where commands about one viewer spill: the web app runs them, too."""
    return working(web(data_dir), "viewer-")


def spool(data_dir: Path, host: str) -> Path:
    """Return the folder of what ``foryou backfill`` fetched from an archive's host."""
    return data_dir / "backfill" / host.replace(":", "_").replace("/", "_")


def explore(data_dir: Path) -> Path:
    """Return the folder of the copies for analysts; ``pipeline.store.analyst_snapshot`` names what is in it."""
    return data_dir / "explore"


def lake(data_dir: Path) -> Path:
    """Return the folder of the lake."""
    return data_dir / "lake"


def former_unlikes(data_dir: Path) -> Path:
    """Return the folder of unlikes of a lake that was made before days had files of changes."""
    return lake(data_dir) / "unlikes"


def held(data_dir: Path) -> Path:
    """Return the folder of the links by which runs hold the lake's files."""
    return lake(data_dir) / ".held"


def lake_drafts(data_dir: Path) -> Path:
    """Return the folder of files that are being written for the lake."""
    return lake(data_dir) / ".tmp"


def likes(data_dir: Path, day: int) -> Path:
    """Return the likes of a closed day."""
    return _day_file(data_dir, "likes", day)


def changes_file(data_dir: Path, day: int, commit_no: int) -> Path:
    """Return the file of what was reported of a closed day besides its likes file, up to a commit of landing.sqlite."""
    return lake(data_dir) / "changes" / f"{_DAY}{day_name(day)}" / f"changes-{commit_no}.parquet"


def impressions(data_dir: Path, day: int) -> Path:
    """Return the impressions of a closed day."""
    return _day_file(data_dir, "impressions", day)


def closed_days(data_dir: Path) -> set[int]:
    """Return the days whose likes are in the lake."""
    return _days(data_dir, "likes")


def impression_days(data_dir: Path) -> set[int]:
    """Return the days whose impressions are in the lake."""
    return _days(data_dir, "impressions")


class ChangesFile(NamedTuple):
    """A file of changes, and the last commit of landing.sqlite whose words are in it or in the day's likes."""

    path: Path
    commit_no: int


def changes(data_dir: Path) -> dict[int, ChangesFile]:
    """Return the newest file of changes of each day that has one."""
    found: dict[int, ChangesFile] = {}
    for folder in (lake(data_dir) / "changes").glob(f"{_DAY}*"):
        try:
            day = day_number(folder.name.removeprefix(_DAY))
        except ValueError:
            continue  # somebody else's folder
        file = changes_of(data_dir, day)
        if file is not None:
            found[day] = file
    return found


def changes_of(data_dir: Path, day: int) -> ChangesFile | None:
    """Return the newest file of changes of a day, None when it has none."""
    files = all_changes_of(data_dir, day)
    return files[-1] if files else None


def all_changes_of(data_dir: Path, day: int) -> list[ChangesFile]:
    """Return a day's files of changes, the newest last; there are several only for moments, or after a crash."""
    files = [
        ChangesFile(path, int(number))
        for path in (lake(data_dir) / "changes" / f"{_DAY}{day_name(day)}").glob("changes-*.parquet")
        if (number := path.stem.rpartition("-")[2]).isdigit()
    ]
    return sorted(files, key=lambda file: file.commit_no)


def neighbours(data_dir: Path, key: str = "") -> Path:
    """Return the neighbours of the first feed, or of the feeds whose neighbour parameters have this key."""
    return lake(data_dir) / f"neighbours{key and '-'}{key}.parquet"


def newer_neighbours(neighbours: Path) -> Path:
    """Return the file of viewers whose neighbours were computed since a file of neighbours was written."""
    return neighbours.with_name(f"{neighbours.stem}-newer.parquet")


def degrees(neighbours: Path) -> Path:
    """Return how many likes each liker had when a file of neighbours was last computed for all viewers."""
    return neighbours.with_name(f"{neighbours.stem}-degrees.parquet")


def neighbour_parts(data_dir: Path) -> Path:
    """Return the folder of what files of neighbours name instead of having rows of their own."""
    return lake(data_dir) / "neighbour-parts"


def runs(data_dir: Path, job: str) -> Path:
    """Return the folder where the tasks of a job on several machines read their input and leave their parts."""
    return lake(data_dir) / ".runs" / job


def all_neighbours(data_dir: Path) -> list[Path]:
    """Return all files that ``neighbours``, ``newer_neighbours`` and ``degrees`` name, as far as they exist."""
    return list(lake(data_dir).glob("neighbours*.parquet"))


def popular(data_dir: Path, feed_rkey: str, variant: str = "") -> Path:
    """Return what was popular when a feed's lists were last made, for one variant of an experiment, 'NAME/VARIANT'."""
    suffix = f"@{variant.replace('/', '@')}" if variant else ""  # a record key has no @
    return lake(data_dir) / f"popular-{feed_rkey}{suffix}.parquet"


def popular_of_variants(data_dir: Path, feed_rkey: str) -> list[Path]:
    """Return the files that ``popular`` names for a feed's variants, as far as they exist."""
    return list(lake(data_dir).glob(f"popular-{feed_rkey}@*.parquet"))


def forecast_trees(data_dir: Path, feed_rkey: str) -> Path:
    """Return what was learned about which posts of a feed will be liked next."""
    return lake(data_dir) / f"forecast-{feed_rkey}.parquet"


def forecast_moments(data_dir: Path, feed_rkey: str) -> Path:
    """Return what was popular in a feed at moments of the past, and what was liked after them."""
    return lake(data_dir) / f"moments-{feed_rkey}.parquet"


def syncing(data_dir: Path) -> Path:
    """Return the folder of files that are about to be given to other machines, or were just taken from them."""
    return working(data_dir, "sync")


def list_manifest(shared_dir: Path) -> Path:
    """Return the file that names the parts of the lists, in the folder that all machines see."""
    return shared_dir / "manifest.json"


def list_parts(shared_dir: Path) -> Path:
    """Return the folder of the parts of the lists."""
    return shared_dir / "lists"


def journals(shared_dir: Path) -> Path:
    """Return the folder of the journals, which has a folder for each machine."""
    return shared_dir / "journals"


def machines(shared_dir: Path) -> Path:
    """Return the folder in which each machine says what it has."""
    return shared_dir / "machines"


def day_name(day: int) -> str:
    """Return a day in days since 1970 as the lake's folders name it, YYYY-MM-DD."""
    return (_FIRST_DAY + timedelta(days=day)).isoformat()


def day_number(name: str) -> int:
    """Return the day that YYYY-MM-DD names, in days since 1970; ValueError when it names none."""
    return (date.fromisoformat(name) - _FIRST_DAY).days


def day_of_file(file: Path) -> int:
    """Return the day of a file of the lake, in days since 1970; ValueError when its folder names none."""
    return day_number(file.parent.name.removeprefix(_DAY))


def _day_file(data_dir: Path, kind: str, day: int) -> Path:
    return lake(data_dir) / kind / f"{_DAY}{day_name(day)}" / f"{kind}.parquet"


def _days(data_dir: Path, kind: str) -> set[int]:
    days = set()
    for file in (lake(data_dir) / kind).glob(f"{_DAY}*/{kind}.parquet"):
        try:
            days.add(day_of_file(file))
        except ValueError:
            continue  # somebody else's folder
    return days
