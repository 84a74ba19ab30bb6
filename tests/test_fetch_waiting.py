"""Viewers who wait for their likes, beside crowds whose hosts are slow, closed, huge, lying or busy: real servers."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from repositories import AUTHOR, NOW_US, Repositories, know, record_of
from streams import WAIT_SECONDS, wait_until
from test_backfill_viewers import outcome, stored, visit

from pipeline.backfill import fetch_turns, fetch_waiting
from pipeline.backfill.fetch_turns import FetchTurns, WantedRepository
from pipeline.backfill.viewer_repository import Patience
from pipeline.identifiers import tid_at
from pipeline.ranking import Ranking
from pipeline.store.events import EventBatch, Like
from pipeline.store.fetched_likes import HostRecord
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US
from serving.identity.repository_reader import RepositoryReader
from sql import places
from sql.sqlite import connect, has_tables

HONEST = "did:plc:" + "h" * 24
SECOND = 1_000_000


def number_did(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "did:plc:" + "".join(letters[number >> shift & 31] for shift in range(115, -5, -5))


@dataclass
class Host(Repositories):
    """A host of repositories that answers as it is told; it counts how many it answers at once."""

    behaviour: Callable[["Host", Any], None] | None = None
    released: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most_at_once: int = 0
    times: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Any) -> None:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.times.append(time.monotonic())
        try:
            if self.behaviour is None:
                super().answer(request)
            else:
                self.behaviour(self, request)
        except OSError:
            pass  # the other end did not wait
        finally:
            with self.lock:
                self.at_once -= 1

    def __exit__(self, *error: object) -> None:
        self.released.set()
        super().__exit__(*error)


def silent(host: Host, request: Any) -> None:
    request.connection.settimeout(0.05)
    while not host.released.is_set():
        try:
            if not request.connection.recv(1):
                return  # the other end did not wait
        except TimeoutError:
            continue


def late(host: Host, request: Any) -> None:
    """Answer too late for the first patience, in time for the second."""
    host.released.wait(1.3)
    Repositories.answer(host, request)


def drip(host: Host, request: Any) -> None:
    request.send_response(200)
    request.end_headers()
    while not host.released.wait(0.05):
        request.wfile.write(b" ")
        request.wfile.flush()


def huge(host: Host, request: Any) -> None:
    host.send(request, 200, b" " * 300_000)


def lying(host: Host, request: Any) -> None:
    """List the same invented records without end."""
    viewer = request.path.split("repo=")[-1].split("&")[0].replace("%3A", ":")
    host.send(request, 200, {"records": [record_of(viewer, 1)] * 9, "cursor": str(len(host.times))})


def busy(host: Host, request: Any) -> None:
    host.send(request, 429, {}, {"retry-after": "3600"})


CROWD = (silent, drip, huge, lying, busy, None)


@dataclass
class Town:
    """A store, a directory, and the hosts that its documents name."""

    data_dir: Path
    directory: Host
    stack: ExitStack
    hosts: list[Host] = field(default_factory=list)

    def host(self, behaviour: Callable[[Host, Any], None] | None = None) -> Host:
        host = self.stack.enter_context(Host(behaviour=behaviour))
        self.hosts.append(host)
        return host

    def lives_at(self, did: str, url: str) -> None:
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": url}
        self.directory.documents[did] = {"id": did, "service": [service]}

    def crowd(self, count: int, first: int = 0) -> None:
        """Let viewers come whose hosts are of every bad kind, each with a host of its own."""
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        self.stack.callback(closed.close)
        for number in range(first, first + count):
            behaviour = CROWD[number % len(CROWD)]
            url = f"http://localhost:{closed.getsockname()[1]}"
            self.lives_at(number_did(number), url if behaviour is None else self.host(behaviour).url)
        visit(self.data_dir, *((number_did(number), 1 + number) for number in range(first, first + count)))

    def honest(self, did: str = HONEST, at: int = 1_000_000, likes: int = 3) -> Host:
        host = self.host()
        host.records[did] = [record_of(did, DAY_US + age, age) for age in range(likes)]
        self.lives_at(did, host.url)
        visit(self.data_dir, (did, at))
        return host

    def stream(self, *dids: str, moved_us: int = 0) -> None:
        """Let the stream report one like of each, and its time go on."""
        landing = Landing(self.data_dir)
        batch = EventBatch(newest_us=NOW_US + moved_us, low_us=NOW_US + moved_us)
        batch.likes = [Like(did, tid_at(NOW_US - 9), AUTHOR, 1, NOW_US, tid_at(NOW_US - 9)) for did in dids]
        landing.append(batch, "one.example", "firehose")
        landing.close()

    def run(self) -> None:
        fetch_waiting.run_waiting(self.data_dir, RepositoryReader(self.directory.url), Ranking())

    @contextmanager
    def running(self) -> Iterator[threading.Thread]:
        """Let a run go on beside the test; at its end the hosts close what they hold."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield thread
        finally:
            for host in self.hosts:
                host.released.set()
            thread.join(120)
            assert not thread.is_alive()

    def is_stored(self, did: str = HONEST) -> bool:
        if not has_tables(places.landing(self.data_dir), "fetched_viewers"):
            return False
        found = outcome(self.data_dir, did)
        return found is not None and found[1] == "done"


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    monkeypatch.setattr(fetch_waiting, "FIRST_PATIENCE", Patience(first=1.0, page=1.0, whole=2.0))
    monkeypatch.setattr(fetch_waiting, "SLOW_PATIENCE", Patience(first=3.0, page=3.0, whole=3.0))
    monkeypatch.setattr(fetch_waiting, "RUN_SECONDS", 60.0)
    with ExitStack() as stack, Host() as directory:
        know(tmp_path)
        yield Town(tmp_path, directory, stack)


