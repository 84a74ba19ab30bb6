"""Running ``foryou backfill`` on an archive of the tests, and reading what it made."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from archive_server import ArchiveServer, Event
from histories import History, Record, did

from pipeline.demo.stored_likes import like_records
from pipeline.identifiers import tid_from_int
from pipeline.ingest.operations import add_account, add_like
from pipeline.store.events import EventBatch, Gap
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US, NAMED_DAY, day_of, day_of_key
from sql.sqlite import connect

TODAY = day_of(time.time_ns() // 1000)
LASTS_SECONDS = 120.0


@pytest.fixture(scope="module", autouse=True)
def whole_today(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let TODAY be the day on which a file's tests run, not that of its import; none begin just before midnight."""
    while day_of(int((time.time() + LASTS_SECONDS) * 1e6)) != day_of(time.time_ns() // 1000):
        time.sleep(1)
    with pytest.MonkeyPatch.context() as patch:
        for module in (sys.modules[__name__], request.module):
            patch.setattr(module, "TODAY", day_of(time.time_ns() // 1000))
        yield


def readers_see(data_dir: Path, first_day: int = 0) -> set[Record]:
    """Return every like that readers see, of keys that name a day from one on, or none."""
    likes, _ = like_records(data_dir)
    assert len(likes) == len(set(likes)), "a record twice"
    found = {(like.liker, like.rkey, like.author, like.post_rkey) for like in likes}
    return {
        record for record in found if day_of_key(record[1]) == NAMED_DAY or day_of_key(record[1]) >= first_day
    }


def holds(data_dir: Path, history: History, first_day: int, since_us: int | None = None) -> bool:
    """Tell whether readers see all that was told of since a time, and nothing that is not true."""
    found = readers_see(data_dir, first_day)
    since_us = first_day * DAY_US if since_us is None else since_us
    return history.exist(first_day, since_us) <= found <= history.exist()


def backfill(
    data_dir: Path, server: ArchiveServer, *arguments: str, key: str = "secret-key"
) -> subprocess.CompletedProcess[str]:
    settings = {"archive_key": key} if key else {}
    config = data_dir.parent / "foryou.toml"
    if config.exists():
        settings["config"] = str(config)
    env = commands.environment(data_dir, **settings)
    return commands.run("backfill", "--archive", server.url, *arguments, env=env)


def events_of(history: History) -> list[Event]:
    """Return a history's events, and one of today, by which yesterday is known to be whole."""
    last = history.events[-1].seq + 1
    return [*history.events, Event(last, TODAY * DAY_US + 600_000_000, 4, did("b"))]


def stream(data_dir: Path, history: History, *stretches: tuple[int, int], low_us: int = 0) -> None:
    """Let a stream bring what the history has in these stretches, and note what it missed between them as gaps."""
    landing = Landing(data_dir)
    for number, (from_us, to_us) in enumerate(stretches):
        batch = EventBatch()
        for word in history.told:
            if from_us <= word.seen_us < to_us:
                if word.operation in ("deleted", "deactivated"):
                    add_account(word.liker, word.seen_us, False, word.operation, batch)
                else:
                    add_like(
                        word.liker, word.seen_us, tid_from_int(word.rev), word.rkey, word.operation, word.subject,
                        batch,
                    )  # fmt: skip
        batch.reach(from_us, to_us, [from_us, to_us])
        if number:
            batch.gap = Gap(stretches[number - 1][1], from_us)
        batch.low_us = max(low_us, to_us)
        landing.append(batch, "stream.example", "jetstream-v1")
    landing.close()


def partial_days(data_dir: Path) -> list[str]:
    """Return the lines of ``foryou status`` that call a day partial."""
    env = commands.environment(data_dir)
    shown = commands.run("status", env=env)
    return [line for line in shown.stdout.splitlines() if "partial" in line and not line.startswith("data")]


def gaps_left(data_dir: Path) -> int:
    """Return how many gaps are still missing."""
    store = connect(data_dir / "landing.sqlite", read_only=True)
    (number,) = store.execute("SELECT count(*) FROM gaps WHERE healed_us = 0").fetchone()
    store.close()
    return int(number)
