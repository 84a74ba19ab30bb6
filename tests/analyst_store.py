"""A simulated store with everything analysts ask about, and the same truth as plain Python values.

Owns: making the store once for all processes of a run of tests (a world's stream through the real decoder, landing,
batch and copies) and the record of what is true, taken from the simulator and from the rows written here, never from
our SQL.
"""

import fcntl
import hashlib
import json
import pickle
import random
import shutil
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from batch_tools import settings_for, stored_neighbours
from list_bytes import unpack

from pipeline.batch import jobs
from pipeline.clock import SKEW_US
from pipeline.explore import after_batch
from pipeline.identifiers import parse_post_uri, post_uri, tid_at, tid_time_us
from pipeline.ingest import jetstream
from pipeline.lake import merge
from pipeline.ranking import Ranking
from pipeline.settings import Settings
from pipeline.simulate.ground_truth import GroundTruth, ground_truth
from pipeline.simulate.parameters import WorldParameters
from pipeline.simulate.timeline import World
from pipeline.store import events
from pipeline.store.events import AccountChange, EventBatch
from pipeline.store.fetch_admission import HistoryLike
from pipeline.store.fetched_likes import HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, HOUR_US, AccountStatus, day_of
from sql import places
from sql.sqlite import connect, migrate

END_US = 1_790_000_000_000_000
HOST = "jetstream.example.com"
POST = "/app.bsky.feed.post/"
RANKING = {"list_length": 60, "max_neighbours": 40, "fallback_min_posts": 5}
# Two arms rank by other parameters: each has generations of its own, and numbers the posts of its lists anew.
FEED, SECOND = "for-you", "moving"
FEEDS = {SECOND: {"half_life_hours": 48.0, "list_length": 40}}
EXPERIMENT = {
    "age": {
        "young": {"share": 0.4, "half_life_hours": 12.0, "trial_share": 0.2},
        "short": {"share": 0.2, "list_length": 45, "max_per_author": 2},
    }
}


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
    settings: Settings
    truth: GroundTruth = field(init=False)  # the simulator's own record
    now_us: int = 0
    impressions: list[Impression] = field(default_factory=list)
    interactions: list[tuple[str, str, str, int]] = field(default_factory=list)  # viewer, post, event, at
    answered_in: dict[tuple[str, str, str], str] = field(default_factory=dict)  # the feed of each of these
    gaps: list[tuple[int, int, str, str]] = field(default_factory=list)
    fetched: list[Like] = field(
        default_factory=list
    )  # from repositories, before the stream began for their liker
    departed: dict[str, int] = field(
        default_factory=dict
    )  # accounts that were gone, and are back: up to when
    compacted: dict[int, int] = field(default_factory=dict)  # when each day went to the lake
    undone_keys: dict[Like, int] = field(default_factory=dict)  # when the keys of those were made
    undone: list[Like] = field(default_factory=list)  # likes whose unlike came when their day was in the lake

    # Of each feed, as ``lists``.
    first_lists: dict[str, dict[str, list[tuple[str, float, int, int]]]] = field(default_factory=dict)

    @cached_property
    def live(self) -> list[Like]:
        """Like records that count: none of one's own posts, nor of what is gone. Some repeat a (liker, post)."""
        gone = self.truth.accounts
        return [
            like
            for like in self.records()
            if like.liker not in gone and like.author not in gone and like.author != like.liker
            and like.post not in self.truth.deleted_posts and not self.went(like)
        ]  # fmt: skip

    @cached_property
    def likes(self) -> list[Like]:
        """Live likes up to now: distinct (liker, post), the earliest."""
        return earliest(self.live)

    def went(self, like: Like) -> bool:
        """Tell whether a like, or its post, went with an account that has come back since."""
        parsed = parse_post_uri(like.post)
        assert parsed is not None
        left_us, author_left_us = self.departed.get(like.liker, 0), self.departed.get(like.author, 0)
        return like.seen_us <= left_us or parsed[1] >> 10 <= author_left_us

    def stored(self, like: Like) -> bool:
        """Tell whether a like record is still stored: what a deleted account did goes when its day is compacted."""
        status, hidden_us = self.truth.accounts.get(like.liker, ("active", 0))
        hidden_us = max(hidden_us if status == "deleted" else 0, self.departed.get(like.liker, 0))
        fetched_or_open_us = self.now_us + 1
        return like.seen_us > hidden_us or hidden_us > self.compacted.get(
            day_of(like.seen_us), fetched_or_open_us
        )

    def records(self) -> Iterator[Like]:
        """Like records of posts that were not undone, whatever became of account and post."""
        yield from self.fetched
        undone = set(self.undone)
        for like in self.truth.likes():
            parsed = parse_post_uri(like.subject)
            if parsed is not None:
                author, rkey = parsed
                made = Like(like.did, author, post_uri(author, rkey), like.seen_us)
                if made not in undone:
                    yield made

    def since(self, hours: float, until_hours: float = 0.0) -> list[Like]:
        """Live likes of the last hours, those of the last ``until_hours`` left out: earliest of each in the span."""
        since, until = self.now_us - int(hours * HOUR_US), self.now_us - int(until_hours * HOUR_US)
        return earliest(like for like in self.live if since < like.seen_us <= until)

    def rows(self, store: str, query: str) -> list[tuple[Any, ...]]:
        """Return rows of a SQLite store, read plainly."""
        with closing(sqlite3.connect(self.data_dir / f"{store}.sqlite")) as connection:
            return connection.execute(query).fetchall()

    @cached_property
    def dids(self) -> dict[int, str]:
        """DIDs by actor number."""
        return dict(self.rows("landing", "SELECT actor_id, did FROM actors"))

    @cached_property
    def renewed(self) -> set[str]:
        """Whose lists the last run wrote: where it found the same posts in the same order, older scores stand."""
        return self.renewed_in(FEED)

    def renewed_in(self, feed: str) -> set[str]:
        """The same of a feed."""
        mine = f"feed_id = (SELECT feed_id FROM feeds WHERE rkey = '{feed}')"
        newest = (
            f"SELECT max(generation) FROM (SELECT DISTINCT generation FROM lists WHERE {mine}) "
            "LEFT JOIN variants USING (generation) GROUP BY variant"
        )
        query = f"SELECT viewer_id FROM lists WHERE {mine} AND generation IN ({newest})"
        return {self.dids[row[0]] for row in self.rows("serving", query)}

    @cached_property
    def lists(self) -> dict[str, list[tuple[str, float, int, int]]]:
        """Each viewer's list as the web app would read it: (post, score, co-likers, source) in order."""
        return self.lists_in(FEED)

    @cached_property
    def lists_of_second(self) -> dict[str, list[tuple[str, float, int, int]]]:
        """The same of the second feed."""
        return self.lists_in(SECOND)

    def lists_in(self, feed: str) -> dict[str, list[tuple[str, float, int, int]]]:
        """Return the lists of a feed, read from the web app's store."""
        uris = dict(self.rows("serving", "SELECT post_id, uri FROM posts"))
        newest: dict[int, tuple[int, bytes]] = {}
        for viewer, generation, items in self.rows(
            "serving",
            "SELECT viewer_id, generation, items FROM lists JOIN feeds USING (feed_id) "
            f"WHERE rkey = '{feed}'",
        ):
            newest[viewer] = max(newest.get(viewer, (0, b"")), (generation, items))
        # A list outlives its viewer's neighbours and their likes by a day, but is no part of the newest generation.
        lately = {like.liker for like in self.since(Ranking().candidate_window_hours)}
        return {
            self.dids[viewer]: [(uris[post], *rest) for post, *rest in unpack(items)]
            for viewer, (_, items) in newest.items()
            if any(did in lately for did, _ in self.neighbours.get(self.dids[viewer], []))
        }

    @cached_property
    def neighbours(self) -> dict[str, list[tuple[str, float]]]:
        """Each viewer's neighbours with their weights, closest first."""
        found: dict[str, list[tuple[str, float]]] = {}
        for row in stored_neighbours(self.data_dir).to_pylist():
            pair = self.dids[row["neighbour_id"]], row["weight"]
            found.setdefault(self.dids[row["viewer_id"]], []).append(pair)
        return found


