"""Landing and lake together against a plain-Python model of which likes exist, over days and restarts."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_landing import AUTHORS, LIKERS, START, AccountChange, Event, Like, Unlike, batch_of, model

from pipeline.batch.compact import compact
from pipeline.contents import like_records
from pipeline.identifiers import tid_at
from pipeline.ranking import Ranking
from pipeline.store.landing import Landing
from pipeline.store.model import HOUR_US, AccountStatus
from pipeline.store.retention import Retention

RANKING = Ranking()
MINUTE_US = HOUR_US // 60


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Some days of a stream; a key is used again only after it was undone, accounts go and come back."""
    events: list[Event] = []
    alive: dict[tuple[str, int], None] = {}
    gone: set[str] = set()
    now = START + 20 * HOUR_US
    for _ in range(draw(st.integers(3, 40))):
        now += draw(st.sampled_from([1_000, MINUTE_US, 2 * HOUR_US, 9 * HOUR_US, 30 * HOUR_US]))
        liker = draw(st.sampled_from(LIKERS))
        kind = draw(st.sampled_from(["like", "like", "like", "unlike", "unlike", "account"]))
        if kind == "unlike" and alive:
            key = draw(st.sampled_from(list(alive)))
            events.append(Unlike(*key, now))
            del alive[key]
        elif kind == "like" and liker not in gone:
            key = (
                liker,
                draw(st.sampled_from([tid_at(now), tid_at(now), -7, 5, tid_at(now + 40 * HOUR_US)])),
            )
            if key not in alive:
                events.append(Like(*key, draw(st.sampled_from(AUTHORS)), draw(st.integers(0, 2)), now))
                alive[key] = None
        elif kind == "account":
            now += 10 * MINUTE_US  # longer than hosts' clocks differ
            back = liker in gone
            status = AccountStatus.ACTIVE if back else AccountStatus.DELETED
            events.append(AccountChange(liker, status, now))
            gone ^= {liker}
            alive = {key: None for key in alive if key[0] != liker}
            now += 10 * MINUTE_US
    return events


def look_through(data_dir: Path) -> None:
    """Compact, after a day in which no file of the lake was looked through."""
    for file in (data_dir / "lake" / "likes").glob("*/likes.parquet"):
        os.utime(file, (1, 1))
    list(compact(data_dir, RANKING, 1))


@settings(max_examples=60, deadline=None)
@given(history=histories(), seed=st.integers(0, 2**32))
def test_whatever_moves_when_readers_see_what_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, history: list[Event], seed: int
) -> None:
    data_dir = tmp_path_factory.mktemp("stores")
    choose = random.Random(seed)
    landing = Landing(data_dir)
    position = reached = 0
    while position < len(history):
        what = choose.random()
        if what < 0.25:  # the process was restarted, and resumes from an earlier cursor
            landing.close()
            landing = Landing(data_dir)
            position = choose.randint(0, position)
        elif what < 0.5 and position:
            look_through(data_dir)
        elif what < 0.7:
            retention = Retention(landing, data_dir, 90, slice_rows=1)
            for _ in range(choose.randint(1, 90)):
                retention.step()
        size = choose.randint(1, 6)
        landing.append(batch_of(history[position : position + size]), "one.example", "jetstream-v1")
        position = min(position + size, len(history))
        reached = max(reached, position)
        records, _ = like_records(data_dir)
        assert sorted(records) == sorted(like[:4] for like in model(history[:reached]))
    landing.close()


def test_an_unlike_between_compaction_and_purge_reaches_the_lake(tmp_path: Path) -> None:
    """Landing still has its copy of the like then; deleting that one is not enough."""
    key = (LIKERS[0], tid_at(START + HOUR_US))
    landing = Landing(tmp_path)
    landing.append(batch_of([Like(*key, AUTHORS[0], 1, START + HOUR_US)]), "one.example", "jetstream-v1")
    later = START + 30 * HOUR_US
    landing.append(
        batch_of([Like(LIKERS[1], tid_at(later), AUTHORS[0], 1, later)]), "one.example", "jetstream-v1"
    )
    list(compact(tmp_path, RANKING, 1))
    landing.append(batch_of([Unlike(*key, later + 1)]), "one.example", "jetstream-v1")
    landing.close()
    records, _ = like_records(tmp_path)
    assert [record.liker for record in records] == [LIKERS[1]]


def test_an_unlike_of_a_closed_day_outlives_its_tombstone_here(tmp_path: Path) -> None:
    """It goes to the lake with its own day, and only then leaves landing."""
    landing = Landing(tmp_path)
    key = (LIKERS[0], tid_at(START + HOUR_US))
    events: list[Event] = [Like(*key, AUTHORS[0], 1, START + HOUR_US)]
    for day in range(1, 9):
        now = START + day * 24 * HOUR_US + HOUR_US
        events.append(Like(LIKERS[1], tid_at(now), AUTHORS[0], day, now))
        if day == 2:
            events.append(Unlike(*key, now + 1))
    for event in events:
        landing.append(batch_of([event]), "one.example", "jetstream-v1")
        look_through(tmp_path)
        retention = Retention(landing, tmp_path, 90)
        for _ in range(20):
            retention.step()
    assert landing.connection.execute("SELECT count(*) FROM unlikes WHERE met <> 1").fetchone() == (0,)
    landing.close()
    records, _ = like_records(tmp_path)
    assert {record.liker for record in records} == {LIKERS[1]}
