"""A store of any size for benchmarks: a lake of closed days, one open day, posts and actors.

Owns: ``make_store``. Leaves to others: measuring (``bench_million``).

How often people like is log-normal: with sigma 2.2 the median and P99 of eight days are those of the calibration. How
often posts are liked is a power law of exponent 2.15. The time from post to like is log-normal with a median of 5.6
minutes. Three likes in four go to one of the liker's communities. Every day has its own posts; a like that comes on a
later day is in that day's file.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import sql
from pipeline.lake import day_files
from pipeline.store.model import DAY_US, HOUR_US, POST_DAYS
from sql import places
from sql.sqlite import connect, migrate

Ints = NDArray[np.int64]

NOW_US = 1_780_000_000_000_000 // DAY_US * DAY_US + 20 * HOUR_US
LIKES_A_POST = 9.0  # liked posts only: 20 million likes a day on 2.2 million posts
CHUNK = 4_000_000
AFTER_ALL_DIDS = "did:plc:aaaaaaab"  # any store's people come before it; nearly all other accounts after it
_TO_LETTERS = str.maketrans("01234567", "abcdefgh")
_TO_DIGITS = str.maketrans("abcdefgh", "01234567")


@dataclass(frozen=True)
class People:
    """Actors by number less one: how likely each is the next liker, and their two communities."""

    heap: NDArray[np.float64]
    home: NDArray[np.int32]
    second: NDArray[np.int32]
    clock: NDArray[np.int16]


def did_of(actor: int) -> str:
    """Return the DID of a person by number from 1: one that PLC could have given."""
    return "did:plc:" + f"{actor:024o}".translate(_TO_LETTERS)


def actor_of(did: str) -> int:
    """Return the person's number again."""
    return int(did[8:].translate(_TO_DIGITS), 8)


def make_store(
    data_dir: Path, *, actors: int, likes: int, days: int, seed: int = 1, now_us: int = NOW_US
) -> None:
    """Fill an empty data directory up to a time; its day, the last one, is open and lies in landing.sqlite."""
    people = people_of(np.random.default_rng(seed), actors)
    landing = connect(data_dir / "landing.sqlite")
    migrate(landing, "landing")
    landing.execute("BEGIN")
    landing.executemany(
        "INSERT INTO actors (actor_id, did) VALUES (?, ?)",
        ((number, did_of(number)) for number in range(1, actors + 1)),
    )
    landing.execute("COMMIT")
    today = now_us // DAY_US
    waiting: list[NDArray[np.int64]] = []
    began = time.perf_counter()
    for day, posts, drawn in _drawn_days(people, range(today - days + 1, today + 1), int(likes / days), seed):
        rows = np.concatenate([*waiting, drawn], axis=1)
        then = rows[3] // DAY_US
        waiting = [rows[:, then > day]]
        rows = rows[:, (then == day) & (rows[3] < now_us)]
        if day < today:
            write_closed_day(data_dir, day, rows)
        else:
            _write_open_day(landing, day, rows)
        if day >= today - POST_DAYS:
            _write_posts(landing, np.random.default_rng([seed, day, 1]), posts[:, posts[2] < now_us])
        print(f"day {day}: {rows.shape[1]:,} likes, {time.perf_counter() - began:.1f} s", file=sys.stderr)
        began = time.perf_counter()
    landing.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", (now_us,))
    landing.close()


def _drawn_days(people: People, days: range, likes: int, seed: int) -> Iterator[tuple[int, Ints, Ints]]:
    """Yield (day, posts, likes of those posts); the next day is drawn while the caller writes this one."""

    def draw(day: int) -> tuple[int, Ints, Ints]:
        rng = np.random.default_rng([seed, day])
        posts, heap = _posts(rng, people, day, int(likes / LIKES_A_POST))
        return day, posts, _likes(rng, people, posts, heap, likes)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(draw, days[0])
        for day in days:
            drawn = ahead.result()
            if day + 1 in days:
                ahead = pool.submit(draw, day + 1)
            yield drawn


