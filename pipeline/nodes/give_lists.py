"""The head's lists into the folder that all machines see, as parts: all of them once, and then what is new.

Owns: when a part is due, what is in it, and removing files that no node needs. Leaves to others: the manifest
(``part_manifest``), taking a part (``take_lists``), and making lists, of which this process only reads.

A part is a SQLite file with rows of the head's serving.sqlite as they are: the same numbers of posts and generations,
the same bytes. So a node's pages are the head's, and a page cursor of one machine is good on every other.

Invariant: a part is read in one transaction, so it has whole generations. What it costs in the folder is bounded: the
parts after the first one are together not larger than it or ``SMALL_BYTES``, and at most ``PARTS_MAX``.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import sql
from pipeline.nodes.part_manifest import ListPart, PartManifest, read_manifest
from pipeline.nodes.shared_files import put
from sql import places
from sql.shards import bucket_of
from sql.sqlite import has_tables, statements

PARTS_MAX = 2_000
SMALL_BYTES = 64 << 20
WHOLE_US = 86_400_000_000  # a day: what was deleted at the head leaves the folder and the nodes by then
FILES_SECONDS = 3_600.0  # a node that reads a part has so long to come to its end
NO_POST = (-1, 0, 0)


class _Seen(NamedTuple):
    """What the head's serving.sqlite is like now."""

    generation: int
    newest_post: tuple[int, int, int]
    renewal: str
    deleted: str


def give_lists(data_dir: Path, shared_dir: Path, clock: Callable[[], float] = time.time) -> ListPart | None:
    """Write a part with what is new, or with everything; return it, None when there is nothing new."""
    source = places.serving(data_dir)
    if not has_tables(source, "taken_part"):
        return None
    before = read_manifest(shared_dir)
    inode = source.stat().st_ino
    draft = places.syncing(data_dir) / "part"
    draft.parent.mkdir(parents=True, exist_ok=True)
    now_us = int(clock() * 1e6)
    with _beside(":memory:", source) as looking:
        if not _is_new(looking, before, inode, now_us):
            return None
    draft.unlink(missing_ok=True)  # of a killed process
    with _beside(f"file:{quote(str(draft))}", source) as part:
        part.execute(
            "PRAGMA main.journal_mode = OFF"
        )  # whoever is killed here leaves a file that nobody reads
        part.execute("PRAGMA main.synchronous = OFF")
        part.execute("BEGIN")  # from here on the head's store stands still
        seen = _seen(part)
        chain = _chain(part, before, inode, seen)
        is_whole = before is None or chain != before.chain or _is_due(before, now_us)
        since = None if is_whole else before
        for statement in statements(sql.load("nodes/make_part")):
            part.execute(statement)
        _fill(part, since, seen)
        part.execute("COMMIT")
        part.execute("DETACH head")
    number = before.parts[-1].number + 1 if before is not None else 1
    name = f"{number:010d}-{secrets.token_hex(4)}.sqlite"
    put(draft, places.list_parts(shared_dir) / name)
    made = ListPart(number, name, draft.stat().st_size, now_us)
    draft.unlink()
    parts = (made,) if since is None else (*since.parts, made)
    PartManifest(chain, inode, seen.generation, seen.newest_post, seen.renewal, seen.deleted, parts).write(
        shared_dir
    )
    return made


def remove_old_parts(shared_dir: Path, clock: Callable[[], float] = time.time) -> int:
    """Remove files that the manifest has not named for an hour, and what killed processes left; return how many."""
    manifest = read_manifest(shared_dir)
    named = set() if manifest is None else {part.file for part in manifest.parts}
    # A part that is no longer named was named until the first of the present ones was made.
    since = clock() if manifest is None else manifest.parts[0].made_us / 1e6
    removed = 0
    for path in places.list_parts(shared_dir).glob("*"):
        if path.name not in named and clock() - max(since, path.stat().st_mtime) > FILES_SECONDS:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


