"""A simulated store with everything analysts ask about, and the same truth as plain Python values.

Owns: making the store once (a world's stream through the real decoder, landing, batch and copies) and the
record of what is true, taken from the simulator and from the rows written here, never from our SQL.
"""

import json
import random
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from batch_tools import settings_for

from pipeline.batch import jobs
from pipeline.explore import after_batch
from pipeline.identifiers import parse_post_uri, post_uri
from pipeline.ingest import jetstream
from pipeline.settings import Settings
from pipeline.simulate.parameters import WorldParameters
from pipeline.simulate.record import Record, record
from pipeline.simulate.world import World
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US, HOUR_US, day_name, day_of
from sql.sqlite import connect, migrate

END_US = 1_790_000_000_000_000
HOST = "jetstream.example.com"
POST = "/app.bsky.feed.post/"
RANKING = {"list_length": 60, "max_neighbours": 40, "fallback_min_posts": 5}


@dataclass(frozen=True)
class Like:
    """A live like of a (liker, post), as the analysts' view ``likes`` should have it."""

    liker: str
    author: str
    post: str
    seen_us: int


@dataclass(frozen=True)
class Impression:
    """A post on a page that was served."""

    viewer: str
    post: str
    feed: str
    generation: int
    position: int
    source: int
    served_us: int
    variant: str


@dataclass
class Store:
    """The store's folder, and what is true of it."""

    data_dir: Path
    world: World
    settings: Settings
    now_us: int = 0
    impressions: list[Impression] = field(default_factory=list)
    interactions: list[tuple[str, str, str, int]] = field(default_factory=list)  # viewer, post, event, at
    gaps: list[tuple[int, int, str, str]] = field(default_factory=list)

    @cached_property
    def truth(self) -> Record:
        """The simulator's own record."""
        return record(self.world, self.now_us)

    @cached_property
    def likes(self) -> list[Like]:
        """Live likes up to now: distinct (liker, post), the earliest, none of one's own posts."""
        first: dict[tuple[str, str], Like] = {}
        for like in self.records():
            gone = {like.liker, like.author} & set(
                self.truth.accounts
            ) or like.post in self.truth.deleted_posts
            if gone or like.author == like.liker:
                continue
            key = like.liker, like.post
            if key not in first or like.seen_us < first[key].seen_us:
                first[key] = like
        return list(first.values())

    def records(self) -> Iterator[Like]:
        """Like records of posts that were not undone, whatever became of account and post."""
        for like in self.truth.likes():
            parsed = parse_post_uri(like.subject)
            if parsed is not None:
                author, rkey = parsed
                yield Like(like.did, author, post_uri(author, rkey), like.seen_us)

    def since(self, hours: float, until_hours: float = 0.0) -> list[Like]:
        """Live likes of the last hours, those of the last ``until_hours`` left out."""
        since, until = self.now_us - int(hours * HOUR_US), self.now_us - int(until_hours * HOUR_US)
        return [like for like in self.likes if since < like.seen_us <= until]

    def rows(self, store: str, query: str) -> list[tuple[Any, ...]]:
        """Return rows of a SQLite store, read plainly."""
        with closing(sqlite3.connect(self.data_dir / f"{store}.sqlite")) as connection:
            return connection.execute(query).fetchall()

    @cached_property
    def dids(self) -> dict[int, str]:
        """DIDs by actor number."""
        return dict(self.rows("landing", "SELECT actor_id, did FROM actors"))

    @cached_property
    def lists(self) -> dict[str, list[tuple[str, float, int, int]]]:
        """Each viewer's list as the web app would read it: (post, score, co-likers, source) in order."""
        uris = dict(self.rows("serving", "SELECT post_id, uri FROM posts"))
        newest: dict[int, tuple[int, bytes]] = {}
        for viewer, generation, items in self.rows(
            "serving", "SELECT viewer_id, generation, items FROM lists"
        ):
            newest[viewer] = max(newest.get(viewer, (0, b"")), (generation, items))
        # A list outlives its viewer's neighbours by a day, but is no part of the newest generation.
        return {
            self.dids[viewer]: unpack(items, uris)
            for viewer, (_, items) in newest.items()
            if self.dids[viewer] in self.neighbours
        }

    @cached_property
    def neighbours(self) -> dict[str, list[tuple[str, float]]]:
        """Each viewer's neighbours with their weights, closest first."""
        found: dict[str, list[tuple[str, float]]] = {}
        for row in pq.read_table(self.data_dir / "lake" / "neighbours.parquet").to_pylist():
            pair = self.dids[row["neighbour_id"]], row["weight"]
            found.setdefault(self.dids[row["viewer_id"]], []).append(pair)
        return found


def unpack(items: bytes, uris: dict[int, str]) -> list[tuple[str, float, int, int]]:
    """Read a list's bytes as sql/serving/0001_serving.sql describes them."""
    size = len(items) // 11
    posts = struct.unpack_from(f"<{size}I", items)
    scores = struct.unpack_from(f"<{size}f", items, 4 * size)
    co_likers = struct.unpack_from(f"<{size}H", items, 8 * size)
    sources = struct.unpack_from(f"<{size}B", items, 10 * size)
    return [(uris[post], *rest) for post, *rest in zip(posts, scores, co_likers, sources, strict=True)]


