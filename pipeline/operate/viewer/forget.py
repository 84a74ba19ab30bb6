"""Forgetting a viewer: after it no file of the data directory names them, but for what is public.

Owns: what is deleted where, in which order, and the locks meanwhile. Leaves to others: activity.sqlite, keys.sqlite
and sessions.sqlite, which are the web app's (it passes a function), and the bytes of SQLite files (``sql.erasing``).

Public are likes, posts and the account itself, as the network's stream tells them: they stay, and the next run makes a
list of them again. Files of neighbours name actors by number; the next full pass makes them anew. Whoever has a number
because they picked posts, and of whom nothing is public, loses their name in landing.sqlite, too (``store.picked``).

Invariants: no run of the batch and no fetch goes on meanwhile, so none writes down what it read before. What is in
activity.sqlite is deleted first, at once, and again at the end. A file of the lake or of analysts' copies is replaced
by one rename, so a reader has the old rows or the new ones. Whoever stops it in the middle can run it again.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipeline.errors import StoreError
from pipeline.lake import day_files
from pipeline.store.analyst_snapshot import current_snapshot
from pipeline.store.duck import copy_to, count, listed, open_duckdb, parquet
from pipeline.store.locks import exclusive
from pipeline.store.picked import is_only_picked
from pipeline.store.whole_files import whole
from sql import places
from sql.erasing import contains, deleting, erase
from sql.sqlite import connect, has_tables, rows_of
from sql.temporary_folders import remove_left

log = logging.getLogger("foryou.viewer")

DUTIES = (
    "batch",
    "recent",
    "liked",
    "waiting",
    "viewers",
)  # in this order; nobody who has one of them waits for another
TIERS = ("", "recent", "liked", "waiting")
MEMORY_MB = 1024
AT_ONCE = 20  # requests after one run: each may rewrite stores; the next run takes the rest
BACKUPS = (
    "Backups made before this still have it. Delete them, or let 'foryou backup --keep N' do so; after restoring one, "
    "run this again."
)


def forget(
    data_dir: Path,
    did: str,
    forget_in_web_app: Callable[[str, int], Mapping[str, int]],
    now_us: int,
    *,
    say: Callable[[str], None] = lambda _line: None,
) -> list[str]:
    """Forget a viewer; return lines that say what was deleted, and what is left.

    Waits for runs of the batch to end, and says so.
    """
    rows = dict(forget_in_web_app(did, now_us))  # at once; the rest may have to wait
    with _alone(data_dir, say):
        viewer_id = _actor(data_dir, did)
        rows["fetched_viewers"] = _forget_fetch(data_dir, did)
        is_private = viewer_id is not None and _is_private(data_dir, viewer_id)
        rows |= _forget_lists(data_dir, did)
        rows["impressions in the lake"] = sum(_forget_days(data_dir, did))
        rows["rows of analysts' copies"] = _forget_copies(data_dir, did, viewer_id, is_private=is_private)
        if viewer_id is not None and is_private:
            rows["names"] = _forget_name(data_dir, viewer_id)
        rows["names in logs"] = _blank_logs(data_dir, did)
        for tier in TIERS:
            shutil.rmtree(places.working(data_dir, tier), ignore_errors=True)  # of a killed run
        beginning = places.viewer_working(data_dir)
        remove_left(beginning.parent, beginning.name)
        shutil.rmtree(places.lake_drafts(data_dir), ignore_errors=True)
        for name, number in forget_in_web_app(did, now_us).items():
            rows[name] = rows.get(name, 0) + number
        left = list(_erase_bytes(data_dir, did, is_public=viewer_id is not None and not is_private))
    deleted = ", ".join(f"{number} {name}" for name, number in rows.items() if number)
    public = "public likes and posts stay, and the next run makes a list of them again"
    return [f"{did}: {deleted or 'nothing to delete'}; {public}", *left, BACKUPS]


def forget_requested(data_dir: Path, forget_in_web_app: Callable[[str, int], Mapping[str, int]]) -> None:
    """Forget the viewers who want it, and who signed in at the web app to say so."""
    query = f"SELECT viewer_did, requested_us FROM forget_requests ORDER BY requested_us LIMIT {AT_ONCE}"
    requests = rows_of(places.activity(data_dir), query)
    for did, requested_us in requests:
        forget(data_dir, did, forget_in_web_app, requested_us)
    if requests:
        log.info("%d viewers were forgotten", len(requests))


@contextmanager
def _alone(data_dir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the duties of all that writes down what it has read of viewers."""
    with ExitStack() as stack:
        for duty in DUTIES:
            try:
                stack.enter_context(exclusive(data_dir, duty))
            except StoreError:
                say(f"waiting for a run to end ({places.lock(data_dir, duty)})")
                stack.enter_context(exclusive(data_dir, duty, wait=True))
        yield


def _actor(data_dir: Path, did: str) -> int | None:
    """Return the number under which the stream reported something of a DID."""
    rows = rows_of(places.landing(data_dir), "SELECT actor_id FROM actors WHERE did = :did", {"did": did})
    return int(rows[0][0]) if rows else None


def _forget_fetch(data_dir: Path, did: str) -> int:
    """Delete that a viewer's repository was read: only viewers' are."""
    if not has_tables(places.landing(data_dir), "fetched_viewers"):
        return 0
    with deleting(places.landing(data_dir)) as connection:
        return connection.execute("DELETE FROM fetched_viewers WHERE did = ?", (did,)).rowcount