def earliest(likes: Iterable[Like]) -> list[Like]:
    """Return the first like of each (liker, post)."""
    first: dict[tuple[str, str], Like] = {}
    for like in likes:
        key = like.liker, like.post
        if key not in first or like.seen_us < first[key].seen_us:
            first[key] = like
    return list(first.values())


def own_copy(shared: Path, data_dir: Path) -> Store:
    """Return a copy of the store in ``data_dir``; whichever process is first makes the one in ``shared``."""
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = shared / "store.pickle"
        if not made.exists():
            made.write_bytes(pickle.dumps(build(shared / "data")))
    store: Store = pickle.loads(made.read_bytes())
    shutil.copytree(shared / "data", data_dir)
    store.data_dir, store.settings = data_dir, replace(store.settings, data_dir=data_dir)
    return store


@mock.patch.object(merge, "SHARE", 1.0)  # what is undone stays in the files of likes
def build(data_dir: Path, users: int = 260, days: float = 6.0, seed: int = 5) -> Store:
    """Make the store: stream, batch, what viewers did, a second batch."""
    world = World(WorldParameters(users=users, days=days, seed=seed, end_us=END_US, keep_hours=1000))
    settings = replace(settings_for(data_dir, RANKING), experiments=EXPERIMENT, feeds=FEEDS)
    data_dir.mkdir(parents=True, exist_ok=True)
    store = Store(data_dir, settings)
    follow(store, world)
    jobs.run(settings, "all")
    known = set(vars(store))
    first_lists = {FEED: store.lists, SECOND: store.lists_of_second}
    for name in set(vars(store)) - known:  # the next run changes what they say
        delattr(store, name)
    store.first_lists = first_lists
    act(store, random.Random(seed))
    jobs.run(settings, "all")
    after_batch.run(settings)
    return store