def people_of(rng: np.random.Generator, actors: int) -> People:
    """Return the first thing that the generator of a store draws: so a seed and a number give the same people again."""
    weight = np.minimum(rng.lognormal(0.0, 2.2, actors), np.exp(2.2 * 4.1))
    communities = max(8, actors // 400)
    size = rng.pareto(1.2, communities) + 0.3
    heap = np.cumsum(size)
    home, second = (np.searchsorted(heap, rng.random(actors) * heap[-1]).astype(np.int32) for _ in range(2))
    return People(np.cumsum(weight), home, second, rng.integers(0, 32, actors).astype(np.int16))


def _draw(rng: np.random.Generator, heap: NDArray[np.float64], count: int) -> Ints:
    # Sorted numbers are looked up four times as fast.
    found = np.searchsorted(heap, np.sort(rng.random(count)) * heap[-1])
    return rng.permutation(found)


def _posts(rng: np.random.Generator, people: People, day: int, count: int) -> tuple[Ints, Ints]:
    """Return (author_id, rkey, created_us, community) by post, sorted by community, and likes by appeal."""
    author = _draw(rng, people.heap, count)
    created = day * DAY_US + rng.integers(0, DAY_US, count)
    order = np.argsort(people.home[author], kind="stable")
    author, created = author[order], created[order]
    rkey = (created << 10) | rng.integers(0, 32, count)
    appeal = np.cumsum(np.minimum(rng.pareto(1.15, count), 3e4) + 0.05)
    return np.stack([author + 1, rkey, created, people.home[author].astype(np.int64)]), appeal


def _likes(rng: np.random.Generator, people: People, posts: Ints, heap: Ints, count: int) -> Ints:
    """Return (liker_id, author_id, post_rkey, seen_us, rkey) of likes of a day's posts."""
    communities = int(people.home.max()) + 1
    edges = np.searchsorted(posts[3], np.arange(communities + 1))
    low = np.where(edges[:-1] > 0, heap[np.maximum(edges[:-1], 1) - 1], 0.0)
    high = np.where(edges[1:] > 0, heap[np.maximum(edges[1:], 1) - 1], 0.0)
    parts = []
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        liker = _draw(rng, people.heap, size)
        luck = rng.random(size)
        where = np.where(luck < 0.5, people.home[liker], people.second[liker])
        where = np.where((luck > 0.75) | (edges[where] == edges[where + 1]), -1, where)
        point = np.where(
            where < 0,
            rng.random(size) * heap[-1],
            low[where] + rng.random(size) * (high[where] - low[where]),
        )
        order = np.argsort(point)
        post = np.minimum(np.searchsorted(heap, point[order]), posts.shape[1] - 1)
        liker = liker[order]
        seen = posts[2][post] + np.exp(rng.normal(np.log(336e6), 2.3, size)).astype(np.int64)
        lag = rng.gamma(2.0, 120_000, size).astype(np.int64)
        rkey = ((seen - lag) << 10) | people.clock[liker]
        rows = np.stack([liker + 1, posts[0][post], posts[1][post], seen, rkey])
        parts.append(rows[:, rows[0] != rows[1]])
    return np.concatenate(parts, axis=1)


def write_closed_day(data_dir: Path, day: int, rows: Ints) -> None:
    """Write (liker_id, author_id, post_rkey, seen_us, rkey) as a day of the lake, as compaction does."""
    connection = duckdb.connect()
    try:
        names = ["liker_id", "author_id", "post_rkey", "seen_us", "rkey"]
        connection.register("day_likes", pa.table(list(rows), names=names))
        columns = "liker_id::INTEGER AS liker_id, author_id::INTEGER AS author_id, post_rkey, seen_us, rkey"
        connection.execute(f"CREATE TABLE day AS SELECT {columns} FROM day_likes")
        stored = connection.execute(sql.load("lake/stored_rows")).to_arrow_table()
    finally:
        connection.close()
    changes = day_files.draft_changes(data_dir, day, day_files.CHANGES.empty_table())
    day_files.commit(changes, places.changes_file(data_dir, day, 1))
    day_files.commit(day_files.draft_likes(data_dir, day, stored), places.likes(data_dir, day))


def _write_open_day(landing: object, day: int, rows: Ints) -> None:
    rows = rows[:, np.argsort(rows[4], kind="stable")]
    landing.execute("BEGIN")  # type: ignore[attr-defined]
    for first in range(0, rows.shape[1], CHUNK):
        liker, author, post, seen, rkey = (column.tolist() for column in rows[:, first : first + CHUNK])
        landing.executemany(  # type: ignore[attr-defined]
            "INSERT OR IGNORE INTO like_words VALUES (?, ?, ?, ?, ?, ?, 0, 2)",
            zip(rkey, liker, rkey, author, post, seen, strict=True),
        )
    landing.execute("UPDATE last_commit SET commit_no = 2")  # type: ignore[attr-defined]
    landing.execute("COMMIT")  # type: ignore[attr-defined]


def _write_posts(landing: object, rng: np.random.Generator, posts: Ints) -> None:
    order = np.argsort(posts[1], kind="stable")
    author, rkey, created, community = posts[:, order]
    flags = (rng.random(len(author)) < 0.4).astype(int).tolist()
    languages = np.array(["en", "pt", "ja", "de"])[community % 4].tolist()
    landing.execute("BEGIN")  # type: ignore[attr-defined]
    landing.executemany(  # type: ignore[attr-defined]
        "INSERT OR IGNORE INTO posts (rkey, author_id, created_us, seen_us, rev, flags, langs) "
        "VALUES (?, ?, ?, ?, 1, ?, ?)",
        zip(
            rkey.tolist(), author.tolist(), created.tolist(), (created + 300_000).tolist(), flags, languages,
            strict=True,
        ),
    )  # fmt: skip
    landing.execute("COMMIT")  # type: ignore[attr-defined]


def main() -> None:
    """Make a store and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir", type=Path)
    parser.add_argument("--actors", type=int, default=4_000_000)
    parser.add_argument("--likes", type=int, default=100_000_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--until-now", action="store_true", help="the store ends now, for a live stream to go on"
    )
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    now_us = time.time_ns() // 1000 if options.until_now else NOW_US
    make_store(
        options.dir,
        actors=options.actors,
        likes=options.likes,
        days=options.days,
        seed=options.seed,
        now_us=now_us,
    )


if __name__ == "__main__":
    main()
