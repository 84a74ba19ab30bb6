"""A repository that was read is a statement at its rev: what it lists exists, everything else in the part that was read
whole does not, and later words of the stream win. Readers see the same before and after each step of the lake."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from histories import did
from repositories import AUTHOR, LIKE, NOW_US, Repositories, know, record_of

from pipeline.backfill import fetch_waiting, viewer_repository
from pipeline.clock import MachineClock
from pipeline.demo.stored_likes import like_records
from pipeline.errors import BackfillError
from pipeline.identifiers import rkey_to_int, tid_at
from pipeline.lake.compact import compact
from pipeline.lake.held import held_lake
from pipeline.lake.reader import read_like_records
from pipeline.ranking import Ranking
from pipeline.store import landing as landing_store
from pipeline.store.arrow import reading
from pipeline.store.events import AccountChange, EventBatch, Like, Unlike
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, HOUR_US, AccountStatus
from serving.identity.repository_reader import RepositoryReader
from sql import places
from sql.sqlite import connect, migrate

WHO = did("v")
BEGIN_US = NOW_US // DAY_US * DAY_US - DAY_US - 6 * HOUR_US  # of the likes' keys: a day that is closed
SECOND = 1_000_000


def record(number: int) -> dict[str, Any]:
    """Return a like as the repository lists it; a greater number has a greater key."""
    return record_of(WHO, NOW_US - BEGIN_US - number * SECOND, number)


def rkey(number: int) -> int:
    return tid_at(BEGIN_US + number * SECOND, number)


def listed(*numbers: int) -> list[dict[str, Any]]:
    return [record(number) for number in sorted(numbers, reverse=True)]


@dataclass
class Scene:
    """A store, and the hosts of repositories."""

    data_dir: Path
    hosts: Repositories

    def stream(self, *likes: int, **others: Any) -> None:
        """Let the stream tell of likes by number, a few milliseconds after their keys, and of other things."""
        landing = Landing(self.data_dir)
        batch = EventBatch(newest_us=NOW_US, low_us=NOW_US, last_us=NOW_US, first_us=BEGIN_US, **others)
        batch.likes += [
            Like(WHO, rkey(number), AUTHOR, tid_at(NOW_US, number), (rkey(number) >> 10) + 20_000,
                 rkey(number) + (5_000 << 10))
            for number in likes
        ]  # fmt: skip
        landing.append(batch, "one.example", "firehose")
        landing.close()

    def fetch(self, **ranking: Any) -> None:
        viewer_repository.run_viewer(self.data_dir, WHO, RepositoryReader(self.hosts.url), Ranking(**ranking))

    def waiting(self, machine: MachineClock | None = None) -> list[str]:
        """Do a run for waiting viewers; return whose repositories were read."""
        before = len(self.hosts.asked())
        fetch_waiting.run_waiting(
            self.data_dir, RepositoryReader(self.hosts.url), Ranking(), machine or MachineClock()
        )
        return [
            path.split("repo=")[1].split("&")[0].replace("%3A", ":") for path in self.hosts.asked()[before:]
        ]

    def fold(self) -> None:
        list(compact(self.data_dir, Ranking(), 1))

    def purge(self) -> None:
        landing = Landing(self.data_dir)
        retention = Retention(landing, self.data_dir, 90.0)
        while retention.step():
            pass
        landing.close()

    def look_through(self) -> None:
        for path in places.lake(self.data_dir).glob("likes/*/likes.parquet"):
            os.utime(path, (1, 1))
        self.fold()

    def found(self) -> list[int]:
        """Return the numbers of the likes that readers see, and the rkeys of others."""
        numbers = {rkey(number): number for number in range(100)}
        return sorted(numbers.get(like.rkey, like.rkey) for like in like_records(self.data_dir)[0])

    def always(self) -> Iterator[list[int]]:
        """Yield what readers see now, and after each step by which likes move to the lake."""
        yield self.found()
        for step in (self.fold, self.purge, self.look_through, self.purge):
            step()
            yield self.found()

    def seen_us(self) -> dict[int, int]:
        connection = duckdb.connect()
        with reading(places.landing(self.data_dir)) as reader, held_lake(self.data_dir) as held:
            read_like_records(connection, reader, held, 0)
            return dict(connection.execute("SELECT rkey, seen_us FROM like_records").fetchall())

    def row(self, query: str, *parameters: Any) -> Any:
        store = connect(places.landing(self.data_dir), read_only=True)
        try:
            return store.execute(query, parameters).fetchone()
        finally:
            store.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Repositories(revs={WHO: tid_at(NOW_US - HOUR_US)}) as hosts:
        know(tmp_path)
        yield Scene(tmp_path, hosts)


def visit(data_dir: Path, *dids: str) -> None:
    store = connect(places.activity(data_dir))
    migrate(store, "activity")
    store.executemany(
        "INSERT INTO visits VALUES (?, 'for-you', 'en', 1, ?, ?)",
        [(who, 1 + n, 1 + n) for n, who in enumerate(dids)],
    )
    store.close()


STEPS = {
    "landing": (),
    "folded": ("fold",),
    "purged": ("fold", "purge"),
    "looked through": ("fold", "purge", "look_through"),
}
at_each_step = pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)


def go_through(scene: Scene, steps: tuple[str, ...]) -> None:
    for step in steps:
        getattr(scene, step)()


@at_each_step
def test_a_replaced_repository_holds_what_it_lists(scene: Scene, steps: tuple[str, ...]) -> None:
    """Nobody needs to have opened the feed: it is enough that likes of the actor are known."""
    scene.stream(1, 2, 3)
    go_through(scene, steps)
    scene.hosts.records[WHO] = listed(2, 5)
    assert scene.waiting() == []
    scene.stream(resets=[WHO, did("z")])
    assert scene.waiting() == [WHO]
    assert scene.row("SELECT likes, outcome, reset_no FROM fetched_viewers WHERE did = ?", WHO) == (
        2,
        "done",
        0,
    )
    assert list(scene.always()) == [[2, 5]] * 5
    assert scene.waiting() == []
    scene.stream(1, 6)  # a replay: both are older than the rev
    assert list(scene.always()) == [[2, 5]] * 5
    later = Like(WHO, rkey(3), AUTHOR, 7, NOW_US, tid_at(NOW_US - HOUR_US // 2 - SECOND))
    scene.stream(likes=[later])
    assert list(scene.always())[1:] == [[2, 3, 5]] * 4  # of a closed day: it counts after the next fold
    scene.hosts.records[WHO], scene.hosts.revs[WHO] = [], tid_at(NOW_US - HOUR_US // 2)
    scene.fetch()
    assert list(scene.always()) == [[]] * 5


@at_each_step
def test_the_latest_commit_may_be_a_like(scene: Scene, steps: tuple[str, ...]) -> None:
    """Its key is older than the rev, but its own rev is the same."""
    scene.stream(1, 2, 3)
    go_through(scene, steps)
    scene.hosts.records[WHO], scene.hosts.revs[WHO] = listed(1, 3), rkey(3) + (5_000 << 10)
    scene.fetch()
    assert list(scene.always()) == [[1, 3]] * 5
    scene.stream(1, 2, 3)
    assert list(scene.always()) == [[1, 3]] * 5


def test_a_commit_between_a_key_and_its_rev(scene: Scene) -> None:
    """The like was made at the rev's very moment, and committed after it: it is not in the list, and it exists."""
    scene.stream(1, 2)
    scene.hosts.records[WHO], scene.hosts.revs[WHO] = listed(1), rkey(2) + (3_000 << 10)
    scene.fetch()
    assert list(scene.always()) == [[1, 2]] * 5