@contextmanager
def _beside(main: str, source: Path) -> Iterator[sqlite3.Connection]:
    """Open a new store with the head's beside it, for reading alone."""
    with closing(sqlite3.connect(main, uri=True, isolation_level=None)) as part:
        part.create_function("bucket_of", 1, bucket_of, deterministic=True)
        part.execute("ATTACH ? AS head", (f"file:{quote(str(source))}?mode=ro",))
        yield part


def _is_new(looking: sqlite3.Connection, before: PartManifest | None, inode: int, now_us: int) -> bool:
    """Tell whether a part is due, without making one."""
    seen = _seen(looking)
    if before is None or not seen.generation:
        return bool(seen.generation)
    is_other = _chain(looking, before, inode, seen) != before.chain
    return is_other or _is_due(before, now_us) or not _is_same(before, seen)


def _seen(part: sqlite3.Connection) -> _Seen:
    generation = int(part.execute("SELECT coalesce(max(generation), 0) FROM head.generations").fetchone()[0])
    post = part.execute(
        "SELECT post_id, author_id, rkey FROM head.posts ORDER BY post_id DESC LIMIT 1"
    ).fetchone()
    renewal = part.execute(sql.load("nodes/renewal")).fetchone()[0]
    deleted = part.execute(
        "SELECT count(*) || '.' || coalesce(max(deleted_us), 0) FROM head.deleted_viewers"
    ).fetchone()
    return _Seen(generation, tuple(post) if post else NO_POST, str(renewal), str(deleted[0]))


def _chain(part: sqlite3.Connection, before: PartManifest | None, inode: int, seen: _Seen) -> str:
    """Return the name of the head's store: the one before, unless that was another store."""
    if before is not None and before.inode == inode and seen.generation >= before.generation:
        query = "SELECT author_id, rkey FROM head.posts WHERE post_id = ?"
        row = part.execute(query, before.newest_post[:1]).fetchone()
        if row is None or row == before.newest_post[1:]:
            return before.chain
    return secrets.token_hex(8)


def _is_due(before: PartManifest, now_us: int) -> bool:
    """Tell whether a part with everything is due."""
    first, *others = before.parts
    return (
        len(others) >= PARTS_MAX
        or sum(part.size for part in others) > max(first.size, SMALL_BYTES)
        or not 0 <= now_us - first.made_us < WHOLE_US
    )


def _is_same(before: PartManifest, seen: _Seen) -> bool:
    return (before.generation, before.renewal, before.deleted) == (
        seen.generation,
        seen.renewal,
        seen.deleted,
    )


def _fill(part: sqlite3.Connection, since: PartManifest | None, seen: _Seen) -> None:
    """Copy what is new since a manifest, or everything."""
    generation = -1 if since is None else since.generation
    after = {"generation": generation}
    part.execute(sql.load("nodes/give_lists"), after)
    part.execute(sql.load("nodes/give_viewers"))
    # The newest post of before may have been deleted, and its number given to another.
    anchor = None if since is None else since.newest_post
    query = "SELECT author_id, rkey FROM head.posts WHERE post_id = ?"
    is_there = anchor is not None and part.execute(query, anchor[:1]).fetchone() == anchor[1:]
    after_post = anchor[0] if anchor and is_there else -1
    is_renewed = since is None or since.renewal != seen.renewal
    is_deleted = since is None or since.deleted != seen.deleted
    copied = {
        "posts": f"post_id > {after_post}",
        **dict.fromkeys(("generations", "variants", "fallbacks"), f"generation > {generation}"),
        "feeds": "true",
        **dict.fromkeys(("taste_sketches", "communities"), str(is_renewed)),
        "runs": f"{is_renewed} AND step = 'prune generations'",
        "deleted_viewers": str(is_deleted),
    }
    for table, condition in copied.items():  # with whatever columns this version's serving.sqlite has
        part.execute(f"CREATE TABLE {table} AS SELECT * FROM head.{table} WHERE {condition}")
    part.execute("CREATE INDEX lists_by_generation ON lists (generation, bucket)")
