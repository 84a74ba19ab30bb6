"""Strangers take nothing from those who are known, and nobody more than their part: memory, disk, answers, keys."""

import json
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient
from serving_worlds import (
    FEED,
    INTERACTIONS,
    SKELETON,
    START,
    Account,
    Clock,
    Directory,
    ServingStore,
    bearer,
    blob,
    config_of,
    directory,
    flush,
    plc_did,
    post_uri,
)

import sql
from serving.app import create_app
from serving.budgets import limits
from serving.budgets.allowances import Allowance
from serving.budgets.limits import Bounds, ByClass
from serving.budgets.takers import registrable, taker_of
from serving.budgets.viewer_classes import ViewerClasses
from serving.lists.list_store import ListStore
from serving.viewers.activity_queue import Interaction, ShownPage, Visit
from serving.viewers.activity_retention import surplus
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.peers import Peers, new_pipes
from serving.viewers.recall import Recall
from serving.viewers.remembered import KnownEvent
from serving.viewers.viewer_memory import ViewerMemory
from sql import sqlite

SEND = "app.bsky.feed.sendInteractions"
POSTS = 1_000
ALICE = plc_did(1)


@dataclass
class World:
    """An app whose one known viewer is alice."""

    folder: Path
    clock: Clock
    plc: Directory
    app: TestClient
    activity: ActivityWriter

    def account(self, number: int) -> Account:
        account = Account(plc_did(number))
        self.plc.publish(account)
        return account

    def send(self, account: Account, posts: range, event: str = "requestLess") -> Result:
        events = [{"item": post_uri(post), "event": f"app.bsky.feed.defs#{event}"} for post in posts]
        body = json.dumps({"interactions": events})
        headers = bearer(account.token(SEND, now=self.clock.at))
        return self.app.simulate_post(INTERACTIONS, body=body, headers=headers)

    def page(self, account: Account, limit: int = 100) -> Result:
        headers = bearer(account.token(now=self.clock.at))
        return self.app.simulate_get(SKELETON, params={"feed": FEED, "limit": limit}, headers=headers)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        assert flush(self.activity)
        with sqlite3.connect(self.folder / "activity.sqlite") as connection:
            return connection.execute(query, values).fetchall()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = Clock(at=1_790_000_040.0)  # a whole minute
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(POSTS))
    store.publish(1, {ALICE: blob(range(300))}, {"": blob(range(300, 600))})
    store.close()
    with directory() as plc:
        activity = ActivityWriter(tmp_path / "activity.sqlite", now=clock)
        app = create_app(config_of(tmp_path, plc.url), now=clock, activity=activity)
        yield World(tmp_path, clock, plc, TestClient(app), activity)
        activity.close()


def test_a_taker_is_a_did_or_a_registered_domain() -> None:
    assert taker_of(ALICE) == ALICE
    assert taker_of("did:web:a.b.example.co.uk") == taker_of("did:web:c.example.co.uk") == "example.co.uk"
    assert taker_of("did:web:one.github.io") == taker_of("did:web:two.github.io")  # names there cost nothing
    assert taker_of("did:web:localhost%3A2583") == "localhost"
    assert registrable("co.uk") == "co.uk"


def test_strangers_who_take_everything_take_nothing_from_the_known(world: World) -> None:
    """They fill their own minute; then each of them is refused, and alice's answers are all kept."""
    statuses = [world.send(world.account(number), range(POSTS)).status_code for number in range(10, 30)]
    assert statuses.count(200) <= 6
    assert set(statuses) == {200, 503}
    alice = world.account(1)
    for post in range(200):
        assert world.send(alice, range(post, post + 1)).status_code == 200
    assert world.rows("SELECT count(*) FROM interactions WHERE viewer_did = ?", ALICE) == [(200,)]


def test_a_stranger_who_wants_little_still_gets_it_beside_those_who_want_all(world: World) -> None:
    for number in range(10, 30):
        world.send(world.account(number), range(900))
    assert world.send(world.account(50), range(3)).status_code == 200