@pytest.mark.parametrize("told_by", ["nobody", "the stream before", "the stream after"])
def test_an_unlike_during_the_fetch(scene: Scene, told_by: str) -> None:
    """2 is taken back before its page is read, 3 after its page was read; the stream tells of both, or not yet."""
    scene.stream(1, 2, 3)
    unlikes = [Unlike(WHO, rkey(number), NOW_US, tid_at(NOW_US - 5 * SECOND)) for number in (2, 3)]

    def pages(request: Any, query: dict[str, str]) -> None:
        if "cursor" not in query:
            if told_by == "the stream before":  # stored when the page arrives, which was written earlier
                scene.stream(unlikes=unlikes)
            scene.hosts.send(request, 200, {"records": [record(4), record(3)], "cursor": "3"})
        else:
            scene.hosts.send(request, 200, {"records": [record(1)]})

    scene.hosts.answers[WHO] = pages
    scene.fetch()
    if told_by == "nobody":  # 3 was there when the repository was read
        assert list(scene.always()) == [[1, 3, 4]] * 5
    if told_by == "the stream after":
        scene.stream(unlikes=unlikes)
    if told_by != "nobody":
        assert list(scene.always()) == [[1, 4]] * 5


@at_each_step
def test_an_account_that_was_deleted_and_imported_again(scene: Scene, steps: tuple[str, ...]) -> None:
    scene.stream(1, 2, 3)
    go_through(scene, steps)
    scene.stream(accounts=[AccountChange(WHO, AccountStatus.DELETED, NOW_US - 3 * HOUR_US)])
    scene.stream(accounts=[AccountChange(WHO, AccountStatus.ACTIVE, NOW_US - 2 * HOUR_US)], resets=[WHO])
    assert scene.found() == []
    scene.hosts.records[WHO] = listed(2, 4)
    assert scene.waiting() == [WHO]
    assert list(scene.always()) == [[2, 4]] * 5
    assert scene.row("SELECT status, deleted_us FROM actors WHERE did = ?", WHO) == (0, 0)


