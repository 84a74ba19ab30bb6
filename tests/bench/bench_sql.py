"""How long does each query of sql/explore take on a large store, and what do the copies under them cost?

    python tests/bench/bench_sql.py [--likes 100000000] [--days 14] [--actors 1000000] [--lists 200000]
        [--seed 1] [--dir DIR] [--only NAME,NAME] [--repeat 3] [--threads 2]

Likes follow the hours at which people wake and sleep. Likers and posts have heavy tails, most likes come within hours
of the post, and one in a hundred is unliked. Neighbours and lists are random; impressions are of lists, and some posts
are liked then. numpy makes this straight into the lake and the copies in a few minutes. Prints a table of seconds and
of processor seconds (which say more on a machine that others use), then one line of JSON.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_tools import parser_of

from pipeline.batch.inputs.neighbour_files import LAYER
from pipeline.explore import queries, session, table_copies
from pipeline.explore.explain_command import explain
from pipeline.lake.day_files import write_likes
from pipeline.ranking import Ranking
from pipeline.store.analyst_snapshot import (
    DAILY_LISTS,
    DAILY_POSTS,
    FEED_LIST_POSTS,
    FEED_LISTS,
    FEED_NEIGHBOURS,
    FEED_REPLACED,
    FEED_VARIANTS,
    FEEDS,
    LIST_CROWDS,
    LIST_POSTS,
    OPEN_CHANGES,
    OPEN_LIKES,
    RANKING,
    SNAPSHOT,
    VARIANTS,
    make_snapshot,
)
from pipeline.store.model import DAY_US, HOUR_US, POST_DAYS
from sql import places

TODAY = 1_790_000_000_000_000 // DAY_US
NOW_US = TODAY * DAY_US + 20 * HOUR_US
LIST_LENGTH = 300
FEED = "for-you"


def did(number: int) -> str:
    return f"did:plc:{number:024d}"


def write(path: Path, columns: dict[str, object], group: int = 122_880) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=group)


class Maker:
    """A store of this size; the methods are the steps."""

    def __init__(self, data_dir: Path, likes: int, days: int, actors: int, lists: int, seed: int) -> None:
        self.data_dir, self.likes, self.days, self.actors, self.lists = data_dir, likes, days, actors, lists
        self.copies: dict[str, Path] = {}
        self.rng = np.random.default_rng(seed)
        per_day = likes // days
        self.posts = per_day // 5
        self.created = np.sort(
            self.rng.integers((TODAY - days) * DAY_US, NOW_US, self.posts * days).astype(np.int64)
        )
        self.author = self.people(len(self.created))
        self.rkey = self.created << 10 | self.rng.integers(0, 1024, len(self.created))

    def copy(self, name: str) -> Path:
        """Return where to write a relation for the snapshot."""
        path = self.data_dir / "making" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.copies[name] = path
        return path

    def people(self, count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Draw actors, some far more often than others."""
        return (self.actors * self.rng.random(count) ** 3).astype(np.int64) + 1

    def make_likes(self) -> None:
        """Write each day, and the open one, with the tombstones of unlikes."""
        unlikes = []
        for day in range(TODAY - self.days + 1, TODAY + 1):
            count = self.likes // self.days
            end = min((day + 1) * DAY_US, NOW_US)
            seen = np.sort(self.rng.integers(day * DAY_US, end, count))
            delay = np.exp(self.rng.normal(np.log(1.5 * HOUR_US), 1.5, count)).astype(np.int64)
            place = np.maximum(np.searchsorted(self.created, seen - delay) - 1, 0)
            step = np.left_shift(1, np.minimum(self.rng.geometric(0.42, count), 16))
            place -= place % step  # some posts stand for many, so popularity has a heavy tail
            liker = self.people(count)
            rkey = (seen - self.rng.integers(50_000, 400_000, count)) << 10 | liker % 1024
            order = np.lexsort((liker, self.rkey[place], self.author[place]))
            place, liker, seen, rkey = place[order], liker[order], seen[order], rkey[order]
            table = pa.table(
                {
                    "author_id": self.author[place].astype(np.int32),
                    "post_rkey": self.rkey[place],
                    "liker_id": liker.astype(np.int32),
                    "since_post_us": seen - (self.rkey[place] >> 10),
                    "lag_us": (rkey >> 10) - seen,
                    "clock": (rkey & 1023).astype(np.int16),
                }
            )
            path = places.likes(self.data_dir, day) if day < TODAY else self.copy(OPEN_LIKES)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_likes(path, table)
            unliked = np.flatnonzero(self.rng.random(count) < 0.01)
            unlikes.append((liker[unliked], rkey[unliked], seen[unliked] + HOUR_US))
            self.last = liker, place, seen
        liker, rkey, seen = (np.concatenate(part) for part in zip(*unlikes, strict=True))
        changes = {"liker_id": liker.astype(np.int32), "rkey": rkey, "rev": seen << 10}
        write(self.copy(OPEN_CHANGES), changes | {"settled": np.zeros(len(rkey), bool)})
        nobody = np.zeros(0, np.int64)
        self.input("statements", {"actor_id": nobody.astype(np.int32), "from_rkey": nobody, "rev": nobody})

    def input(self, name: str, columns: dict[str, object]) -> None:
        write(self.copy(f"inputs/{name}"), columns)

    def make_names(self) -> None:
        """Write actors, a hundredth of them not active, and the posts that are stored, some deleted."""
        numbers = np.arange(1, self.actors + 1)
        status = np.where(self.rng.random(self.actors) < 0.01, 1, 0).astype(np.int32)
        dids = [did(number) for number in numbers.tolist()]
        self.input(
            "actors",
            {
                "actor_id": numbers.astype(np.int32),
                "did": dids,
                "status": status,
                "deleted_us": np.zeros(self.actors, np.int64),
            },
        )
        recent = np.flatnonzero(self.created > NOW_US - POST_DAYS * DAY_US)
        count = len(recent)
        deleted = self.rng.random(count) < 0.02
        langs = np.array(["en", "pt", "ja", "de", "en,pt", ""])[self.rng.integers(0, 6, count)]
        self.input(
            "posts",
            {
                "author_id": self.author[recent].astype(np.int32), "rkey": self.rkey[recent],
                "created_us": self.created[recent], "seen_us": self.created[recent] + 300_000,
                "deleted": deleted, "flags": (self.rng.random(count) < 0.3).astype(np.int32),
                "langs": langs,
            },
        )  # fmt: skip
        self.input("visits", {name: pa.array([], pa.string() if name != "last_us" else pa.int64())
                              for name in ("viewer_did", "languages", "last_us")})  # fmt: skip
        self.input(
            "own_settings", {"viewer_did": pa.array([], pa.string()), "is_paused": pa.array([], pa.bool_())}
        )
        self.input(
            "interactions", {name: pa.array([], pa.string()) for name in ("viewer_did", "post_uri", "event")}
        )

    def make_lists(self) -> None:
        """Write neighbours and lists a block of viewers at a time, and the posts they name."""
        recent = np.flatnonzero(self.created > NOW_US - 2 * DAY_US)
        order = np.lexsort((self.author[recent], -self.rkey[recent]))
        recent = recent[order]
        write(
            self.copy(LIST_POSTS),
            {
                "post_no": np.arange(len(recent), dtype=np.int32),
                "author_id": self.author[recent].astype(np.int32), "rkey": self.rkey[recent],
                "created_us": self.created[recent], "likers": self.rng.integers(1, 500, len(recent)),
                "generation": np.ones(len(recent), np.int32),
            },
        )  # fmt: skip
        popular = np.sort(self.rng.choice(recent, min(2_000, len(recent)), replace=False))
        write(
            self.copy(LIST_CROWDS),
            {
                "language": [""] * len(popular), "author_id": self.author[popular].astype(np.int32),
                "rkey": self.rkey[popular], "share": self.rng.pareto(1.2, len(popular)) / 1e4,
                "generation": np.ones(len(popular), np.int32),
            },
        )  # fmt: skip
        viewers = np.sort(self.rng.choice(self.actors, self.lists, replace=False)) + 1
        places.neighbours(self.data_dir).parent.mkdir(parents=True, exist_ok=True)
        near = far = None
        for first in range(0, self.lists, 20_000):
            block = viewers[first : first + 20_000]
            size = len(block) * 100
            columns = {
                "viewer_id": np.repeat(block, 100).astype(np.int32), "neighbour_id": self.people(size).astype(np.int32),
                "weight": np.tile(np.linspace(1, 0.01, 100), len(block)).astype(np.float32),
                "rank": np.tile(np.arange(1, 101), len(block)).astype(np.int32),
                "snapshot_us": np.full(size, NOW_US), "left_out": np.ones(size, np.float32),
            }  # fmt: skip
            table = pa.table(columns)
            near = near or pq.ParquetWriter(
                places.neighbours(self.data_dir), table.schema, compression="zstd"
            )
            near.write_table(table)
            size = len(block) * LIST_LENGTH
            columns = {
                "viewer_id": np.repeat(block, LIST_LENGTH).astype(np.int32),
                "position": np.tile(np.arange(1, LIST_LENGTH + 1), len(block)).astype(np.int32),
                "post_no": (len(recent) * self.rng.random(size) ** 3).astype(np.int32),
                "score": self.rng.random(size).astype(np.float32),
                "co_likers": self.rng.integers(1, 40, size).astype(np.int32),
                "source": np.ones(size, np.uint8),
            }  # fmt: skip
            table = pa.table(columns)
            path = self.copy(f"{FEED_LISTS}/feed={FEED}/0000000001-00000")
            far = far or pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
            far.write_table(table, row_group_size=len(table))
        assert near is not None and far is not None
        near.close()
        far.close()
        first_page = pq.read_table(path, filters=[("position", "<=", 30)])
        first_page = first_page.append_column("generation", pa.array(np.ones(len(first_page), np.int32)))
        yesterday = f"feed={FEED}/day={places.day_name(TODAY - 1)}"
        pq.write_table(first_page, self.copy(f"{DAILY_LISTS}/{yesterday}"), compression="zstd")
        for name, relation in (
            (LIST_POSTS, f"{FEED_LIST_POSTS}/feed={FEED}/lists"),
            (LIST_POSTS, f"{DAILY_POSTS}/{yesterday}"),
        ):
            os.link(self.copies[name], self.copy(relation))
        self.viewers = viewers

    def make_impressions(self, count: int) -> None:
        """Write what was served in the last days; a fifth of it was liked soon after."""
        liker, place, seen = self.last
        digits = "234567abcdefghijklmnopqrstuvwxyz"
        pick = self.rng.integers(0, len(liker), count)
        post = np.where(
            self.rng.random(count) < 0.2, place[pick], self.rng.choice(np.unique(place[pick]), count)
        )
        served = seen[pick] - self.rng.integers(0, 2 * DAY_US, count)
        names = {
            int(p): f"at://{did(int(self.author[p]))}/app.bsky.feed.post/"
            + "".join(digits[int(self.rkey[p]) >> shift & 31] for shift in range(60, -1, -5))
            for p in np.unique(post)
        }
        self.post = names[int(np.bincount(post).argmax())]
        columns: dict[str, object] = {
            "viewer_did": [did(number) for number in liker[pick].tolist()],
            "post_uri": [names[p] for p in post.tolist()], "feed_rkey": [FEED] * count,
            "generation": np.ones(count, np.int32), "position": self.rng.integers(1, 61, count).astype(np.int32),
            "source": self.rng.integers(1, 3, count).astype(np.int32), "served_us": served,
            "variant": np.array(["x/a", "x/control"])[liker[pick] % 2],
        }  # fmt: skip
        day = places.day_name(TODAY - 1)
        write(self.data_dir / "lake" / "impressions" / f"day={day}" / "impressions.parquet", columns)

    def make(self) -> dict[str, object]:
        """Do all steps; return a viewer and two posts to ask about."""
        self.make_likes()
        self.make_names()
        self.make_lists()
        self.make_impressions(min(2_000_000, self.likes // 20))
        ranking = Ranking()
        parameters = {name: float(getattr(ranking, name)) for name in ranking.__dataclass_fields__}
        write(
            self.copy(RANKING),
            {"name": list(parameters), "value": list(parameters.values())},
        )
        write(self.copy(SNAPSHOT), {"generation": [1], "snapshot_us": [NOW_US]})
        write(self.copy(FEEDS), {"feed": [FEED], "place": [1]})
        split = {"generation": [1, 1], "experiment": ["x", "x"], "name": ["a", "control"]}
        split |= {"from_share": [0.0, 0.5], "until_share": [0.5, 1.0]}
        write(self.copy(VARIANTS), split | {name: [value] * 2 for name, value in parameters.items()})
        os.link(self.copies[VARIANTS], self.copy(f"{FEED_VARIANTS}/feed={FEED}/lists"))
        os.link(places.neighbours(self.data_dir), self.copy(f"{FEED_NEIGHBOURS}/feed={FEED}/00000-00000"))
        pq.write_table(LAYER.empty_table(), self.copy(f"{FEED_REPLACED}/feed={FEED}/lists"))
        make_snapshot(self.data_dir, self.copies)
        table_copies.export(self.data_dir)
        viewers = [did(int(number)) for number in self.viewers[[10, len(self.viewers) // 2]]]
        return {"viewer": viewers[0], "viewers": viewers, "post": self.post, "other": self.post}


def main() -> None:
    """Measure, print."""
    parser = parser_of(
        __doc__, likes=100_000_000, days=14, actors=1_000_000, lists=200_000, seed=1, repeat=3, threads=2
    )
    parser.add_argument("--dir", type=Path, help="keep the data here and use it again")
    parser.add_argument("--only", default="", help="queries, comma-separated (default all)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = options.dir or Path(temporary)
        note = data_dir / "given.json"
        if not note.exists():
            began = time.perf_counter()
            data_dir.mkdir(parents=True, exist_ok=True)
            maker = Maker(data_dir, options.likes, options.days, options.actors, options.lists, options.seed)
            note.write_text(json.dumps(maker.make()))
            print(f"made in {time.perf_counter() - began:.0f} s", flush=True)
        subjects = json.loads(note.read_text())
        seconds: dict[str, float] = {}
        processor: dict[str, float] = {}
        names = [name for name in options.only.split(",") if name] or queries.names()
        for name in names:
            query = queries.find(name)
            given = {key: subjects[key] for key in query.parameters if query.parameters[key].default is None}
            took, used = [], []
            for _ in range(options.repeat):
                began, cpu = time.perf_counter(), time.process_time()
                with session.open_session(data_dir, options.threads) as connection:
                    rows = len(session.run(connection, data_dir, query, query.values(given)))
                took.append(time.perf_counter() - began)
                used.append(time.process_time() - cpu)
            seconds[name] = round(statistics.median(took), 2)
            processor[name] = round(statistics.median(used), 2)
            print(
                f"{name:<24} {seconds[name]:>8.2f} s {processor[name]:>8.2f} s of a processor {rows:>8,} rows",
                flush=True,
            )
        took = []
        for viewer in subjects["viewers"]:
            began = time.perf_counter()
            explain(data_dir, options.threads, viewer, subjects["post"])
            took.append(time.perf_counter() - began)
        seconds["foryou explain"] = round(statistics.median(took), 2)
        print(f"{'foryou explain':<24} {seconds['foryou explain']:>8.2f} s")
        answer = {
            "bench": "sql", "machine": platform.machine(), "cores": os.cpu_count(), "likes": options.likes,
            "days": options.days, "actors": options.actors, "lists": options.lists, "seed": options.seed,
            "seconds": seconds, "processor_seconds": processor,
        }  # fmt: skip
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