def build(data_dir: Path, users: int = 260, days: float = 6.0, seed: int = 5) -> Store:
    """Make the store: stream, batch, what viewers did, a second batch."""
    world = World(WorldParameters(users=users, days=days, seed=seed, end_us=END_US, keep_hours=1000))
    settings = settings_for(data_dir, RANKING)
    data_dir.mkdir(parents=True, exist_ok=True)
    store = Store(data_dir, world, settings)
    landing = Landing(data_dir)
    for lines in batches(world.lines(), 20_000):
        batch = EventBatch()
        for line in lines:
            jetstream.decode(line, batch)
        landing.append(batch, HOST, jetstream.WIRE)
    store.now_us = landing.watermark_us
    landing.close()
    jobs.run(settings, "all")
    act(store, random.Random(seed))
    jobs.run(settings, "all")
    after_batch.run(settings)
    return store


def act(store: Store, chance: random.Random) -> None:
    """Let viewers see and answer posts, some of which they liked next; note two gaps."""
    viewers = sorted({like.liker for like in store.likes})[:40]
    liked = {viewer: [like for like in store.likes if like.liker == viewer] for viewer in viewers}
    known = sorted({like.post for like in store.likes})
    for viewer in viewers:
        for position in range(1, chance.randint(5, 40)):
            served_us = store.now_us - chance.randrange(int(5 * 24 * HOUR_US))
            post = chance.choice(known)
            if chance.random() < 0.4:
                like = chance.choice(liked[viewer])
                post, served_us = like.post, like.seen_us - chance.randrange(30 * HOUR_US) + HOUR_US
            source, variant = chance.choice([1, 1, 1, 2]), "ab"[hash_of(viewer) % 2]
            shown = Impression(viewer, post, "for-you", 1, position, source, served_us, variant)
            store.impressions.append(shown)
            if chance.random() < 0.3:
                store.impressions.append(
                    replace(shown, served_us=served_us + 60_000_000, position=position + 1)
                )
            for event, share in (("requestLess", 0.1), ("requestMore", 0.05), ("interactionSeen", 0.5)):
                if chance.random() < share:
                    store.interactions.append((viewer, post, event, served_us + 5_000_000))
    store.interactions = list({row[:3]: row for row in store.interactions}.values())
    write_impressions(store)
    with closing(connect(store.data_dir / "activity.sqlite")) as activity:
        migrate(activity, "activity")
        activity.executemany(
            "INSERT INTO interactions VALUES (?, ?, ?, 'for-you', '', '', ?)", store.interactions
        )
        visits = [(viewer, "for-you", "en", 3, store.now_us - HOUR_US, store.now_us) for viewer in viewers]
        activity.executemany("INSERT INTO visits VALUES (?, ?, ?, ?, ?, ?)", visits)
    day_us = store.now_us // DAY_US * DAY_US
    store.gaps = [
        (day_us - 30 * HOUR_US, day_us - 20 * HOUR_US, HOST, jetstream.WIRE),
        (day_us - 9 * HOUR_US, day_us - 7 * HOUR_US, HOST, jetstream.WIRE),
    ]
    with closing(connect(store.data_dir / "landing.sqlite")) as landing:
        insert = "INSERT INTO gaps (from_us, to_us, host, wire, noted_us) VALUES (?, ?, ?, ?, 0)"
        landing.executemany(insert, store.gaps)


def write_impressions(store: Store) -> None:
    """Write the impressions: closed days into the lake, the newest day as pages of one post in activity.sqlite."""
    by_day: dict[int, list[Impression]] = {}
    for shown in store.impressions:
        by_day.setdefault(day_of(shown.served_us), []).append(shown)
    pages = [
        (x.viewer, x.feed, x.generation, x.position, "[" + json.dumps(x.post[5:].replace(POST, "/")) + "]",
         str(x.source), x.variant, x.served_us)
        for x in by_day.pop(max(by_day))
    ]  # fmt: skip
    with closing(connect(store.data_dir / "activity.sqlite")) as activity:
        migrate(activity, "activity")
        activity.executemany(
            "INSERT INTO impression_pages (viewer_did, feed_rkey, generation, start, posts, sources, variant, "
            "served_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            pages,
        )
    for day, rows in by_day.items():
        path = store.data_dir / "lake" / "impressions" / f"day={day_name(day)}" / "impressions.parquet"
        path.parent.mkdir(parents=True)
        columns = (
            "viewer_did",
            "post_uri",
            "feed_rkey",
            "generation",
            "position",
            "source",
            "served_us",
            "variant",
        )
        table = pa.table({name: [astuple(row)[i] for row in rows] for i, name in enumerate(columns)})
        pq.write_table(table, path)


def hash_of(text: str) -> int:
    """Return a number that is the same in every process."""
    return zlib.crc32(text.encode())


def batches(lines: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Cut a stream into lists."""
    part: list[bytes] = []
    for line in lines:
        part.append(line)
        if len(part) == size:
            yield part
            part = []
    yield part
