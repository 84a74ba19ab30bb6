"""Landing and lake together against a plain-Python model of which likes exist, over days and restarts."""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_landing import AUTHORS, LIKERS, START, Event, Like, Unlike, batch_of

from pipeline.demo.stored_likes import like_records
from pipeline.identifiers import rkey_to_int, tid_at, tid_from_int
from pipeline.ingest.operations import add_account, add_like
from pipeline.lake.compact import compact
from pipeline.ranking import Ranking
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import HOUR_US

EXAMPLES = int(os.environ.get("FORYOU_TEST_HISTORIES", "25"))
RANKING = Ranking()
MINUTE_US = HOUR_US // 60


@dataclass(frozen=True)
class Told:
    """A word of the stream, as every host tells it: about a like record, or (``key`` '') about an account.

    ``at_us`` is when it happened, which its revision says; hosts see it then, give or take their clocks.
    """

    liker: str
    key: str
    operation: str  # create, update, delete; for an account deleted or active
    subject: tuple[str, int]
    at_us: int


NAMES = ["self", "3k", "~a:b"]  # keys that are no TID
JUMPS_US = [1_000, MINUTE_US, 2 * HOUR_US, 9 * HOUR_US, 30 * HOUR_US, 5 * 24 * HOUR_US]


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    """Some days of a stream, in the order of their times, which jump now and then.

    Keys claim to be of now, of years ago and to come, or are no TID; they are used again, with or without the word that
    the record before is gone; records are rewritten; one post is liked under several keys; accounts go and come back.
    """
    told: list[Told] = []
    keys: dict[str, set[str]] = {liker: set() for liker in LIKERS}
    gone: set[str] = set()
    now = START + 20 * HOUR_US
    for _ in range(draw(st.integers(3, 40))):
        now += draw(st.sampled_from(JUMPS_US))
        liker = draw(st.sampled_from(LIKERS))
        subject = draw(st.sampled_from(AUTHORS)), tid_at(START + draw(st.integers(0, 2)))
        operation = draw(st.sampled_from(["create"] * 5 + ["delete"] * 3 + ["update", "again", "account"]))
        if operation == "account":
            now += 10 * MINUTE_US  # longer than hosts' clocks differ
            told.append(Told(liker, "", "active" if liker in gone else "deleted", subject, now))
            gone ^= {liker}
            now += 10 * MINUTE_US
        elif liker not in gone:
            fresh = draw(
                st.sampled_from(
                    [now, now, now - 3_000_000, 10**15, now - 400 * 24 * HOUR_US, now + 40 * HOUR_US]
                )
            )
            key = draw(st.sampled_from([tid_from_int(tid_at(fresh, 5)), *NAMES, *sorted(keys[liker])]))
            if operation == "again":
                operation = "create"
            elif operation == "create" and key in keys[liker]:
                continue
            keys[liker].add(key)
            if operation == "delete":
                keys[liker].discard(key)
            told.append(Told(liker, key, operation, subject, now))
    return told


def truth(told: list[Told]) -> list[tuple[str, int, str, int]]:
    """Which likes exist after these words: no tables, no SQL."""
    likes: dict[tuple[str, str], tuple[str, int]] = {}
    for word in sorted(told, key=lambda word: word.at_us):
        if word.operation == "deleted":
            likes = {key: like for key, like in likes.items() if key[0] != word.liker}
        elif word.operation == "delete":
            likes.pop((word.liker, word.key), None)
        elif word.key:
            likes[word.liker, word.key] = word.subject
    return sorted((liker, rkey_to_int(key) or 0, *subject) for (liker, key), subject in likes.items())


@dataclass(frozen=True)
class Host:
    """Who tells the stream: its clock is off, and its cursors count in a space of their own."""

    name: str
    wire: str
    off_us: int

    def batch(self, told: list[Told]) -> EventBatch:
        batch = EventBatch()
        for word in told:
            seen_us, rev = word.at_us + self.off_us, tid_from_int(tid_at(word.at_us))
            value = seen_us if self.wire == "jetstream-v1" else word.at_us // 1_000 % 10**12 + 1
            batch.reach(value, value, [seen_us])
            batch.low_us = batch.newest_us
            if word.key:
                add_like(word.liker, seen_us, rev, word.key, word.operation, word.subject, batch)
            else:
                add_account(word.liker, seen_us, word.operation == "active", word.operation, batch)
        return batch


HOSTS = [
    Host("one.example", "jetstream-v1", 0),
    Host("two.example", "jetstream-v1", 900_000),
    Host("two.example", "jetstream-v2", -900_000),
    Host("relay.example", "firehose", 400_000),
]


