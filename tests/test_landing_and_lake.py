"""Landing, lake, folds, restarts, hosts, files and repositories against a plain-Python model of which likes exist."""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import duckdb
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_landing import AUTHORS, LIKERS, START

from pipeline.backfill import file_of_lines
from pipeline.demo.stored_likes import like_records
from pipeline.identifiers import post_uri, rkey_to_int, tid_at, tid_from_int
from pipeline.ingest.operations import LIKE, add_account, add_like
from pipeline.lake.compact import compact
from pipeline.lake.merge import merge_day
from pipeline.ranking import Ranking
from pipeline.store.events import EventBatch
from pipeline.store.fetch_admission import HistoryLike, Statement
from pipeline.store.fetched_likes import DONE, HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, HOUR_US, NAMED_DAY, day_of_key, first_open_day
from sql import places

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

    @property
    def rkey(self) -> int:
        number = rkey_to_int(self.key)
        assert number is not None
        return number


NAMES = ["self", "3k", "~a:b"]  # keys that are no TID
JUMPS_US = [1_500_000, MINUTE_US, 2 * HOUR_US, 9 * HOUR_US, 30 * HOUR_US, 5 * 24 * HOUR_US]


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
                    [now, now, now - 3_000_000, 10**15, now - 20 * 24 * HOUR_US, now + 40 * HOUR_US]
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


Likes = list[tuple[str, int, str, int]]
WINDOW = tid_at(START - 30 * DAY_US)  # a repository's records are read from this key on


@dataclass(frozen=True)
class Read:
    """A viewer's repository, read as it was after the words up to a time."""

    viewer: str
    until_us: int
    listed: tuple[tuple[str, int, str, int], ...]


def truth(told: list[Told], reads: list[Read]) -> Likes:
    """Which likes exist after these words and repositories: no tables, no SQL."""
    likes: dict[tuple[str, int], tuple[str, int]] = {}
    for word in sorted([*told, *reads], key=lambda one: one.until_us if isinstance(one, Read) else one.at_us):
        if isinstance(word, Read):
            likes = {key: like for key, like in likes.items() if key[0] != word.viewer or key[1] < WINDOW}
            likes |= {(liker, rkey): (author, post) for liker, rkey, author, post in word.listed}
        elif word.operation == "deleted":
            likes = {key: like for key, like in likes.items() if key[0] != word.liker}
        elif word.operation == "delete":
            likes.pop((word.liker, word.rkey), None)
        elif word.key:
            likes[word.liker, word.rkey] = word.subject
    return sorted((*key, *like) for key, like in likes.items())


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


