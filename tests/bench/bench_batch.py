"""How long does each step of the batch take, and how many bytes does a like take in the lake?

    python tests/bench/bench_batch.py [--users 10000] [--likes 2000000] [--days 14] [--seed 1] [--dir DIR]

Users and posts have heavy-tailed activity in communities; likes follow their post with the delays of
data/CALIBRATION.md. Prints a table, then one line of JSON.
"""

import json
import platform
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
from bench_tools import parser_of

from pipeline.batch import jobs
from pipeline.settings import load_settings
from pipeline.store.model import DAY_US, HOUR_US
from sql import places
from sql.sqlite import connect, migrate

NOW_US = 1_780_000_000_000_000 // DAY_US * DAY_US + 20 * HOUR_US


def make_landing(data_dir: Path, users: int, likes: int, days: int, seed: int) -> None:
    """Write a landing.sqlite of this size."""
    rng = np.random.default_rng(seed)
    communities = max(4, users // 200)
    home = rng.integers(0, communities, users)
    activity = rng.pareto(0.9, users) + 0.05
    activity = np.minimum(activity, activity.mean() * 40)
    posts = likes // 5
    author = rng.choice(users, posts, p=activity / activity.sum()).astype(np.int64) + 1
    created = NOW_US - rng.integers(0, days * DAY_US, posts)
    post_rkey = (created << 10) | rng.integers(0, 32, posts)
    appeal = rng.pareto(1.1, posts) + 0.02
    by_home = home[author - 1]
    order = np.argsort(by_home, kind="stable")
    edges = np.searchsorted(by_home[order], np.arange(communities + 1))

    draws = int(likes * 1.25)
    liker = rng.choice(users, draws, p=activity / activity.sum())
    community = np.where(rng.random(draws) < 0.75, home[liker], rng.integers(0, communities, draws))
    post = np.empty(draws, np.int64)
    for c in range(communities):
        mine = np.flatnonzero(community == c)
        members = order[edges[c] : edges[c + 1]]
        if len(members):
            heap = np.cumsum(appeal[members])
            post[mine] = members[np.searchsorted(heap, rng.random(len(mine)) * heap[-1])]
        else:
            post[mine] = rng.integers(0, posts, len(mine))
    delay = np.exp(rng.normal(np.log(336e6), 2.3, draws)).astype(np.int64)  # median 5.6 minutes
    seen = created[post] + delay
    liker = liker.astype(np.int64) + 1
    kept = np.flatnonzero((seen < NOW_US) & (author[post] != liker))[:likes]
    liker, post, seen = liker[kept], post[kept], seen[kept]
    clock = rng.integers(0, 32, users + 1)[liker]
    rkey = ((seen - rng.gamma(2.0, 120_000, len(seen)).astype(np.int64)) << 10) | clock

    landing = connect(data_dir / "landing.sqlite")
    migrate(landing, "landing")
    landing.execute("BEGIN IMMEDIATE")
    landing.executemany(
        "INSERT INTO actors (actor_id, did) VALUES (?, ?)",
        ((i, f"did:plc:{i:024d}") for i in range(1, users + 1)),
    )
    languages = np.array(["en", "pt", "ja", "de"])[by_home % 4].tolist()
    landing.executemany(
        "INSERT OR IGNORE INTO posts (author_id, rkey, created_us, seen_us, rev, flags, langs) "
        "VALUES (?, ?, ?, ?, 1, ?, ?)",
        zip(
            author.tolist(),
            post_rkey.tolist(),
            created.tolist(),
            (created + 300_000).tolist(),
            (rng.random(posts) < 0.3).astype(int).tolist(),
            languages,
            strict=True,
        ),
    )
    landing.executemany(
        "INSERT OR IGNORE INTO like_words (liker_id, rkey, rev, author_id, post_rkey, seen_us, marks, commit_no) "
        "VALUES (?, ?, ?, ?, ?, ?, 0, 1)",
        zip(
            liker.tolist(),
            rkey.tolist(),
            rkey.tolist(),
            author[post].tolist(),
            post_rkey[post].tolist(),
            seen.tolist(),
            strict=True,
        ),
    )
    landing.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", (NOW_US,))
    landing.execute("COMMIT")
    landing.close()


def main() -> None:
    """Measure, print."""
    parser = parser_of(__doc__, users=10_000, likes=2_000_000, days=14, seed=1)
    parser.add_argument("--dir", type=Path, help="keep the data here and use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = options.dir or Path(temporary)
        data_dir.mkdir(parents=True, exist_ok=True)
        if not (data_dir / "landing.sqlite").exists():
            make_landing(data_dir, options.users, options.likes, options.days, options.seed)
        settings = load_settings({"data_dir": str(data_dir)}, {}, data_dir)
        jobs.run(settings, "all")
        serving = sqlite3.connect(data_dir / "serving.sqlite")
        rows = serving.execute(
            "SELECT job, step, rows, seconds, peak_mb FROM runs WHERE run_id = (SELECT max(run_id) FROM runs) "
            "ORDER BY started_us"
        ).fetchall()
        stored = [places.likes(data_dir, day).stat().st_size for day in places.closed_days(data_dir)]
        likes = sum(row[2] for row in rows if row[1].startswith("commit 2"))
        for job, step, count, seconds, peak in rows:
            if seconds > 0.005:
                print(f"{job:<11} {step:<18} {count:>10,} rows {seconds:>8.2f} s {peak:>8.0f} MB")
        seconds_of = {job: round(sum(row[3] for row in rows if row[0] == job), 2) for job in jobs.JOBS}
        answer = {
            "bench": "batch",
            "machine": platform.machine(),
            "users": options.users,
            "likes": options.likes,
            "days": options.days,
            "seed": options.seed,
            "seconds": seconds_of,
            "bytes_per_like": round(sum(stored) / likes, 2) if likes else None,
            "peak_mb": round(max(row[4] for row in rows)),
        }
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
