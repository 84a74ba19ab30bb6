"""Several workers on one port: one crashes, all are renewed, everything stops, and no client notices.

FORYOU_TEST_STORM_SECONDS=600 python -m pytest -s tests/test_serving_workers.py -k storm      is the long storm
"""

import http.client
import json
import os
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from serving_worlds import (
    FEED,
    INTERACTIONS,
    PUBLISHER_DID,
    SKELETON,
    Account,
    ServingStore,
    bearer,
    blob,
    config_of,
    directory,
    plc_did,
    post_uri,
    wait_until,
)

from serving.config import COUNTS_VARIABLE, ServingConfig
from serving.http.web_metrics import WebMetrics
from serving.process import workers as module
from serving.process.workers import Workers
from serving.web_errors import ServingError

POSTS = list(range(1, 121))
_PROGRAM = f"""
import sys
from pathlib import Path
from serving.config import ServingConfig
from serving.process.workers import run
run(ServingConfig(Path(sys.argv[1]), "feed.example.com", "did:web:feed.example.com", "{PUBLISHER_DID}",
                  ("for-you",), ("127.0.0.1", 0), sys.argv[2], "off", 4, 2, ("127.0.0.1", 0)))
"""
STORM_SECONDS = float(os.environ.get("FORYOU_TEST_STORM_SECONDS", "3"))


@contextmanager
def _running(config: ServingConfig) -> Iterator[Workers]:
    workers = Workers(config)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            workers.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield workers
    finally:
        workers.stop()
        thread.join(120)
        assert not thread.is_alive()
    assert failures == []


def _pids(workers: Workers) -> list[int]:
    return [worker.process.pid for worker in list(workers._workers.values())]


def _children(process: int) -> set[int]:
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return {int(child) for path in lists for child in path.read_text().split()}


def _figures(address: tuple[str, int]) -> str:
    connection = http.client.HTTPConnection(*address, timeout=120)
    connection.request("GET", "/metrics", headers={"Host": "localhost"})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def _get(workers: Workers, account: Account, **params: Any) -> tuple[int, Any]:
    return _ask(workers.address, account, **params)