def test_what_is_answered_200_is_kept_and_what_finds_no_room_is_answered_503(world: World) -> None:
    """Of 113 answers that got a 200, 98 were kept."""
    (world.folder / "activity.sqlite").mkdir()  # the disk takes nothing, so the queue fills up
    alice, strangers = world.account(1), [world.account(number) for number in range(10, 40)]
    accepted = refused = 0
    for turn in range(12):
        world.clock.at += 60
        for stranger in strangers:
            world.send(stranger, range(900))
        answer = world.send(alice, range(80 * turn, 80 * turn + 80))
        accepted += 80 if answer.status_code == 200 else 0
        refused += answer.status_code == 503
    assert accepted == 960
    for _ in range(12):
        world.clock.at += 60
        refused += world.send(alice, range(POSTS)).status_code == 503
    assert refused > 0
    (world.folder / "activity.sqlite").rmdir()
    assert flush(world.activity, 30)
    kept = world.rows("SELECT count(*) FROM interactions WHERE viewer_did = ?", ALICE)
    assert kept[0][0] >= accepted


def test_one_token_writes_a_bounded_number_of_impressions(world: World) -> None:
    """It wrote 14 GB an hour."""
    stranger, alice = world.account(10), world.account(1)
    for _ in range(40):
        assert world.page(stranger).status_code == 200
    for _ in range(3):
        assert world.page(alice).status_code == 200
    rows = dict(
        world.rows("SELECT viewer_did, sum(length(sources)) FROM impression_pages GROUP BY viewer_did")
    )
    assert rows == {stranger.did: limits.IMPRESSIONS_AN_HOUR.strangers.viewer, ALICE: 300}
    visits = dict(world.rows("SELECT viewer_did, pages FROM visits"))
    assert visits == {stranger.did: limits.VISITS_A_MINUTE.strangers.viewer, ALICE: 3}


def test_the_biggest_takers_lose_rows_first_and_only_strangers_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Bounds(1_000, 1_000, 1_000)
    monkeypatch.setattr(limits, "INTERACTIONS_KEPT", ByClass(kept, kept._replace(total=300)))
    monkeypatch.setattr(limits, "VISITS_KEPT", ByClass(100, 10))
    clock = Clock()
    writer = ActivityWriter(tmp_path / "activity.sqlite", now=clock)

    def seen(viewer: str, posts: int) -> list[Interaction]:
        at_us = int(clock.at * 1e6)
        return [
            Interaction(viewer, post_uri(post), "interactionSeen", "for-you", "", "", at_us + post)
            for post in range(posts)
        ]

    writer.record(seen(ALICE, 500), known=True)
    writer.record([Visit(ALICE, "for-you", "en", int(START * 1e6))], known=True)
    for number in range(10):  # one domain, ten names
        writer.record(seen(f"did:web:n{number}.hostile.example", 40), known=False)
        writer.record(
            [Visit(f"did:web:n{number}.hostile.example", "for-you", "en", int(START * 1e6))], known=False
        )
    for number in range(10, 14):
        writer.record(seen(plc_did(number), 20), known=False)
        writer.record([Visit(plc_did(number), "for-you", "en", int(START * 1e6) - 1)], known=False)
    assert flush(writer)
    for _ in range(3):
        clock.at += 700
        writer.record([Visit(ALICE, "for-you", "en", int(START * 1e6))], known=True)
        assert flush(writer)
    with sqlite3.connect(tmp_path / "activity.sqlite") as connection:
        left = dict(connection.execute("SELECT viewer_did, count(*) FROM interactions GROUP BY 1"))
        visits = [did for (did,) in connection.execute("SELECT viewer_did FROM visits")]
        counted = dict(connection.execute("SELECT viewer_did, interactions FROM takers"))
    assert left[ALICE] == 500
    assert [left[plc_did(number)] for number in range(10, 14)] == [20] * 4
    assert sum(count for did, count in left.items() if did.startswith("did:web:")) == 300 - 80 - 15
    assert {did: count for did, count in counted.items() if count} == left
    assert {ALICE, *(plc_did(number) for number in range(10, 14))} <= set(visits)
    assert len(visits) <= 11
    assert writer.close()


