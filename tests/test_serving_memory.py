"""What a viewer does counts for the very next page: in memory, after a restart, and across workers."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_worlds import (
    FEED,
    INTERACTIONS,
    SKELETON,
    Account,
    Clock,
    OneAccount,
    ServingStore,
    bearer,
    blob,
    config_of,
    flush,
    plc_did,
    post_uri,
    wait_until,
)

from pipeline.ranking import Ranking
from serving.app import create_app
from serving.budgets import limits
from serving.budgets.limits import ByClass
from serving.lists.list_store import ListSnapshot, ListStore, tid_number
from serving.viewers import list_order, peers, remembered
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.peers import Peers, drain, new_pipes
from serving.viewers.recall import SINCE_SECONDS, Recall
from serving.viewers.remembered import KnownEvent
from serving.viewers.taken_journals import KEPT_SECONDS
from serving.viewers.viewer_memory import ViewerMemory

METHOD = "app.bsky.feed.sendInteractions"
PREFIX = "app.bsky.feed.defs#"
ALICE = Account(plc_did(1))


@dataclass
class World:
    """Apps of one installation, as its workers are; alice has a list of the posts 1 to 120."""

    folder: Path
    clock: Clock
    store: ServingStore
    apps: list[tuple[TestClient, ActivityWriter]] = field(default_factory=list)

    def add(self, peers: Peers | None = None) -> int:
        activity = ActivityWriter(self.folder / "activity.sqlite", now=self.clock)
        app = create_app(
            config_of(self.folder), now=self.clock, resolver=OneAccount(ALICE), activity=activity, peers=peers
        )
        self.apps.append((TestClient(app), activity))
        return len(self.apps) - 1

    def flush(self) -> None:
        for _, activity in self.apps:
            assert flush(activity)

    def page(self, app: int = 0, **params: Any) -> dict[str, Any]:
        headers = bearer(ALICE.token(now=self.clock.at))
        answer = self.apps[app][0].simulate_get(SKELETON, params={"feed": FEED, **params}, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json  # type: ignore[no-any-return]

    def posts(self, app: int = 0, **params: Any) -> list[str]:
        return [item["post"] for item in self.page(app, **params)["feed"]]

    def walk(self, app: int = 0, **params: Any) -> list[str]:
        posts: list[str] = []
        while True:
            page = self.page(app, **params)
            posts += [item["post"] for item in page["feed"]]
            if "cursor" not in page:
                return posts
            params["cursor"] = page["cursor"]

    def tell(self, event: str, *post_ids: int, app: int = 0) -> None:
        body = {"interactions": [{"item": post_uri(post), "event": PREFIX + event} for post in post_ids]}
        headers = bearer(ALICE.token(METHOD, now=self.clock.at))
        answer = self.apps[app][0].simulate_post(
            INTERACTIONS, body=json.dumps(body).encode(), headers=headers
        )
        assert answer.status_code == 200


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    store = ServingStore(folder / "serving.sqlite")
    store.posts(range(1, 400))
    store.publish(7, {ALICE.did: blob(range(1, 121))}, {"": blob(range(200, 260), sources=[2] * 60)})
    made = World(folder, Clock(), store)
    try:
        yield made
    finally:
        for _, activity in made.apps:
            activity.close()
        store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        made.add()
        yield made


def uris(*ranges: Any) -> list[str]:
    return [post_uri(post) for posts in ranges for post in posts]


def test_a_refresh_begins_with_what_was_not_shown(world: World) -> None:
    assert world.posts(limit=30) == uris(range(1, 31))
    assert world.posts(limit=30) == uris(range(31, 61))
    assert world.walk(limit=50) == uris(range(61, 121), range(1, 61))


def test_seen_posts_move_behind_unseen_ones(world: World) -> None:
    world.tell("interactionSeen", 1, 2, 5)
    assert world.walk(limit=100) == uris([3, 4], range(6, 121), [1, 2, 5])


def test_shown_posts_come_before_seen_ones(world: World) -> None:
    world.posts(limit=4)
    world.tell("interactionSeen", 1, 2)
    world.tell("interactionLike", 4)
    assert world.walk(limit=100) == uris(range(5, 121), [3, 1, 2, 4])


def test_show_less_hides_the_post_and_for_a_day_its_author(world: World) -> None:
    world.tell("requestLess", 10)
    same_author = [post for post in range(1, 121) if post % 7 == 10 % 7]
    others = [post for post in range(1, 121) if post % 7 != 10 % 7]
    assert world.walk(limit=100) == uris(others)
    world.clock.at += 25 * 3600
    left = set(world.walk(limit=100))
    assert left == set(uris(range(1, 121))) - {post_uri(10)}
    assert set(uris(same_author)) - left == {post_uri(10)}


def test_show_more_takes_show_less_back(world: World) -> None:
    world.tell("requestLess", 10)
    world.clock.at += 1
    world.tell("requestMore", 10)
    assert world.walk(limit=100) == uris(range(1, 10), range(11, 121), [10])


def test_show_less_applies_to_pages_already_being_paged_through(world: World) -> None:
    first = world.page(limit=30)
    world.tell("requestLess", 40)
    rest = world.walk(limit=30, cursor=first["cursor"])
    assert rest == uris(post for post in range(31, 121) if post % 7 != 40 % 7)


def test_what_is_seen_while_paging_moves_no_place(world: World) -> None:
    first = world.page(limit=30)
    world.tell("interactionSeen", *range(1, 60))
    assert world.walk(limit=30, cursor=first["cursor"]) == uris(range(31, 121))


def test_polls_and_previews_change_nothing(world: World) -> None:
    for _ in range(3):
        assert world.posts(limit=1) == uris([1])
        assert world.posts(limit=8) == uris(range(1, 9))
    world.flush()
    assert not (world.folder / "activity.sqlite").exists()
    assert world.posts(limit=30) == uris(range(1, 31))


def test_a_poll_shows_what_is_on_top_until_there_is_a_newer_list(world: World) -> None:
    world.posts(limit=30)
    world.tell("interactionSeen", *range(1, 20))
    assert world.posts(limit=1) == uris([1])
    world.store.publish(8, {ALICE.did: blob(range(120, 0, -1))})
    assert world.posts(limit=1) == uris([120])


def test_a_page_of_one_goes_on_as_any_other(world: World) -> None:
    world.posts(limit=30)
    world.tell("interactionSeen", 3)
    assert world.walk(limit=1) == uris(range(1, 121))  # as the first page was: a poll is its first request


def test_a_fallback_list_is_arranged_too(world: World) -> None:
    world.store.connection.execute("DELETE FROM lists")
    assert world.posts(limit=10) == uris(range(200, 210))
    world.tell("requestLess", 212)
    left = [post for post in range(210, 260) if post % 7 != 212 % 7]
    assert world.posts(limit=20) == uris(left[:20])


def test_a_restart_forgets_nothing(world: World) -> None:
    world.posts(limit=30)
    world.tell("requestLess", 40)
    world.tell("interactionSeen", 60, 61)
    world.flush()
    again = world.add()
    left = [post for post in range(1, 121) if post % 7 != 40 % 7]
    fresh = [post for post in left if post > 30 and post not in (60, 61)]
    shown = [post for post in left if post <= 30]
    assert world.walk(again, limit=50) == uris(fresh, shown, [post for post in (60, 61) if post in left])


def test_events_on_posts_no_list_names_do_no_harm(world: World) -> None:
    world.tell("requestLess", 9_999)
    world.tell("interactionSeen", 9_998, 5)
    assert world.walk(limit=100) == uris(range(1, 5), range(6, 121), [5])


def test_memory_is_bounded_and_who_is_pushed_out_is_read_back(world: World) -> None:
    world.posts(limit=5)
    world.flush()
    memory = ViewerMemory(
        Recall(world.folder / "activity.sqlite", now=world.clock),
        now=world.clock,
        most_bytes=ByClass(40_000, 0),
    )
    store = ListStore(world.folder / "serving.sqlite")
    for viewer in range(100, 120):
        memory.page_shown(plc_did(viewer), "for-you", list(range(2_000)), None)
    assert 20_000 < memory.bytes_of(True) <= 40_000
    with store.read() as snapshot:
        assert snapshot is not None
        assert list(memory.state(ALICE.did, "for-you", snapshot).shown) == [1, 2, 3, 4, 5]
        assert len(memory.state(plc_did(119), "for-you", snapshot).shown) == remembered.SHOWN_MAX


@pytest.mark.parametrize("known", [True, False])
def test_who_was_elsewhere_is_read_again_on_every_feed_and_nobody_else(world: World, known: bool) -> None:
    world.posts(limit=5)
    world.flush()
    memory = ViewerMemory(Recall(world.folder / "activity.sqlite", now=world.clock), now=world.clock)
    store = ListStore(world.folder / "serving.sqlite")
    memory.page_shown(plc_did(2), "for-you", [7], None, known=known)
    others = memory.bytes_of(known)
    for feed in ("for-you", "another"):
        memory.page_shown(ALICE.did, feed, [60, 61], None, known=known)
    memory.read_again([plc_did(3), ALICE.did])
    assert memory.bytes_of(known) == others
    with store.read() as snapshot:
        assert snapshot is not None
        assert list(memory.state(ALICE.did, "for-you", snapshot, known=known).shown) == [1, 2, 3, 4, 5]
        assert not memory.state(ALICE.did, "another", snapshot, known=known).shown
        assert list(memory.state(plc_did(2), "for-you", snapshot, known=known).shown) == [7]


def test_a_store_that_can_not_be_recalled_fails_no_request(world: World) -> None:
    (world.folder / "activity.sqlite").write_bytes(b"no database, no database, no database")
    assert world.posts(limit=5) == uris(range(1, 6))


def test_show_less_outlives_hundreds_of_seen_posts_and_a_restart(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.add()
        world.tell("requestLess", 63)
        world.clock.at += 3600
        for first in (121, 261, 401):
            world.clock.at += 61
            world.tell("interactionSeen", *range(first, first + 140))
        world.flush()
        restarted = world.add()
        shown = world.walk(restarted, limit=100)
        assert not set(shown) & set(uris(post for post in range(1, 121) if post % 7 == 63 % 7))


def test_show_less_outlives_what_a_worker_hears_before_it_serves(tmp_path: Path) -> None:
    memory = ViewerMemory(Recall(tmp_path / "activity.sqlite"), now=Clock())
    answers = [KnownEvent("requestLess", 1, 1, 1)]
    answers += [
        KnownEvent("interactionSeen", post, post, post) for post in range(2, remembered.PENDING_MAX + 50)
    ]
    for answer in answers:
        memory.events_received(ALICE.did, ["for-you"], [answer])
    assert memory.bytes_of(True) < 20_000
    store = ServingStore(tmp_path / "serving.sqlite")
    store.close()
    with ListStore(tmp_path / "serving.sqlite").read() as snapshot:
        assert snapshot is not None
        state = memory.state(ALICE.did, "for-you", snapshot)
    assert state.hidden == {1}
    assert list(state.seen[-2:]) == [answers[-2].post, answers[-1].post]


def test_a_rejected_author_of_many_posts_costs_a_page_no_more(tmp_path: Path) -> None:
    store = ServingStore(tmp_path / "serving.sqlite")
    listed = range(1, 301)

    def steps() -> int:
        """Return how many hundred instructions of SQLite it takes to find what of a list is by one author."""
        counted: list[int] = []
        store.connection.set_progress_handler(lambda: counted.append(1), 100)
        assert ListSnapshot(store.connection).posts_by([3], [*listed]) == {
            post for post in listed if post % 7 == 3
        }
        store.connection.set_progress_handler(None, 0)
        return len(counted)

    store.connection.execute("BEGIN")
    store.posts(listed)
    store.connection.execute("COMMIT")
    few = steps()
    store.connection.execute("BEGIN")
    store.posts(range(301, 100_000))
    store.connection.execute("COMMIT")
    assert steps() <= 2 * few
    store.close()


def test_what_one_worker_answered_counts_at_every_other_at_once(tmp_path: Path) -> None:
    pipes = new_pipes(3)
    with a_world(tmp_path) as world:
        for place, (reading, _) in enumerate(pipes):
            world.add(Peers(reading, [writing for other, (_, writing) in enumerate(pipes) if other != place]))
        assert world.posts(0, limit=30) == uris(range(1, 31))
        assert world.posts(1, limit=30) == uris(range(31, 61))
        world.tell("requestLess", 63, app=2)
        left = [post for post in range(61, 121) if post % 7 != 63 % 7]
        assert world.posts(0, limit=20) == uris(left[:20])
        assert world.posts(2, limit=1) == uris(
            left[:1]
        )  # a poll: what the first worker showed last is on top
        assert world.posts(1, limit=10) == uris(left[20:30])
    for descriptor in (descriptor for pipe in pipes for descriptor in pipe):
        os.close(descriptor)


def test_a_worker_that_missed_messages_reads_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PIPE_BYTES", 4096)
    pipes = new_pipes(2)
    with a_world(tmp_path) as world:
        ends = [Peers(pipes[0][0], [pipes[1][1]]), Peers(pipes[1][0], [pipes[0][1]])]
        for end in ends:
            world.add(end)
        assert world.posts(1, limit=5) == uris(range(1, 6))
        for _ in range(2_000):  # while the second worker serves nothing, its pipe fills up
            world.posts(0, limit=2)
        assert any(ends[0]._behind)
        world.tell("requestLess", 50, app=0)
        world.flush()
        world.posts(1, limit=5)  # hears what was in the pipe
        world.posts(0, limit=2)  # there is room again: the second worker learns that it missed something
        assert post_uri(50) not in world.walk(1, limit=100)
    for descriptor in (descriptor for pipe in pipes for descriptor in pipe):
        os.close(descriptor)


def test_messages_arrive_whole_and_in_order() -> None:
    [(reading, writing)] = new_pipes(1)
    sender, receiver, received = Peers(reading, [writing]), Peers(reading, []), []
    for number in range(200):
        sender.send(("event", "x" * (number % 300), number))
    receiver.listen(received.append)
    receiver.read()
    assert [message[2] for message in received] == list(range(200))
    os.write(writing, b"\x00")  # a reader died within a message
    drain(reading)
    sender.send(("event", "y", 1))
    successor = Peers(reading, [])
    successor.listen(received.append)
    successor.read()
    assert received[-1] == ("event", "y", 1)
    os.close(reading)
    os.close(writing)


def test_impressions_are_written_a_row_a_page_and_read_a_row_a_post(world: World) -> None:
    first = world.page(limit=30)
    world.page(limit=30, cursor=first["cursor"])
    world.page(limit=1)
    world.flush()
    with sqlite3.connect(world.folder / "activity.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM impression_pages").fetchone() == (2,)
        rows = connection.execute("SELECT * FROM impressions ORDER BY position").fetchall()
    at_us = int(world.clock.at * 1e6)
    assert rows == [(ALICE.did, "for-you", 7, post, post_uri(post), 1, at_us, "") for post in range(1, 61)]


def test_impressions_are_bounded_and_go_once_the_lake_has_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pages() -> list[int]:
        world.flush()
        with sqlite3.connect(world.folder / "activity.sqlite") as connection:
            return [
                day for (day,) in connection.execute("SELECT served_us / 86400000000 FROM impression_pages")
            ]

    world.posts(limit=5)
    first_day = int(world.clock.at // 86_400)
    world.clock.at += 86_400
    world.posts(limit=5)
    assert pages() == [first_day, first_day + 1]
    for name in ("day=2026-09-21", "day=rubbish"):
        (world.folder / "lake" / "impressions" / name).mkdir(parents=True)
        (world.folder / "lake" / "impressions" / name / "impressions.parquet").touch()
    world.clock.at += 700
    world.posts(limit=5)
    assert pages() == [first_day + 1, first_day + 1]
    monkeypatch.setattr(limits, "IMPRESSIONS_KEPT", ByClass(10, 10))
    for _ in range(5):
        world.clock.at += 700
        world.posts(limit=5)
        world.flush()
    assert len(pages()) == 2


_POSTS = st.lists(st.integers(1, 60), unique=True, max_size=60)


@given(_POSTS, st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_the_order_of_a_list(posts: list[int], shown: set[int], seen: set[int], left_out: set[int]) -> None:
    marks = list_order.marks_of(posts, shown=shown, seen=seen, left_out=left_out)
    arranged = [posts[place] for place in list_order.order_of(marks, len(posts))]
    listed = [post for post in posts if post not in left_out]
    assert arranged == sorted(listed, key=lambda post: 2 if post in seen else post in shown)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_post_is_repeated_or_skipped_whatever_happens_between_pages(data: st.DataObject) -> None:
    """Two workers, one of them new at times; seen posts and new lists between any two pages."""
    with tempfile.TemporaryDirectory() as folder, a_world(Path(folder)) as world:
        workers = [world.add(), world.add()]
        generation = 7
        for _ in range(data.draw(st.integers(1, 3), label="sessions")):
            posts, cursor = [], {}
            while True:
                app = data.draw(st.sampled_from(workers), label="worker")
                page = world.page(app, limit=data.draw(st.integers(9, 60), label="limit"), **cursor)
                posts += [item["post"] for item in page["feed"]]
                if "cursor" not in page:
                    break
                cursor = {"cursor": page["cursor"]}
                happening = data.draw(st.sampled_from(["nothing", "seen", "publish", "restart"]))
                if happening == "seen":
                    seen = data.draw(st.lists(st.integers(1, 120), max_size=5), label="seen")
                    world.tell("interactionSeen", *seen, app=app)
                elif happening == "publish":
                    generation += 1
                    chosen = data.draw(st.permutations(range(1, 121)), label="newer")
                    world.store.publish(generation, {ALICE.did: blob(chosen)})
                elif happening == "restart":
                    workers[0] = world.add()
            assert sorted(posts) == sorted(uris(range(1, 121)))


def test_tids_are_read_as_numbers() -> None:
    assert tid_number("3mmoojp7etg2g") == 1822432265069441036
    assert tid_number("2222222222222") == 0
    for text in ("", "zzzzzzzzzzzzz", "3mmoojp7etg2", "3mmoojp7etg2gg", "3MMOOJP7ETG2G", "self"):
        assert tid_number(text) is None


def test_a_newcomers_visit_is_written_within_a_second_and_their_list_is_picked_up(world: World) -> None:
    world.store.connection.execute("DELETE FROM lists")
    world.store.connection.execute("DELETE FROM viewers")
    assert world.posts(limit=30) == uris(range(200, 230))
    path = world.folder / "activity.sqlite"

    def visits() -> int:
        if not path.exists():
            return 0
        with sqlite3.connect(path) as connection:
            try:
                return int(connection.execute("SELECT count(*) FROM visits").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

    assert wait_until(lambda: visits() == 1)
    world.store.publish(8, {ALICE.did: blob(range(1, 121))})
    assert world.posts(limit=30) == uris(range(1, 31))


def test_what_a_viewer_saw_is_known_as_long_as_a_post_may_be_listed() -> None:
    assert KEPT_SECONDS == SINCE_SECONDS >= Ranking().post_max_age_hours * 3600