def test_a_newcomer_behind_a_crowd_is_served_at_once(town: Town) -> None:
    """Also one who comes in the middle of it, whose hosts never answer: there are more of them than threads."""
    town.crowd(240)
    host = town.honest()
    with town.running():
        wait_until(town.is_stored)
        before = [other for other in town.hosts if other.times and other.times[0] < host.times[0]]
        assert len(before) < 100  # of 200
        assert town.directory.at_once <= fetch_turns.DIRECTORY_SLOTS
        second = number_did(100_000)
        town.honest(second, at=2_000_000)
        wait_until(lambda: town.is_stored(second))
    assert len([like for like in stored(town.data_dir) if like[0] in (HONEST, second)]) == 6


def test_a_crowd_is_served_in_time_and_all_of_it_is_remembered(town: Town) -> None:
    """Everybody is tried within a run or two, and then waits longer than those who never failed."""
    town.crowd(18)
    town.run()
    store = connect(places.landing(town.data_dir), read_only=True)
    found = dict(store.execute("SELECT did, outcome FROM fetched_viewers").fetchall())
    store.close()
    for number in range(18):
        text, kind = found[number_did(number)], CROWD[number % len(CROWD)]
        if kind is huge:
            assert text == "absent"
        elif kind is lying:
            assert text == "done"  # pages without end are bounded by number
        else:
            assert " failures: " in text, (kind, text)
    assert "patience (status 429)" in found[number_did(CROWD.index(busy))]


def test_a_domain_takes_one_slot(town: Town) -> None:
    """Its viewers wait behind each other, and nobody else waits for them."""
    host = town.host(silent)
    crowd = [number_did(number) for number in range(30)]
    for did in crowd:
        town.lives_at(did, host.url)
    visit(town.data_dir, *((did, 2_000_000 + number) for number, did in enumerate(crowd)))
    town.honest()
    with town.running():
        wait_until(town.is_stored)
        wait_until(lambda: host.at_once == 1)
    assert host.most_at_once <= 2  # the host may notice a little late that one was closed


