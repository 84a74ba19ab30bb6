"""The Parquet copies that analysts and ``foryou explain`` read: DATA_DIR/explore/NUMBER/, a snapshot a folder.

Owns: naming snapshots, making one, removing old ones. Leaves to others: what is in the files
(``batch.analyst_copies`` and ``explore.table_copies`` write them), reading them (``sql/explore/views.sql``,
``explore.generation_inputs``).

A snapshot is whole: what a run did not make anew, the lake's files included, is linked from where it is,
which costs no room. explore/current.parquet names the newest. Invariant: files of a snapshot never change, so
whoever has found one can read all of it for KEPT_SECONDS and longer, whatever the pipeline does meanwhile.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.linked_files import hard_link
from pipeline.store.whole_files import read, whole
from sql import places
from sql.temporary_folders import TemporaryFolder

KEPT_SECONDS = 600.0  # after a snapshot was superseded
WORKING = ".working-"
CURRENT = "current.parquet"

# What is not in the lake lies beside the lake's days, so that one pattern finds both. Open are days of which a
# candidates run reads the likes; of older days history has what the lake lacks.
OPEN_LIKES = "likes/open"
HISTORY_LIKES = "likes/history"
OPEN_CHANGES = "changes/open"
OPEN_IMPRESSIONS = "impressions/open"
# Of one run, so that they fit together.
LIST_POSTS = "list_posts"
LIST_CROWDS = "list_crowds"
LIST_DEGREES = "list_degrees"  # how many likes each liker has, by the full pass before
# Of each feed, feed=RKEY, from the feed's own last run for everybody: its lists, in files by generation, and what
# they refer to; and which feeds there are, in order.
FEED_LISTS, FEED_LIST_POSTS, FEED_VARIANTS, FEEDS = "feed_lists", "feed_list_posts", "feed_variants", "feeds"
# Those that the lists were made from, in files by layer, and whose rows of which layers do not count.
FEED_NEIGHBOURS, FEED_REPLACED = "feed_neighbours", "feed_replaced_neighbours"
# All that the lists of a feed beside the first were made of, under the names that the first feed's have: in it, RKEY.
EXPLAINED = "explained"
VARIANTS = (
    "variants"  # whose lists were made by which parameters: a row a variant of an experiment, one row outside
)
# The lists of a feed's first run of a day, as far as a first page, and their posts: feed=RKEY/day=YYYY-MM-DD in each.
DAILY_LISTS, DAILY_POSTS = "daily_lists", "daily_posts"
DAYS_KEPT = 8  # a week and today
SNAPSHOT, RANKING = "snapshot", "ranking"
# Folders whose files are of one run, all of them.
WHOLE_FOLDERS = (f"{FEED_LISTS}/", f"{FEED_NEIGHBOURS}/")
# What earlier versions left, which nobody reads any more.
GIVEN_UP = {"lists", "list_neighbours", "list_newer_neighbours", "feed_newer_neighbours"}
# Those that the neighbours job read.
NEIGHBOURS_INTERACTIONS = "inputs/neighbours_interactions"
NEIGHBOURS_CLAIMED_LIKES = "inputs/neighbours_claimed_likes"


def current_snapshot(data_dir: Path) -> Path | None:
    """Return the folder of the newest snapshot, None while there is none."""
    path = places.explore(data_dir) / CURRENT
    if not path.exists():
        return None
    return path.parent / str(read(path).column("folder")[0].as_py())


def copy_of(snapshot: Path, name: str) -> Path:
    """Return where a snapshot has a copy, named by its relation: ``copy_of(snapshot, 'inputs/actors')``."""
    return snapshot / f"{name}.parquet"


def copies_of_feed(snapshot: Path, feed: str) -> Path:
    """Return the folder of what the lists of a feed were made of: the snapshot itself for the first."""
    folder = snapshot / EXPLAINED / feed
    return folder if folder.is_dir() else snapshot


def feeds_in(snapshot: Path) -> list[str]:
    """Return the record keys of the feeds, in order."""
    rows = pq.read_table(copy_of(snapshot, FEEDS)).to_pylist()
    return [row["feed"] for row in sorted(rows, key=lambda row: row["place"])]


def likes_since(snapshot: Path, day: int) -> list[Path]:
    """Return a snapshot's files of closed days' likes, from a day on, in days since 1970."""
    first = f"day={places.day_name(day)}.parquet"
    return sorted(path for path in (snapshot / "likes").glob("day=*.parquet") if path.name >= first)


def changes_in(snapshot: Path, feed: str) -> list[Path]:
    """Return a snapshot's files of changes to closed days, as a run of a feed knew them."""
    days = sorted((snapshot / "changes").glob("day=*.parquet"))
    return [*days, copy_of(copies_of_feed(snapshot, feed), OPEN_CHANGES)]