@pytest.mark.parametrize(
    ("taken", "allowed", "back"),
    [
        ({"a": 5, "b": 5}, 10, {}),
        ({"a": 50, "b": 5}, 40, {"a": 17}),
        ({"a": 100, "b": 90, "c": 10}, 100, {"a": 58, "b": 48}),
        ({"a": 10, "b": 10}, 0, {"a": 10, "b": 10}),
        ({}, 0, {}),
    ],
)
def test_who_gives_back_how_much(taken: dict[str, int], allowed: int, back: dict[str, int]) -> None:
    assert surplus(taken, allowed) == back
    assert sum(taken.values()) - sum(back.values()) <= allowed


def test_rows_that_were_there_before_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "activity.sqlite"
    store = sqlite.connect(path)
    for statement in sqlite.statements(sql.load("activity/0001_activity")):
        store.execute(statement)
    store.execute("CREATE TABLE _migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    store.execute("INSERT INTO _migrations VALUES (1, 'activity/0001_activity')")
    for post in range(5):
        store.execute("INSERT INTO interactions VALUES (?, ?, 'requestLess', 'f', '', '', 1)", (ALICE, post))
    store.execute(
        "INSERT INTO impression_pages VALUES (NULL, ?, 'f', 1, 1, '[]', '111', '', 1)", (plc_did(2),)
    )
    assert sqlite.migrate(store, "activity") == max(sqlite.migrations_of("activity"))
    rows = store.execute("SELECT viewer_did, interactions, impressions FROM takers ORDER BY 2").fetchall()
    assert rows == [(plc_did(2), 0, 3), (ALICE, 5, 0)]
    store.close()


def test_a_thousand_strangers_do_not_push_a_known_viewer_out_of_memory(tmp_path: Path) -> None:
    """A stranger took 1.1 MB; 1,750 of them were 2 GB."""
    store = ServingStore(tmp_path / "serving.sqlite")
    store.close()
    most = ByClass(1_000_000, 1_000_000)
    memory = ViewerMemory(Recall(tmp_path / "activity.sqlite"), now=Clock(), most_bytes=most)
    memory.events_received(ALICE, ["for-you"], [KnownEvent("requestLess", 7, 3, 1)], known=True)
    events = [KnownEvent("requestLess", post, post % 50, post) for post in range(1_000)]
    biggest = 0
    for number in range(10, 1_010):
        memory.events_received(plc_did(number), ["for-you"], events, known=False)
        biggest = max(biggest, memory.bytes_of(False))
    assert biggest <= most.strangers + 20_000
    with ListStore(tmp_path / "serving.sqlite").read() as snapshot:
        assert snapshot is not None
        assert memory.state(ALICE, "for-you", snapshot, known=True).hidden == {7}


def test_a_viewer_takes_as_much_memory_as_the_limits_say(tmp_path: Path) -> None:
    memory = ViewerMemory(Recall(tmp_path / "activity.sqlite"), now=Clock())
    events = [KnownEvent("requestLess", 10**6 + post, 10**6 + post, 10**15 + post) for post in range(1_000)]
    posts = list(range(10**6, 10**6 + 600))
    tracemalloc.start()
    try:
        for number in range(10, 60):
            memory.events_received(plc_did(number), ["for-you"], events)
            memory.page_shown(plc_did(number), "for-you", posts, None)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 1.2 * memory.bytes_of(True)
    assert memory.bytes_of(True) / 50 < 25_000


def test_a_domain_with_many_names_is_one_taker_of_memory(tmp_path: Path) -> None:
    memory = ViewerMemory(
        Recall(tmp_path / "activity.sqlite"), now=Clock(), most_bytes=ByClass(100_000, 100_000)
    )
    memory.page_shown(plc_did(5), "for-you", range(100), None, known=False)
    for number in range(200):
        memory.page_shown(f"did:web:n{number}.hostile.example", "for-you", [1], None, known=False)
    assert (plc_did(5), "for-you") in memory._viewers[False]
    assert memory.bytes_of(False) <= 100_000


def test_a_token_that_one_worker_took_is_used_at_every_other(tmp_path: Path) -> None:
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(10))
    store.close()
    pipes = new_pipes(2)
    with directory() as plc:
        alice = Account(ALICE)
        plc.publish(alice)
        apps, writers = [], []
        for place in range(2):
            writers.append(ActivityWriter(tmp_path / "activity.sqlite", now=Clock()))
            peers = Peers(pipes[place][0], [pipes[1 - place][1]])
            config = config_of(tmp_path, plc.url)
            apps.append(TestClient(create_app(config, now=Clock(), activity=writers[-1], peers=peers)))
        headers = bearer(alice.token(SEND, now=START, jti=...))
        event = {"item": post_uri(1), "event": "app.bsky.feed.defs#requestLess"}
        body = json.dumps({"interactions": [event]})
        statuses = [
            app.simulate_post(INTERACTIONS, body=body, headers=headers).status_code
            for app in (*apps, apps[0])
        ]
        for writer in writers:
            writer.close()
    assert statuses == [200, 503, 503]