def test_those_the_stream_knows_go_first(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers hold a part of the threads only, so there is one free however many come."""
    # No host is given up before all strangers are held, however slowly this machine begins so many requests.
    for patience in ("FIRST_PATIENCE", "SLOW_PATIENCE"):
        monkeypatch.setattr(
            fetch_waiting, patience, Patience(first=WAIT_SECONDS, page=WAIT_SECONDS, whole=WAIT_SECONDS)
        )
    monkeypatch.setattr(fetch_waiting, "RUN_SECONDS", WAIT_SECONDS)
    strangers = [town.host(silent) for _ in range(fetch_turns.STRANGERS_THREADS + 6)]
    for number, host in enumerate(strangers):
        town.lives_at(number_did(number), host.url)
        visit(town.data_dir, (number_did(number), 1 + number))
    with town.running():
        wait_until(lambda: sum(host.at_once for host in strangers) == fetch_turns.STRANGERS_THREADS)
        town.stream(HONEST)
        town.honest(at=10)
        wait_until(town.is_stored)


def test_a_slow_host_is_asked_again_with_more_patience(town: Town) -> None:
    host = town.honest()
    host.behaviour = late
    town.run()
    assert outcome(town.data_dir, HONEST) == (3, "done")
    assert len(host.times) >= 3  # once too late, then both requests


def test_retry_after_is_obeyed(town: Town) -> None:
    """Within a run if it lasts long enough: the same viewer's likes are stored then."""
    host = town.honest()

    def once(host: Host, request: Any) -> None:
        if len(host.times) == 1:
            host.send(request, 429, {}, {"retry-after": "2"})
        else:
            Repositories.answer(host, request)

    host.behaviour = once
    second = number_did(7)
    host.records[second] = []
    town.lives_at(second, host.url)
    visit(town.data_dir, (second, 5))
    town.run()
    assert outcome(town.data_dir, HONEST) == (3, "done")
    assert outcome(town.data_dir, second) == (0, "done")
    assert host.times[1] - host.times[0] >= 2.0


@pytest.mark.parametrize("header", ["retry-after", "ratelimit-reset"])
def test_a_host_that_wants_more_patience_than_a_run_has_is_left_alone(town: Town, header: str) -> None:
    host = town.honest()
    town.stream()
    seconds = 3600 if header == "retry-after" else int(time.time()) + 3600
    host.behaviour = lambda host, request: host.send(request, 429, {}, {header: str(seconds)})
    town.run()
    assert len(host.times) == 1
    second = number_did(7)
    host.records[second] = []
    town.lives_at(second, host.url)
    visit(town.data_dir, (second, 5))
    host.behaviour = None
    town.stream(moved_us=3500 * SECOND)
    town.run()
    assert len(host.times) == 1
    town.stream(moved_us=3602 * SECOND)
    town.run()
    assert outcome(town.data_dir, HONEST) == (3, "done")
    assert outcome(town.data_dir, second) == (0, "done")


def test_a_page_too_large_is_asked_for_again_with_half_the_limit(town: Town) -> None:
    host = town.honest(likes=40)
    host.records[HONEST] = [{**record, "padding": "x" * 4000} for record in host.records[HONEST]]
    town.run()
    assert outcome(town.data_dir, HONEST) == (40, "done")
    limits = [int(path.split("limit=")[1].split("&")[0]) for path in host.asked()]
    assert limits == [50, 25, 12, 12, 12, 12]


def test_one_record_that_is_too_large_ends_it(town: Town) -> None:
    host = town.honest(likes=1)
    host.records[HONEST] = [{**record, "padding": "x" * 90_000} for record in host.records[HONEST]]
    town.run()
    assert outcome(town.data_dir, HONEST) == (0, "absent")
    assert len(host.asked()) == 6


def test_a_host_that_was_slow_is_slow_in_the_next_run_too(town: Town) -> None:
    """Also for a viewer of it who is new: they are behind all others at once, and it gets more patience at once."""
    host = town.host(silent)
    town.lives_at(number_did(1), host.url)
    visit(town.data_dir, (number_did(1), 1))
    town.run()
    asked = len(host.times)
    town.honest()
    host.behaviour = late
    host.records[number_did(2)] = []
    town.lives_at(number_did(2), host.url)
    visit(town.data_dir, (number_did(2), 2))
    town.run()
    assert outcome(town.data_dir, number_did(2)) == (0, "done")
    assert len(host.times) == asked + 2


# Order and slots, without hosts.


@dataclass
class Somewhere:
    """A repository of which the turns need the place alone."""

    host: str
    domain: str

    def page(self, *_: Any) -> Any:
        raise AssertionError

    def latest_commit(self, *_: Any) -> Any:
        raise AssertionError


def at(name: str, **what: Any) -> WantedRepository:
    return WantedRepository(name, repository=Somewhere(f"{name}.example", name), **what)


def names(turns: FetchTurns) -> list[str]:
    found = []
    while (wanted := turns.take()) is not None:
        found.append(wanted.did)
    return found


def test_the_order() -> None:
    turns = FetchTurns(lambda _did: "")
    turns.recall([HostRecord("good.example", True, 0), HostRecord("was-slow.example", False, 0)], 0)
    for wanted in (
        at("slow", is_slow=True), at("was-slow", is_known=True), at("reset", is_reset=True), at("a"),
        at("good"), at("b"), at("known", is_known=True), at("c"),
    ):  # fmt: skip
        turns.add(wanted)
    found = names(turns)
    assert found[:2] == ["known", "good"]
    assert sorted(found[2:5]) == ["a", "b", "c"]
    assert found[5] == "reset"
    assert sorted(found[6:]) == ["slow", "was-slow"]


def test_the_first_and_the_last_to_come_take_turns() -> None:
    turns = FetchTurns(lambda _did: "")
    for number in range(9):
        turns.add(at(str(number)))
    assert set(names(turns)[:4]) == {"0", "1", "7", "8"}


def test_the_slots_of_strangers_the_slow_and_a_domain() -> None:
    turns = FetchTurns(lambda _did: "")
    for number in range(100):
        turns.add(at(f"slow{number}", is_slow=True))
        turns.add(at(f"reset{number}", is_reset=True))
    assert len(names(turns)) == fetch_turns.SLOW_THREADS + fetch_turns.RESET_THREADS
    for number in range(100):
        turns.add(at(f"stranger{number}"))
    others = fetch_turns.STRANGERS_THREADS - fetch_turns.SLOW_THREADS - fetch_turns.RESET_THREADS
    assert len(names(turns)) == others
    for number in range(100):
        turns.add(at(f"known{number}", is_known=True))
    assert len(names(turns)) == fetch_turns.THREADS - fetch_turns.STRANGERS_THREADS


def test_a_domain_that_answers_quickly_gets_more_slots_one_at_a_time() -> None:
    turns, most = FetchTurns(lambda _did: ""), []
    for _ in range(60):
        turns.add(WantedRepository("x", repository=Somewhere("a.example", "example")))
    running: list[WantedRepository] = []
    for _ in range(6):
        while (wanted := turns.take()) is not None:
            running.append(wanted)
        most.append(len(running))
        first = running.pop(0)
        turns.give_back(first)
        turns.learn(first, "ok", 0.1, is_slow=False)
    assert most == [1, 2, 3, 4, 4, 4]
    last = running.pop(0)
    turns.give_back(last)
    turns.learn(last, "slow", 5.0, is_slow=True)
    assert turns.take() is None