def make_snapshot(data_dir: Path, finished: Mapping[str, Path]) -> Path:
    """Make a snapshot of finished files, by relation, and all that is there besides; return its folder.

    The files must be on the data directory's file system, and are moved. Nothing is synced: a snapshot that a
    power cut spoiled is followed by the next.
    """
    root = places.explore(data_dir)
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        former = current_snapshot(data_dir)
        number = 1 + max((int(path.name) for path in root.iterdir() if path.name.isdigit()), default=0)
        folder = root / f"{number:08d}"
        making = root / ".making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        for name, path in finished.items():
            copy_of(making, name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, copy_of(making, name))
        feeds = feeds_in(making) if FEEDS in finished else None
        for name, path in (*_lake_files(data_dir), *_former_files(former, finished)):
            feed = _feed_of(name)
            if feed is None or feeds is None or feed in feeds:  # else it is of a feed that is no more
                _link(path, copy_of(making, name))
        os.replace(making, folder)
        with whole(root / CURRENT, synced=False) as draft:
            pq.write_table(pa.table({"folder": [folder.name]}), draft)
        if former is not None and former.exists():
            os.utime(former)  # superseded now
        _prune(root, folder)
    return folder


@contextmanager
def working_folder(data_dir: Path) -> Iterator[Path]:
    """Give a folder for files to be made into a snapshot."""
    root = places.explore(data_dir)
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryFolder(WORKING, root) as folder:
        yield folder


def _lake_files(data_dir: Path) -> Iterator[tuple[str, Path]]:
    # Changes first: when a day's likes are written again meanwhile, the former changes say the same of them.
    for day, file in sorted(places.changes(data_dir).items()):
        yield f"changes/day={places.day_name(day)}", file.path
    for day in sorted(places.closed_days(data_dir)):
        yield f"likes/day={places.day_name(day)}", places.likes(data_dir, day)
    for day in sorted(places.impression_days(data_dir)):
        yield f"impressions/day={places.day_name(day)}", places.impressions(data_dir, day)


def _former_files(former: Path | None, finished: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield what is made by runs, of the former snapshot; the lake's files are taken as they are now."""
    files = () if former is None else (former / DAILY_LISTS).glob("feed=*/day=*.parquet")
    known = {path.stem for path in files} | {
        name.rpartition("/")[2] for name in finished if name.startswith(f"{DAILY_LISTS}/")
    }
    days = sorted(known)[-DAYS_KEPT:]
    renewed = {name.rpartition("/")[0] for name in finished if name.startswith(WHOLE_FOLDERS)}
    for path in sorted(former.rglob("*.parquet")) if former is not None else ():
        name = str(path.relative_to(former)).removesuffix(".parquet") if former is not None else ""
        folder, day = name.partition("/")[0], name.rpartition("/")[2]
        of_feed = name.split("/", 2)[-1] if folder == EXPLAINED else name
        if name.rpartition("/")[0] in renewed or {folder, of_feed} & GIVEN_UP:
            continue
        if "/day=" not in name or (folder in (DAILY_LISTS, DAILY_POSTS) and "/feed=" in name and day in days):
            yield name, path


def _feed_of(name: str) -> str | None:
    """Return the feed whose copy a relation is, None for one of all feeds, or of the first alone."""
    parts = name.split("/")
    if parts[0] == EXPLAINED:
        return parts[1]
    return parts[1].removeprefix("feed=") if len(parts) > 2 and parts[1].startswith("feed=") else None


def _link(source: Path, target: Path) -> None:
    if target.exists() or not source.exists():
        return  # made anew by this run, or not there yet
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # removed just now
        if not hard_link(source, target):
            target.symlink_to(source.resolve())  # a lake on a disk of its own


def _prune(root: Path, newest: Path) -> None:
    oldest = time.time() - KEPT_SECONDS
    for path in root.iterdir():
        if path.name.isdigit() and path != newest and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # held for milliseconds, so it is worth waiting for
        yield