def test_a_deletion_after_the_repository_was_read_wins(scene: Scene) -> None:
    scene.stream(1, 2, 3)
    scene.stream(accounts=[AccountChange(WHO, AccountStatus.DELETED, NOW_US - HOUR_US // 2)])
    scene.hosts.records[WHO] = listed(1, 2, 3)
    scene.fetch()
    assert list(scene.always()) == [[]] * 5
    assert scene.row("SELECT deleted_us > 0 FROM actors WHERE did = ?", WHO) == (1,)


@at_each_step
def test_what_was_not_read_is_left_alone(scene: Scene, steps: tuple[str, ...]) -> None:
    """Reading stops at two likes, 9 and 8: of 10 it is known that it does not exist, of 6 nothing."""
    scene.stream(1, 3, 6, 8, 10)
    go_through(scene, steps)
    scene.hosts.records[WHO] = listed(9, 8, 7, 1)
    scene.fetch(max_seeds=1)
    assert list(scene.always()) == [[1, 3, 6, 8, 9]] * 5


def test_the_end_of_the_window_is_not_the_end(scene: Scene) -> None:
    """What is older than the window was not told again, so nothing is said about it."""
    scene.stream(1, 2, 3)
    old = record_of(WHO, 100 * DAY_US, 7)
    scene.hosts.records[WHO] = [*listed(3), old]
    scene.fetch()
    assert scene.row("SELECT from_rkey FROM statements") == (rkey(3),)
    assert list(scene.always()) == [[1, 2, 3]] * 5


@pytest.mark.parametrize("why", ["no rev", "a rev of the future", "in rising order", "a record of nobody"])
def test_without_certainty_likes_are_only_added(scene: Scene, why: str) -> None:
    scene.stream(1, 2, 3, 7)
    scene.hosts.records[WHO] = listed(2, 5)
    ranking: dict[str, Any] = {}
    if why == "no rev":
        del scene.hosts.revs[WHO]
    elif why == "a rev of the future":
        scene.hosts.revs[WHO] = tid_at(time.time_ns() // 1000 + HOUR_US)
    elif why == "in rising order":
        scene.hosts.records[WHO] = [*reversed(listed(2, 5)), record(9)]
        ranking = {"max_seeds": 1}
    else:
        scene.hosts.records[WHO].append({"uri": f"at://{did('x')}/{LIKE}/self"})
    scene.fetch(**ranking)
    assert list(scene.always()) == [[1, 2, 3, 5, 7]] * 5


def test_a_list_that_breaks_off_says_nothing_of_the_rest(scene: Scene) -> None:
    scene.stream(1, 2, 3)

    def half(request: Any, query: dict[str, str]) -> None:
        if "cursor" in query:
            scene.hosts.send(request, 429, {})
        else:
            scene.hosts.send(request, 200, {"records": listed(5, 2), "cursor": "2"})

    scene.hosts.answers[WHO] = half
    with pytest.raises(BackfillError):
        scene.fetch()
    assert list(scene.always()) == [[1, 2, 3, 5]] * 5


def test_keys_that_are_no_tids(scene: Scene) -> None:
    """They are records like others; only a list that was read to its end says that one does not exist."""
    own, other = {**record(1), "uri": f"at://{WHO}/{LIKE}/self"}, {**record(2), "uri": f"at://{WHO}/{LIKE}/a"}
    scene.stream(3)
    scene.hosts.records[WHO] = [own, *listed(3), other]
    scene.fetch()
    keys = sorted(number for text in ("self", "a") if (number := rkey_to_int(text)) is not None)
    assert list(scene.always()) == [[*keys, 3]] * 5
    scene.hosts.records[WHO], scene.hosts.revs[WHO] = listed(8, 7, 6), tid_at(NOW_US - HOUR_US // 2)
    scene.fetch(max_seeds=1)
    assert list(scene.always()) == [[*keys, 3, 7, 8]] * 5
    scene.hosts.records[WHO], scene.hosts.revs[WHO] = [own], tid_at(NOW_US - HOUR_US // 3)
    scene.fetch()
    assert list(scene.always()) == [[rkey_to_int("self")]] * 5


@pytest.mark.parametrize("order", ["stream, fetch", "fetch, stream", "fetch, fetch, stream", "lake, fetch"])
def test_a_like_told_by_both_is_there_once(scene: Scene, order: str) -> None:
    """With the time when the stream saw it, at the latest after the next fold."""
    scene.hosts.records[WHO] = listed(1)
    for step in order.split(", "):
        if step == "stream":
            scene.stream(1)
        elif step == "lake":
            scene.stream(1)
            scene.fold()
            scene.purge()
        else:
            scene.stream()
            scene.hosts.revs[WHO] += 1
            scene.fetch()
    assert list(scene.always()) == [[1]] * 5
    assert scene.seen_us() == {rkey(1): (rkey(1) >> 10) + 20_000}


def test_a_reset_during_the_fetch_waits_for_the_next(scene: Scene) -> None:
    scene.stream(1, resets=[])
    scene.stream(resets=[WHO])

    def page(request: Any, _query: dict[str, str]) -> None:
        scene.stream(resets=[WHO])
        scene.hosts.send(request, 200, {"records": listed(1)})

    scene.hosts.answers[WHO] = page
    assert scene.waiting() == [WHO]
    del scene.hosts.answers[WHO]
    scene.hosts.records[WHO], scene.hosts.revs[WHO] = listed(2), tid_at(NOW_US)
    assert scene.waiting() == [WHO]
    assert scene.waiting() == []
    assert scene.found() == [2]


def test_a_reset_that_fails_is_tried_again(scene: Scene) -> None:
    """Also for a viewer of whom the store has enough likes: they may be other likes than the repository's."""
    scene.stream(*range(30))
    visit(scene.data_dir, WHO)
    scene.stream(resets=[WHO])
    scene.hosts.answers[WHO] = lambda request, _query: scene.hosts.send(request, 503, b"")
    assert scene.waiting() == [WHO]
    assert scene.waiting() == []
    del scene.hosts.answers[WHO]
    scene.hosts.records[WHO] = listed(7)
    store = connect(places.landing(scene.data_dir))
    store.execute("UPDATE watermark SET seen_us = seen_us + 61000000")
    store.close()
    assert scene.waiting() == [WHO]
    assert scene.found() == [7]


def test_viewers_come_first_and_both_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_waiting, "RUN_RESETS", 2)
    others = [did(letter) for letter in "bcde"]
    viewer = did("w")
    scene.hosts.records = {who: [] for who in (*others, viewer)}
    likes = [Like(who, rkey(1), AUTHOR, 1, NOW_US, rkey(1)) for who in others]
    scene.stream(likes=likes)
    scene.stream(resets=others)
    visit(scene.data_dir, viewer)
    first = scene.waiting()
    assert sorted(first) == sorted([viewer, *others[:2]])  # several at once, in any order
    assert sorted(scene.waiting()) == others[2:]
    assert scene.waiting() == []


def test_too_many_resets_are_dropped_and_counted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_store, "RESETS_MAX", 3)
    others = [did(letter) for letter in "bcdef"]
    scene.hosts.records = {who: [] for who in others}
    scene.stream(likes=[Like(who, rkey(1), AUTHOR, 1, NOW_US, rkey(1)) for who in others])
    scene.stream(resets=others[:2])
    scene.stream(resets=others[2:])
    assert scene.row("SELECT value FROM counters WHERE name = 'reset_too_many'") == (2,)
    assert sorted(scene.waiting()) == others[2:]


@pytest.mark.parametrize("days", [-400, -40, 40, 400])
def test_a_clock_that_was_set_makes_nobody_due(scene: Scene, days: int) -> None:
    """The stream's time decides; when there is none, a time to come is believed by nobody."""
    jumped = MachineClock(lambda: time.time() + days * 86_400)
    visit(scene.data_dir, WHO)
    scene.hosts.records[WHO] = listed(1)
    assert scene.waiting(jumped) == [WHO]
    if days > 0:
        assert scene.waiting() == [WHO]  # it was not yet when the fetch says it was
        assert scene.waiting() == []
    scene.stream()
    assert scene.waiting() in ([], [WHO])  # the stream is behind this machine's clock
    assert scene.waiting() == []
    assert scene.waiting(jumped) == []
    store = connect(places.landing(scene.data_dir))
    store.execute("UPDATE watermark SET seen_us = seen_us + 31 * 86400000000")
    store.close()
    assert scene.waiting(jumped) == [WHO]