def follow(store: Store, world: World) -> None:
    """Take the stream in, some days of it into the lake before the rest comes, so that there are tombstones.

    On the way an account is deleted and comes back, and likes of closed days are fetched from repositories.
    """
    landing = Landing(store.data_dir)
    compacted_day, start_us = 0, 0
    seen: dict[tuple[str, int], Like] = {}
    for lines in batches(world.lines(), 2_000):
        batch = EventBatch()
        jetstream.decode(lines, batch)
        batch.low_us = batch.newest_us
        landing.append(batch, HOST, jetstream.WIRE)
        now_us = landing.watermark_us
        start_us = start_us or now_us
        note_undone(store, batch, seen)
        if day_of(now_us) > compacted_day and now_us % DAY_US > 2 * HOUR_US:
            compacted_day = day_of(now_us)
            jobs.run(store.settings, "compact")
            for day in places.closed_days(store.data_dir):
                store.compacted.setdefault(day, now_us)
            undo(store, landing, seen)
        if not store.departed and now_us > start_us + 2.5 * DAY_US:
            leave(store, world, landing)
    store.now_us = landing.watermark_us
    store.truth = ground_truth(world, store.now_us)
    retention = Retention(landing, store.data_dir, 90)
    for _ in range(60):  # old tombstones are in the lake alone then
        retention.step()
    landing.close()
    history = HistoryStore(store.data_dir)
    for number, liker in enumerate(sorted({like.liker for like in store.likes})[:6]):
        likes = [like for like in store.likes if like.author != liker][number::200][:12]
        for like in likes:
            seen_us = (like.seen_us - number * HOUR_US - 13) // 1024 * 1024
            rkey = parse_post_uri(like.post)
            if day_of(seen_us) < day_of(store.now_us) - 1 and rkey is not None:
                fetched = HistoryLike(tid_at(seen_us, number), like.author, rkey[1], seen_us)
                history.store_viewer(liker, [fetched], store.now_us, "done")
                store.fetched.append(Like(liker, like.author, like.post, seen_us))
    history.close()
    del store.likes, store.live


