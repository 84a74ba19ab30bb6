"""Journals: what viewers did reaches every machine's activity.sqlite once, whatever is killed, full or late."""

import os
import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from serving_worlds import (
    FEED,
    INTERACTIONS,
    SKELETON,
    START,
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

from pipeline.nodes.shared_files import enter
from serving.app import create_app
from serving.viewers import journal as journal_module
from serving.viewers import taken_journals
from serving.viewers.activity_queue import Interaction, Queued, ShownPage, Visit
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.forgotten import forget_activity, request_forgetting
from serving.viewers.journal import Journal, OwnWord, line_of, lines_of, read_line, report, word_line
from serving.viewers.own_settings import USUAL, OwnSettings, SettingsStore
from serving.viewers.taken_journals import JournalTaker
from sql import places
from sql.shards import Shard, bucket_of
from sql.sqlite import connect

NOW_US = int(START * 1e6)
VIEWERS = [plc_did(number) for number in range(12)]


def interaction(viewer: str, number: int, event: str = "requestLess", at_us: int = NOW_US) -> Interaction:
    return Interaction(viewer, post_uri(number), event, "for-you", "", "", at_us)


def some_events(chance: random.Random, viewers: list[str], count: int) -> list[Queued]:
    found = []
    for number in range(count):
        viewer, at_us = chance.choice(viewers), NOW_US + number
        page = ShownPage(viewer, "for-you", 3, 1, [post_uri(chance.randrange(99))], [1], at_us)
        event = chance.choice(
            [
                interaction(viewer, chance.randrange(9), at_us=at_us),
                Visit(viewer, "for-you", "en", at_us),
                page,
            ]
        )
        found.append(Queued(event, chance.random() < 0.5))
    return found


class Machine:
    """One machine: its data directory, and what takes the journals."""

    def __init__(
        self, folder: Path, name: str, shard: Shard | None = None, clock: Clock | None = None
    ) -> None:
        self.data_dir, self.shared, self.name = folder / name, folder / "shared", name
        self.folder = places.journals(self.shared) / name
        self.shared.mkdir(parents=True, exist_ok=True)
        enter(self.shared, is_head=True, is_first=True)
        self.clock = clock or Clock()
        self.shard = shard
        self.begin()

    def begin(self) -> None:
        activity = places.activity(self.data_dir)

        def forget(did: str, at_us: int) -> None:
            forget_activity(activity, did, at_us)
            if self.shard is None:
                request_forgetting(activity, did, at_us)

        journals = places.journals(self.shared)
        self.taker = JournalTaker(self.data_dir, journals, self.name, self.shard, forget, now=self.clock)

    def journal(self) -> Journal:
        return Journal(self.folder, now=self.clock)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(connect(places.activity(self.data_dir), read_only=True)) as connection:
            return connection.execute(query).fetchall()

    def everything(self) -> list[list[tuple[Any, ...]]]:
        return [
            self.rows("SELECT * FROM interactions ORDER BY 1, 2, 3"),
            self.rows("SELECT * FROM visits ORDER BY 1, 2"),
            self.rows("SELECT viewer_did, posts, served_us FROM impression_pages ORDER BY 1, 3"),
            self.rows("SELECT viewer_did, interactions, impressions FROM takers ORDER BY 1"),
        ]


def test_a_line_says_what_it_was_made_of() -> None:
    for event in some_events(random.Random(1), VIEWERS, 50):
        line = line_of(event)
        assert line.count(b"\n") == 1
        assert journal_module.bucket_of_line(line) == bucket_of(event.event.viewer_did)
        assert read_line(line) == event
    word = OwnWord("taken back", VIEWERS[0], NOW_US, {"post_uri": post_uri(4)})
    assert read_line(word_line(word)) == word


def test_every_machine_takes_its_viewers_once_whatever_the_order_and_whoever_is_killed(
    tmp_path: Path,
) -> None:
    chance = random.Random(7)
    head = Machine(tmp_path, "head")
    nodes = [Machine(tmp_path, f"node{n}", Shard(n % 2 + 1, 2)) for n in range(4)]
    events = some_events(chance, VIEWERS, 400)
    journals = [node.journal() for node in nodes]
    for start in range(0, len(events), 20):
        assert chance.choice(journals).append(lines_of(events[start : start + 20]))
        for machine in chance.sample([head, *nodes], 2):
            machine.taker.take()
            machine.begin()  # killed, and begun again
    alone = Machine(tmp_path / "other", "alone")
    assert alone.journal().append(lines_of(events))
    for machine in (head, *nodes, alone):
        machine.taker.take()
        assert machine.taker.take() == 0
    assert head.everything() == alone.everything()
    for node in nodes:
        assert node.shard is not None
        shard = node.shard
        for found, whole in zip(node.everything(), alone.everything(), strict=True):
            assert found == [row for row in whole if shard.has(bucket_of(row[0]))]


def test_lines_and_how_far_they_go_are_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Machine(tmp_path, "head")
    Machine(tmp_path, "node").journal().append(lines_of(some_events(random.Random(3), VIEWERS, 60)))
    write = taken_journals.write_events

    def fails(connection: sqlite3.Connection, batch: list[Queued]) -> dict[str, bool]:
        write(connection, batch)
        raise sqlite3.OperationalError("killed here")

    monkeypatch.setattr(taken_journals, "write_events", fails)
    with pytest.raises(sqlite3.OperationalError):
        head.taker.take()
    assert head.everything() == [[], [], [], []]
    monkeypatch.undo()
    assert head.taker.take() == 60
    alone = Machine(tmp_path / "other", "alone")
    alone.journal().append(lines_of(some_events(random.Random(3), VIEWERS, 60)))
    alone.taker.take()
    assert head.everything() == alone.everything()


def test_a_line_without_an_end_is_nobodys(tmp_path: Path) -> None:
    head, node = Machine(tmp_path, "head"), Machine(tmp_path, "node")
    lines = (
        line_of(Queued(interaction(VIEWERS[0], 1), True)),
        line_of(Queued(interaction(VIEWERS[0], 2), True)),
    )
    node.folder.mkdir(parents=True)
    (node.folder / "1-1.lines").write_bytes(lines[0] + lines[1][:-20])
    assert head.taker.take() == 1
    assert node.journal().append(lines[1])  # the process that was begun again has a file of its own
    assert head.taker.take() == 1
    assert len(head.rows("SELECT * FROM interactions")) == 2


def test_what_the_disk_refuses_is_written_later_in_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, node = Machine(tmp_path, "head"), Machine(tmp_path, "node")
    journal = node.journal()
    first, second, third = (
        lines_of([Queued(Visit(VIEWERS[0], "for-you", "", NOW_US + n), True)]) for n in range(3)
    )
    assert journal.append(first)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert not journal.append(second)  # it has it, and the disk may have it, too
    head.taker.take()
    with pytest.raises(OSError, match="No space"):
        journal.append(third)
    monkeypatch.undo()
    assert journal.append(third)
    head.taker.take()
    assert head.rows("SELECT pages, last_us FROM visits") == [(3, NOW_US + 2)]


def test_nobody_waits_long_for_a_disk_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, node = Machine(tmp_path, "head"), Machine(tmp_path, "node")
    answers, fsync = threading.Event(), os.fsync

    def hangs(descriptor: int) -> None:
        answers.wait(300)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", hangs)
    monkeypatch.setattr("serving.viewers.activity_writer.WAIT_SECONDS", 0.05)
    monkeypatch.setattr(journal_module, "GROUP_BYTES", 2_000)
    writer = ActivityWriter(places.activity(node.data_dir), journal=node.journal())
    for number in range(30):  # neither long nor without bound
        assert not writer.record_whole([interaction(VIEWERS[0], number)], known=True)
    answers.set()
    monkeypatch.undo()
    assert wait_until(lambda: writer.record_whole([interaction(VIEWERS[0], 40)], known=True))
    taken = head.taker.take()
    assert 2 <= taken < 30  # those that timed out before there were too many, and the last
    assert len(head.rows("SELECT * FROM interactions")) == taken
    writer.close()


def test_a_machine_whose_lines_nobody_takes_stops_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FILE_BYTES", 100)
    monkeypatch.setattr(journal_module, "MACHINE_BYTES", 2_000)
    node = Machine(tmp_path, "node")
    journal = node.journal()
    line = line_of(Queued(interaction(VIEWERS[0], 1), True))
    while sum(path.stat().st_size for path in node.folder.glob("*")) <= 2_000:
        journal.append(line)
    with pytest.raises(OSError, match="for days"):
        journal.append(line)
    assert sum(path.stat().st_size for path in node.folder.iterdir()) < 2_600


def test_the_head_removes_old_files_and_surplus_ones_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FILE_BYTES", 100)
    monkeypatch.setattr(taken_journals, "FILE_BYTES", 100)
    monkeypatch.setattr(taken_journals, "KEPT_BYTES", 1_000)
    clock = Clock()
    head, node = Machine(tmp_path, "head", clock=clock), Machine(tmp_path, "node", Shard(1, 1), clock)
    journal = node.journal()
    for number in range(20):
        journal.append(line_of(Queued(interaction(VIEWERS[0], number), True)))
    files = sorted(node.folder.iterdir())
    clock.at = files[-1].stat().st_mtime
    assert node.taker.take() == 20  # a node removes nothing
    assert sorted(node.folder.iterdir()) == files
    assert head.taker.take() == 20
    kept = sorted(node.folder.iterdir())
    assert kept == files[-len(kept) :]
    assert 0 < sum(path.stat().st_size for path in kept) <= 1_000
    clock.at += 15 * 86_400
    head.taker.take()
    node.taker.take()
    assert list(node.folder.iterdir()) == []
    assert len(head.rows("SELECT * FROM interactions")) == 20
    assert node.taker.take() == head.taker.take() == 0


def test_settings_forgetting_and_answers_taken_back_hold_in_any_order(tmp_path: Path) -> None:
    viewer, other = VIEWERS[:2]
    pages = Machine(tmp_path, "head").journal()
    feed = Machine(tmp_path, "node1").journal()
    at = NOW_US
    feed.append(
        lines_of(
            [Queued(interaction(viewer, 1, at_us=at), True), Queued(interaction(viewer, 2, at_us=at), True)]
        )
    )
    report(pages, OwnWord("taken back", viewer, at + 1, {"post_uri": post_uri(1)}))
    report(pages, OwnWord("forget", other, at + 1, {}))
    feed.append(
        lines_of(
            [Queued(interaction(other, 1, at_us=at), True), Queued(interaction(other, 2, at_us=at + 2), True)]
        )
    )
    for name, of_pages, of_feed in (("pages first", "1", "2"), ("pages last", "2", "1")):
        journals = places.journals(tmp_path / name / "shared")
        for machine, file in (("head", of_pages), ("node1", of_feed)):
            (text,) = (
                path.read_bytes() for path in (places.journals(tmp_path / "shared") / machine).iterdir()
            )
            (journals / machine).mkdir(parents=True)
            (journals / machine / f"{file}.lines").write_bytes(text)
        node = Machine(tmp_path / name, "node2", Shard(1, 1))
        node.taker.take()
        found = node.rows("SELECT viewer_did, post_uri FROM interactions")
        assert set(found) == {(viewer, post_uri(2)), (other, post_uri(2))}


def test_settings_saved_at_a_page_of_the_head_are_in_force_on_a_node(tmp_path: Path) -> None:
    clock = Clock()
    head, node = Machine(tmp_path, "head", clock=clock), Machine(tmp_path, "node", Shard(1, 1), clock)
    store = SettingsStore(places.activity(head.data_dir), now=clock, journal=head.journal())
    there = SettingsStore(places.activity(node.data_dir), now=clock)
    own = OwnSettings(seen="hidden", hidden_authors=(VIEWERS[3],))
    for settings in (own, replace(own, is_paused=True), USUAL):
        clock.at += 1
        store.save(VIEWERS[0], settings, known=True)
        head.taker.take()
        node.taker.take()
        assert there.of(VIEWERS[0]) == store.of(VIEWERS[0]) == settings


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr("serving.viewers.activity_writer.GATHER_SECONDS", 0.01)
    return lambda: None


def test_show_less_counts_on_the_other_node_too_also_when_it_has_the_viewer_in_memory(
    tmp_path: Path, no_wait: Callable[[], None]
) -> None:
    account, clock = Account(VIEWERS[0]), Clock()
    nodes = [Machine(tmp_path, f"node{n}", Shard(1, 1), clock) for n in (1, 2)]
    clients, writers = [], []
    for node in nodes:
        store = ServingStore(places.serving(node.data_dir))
        store.posts(range(1, 40))
        store.publish(1, {VIEWERS[0]: blob(range(1, 40))}, {"": blob([1])})
        store.close()
        config = config_of(node.data_dir, journal=node.folder)
        writer = ActivityWriter(config.activity_path, now=clock, journal=(journal := node.journal()))
        app = create_app(config, now=clock, resolver=OneAccount(account), activity=writer, journal=journal)
        node.taker.take()
        writer.start()
        writers.append(writer)
        clients.append(TestClient(app))

    def posts(number: int) -> list[str]:
        result = clients[number].simulate_get(
            SKELETON, params={"feed": FEED, "limit": "30"}, headers=bearer(account.token(now=clock.at))
        )
        return [item["post"] for item in result.json["feed"]]

    def less(number: int, post: str) -> int:
        event = {"item": post, "event": "app.bsky.feed.defs#requestLess"}
        token = account.token("app.bsky.feed.sendInteractions", now=clock.at)
        result = clients[number].simulate_post(
            INTERACTIONS, json={"interactions": [event]}, headers=bearer(token)
        )
        return result.status_code

    def exchange() -> None:
        for writer in writers:
            assert flush(writer)
        for node in nodes:
            clock.at += 0.001
            node.taker.take()

    for turn, (first, second) in enumerate([(0, 1), (1, 0), (0, 1)]):
        shown = posts(first)
        assert posts(second)  # both have the viewer in memory
        assert less(first, shown[turn]) == 200
        assert shown[turn] not in posts(first)
        exchange()
        assert wait_until(lambda second=second, post=shown[turn]: post not in posts(second))  # type: ignore[misc]
        exchange()
        assert set(posts(0)) == set(posts(1))
    for writer in writers:
        writer.close()


def test_an_answer_that_is_not_on_the_shared_disk_is_refused(tmp_path: Path) -> None:
    node = Machine(tmp_path, "node")
    node.folder.write_text("no folder")
    writer = ActivityWriter(places.activity(node.data_dir), journal=node.journal())
    assert not writer.record_whole([interaction(VIEWERS[0], 1)], known=True)
    assert writer.state()["ok"] is False
    node.folder.unlink()
    assert writer.record_whole([interaction(VIEWERS[0], 1)], known=True)
    assert node.taker.take() == 1
    writer.close()