def _ask(address: tuple[str, int], account: Account, **params: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*address, timeout=120)
    try:
        headers = bearer(account.token(now=time.time()))
        connection.request("GET", f"{SKELETON}?{urlencode({'feed': FEED, **params})}", headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@contextmanager
def _installation(
    folder: Path, workers: int, viewers: int
) -> Iterator[tuple[Workers, ServingStore, list[Account]]]:
    accounts = [Account(plc_did(number)) for number in range(1, viewers + 1)]
    store = ServingStore(folder / "serving.sqlite")
    store.posts(POSTS)
    store.publish(1, {account.did: blob(POSTS) for account in accounts}, {"": blob([1])}, at=time.time())
    with directory(keeps=True) as plc:
        plc.publish(*accounts)
        with _running(config_of(folder, plc.url, workers=workers)) as running:
            assert _get(running, accounts[0], limit=1)[0] == 200
            yield running, store, accounts
    store.close()


def test_a_worker_that_crashes_is_replaced(tmp_path: Path) -> None:
    with _installation(tmp_path, 1, 1) as (workers, _, [account]):
        [former] = _pids(workers)
        os.kill(former, signal.SIGKILL)
        assert _get(workers, account, limit=5)[0] == 200  # waits for the new one, and is not refused
        assert wait_until(lambda: _pids(workers) not in ([], [former]))
        line = f'foryou_requests_total{{address="{SKELETON}",status="200"}} 2.0'
        assert line in _figures(workers.pages_address or ("", 0)), (
            "the new one goes on counting where the other ended"
        )
        assert sorted(file.name for file in workers._counts.path.iterdir()) == [
            "counter_0.db",
            "histogram_0.db",
        ]


def test_a_worker_that_crashes_for_hours_does_not_end_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen(["/bin/false"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ended.wait()
    starts: list[float] = []

    def start(_workers: Workers, number: int) -> Any:
        starts.append(module.time.monotonic())
        return module._Worker(number, 0, ended, starts[-1])

    monkeypatch.setattr(Workers, "_start", start)
    clock = iter(range(0, 10**9, 40))  # more than the longest pause, less than a steady life
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    workers = Workers(config_of(tmp_path))
    workers._workers[0] = workers._start(0)
    for _ in range(2_400):
        workers._watch()
    workers._end()
    assert len(starts) > 1_100


def test_new_workers_take_over_and_no_request_is_lost(tmp_path: Path) -> None:
    with _installation(tmp_path, 2, 1) as (workers, _, [account]):
        assert wait_until(lambda: len(_pids(workers)) == 2)
        former, statuses, enough = set(_pids(workers)), [], threading.Event()

        def ask() -> None:
            while not enough.is_set():
                statuses.append(_get(workers, account, limit=2)[0])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        workers.renew()
        assert wait_until(lambda: len(_pids(workers)) == 2 and not former & set(_pids(workers)))
        enough.set()
        for thread in threads:
            thread.join(120)
        assert set(statuses) == {200}


def test_a_worker_that_crashes_while_others_start_is_replaced(tmp_path: Path) -> None:
    with _running(config_of(tmp_path, workers=2)) as workers:
        assert wait_until(lambda: len(_pids(workers)) == 2)
        former = _pids(workers)[1]
        os.kill(former, signal.SIGKILL)
        assert wait_until(lambda: len(_pids(workers)) == 2 and former not in _pids(workers))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="which processes there are is read in /proc")
def test_sighup_renews_the_workers_and_counts_go_on(tmp_path: Path) -> None:
    """A real signal to the real command's process, while clients ask; /metrics adds up those that have ended."""
    account = Account(plc_did(1))
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(POSTS)
    store.publish(1, {account.did: blob(POSTS)}, at=time.time())
    store.close()
    with directory(keeps=True) as plc:
        plc.publish(account)
        command = [sys.executable, "-c", _PROGRAM, str(tmp_path), plc.url]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stderr is not None
        try:
            address, pages = [
                ("127.0.0.1", int(process.stderr.readline().rpartition(":")[2])) for _ in range(2)
            ]
            former = _children(process.pid)
            assert len(former) == 2
            statuses: list[int] = []
            enough = threading.Event()

            def ask() -> None:
                while not enough.is_set():
                    statuses.append(_ask(address, account, limit=2)[0])

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            process.send_signal(signal.SIGHUP)
            assert wait_until(
                lambda: len(_children(process.pid)) == 2 and not former & _children(process.pid), 20
            )
            enough.set()
            for thread in threads:
                thread.join(120)
            assert set(statuses) == {200}
            line = f'foryou_requests_total{{address="{SKELETON}",status="200"}} {len(statuses)}.0'
            assert line in _figures(pages)
            process.terminate()
            assert process.wait(120) == 0
        finally:
            process.kill()
            process.wait(120)
            process.stderr.close()


def test_counts_are_added_while_another_worker_is_making_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COUNTS_VARIABLE, str(tmp_path))
    name = "foryou_requests"
    counted = MmapedDict(str(tmp_path / "counter_0.db"))
    counted.write_value(mmap_key(name, f"{name}_total", ["status"], ["200"], "Answers."), 3.0, 0.0)
    (tmp_path / "counter_1.db").touch()
    assert b'foryou_requests_total{status="200"} 3.0' in WebMetrics().text()
    [family] = WebMetrics().families()
    assert [sample.value for sample in family.samples] == [3.0]


def test_the_end_answers_all_requests_and_writes_all_visits(tmp_path: Path) -> None:
    with _installation(tmp_path, 2, 20) as (workers, _, accounts):
        assert wait_until(lambda: len(_pids(workers)) == 2)
        connections = []
        for account in accounts:
            connection = http.client.HTTPConnection(*workers.address, timeout=120)
            headers = bearer(account.token(now=time.time()))
            connection.request("GET", f"{SKELETON}?{urlencode({'feed': FEED, 'limit': 10})}", headers=headers)
            connections.append(connection)
        workers.stop()
        answers = [connection.getresponse() for connection in connections]
        assert [answer.status for answer in answers] == [200] * 20
        assert all(len(json.loads(answer.read())["feed"]) == 10 for answer in answers)
        for connection in connections:
            connection.close()
    with sqlite3.connect(tmp_path / "activity.sqlite") as activity:
        assert activity.execute("SELECT count(*), sum(pages) FROM visits").fetchone() == (20, 20)
        assert activity.execute("SELECT count(*) FROM impressions").fetchone() == (200,)


def test_what_is_answered_by_one_counts_at_the_next_whichever_it_is(tmp_path: Path) -> None:
    with _installation(tmp_path, 2, 1) as (workers, _, [account]):
        assert wait_until(lambda: len(_pids(workers)) == 2)
        hidden: set[str] = set()
        shown: list[str] = []
        for _ in range(8):
            page = [item["post"] for item in _get(workers, account, limit=5)[1]["feed"]]
            assert not hidden & set(page)
            assert not set(shown) & set(page)
            shown += page
            less = page[0]
            hidden |= {post_uri(post) for post in POSTS if post_uri(post).split("/")[2] == less.split("/")[2]}
            body = json.dumps({"interactions": [{"item": less, "event": "app.bsky.feed.defs#requestLess"}]})
            token = account.token("app.bsky.feed.sendInteractions", now=time.time())
            connection = http.client.HTTPConnection(*workers.address, timeout=120)
            connection.request("POST", INTERACTIONS, body, bearer(token))
            assert connection.getresponse().status == 200
            connection.close()
            if len(hidden) >= len(POSTS) * 5 // 7:
                break


def _again(ask: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
    """Ask until there is an answer, as a proxy does when the connection breaks."""
    for _ in range(600):
        try:
            return ask()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    raise AssertionError("no answer in six hundred attempts")


def test_paging_in_a_storm(tmp_path: Path) -> None:
    """Fifty clients page through everything while lists are published every half second and workers are killed."""
    chance = random.Random(5)
    with _installation(tmp_path, 2, 50) as (workers, store, accounts):
        assert wait_until(lambda: len(_pids(workers)) == 2)
        finished, statuses, faults, sessions_done = threading.Event(), set(), [], []

        def page_through(account: Account, limit: int) -> None:
            sessions = 0
            while sessions < 2 or not finished.is_set():
                sessions += 1
                posts: list[str] = []
                cursor: dict[str, str] = {}
                while True:
                    status, page = _again(lambda cursor=cursor: _get(workers, account, limit=limit, **cursor))
                    statuses.add(status)
                    if status != 200:
                        return
                    posts += [item["post"] for item in page["feed"]]
                    if "cursor" not in page:
                        break
                    cursor = {"cursor": page["cursor"]}
                sessions_done.append(1)
                if sorted(posts) != sorted(post_uri(post) for post in POSTS):
                    faults.append((account.did, len(posts), len(set(posts))))

        threads = [
            threading.Thread(target=page_through, args=(account, 17 + place % 20))
            for place, account in enumerate(accounts)
        ]
        for thread in threads:
            thread.start()
        generation, killed, began = 1, 0, time.monotonic()
        while time.monotonic() - began < STORM_SECONDS or (killed < 2 and time.monotonic() - began < 600):
            time.sleep(0.5)
            generation += 1
            posts = chance.sample(POSTS, len(POSTS))
            store.publish(generation, {account.did: blob(posts) for account in accounts}, at=time.time())
            if generation % 3 == 0 and len(_pids(workers)) == 2:
                os.kill(chance.choice(_pids(workers)), signal.SIGKILL)
                killed += 1
        finished.set()
        for thread in threads:
            thread.join(120)
        assert (statuses, faults) == ({200}, [])
        assert killed >= 2
        if STORM_SECONDS > 60:
            print(
                f"{generation} generations, {killed} workers killed, {sum(sessions_done)} lists paged through"
            )


def test_a_worker_that_can_not_start_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(ServingError, match="could not start"):
        Workers(config_of(tmp_path, listen=("127.0.0.1", 0))).run()


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    with _installation(tmp_path, 1, 1) as (workers, _, _):
        [worker] = workers._workers.values()
        assert worker.process.stdin is not None
        worker.process.stdin.close()  # as when the parent is killed
        assert wait_until(lambda: worker.process.poll() is not None)


def test_a_worker_takes_all_its_connections_under_a_low_soft_limit(tmp_path: Path) -> None:
    """The usual soft limit is 1,024 descriptors; here it is so low that the idle connections alone pass it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = len(os.listdir("/dev/fd")) + 150
    config = config_of(tmp_path, workers=1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        workers = Workers(config)
        thread = threading.Thread(target=workers.run, daemon=True)
        thread.start()
        wait_until(lambda: bool(_pids(workers)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    idle = []
    try:
        for _ in range(low + 100):
            idle.append(socket.create_connection(workers.address, timeout=120))
        connection = http.client.HTTPConnection(*workers.address, timeout=120)
        connection.request("GET", "/robots.txt")
        assert connection.getresponse().status < 500
        connection.close()
    finally:
        for held in idle:
            held.close()
        workers.stop()
        thread.join(120)


def test_counts_lie_in_memory_where_there_is_such_a_place(tmp_path: Path) -> None:
    with module.counts_folder(tmp_path) as made:
        assert made.parent == tmp_path
    with module.counts_folder(tmp_path / "absent") as made:
        assert made.is_dir()
