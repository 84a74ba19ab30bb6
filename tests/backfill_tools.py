"""Running ``foryou backfill`` on an archive of the tests, and reading what it made."""

import subprocess
import time
from pathlib import Path

import commands
import duckdb
from archive_server import ArchiveServer, Event
from histories import History, Record, did

import sql
from pipeline.store.model import DAY_US, day_of
from sql import places
from sql.sqlite import connect

TODAY = day_of(time.time_ns() // 1000)


def lake_contents(data_dir: Path) -> set[tuple[int, Record]]:
    """Return (day, record) of every like of the lake that no tombstone undoes, as a reader sees them."""
    store = connect(data_dir / "landing.sqlite", read_only=True)
    dids = dict(store.execute("SELECT actor_id, did FROM actors").fetchall())
    store.close()
    with duckdb.connect(":memory:") as lake:
        lake.execute(sql.load("lake/macros"))
        tombstones = str(data_dir / "lake" / "unlikes" / "*" / "unlikes.parquet")
        lake.execute(
            f"CREATE VIEW unlikes AS SELECT * FROM read_parquet('{tombstones}', hive_partitioning=false)"
        )
        found: list[tuple[int, Record]] = []
        for day in places.closed_days(data_dir):
            rows = lake.execute(
                "SELECT liker_id, rkey, author_id, post_rkey, seen_us "
                f"FROM lake_likes(['{places.likes(data_dir, day)}']) AS l ANTI JOIN unlikes AS u "
                "ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us"
            ).fetchall()
            for liker, rkey, author, post, seen_us in rows:
                assert seen_us // DAY_US == day
                found.append((day, (dids[liker], rkey, dids[author], post)))
    assert len(found) == len(set(found)), "a record twice in a day"
    return set(found)


def backfill(
    data_dir: Path, server: ArchiveServer, *arguments: str, key: str = "secret-key"
) -> subprocess.CompletedProcess[str]:
    settings = {"archive_key": key} if key else {}
    config = data_dir.parent / "foryou.toml"
    if config.exists():
        settings["config"] = str(config)
    env = commands.environment(data_dir, **settings)
    return commands.run("backfill", "--archive", server.url, *arguments, env=env, seconds=120)


def events_of(history: History) -> list[Event]:
    """Return a history's events, and one of today, by which yesterday is known to be whole."""
    last = history.events[-1].seq + 1
    return [*history.events, Event(last, TODAY * DAY_US + 1, 4, did("b"))]