def look_through(data_dir: Path) -> None:
    """Compact, after a day in which no file of the lake was looked through."""
    for file in (data_dir / "lake" / "likes").glob("*/likes.parquet"):
        os.utime(file, (1, 1))
    list(compact(data_dir, RANKING, 1))


@settings(max_examples=EXAMPLES, deadline=None)
@given(history=histories(), seed=st.integers(0, 2**32))
def test_whatever_moves_when_readers_see_what_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, history: list[Told], seed: int
) -> None:
    data_dir = tmp_path_factory.mktemp("stores")
    choose = random.Random(seed)
    # Between actors nothing is in order: a word may come up to 50 minutes after one that happened later.
    history = sorted(history, key=lambda word: word.at_us + choose.choice([0, 0, 0, 50]) * MINUTE_US)
    landing, host = Landing(data_dir), HOSTS[0]
    position = reached = 0
    while position < len(history):
        what = choose.random()
        if what < 0.15:  # another host, which goes on by time, a little earlier
            host, position = choose.choice(HOSTS), max(0, position - choose.randint(0, 3))
        elif what < 0.3:  # the process was restarted, and resumes from an earlier cursor
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
        landing.append(host.batch(history[position : position + size]), host.name, host.wire)
        position = min(position + size, len(history))
        reached = max(reached, position)
        records, _ = like_records(data_dir)
        assert sorted(records) == truth(history[:reached])
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
    assert landing.connection.execute(
        "SELECT count(*) FROM unlikes WHERE found_open_like <> 1"
    ).fetchone() == (0,)
    landing.close()
    records, _ = like_records(tmp_path)
    assert {record.liker for record in records} == {LIKERS[1]}


def number(landing: Landing, query: str) -> int:
    return int(landing.connection.execute(query).fetchone()[0])


def test_an_update_and_a_deletion_told_at_once_undo_a_like_in_the_lake(tmp_path: Path) -> None:
    """The deletion meets the update's like, which is of an open day; the first version is in the lake."""
    landing, host = Landing(tmp_path), HOSTS[0]
    began, later = START + HOUR_US, START + 5 * 24 * HOUR_US
    subject = AUTHORS[0], tid_at(START)
    landing.append(host.batch([Told(LIKERS[0], "self", "create", subject, began)]), host.name, host.wire)
    landing.append(host.batch([Told(LIKERS[1], "3k", "create", subject, later)]), host.name, host.wire)
    list(compact(tmp_path, RANKING, 1))
    retention = Retention(landing, tmp_path, 90)
    for _ in range(90):
        retention.step()
    assert number(landing, "SELECT count(*) FROM unlikes WHERE liker_id = 1") == 0, (
        "its tombstone is in the lake alone"
    )
    assert len(list((tmp_path / "lake" / "likes").glob("*/likes.parquet"))) == 1, (
        "the first version is in the lake"
    )
    words = [
        Told(LIKERS[0], "self", *word)
        for word in [("update", subject, later + 1), ("delete", subject, later + 2)]
    ]
    landing.append(host.batch(words), host.name, host.wire)
    records, _ = like_records(tmp_path)
    assert [record[0] for record in records] == [LIKERS[1]]


def test_a_closed_day_told_again_by_a_host_ahead_undoes_nothing(tmp_path: Path) -> None:
    """A like whose key tells no day undoes what stood under its key; told again, that would be the like itself."""
    landing, subject = Landing(tmp_path), (AUTHORS[0], tid_at(START))
    told = [
        Told(LIKERS[0], "self", "create", subject, START + HOUR_US),
        Told(LIKERS[0], "3k", "create", subject, START + HOUR_US + 1),
        Told(LIKERS[0], "3k", "update", subject, START + HOUR_US + 2),
    ]
    landing.append(HOSTS[0].batch(told), HOSTS[0].name, HOSTS[0].wire)
    later = [Told(LIKERS[1], "self", "create", subject, START + 5 * 24 * HOUR_US)]
    landing.append(HOSTS[0].batch(later), HOSTS[0].name, HOSTS[0].wire)
    list(compact(tmp_path, RANKING, 1))
    retention = Retention(landing, tmp_path, 90)
    for _ in range(90):
        retention.step()
    assert number(landing, "SELECT count(*) FROM unlikes WHERE liker_id = 1") == 0
    before = sorted(like_records(tmp_path)[0])
    assert len(before) == 3
    for host in HOSTS[1:]:
        landing.append(host.batch(told), host.name, host.wire)
        look_through(tmp_path)
        assert sorted(like_records(tmp_path)[0]) == before