def test_who_is_known_has_a_number_from_days_ago(tmp_path: Path) -> None:
    clock = Clock()
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts([1])
    store.publish(1, {ALICE: blob([1]), plc_did(2): blob([1])})
    classes = ViewerClasses(tmp_path, now=clock)
    assert classes.is_known(ALICE)  # in an installation's first days a list is enough
    assert not classes.is_known(plc_did(9))
    writer = ActivityWriter(tmp_path / "activity.sqlite", now=clock)
    writer.record([Visit(ALICE, "for-you", "en", 1)])
    assert flush(writer)
    clock.at += 2 * 86_400
    store.publish(2, {plc_did(3): blob([1])})  # visited a moment ago; a repository backdated its likes
    assert classes.is_known(ALICE)
    assert not classes.is_known(plc_did(3))
    writer.record([Visit(ALICE, "for-you", "en", 1)])
    assert flush(writer)
    clock.at += 2 * 86_400
    assert classes.is_known(plc_did(3))
    assert writer.close()
    store.close()


def test_allowances_are_shared_when_they_become_scarce() -> None:
    clock = Clock(at=1_790_000_040.0)
    bounds = Bounds(viewer=40, domain=60, total=100)
    allowance = Allowance(ByClass(bounds, bounds), 60, now=clock)
    names = [f"did:web:n{number}.hostile.example" for number in range(5)]
    assert [allowance.take_whole(name, 40, known=False) for name in names] == [True, *[False] * 4]
    assert allowance.take_whole(names[1], 20, known=False)
    assert not allowance.take_whole(names[2], 1, known=False)  # the domain has its part
    assert not allowance.take_whole(plc_did(1), 40, known=False)
    assert allowance.take_whole(plc_did(1), 10, known=False)
    assert allowance.take_whole(plc_did(1), 40, known=True)  # of another class
    clock.at += 60
    assert allowance.take_whole(names[2], 40, known=False)


def test_a_page_in_the_queue_counts_with_its_posts(tmp_path: Path) -> None:
    """Twenty thousand pages in the queue were 600 MB."""
    (tmp_path / "activity.sqlite").mkdir()
    bounds = Bounds(200_000, 200_000, 200_000)
    writer = ActivityWriter(tmp_path / "activity.sqlite", queue_bytes=ByClass(bounds, bounds))
    page = [post_uri(post) for post in range(100)]
    writer.record([ShownPage(ALICE, "for-you", 1, 1, page, [1] * 100, 1) for _ in range(50)])
    assert writer.dropped == 46  # and of a class that is half full, one taker has no more than half
    writer.close(0.1)


def test_time_for_each_decision_is_short() -> None:
    """A thousand takers and a thousand domains do not make the next decision slow."""
    allowance = Allowance(limits.INTERACTIONS_A_MINUTE, 60)
    for number in range(2_000):
        allowance.take_whole(f"did:web:n.host{number}.example", 1, known=False)
    began = time.perf_counter()
    for _ in range(1_000):
        allowance.take_whole("did:web:a.other.example", 1, known=False)
    assert time.perf_counter() - began < 0.5