def note_undone(store: Store, batch: EventBatch, seen: dict[tuple[str, int], Like]) -> None:
    """Keep account of which likes stand, and of unlikes that find their like in the lake."""
    for event in sorted([*batch.likes, *batch.unlikes], key=lambda event: event.seen_us):
        key = event.liker, event.rkey
        if isinstance(event, events.Like):
            seen[key] = Like(
                event.liker, event.author, post_uri(event.author, event.post_rkey), event.seen_us
            )
        elif key in seen:
            like = seen.pop(key)
            if day_of(like.seen_us) in store.compacted:
                store.undone.append(like)
                store.undone_keys[like] = tid_time_us(event.rkey)


def undo(store: Store, landing: Landing, seen: dict[tuple[str, int], Like]) -> None:
    """Undo some likes of the newest closed day: the simulator's people undo theirs before the day is over."""
    newest = max(store.compacted)
    closed = sorted(key for key, like in seen.items() if day_of(like.seen_us) == newest)
    now_us = landing.watermark_us + 1
    batch = EventBatch(newest_us=now_us, low_us=now_us)
    batch.unlikes += [events.Unlike(did, rkey, now_us, tid_at(now_us, 0)) for did, rkey in closed[::20]]
    landing.append(batch, HOST, jetstream.WIRE)
    note_undone(store, batch, seen)


def leave(store: Store, world: World, landing: Landing) -> None:
    """Delete the account that likes most, and bring it back a minute later."""
    now_us = landing.watermark_us
    likes = Counter(like.did for like in ground_truth(world, now_us).likes())
    (did, _), *_ = likes.most_common(1)
    batch = EventBatch(newest_us=now_us + 1, low_us=now_us + 1)
    batch.accounts.append(AccountChange(did, AccountStatus.DELETED, now_us))
    batch.accounts.append(AccountChange(did, AccountStatus.ACTIVE, now_us + 1))
    landing.append(batch, HOST, jetstream.WIRE)
    store.departed[did] = now_us + SKEW_US


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
            source, feed = chance.choice([1, 1, 1, 2]), chance.choice([FEED, FEED, SECOND])
            variant = variant_of(viewer) if feed == FEED else ""
            shown = Impression(viewer, post, feed, 1, position, source, served_us, variant)
            store.impressions.append(shown)
            if chance.random() < 0.1:  # both feeds served it
                other = replace(shown, feed=SECOND, variant="", served_us=served_us + 90_000_000)
                store.impressions.append(other)
            if chance.random() < 0.3:
                store.impressions.append(
                    replace(shown, served_us=served_us + 60_000_000, position=position + 1)
                )
            for event, share in (("requestLess", 0.1), ("requestMore", 0.05), ("interactionSeen", 0.5)):
                if chance.random() < share:
                    store.interactions.append((viewer, post, event, served_us + 5_000_000))
                    store.answered_in[viewer, post, event] = feed
    store.interactions = list({row[:3]: row for row in store.interactions}.values())
    write_impressions(store)
    with closing(connect(store.data_dir / "activity.sqlite")) as activity:
        migrate(activity, "activity")
        activity.executemany(
            "INSERT INTO interactions VALUES (?, ?, ?, ?, '', '', ?)",
            [(*row[:3], store.answered_in[row[:3]], row[3]) for row in store.interactions],
        )
        visits = [(viewer, FEED, "en", 3, store.now_us - HOUR_US, store.now_us) for viewer in viewers]
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
        path = store.data_dir / "lake" / "impressions" / f"day={places.day_name(day)}" / "impressions.parquet"
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


def variant_of(viewer: str) -> str:
    """Return what impressions say of a viewer's lists: the experiment and the arm, by the documented number."""
    number = int(hashlib.sha256(f"age {viewer}".encode()).hexdigest()[:8], 16) / 2**32
    return "age/young" if number < 0.4 else "age/short" if number < 0.6 else "age/control"


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