class Store:
    """A store that is told words in every way there is, and what a reader must find in it.

    A like that came for a day that has a file counts after its next fold: ``waits`` has those.
    """

    def __init__(self, data_dir: Path, choose: random.Random) -> None:
        self.data_dir, self.choose, self.landing = data_dir, choose, Landing(data_dir)
        self.told: set[Told] = set()
        self.reads: list[Read] = []
        self.waits: set[tuple[str, int]] = set()

    def tell(self, words: list[Told], host: Host) -> None:
        """Let a host's stream bring words."""
        self._note(words)
        self.landing.append(host.batch(words), host.name, host.wire)

    def restart(self) -> None:
        """Close the store and open it, as the next process does."""
        self.landing.close()
        self.landing = Landing(self.data_dir)

    def tell_by_file(self, words: list[Told], off_us: int) -> None:
        """Let ``backfill --file`` bring words."""
        self._note(words)
        self.landing.close()
        path = self.data_dir / "words.jsonl"
        path.write_bytes(b"\n".join(line_of(word, off_us) for word in words))
        file_of_lines.run(self.data_dir, str(path))
        self.landing = Landing(self.data_dir)

    def read_repository(self, viewer: str, history: list[Told], until_us: int) -> None:
        """Let a viewer's repository be read as it is after all that happened up to a time, told or not."""
        mine = [word for word in history if word.liker == viewer and word.at_us <= until_us]
        last = max(mine, key=lambda word: word.at_us, default=None)
        if last is None or last.operation == "deleted":
            return
        listed = tuple(like for like in truth(mine, []) if like[1] >= WINDOW)
        store = HistoryStore(self.data_dir)
        likes = [HistoryLike(rkey, author, post, rkey >> 10) for _, rkey, author, post in listed]
        store.intern(like.author for like in likes)
        store.store_viewer(viewer, likes, until_us, DONE, statement=Statement(tid_at(last.at_us), WINDOW))
        store.close()
        self.reads.append(Read(viewer, last.at_us, listed))
        later = {(word.liker, word.rkey) for word in self.told if word.key and word.at_us > last.at_us}
        self.waits -= {like[:2] for like in listed} - later

    def fold(self) -> None:
        """Fold a random day, or run the job, which folds every closed day."""
        if self.choose.random() < 0.4:
            look_through(self.data_dir)
            self.waits.clear()
            return
        row = self.landing.connection.execute("SELECT low_us FROM watermark").fetchone()
        days = {day_of_key(word.rkey) for word in self.told if word.key}
        closed = sorted(day for day in days if day < first_open_day(int(row[0])))
        if closed:
            day = self.choose.choice(closed)
            look = self.choose.random() < 0.3 and places.likes(self.data_dir, day).exists()
            with duckdb.connect(config={"threads": 1}) as connection:
                list(merge_day(self.data_dir, day, connection, look=look))
            self.waits = {(liker, rkey) for liker, rkey in self.waits if day_of_key(rkey) != day}

    def purge(self) -> None:
        """Let ingest delete a part of what is in the lake."""
        retention = Retention(self.landing, self.data_dir, 90, slice_rows=1)
        for _ in range(self.choose.randint(1, 90)):
            retention.step()

    def check(self) -> None:
        """Compare what readers see with the model."""
        wanted = truth(list(self.told), self.reads)
        found = sorted(like_records(self.data_dir)[0])
        assert [like for like in found if like not in wanted] == []
        assert len(found) == len(set(found))
        assert [like for like in wanted if like not in found and like[:2] not in self.waits] == []

    def _note(self, words: list[Told]) -> None:
        files = places.closed_days(self.data_dir) | places.changes(self.data_dir).keys() & {NAMED_DAY}
        new, self.told = set(words) - self.told, self.told | set(words)
        for word in new:
            if word.key and word.operation != "delete" and day_of_key(word.rkey) in files:
                about = (one.at_us for one in self.told if (one.liker, one.key) == (word.liker, word.key))
                if word.at_us == max(about):
                    self.waits.add((word.liker, word.rkey))


def line_of(word: Told, off_us: int) -> bytes:
    """Return a word as a line of Jetstream, from a host whose clock is off."""
    event: dict[str, object] = {"did": word.liker, "time_us": word.at_us + off_us}
    if not word.key:
        active = word.operation == "active"
        account = {"active": active} if active else {"active": False, "status": "deleted"}
        return orjson.dumps({**event, "kind": "account", "account": account})
    commit = {
        "rev": tid_from_int(tid_at(word.at_us)),
        "operation": word.operation,
        "collection": LIKE,
        "rkey": word.key,
    }
    record = (
        {}
        if word.operation == "delete"
        else {"record": {"subject": {"uri": post_uri(*word.subject), "cid": "c"}}}
    )
    return orjson.dumps({**event, "kind": "commit", "commit": commit | record})


@settings(max_examples=EXAMPLES, deadline=None)
@given(history=histories(), seed=st.integers(0, 2**32))
def test_whatever_moves_when_readers_see_what_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, history: list[Told], seed: int
) -> None:
    choose = random.Random(seed)
    store, host = Store(tmp_path_factory.mktemp("stores"), choose), HOSTS[0]
    # Between actors nothing is in order: a word may come up to 50 minutes after one that happened later.
    history = sorted(history, key=lambda word: word.at_us + choose.choice([0, 0, 0, 50]) * MINUTE_US)
    missed: list[Told] = []  # by the stream: a file brings them, or a replay, or nobody
    position = 0
    while position < len(history):
        what = choose.random()
        if what < 0.1:  # another host, which goes on by time, a little earlier
            host, position = choose.choice(HOSTS), max(0, position - choose.randint(0, 3))
        elif what < 0.2:  # the process was restarted, and resumes from an earlier cursor
            store.restart()
            position = choose.randint(0, position)
        elif what < 0.45 and position:
            store.fold()
        elif what < 0.6:
            store.purge()
        elif what < 0.7 and position:
            words = choose.choice([missed, history[:position], missed[::2]])
            store.tell_by_file(list(words), choose.choice([0, 900_000, -900_000]))
        elif what < 0.78 and position:
            reached = max(word.at_us for word in history[:position])
            store.read_repository(choose.choice(LIKERS), history, reached)
        size = choose.randint(1, 6)
        words = [
            word for word in history[position : position + size] if not word.key or choose.random() < 0.9
        ]
        missed += [word for word in history[position : position + size] if word not in words]
        store.tell(words, host)
        position = min(position + size, len(history))
        store.check()
    store.landing.close()
