"""The parts of the head's lists into a node's serving.sqlite: the viewers of its shard, and the posts of all lists.

Owns: which parts are due, writing them, and deleting what the head no longer has. Leaves to others: making parts
(``give_lists``), who is reading (``batch.publish.prune``), and the web app, which reads as ever.

Invariant: a generation's lists, its row in ``generations`` and its fallback lists are one transaction, in the order of
generations: as at the head, it is visible whole or not at all. A node that was killed takes the part again from its
beginning, and nothing changes. A node that is behind serves what it has. When the chain or the shard is another, all is
replaced in one transaction.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import sql
from pipeline.batch.publish.prune import name_readers, oldest_kept
from pipeline.errors import StoreError
from pipeline.nodes.part_manifest import ListPart, PartManifest, read_manifest
from pipeline.ranking import Ranking
from sql import places
from sql.shards import Shard
from sql.sqlite import open_migrated, transaction

log = logging.getLogger("foryou.sync")

CHUNK_LISTS = 2_000
REPLACED = ("lists", "viewers", "posts", "generations", "variants", "feeds", "fallbacks", "taste_sketches")
WHOLE_TABLES = ("taste_sketches", "communities", "deleted_viewers", "runs")


def take_lists(
    data_dir: Path,
    shared_dir: Path,
    shard: Shard,
    ranking: Ranking,
    clock: Callable[[], float] = time.time,
    written: Callable[[], None] = lambda: None,
) -> int:
    """Take the parts that are not here yet; return how many.

    ``written`` is called after each transaction. A part whose file is not there any more ends this: the manifest names
    others by now.
    """
    manifest = read_manifest(shared_dir)
    if manifest is None:
        return 0
    taken = 0
    with closing(open_migrated(places.serving(data_dir), "serving")) as serving:
        for part in _due(serving, manifest, shard):
            path = places.list_parts(shared_dir) / part.file
            if not path.exists():
                log.info("%s is not there any more", path)
                break
            taking = _Taking(serving, data_dir, shard, ranking, clock, written)
            with _attached(serving, path):
                taking.take(f"{manifest.chain} {shard}", part.number, is_whole=part is manifest.parts[0])
            taken += 1
    return taken


def forget_lists(data_dir: Path, did: str) -> None:
    """Delete what a node's serving.sqlite has of a viewer."""
    with closing(open_migrated(places.serving(data_dir), "serving")) as serving, transaction(serving):
        row = serving.execute("SELECT viewer_id FROM viewers WHERE did = ?", (did,)).fetchone()
        if row is not None:
            of_feeds = "feed_id IN (SELECT feed_id FROM feeds)"  # so that the index serves
            serving.execute(f"DELETE FROM lists WHERE {of_feeds} AND viewer_id = ?", row)
            serving.execute("DELETE FROM viewers WHERE viewer_id = ?", row)


def _due(serving: sqlite3.Connection, manifest: PartManifest, shard: Shard) -> list[ListPart]:
    row = serving.execute("SELECT chain, part FROM taken_part").fetchone()
    if row is None or row[0] != f"{manifest.chain} {shard}" or row[1] > manifest.parts[-1].number:
        return list(manifest.parts)
    return [part for part in manifest.parts if part.number > row[1]]


@contextmanager
def _attached(serving: sqlite3.Connection, path: Path) -> Iterator[None]:
    # Nobody changes a part: without locks it can be read from any network file system.
    serving.execute("ATTACH ? AS part", (f"file:{quote(str(path))}?mode=ro&immutable=1",))
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "malformed" in str(error) or "not a database" in str(error):
            raise StoreError(f"{path}: {error}") from error
        raise
    serving.execute("DETACH part")