def _forget_lists(data_dir: Path, did: str) -> dict[str, int]:
    if not has_tables(places.serving(data_dir), "deleted_viewers"):
        return {}
    queries = {
        "lists": "DELETE FROM lists WHERE feed_id IN (SELECT feed_id FROM feeds) AND viewer_id = "
        "(SELECT viewer_id FROM viewers WHERE did = ?)",
        "viewers": "DELETE FROM viewers WHERE did = ?",
        "waiting_runs": "DELETE FROM waiting_runs WHERE viewer_did = ?",
        "deleted_viewers": "DELETE FROM deleted_viewers WHERE viewer_did = ?",
    }
    with deleting(places.serving(data_dir)) as connection:
        return {name: connection.execute(query, (did,)).rowcount for name, query in queries.items()}


def _forget_days(data_dir: Path, did: str) -> Iterator[int]:
    """Write each day of impressions that shows something to a viewer again, without it; yield the rows left out."""
    with open_duckdb(places.working(data_dir), 2, MEMORY_MB) as connection:
        for day in sorted(places.impression_days(data_dir)):
            path = places.impressions(data_dir, day)
            condition = _condition(path, did)
            rows = _rows_of(connection, path, condition)
            if rows:
                write = partial(_write_without, connection, path, condition)
                day_files.commit(day_files.write_draft(data_dir, path.name, write), path)
                yield rows


def _is_private(data_dir: Path, viewer_id: int) -> bool:
    """Tell whether nothing public is known of an actor, here or in the lake."""
    with closing(connect(places.landing(data_dir), read_only=True)) as landing:
        if not is_only_picked(landing, viewer_id):
            return False
    days = [places.likes(data_dir, day) for day in places.closed_days(data_dir)]
    if not days:
        return True
    with open_duckdb(places.working(data_dir), 2, MEMORY_MB) as connection:
        query = f"SELECT 1 FROM {parquet(*days)} WHERE liker_id = ? OR author_id = ? LIMIT 1"
        return not connection.execute(query, [viewer_id, viewer_id]).fetchall()


def _forget_name(data_dir: Path, viewer_id: int) -> int:
    """Take the DID of an actor out of landing.sqlite, unless something public came in meanwhile; the number stays."""
    with deleting(places.landing(data_dir)) as connection:
        if not is_only_picked(connection, viewer_id):
            return 0
        connection.execute("DELETE FROM statements WHERE actor_id = ?", (viewer_id,))
        connection.execute("DELETE FROM picked_numbers WHERE actor_id = ?", (viewer_id,))
        name = f"forgotten:{viewer_id}"  # no DID: the column is unique
        return connection.execute("UPDATE actors SET did = ? WHERE actor_id = ?", (name, viewer_id)).rowcount


def _forget_copies(data_dir: Path, did: str, viewer_id: int | None, *, is_private: bool) -> int:
    """Write the copies of the newest snapshot again without a viewer's rows, and remove older ones."""
    root, current, total = places.explore(data_dir), current_snapshot(data_dir), 0
    for folder in [path for path in root.glob("*") if path.is_dir()]:
        if folder.name != (current.name if current else ""):
            shutil.rmtree(folder, ignore_errors=True)
    if current is None or not current.exists():
        return 0
    with open_duckdb(places.working(data_dir), 2, MEMORY_MB) as connection:
        for path in sorted(current.rglob("*.parquet")):
            condition = _condition(path, did, viewer_id, is_private=is_private)
            rows = _rows_of(connection, path, condition)
            if rows:
                with whole(path, synced=False) as draft:
                    _write_without(connection, path, condition, draft)
                total += rows
    return total


def _condition(path: Path, did: str, viewer_id: int | None = None, *, is_private: bool = False) -> str | None:
    """Return what a viewer's rows of a file are, None for a file that has none by its columns.

    Neighbours are not looked for: they have numbers alone, and are large.
    """
    names = set(pq.read_schema(path).names)
    if is_private and "did" in names:
        return f"did = '{did}'"
    if "viewer_did" in names:
        return f"viewer_did = '{did}'"  # a DID has no quotes
    of_neighbours = {"neighbour_id", "layer"} & names
    if "viewer_id" in names and not of_neighbours and viewer_id is not None:
        return f"viewer_id = {viewer_id}"
    return None


def _rows(path: Path) -> str:
    return (
        f"read_parquet({listed(path)}, hive_partitioning = false)"  # else the folder's day becomes a column
    )


def _rows_of(connection: duckdb.DuckDBPyConnection, path: Path, condition: str | None) -> int:
    return 0 if condition is None else count(connection, f"{_rows(path)} WHERE {condition}")


def _write_without(
    connection: duckdb.DuckDBPyConnection, path: Path, condition: str | None, draft: Path
) -> None:
    copy_to(connection, f"FROM {_rows(path)} WHERE NOT ({condition})", draft)


def _blank_logs(data_dir: Path, did: str) -> int:
    """Overwrite a DID in logs in its place, since their writers go on; return how often."""
    wanted, found = did.encode(), 0
    for path in places.logs(data_dir).rglob("*"):
        if not path.is_file():
            continue
        text = path.read_bytes()
        with path.open("r+b") as file:
            place = text.find(wanted)
            while place >= 0:
                file.seek(place)
                file.write(b"x" * len(wanted))
                found += 1
                place = text.find(wanted, place + 1)
    return found


def _erase_bytes(data_dir: Path, did: str, *, is_public: bool) -> Iterator[str]:
    """Leave no byte in stores that name viewers; yield a line for each where something stays."""
    for name in ("activity", "keys", "sessions", "serving"):
        path = places.store(data_dir, name)
        if path.exists() and not erase(path, did):
            yield f"{path}-wal is being read and may have it until the next checkpoint: run this again"
    path = places.landing(data_dir)
    if path.exists() and not is_public and contains(path, did):
        # Ingest writes it all the time, and it is large: rewriting it would stop the stream for minutes.
        yield f"{path} has it in free pages until they are used again"