class _Taking:
    """One part, attached, on its way into serving.sqlite."""

    def __init__(
        self,
        serving: sqlite3.Connection,
        data_dir: Path,
        shard: Shard,
        ranking: Ranking,
        clock: Callable[[], float],
        written: Callable[[], None],
    ) -> None:
        self._serving, self._data_dir, self._ranking, self._clock = serving, data_dir, ranking, clock
        self._written = written
        self._shard = {"shards": shard.count, "remainder": shard.number - 1}

    def take(self, chain: str, number: int, *, is_whole: bool) -> None:
        """Write the part, and that it was taken."""
        row = self._serving.execute("SELECT chain FROM taken_part").fetchone()
        replaces = is_whole and row is not None and row[0] != chain
        name_readers(self._serving, self._data_dir, self._ranking, self._now_us())
        with ExitStack() as stack:
            if replaces:  # its numbers mean something else: readers see all of the old or all of the new
                stack.enter_context(transaction(self._serving))
                for table in REPLACED:
                    self._serving.execute(f"DELETE FROM main.{table}")
            with self._step(in_one=replaces):
                self._serving.execute("INSERT OR REPLACE INTO feeds SELECT * FROM part.feeds")
                self._serving.execute("INSERT OR REPLACE INTO main.posts SELECT * FROM part.posts")
                self._serving.execute(sql.load("nodes/take_viewers"), self._shard)
            generations = self._serving.execute("SELECT generation FROM part.generations ORDER BY generation")
            for (generation,) in generations.fetchall():
                with self._step(in_one=replaces):
                    self._take_generation(generation)
            with self._step(in_one=replaces):
                if is_whole:
                    self._drop_surplus()
                for table in WHOLE_TABLES:
                    self._take_table(table, is_whole=is_whole)
                query = "INSERT OR REPLACE INTO taken_part (id, chain, part) VALUES (1, ?, ?)"
                self._serving.execute(query, (chain, number))

    @contextmanager
    def _step(self, *, in_one: bool) -> Iterator[None]:
        """Be a transaction, unless the whole part is one."""
        if in_one:
            yield
        else:
            with transaction(self._serving):
                yield
        self._written()

    def _take_generation(self, generation: int) -> None:
        named = {"generation": generation, **self._shard}
        found = self._serving.execute(sql.load("nodes/lists_to_take"), named)
        while rows := found.fetchmany(CHUNK_LISTS):
            self._write(generation, rows)
        for table in ("fallbacks", "variants", "generations"):  # the last makes it visible
            query = f"INSERT OR REPLACE INTO main.{table} SELECT * FROM part.{table} WHERE generation = ?"
            self._serving.execute(query, (generation,))

    def _write(self, generation: int, rows: list[tuple[int, int, bytes]]) -> None:
        """Write lists; those of viewers who are not reading take the rows of their former ones, as at the head."""
        kept = oldest_kept(self._serving, self._ranking, self._now_us())
        for feed_id in {feed_id for feed_id, _, _ in rows}:
            lists = {viewer: items for feed, viewer, items in rows if feed == feed_id}
            named = {"feed_id": feed_id, "oldest_kept": kept, "viewers": json.dumps([*lists])}
            found = self._serving.execute(sql.load("serving/spare_rows"), named).fetchall()
            # A whole part may have a reader's older list, too: the newer one stays.
            spare = {viewer: spared for viewer, spared in found if spared < generation}
            over = [
                {
                    "feed_id": feed_id, "viewer_id": viewer, "generation": generation,
                    "spare": spare[viewer], "items": items,
                }
                for viewer, items in lists.items()
                if viewer in spare
            ]  # fmt: skip
            self._serving.executemany(sql.load("serving/replace_list"), over)
            new = [
                (feed_id, viewer, generation, items) for viewer, items in lists.items() if viewer not in spare
            ]
            self._serving.executemany(
                "INSERT INTO main.lists (feed_id, viewer_id, generation, items) VALUES (?, ?, ?, ?)", new
            )

    def _drop_surplus(self) -> None:
        """Delete what the head does not have any more: the part has everything."""
        newest = self._serving.execute(
            "SELECT coalesce(max(generation), 0) FROM part.generations"
        ).fetchone()[0]
        named = {"generation": newest, **self._shard}
        self._serving.execute(sql.load("nodes/drop_lists"), named)
        for table, key in (("viewers", "viewer_id"), ("posts", "post_id"), ("generations", "generation")):
            self._serving.execute(
                f"DELETE FROM main.{table} WHERE {key} NOT IN (SELECT {key} FROM part.{table})"
            )
        self._serving.execute(
            "DELETE FROM main.viewers WHERE viewer_id NOT IN (SELECT viewer_id FROM main.lists)"
        )
        for table in ("fallbacks", "variants"):
            kept = f"SELECT generation FROM part.{table}"
            self._serving.execute(f"DELETE FROM main.{table} WHERE generation NOT IN ({kept})")

    def _take_table(self, table: str, *, is_whole: bool) -> None:
        """Replace a table that a part has whole or not at all."""
        if is_whole or self._serving.execute(f"SELECT 1 FROM part.{table} LIMIT 1").fetchone():
            self._serving.execute(f"DELETE FROM main.{table}")
            self._serving.execute(f"INSERT INTO main.{table} SELECT * FROM part.{table}")

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)
