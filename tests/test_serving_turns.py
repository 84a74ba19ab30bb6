"""One client can't keep everybody else from having a list worked out, in one worker or several."""

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from falcon.testing import Result, TestClient
from serving_worlds import Clock, config_of, plc_did

from serving.app import create_app
from serving.pages import explainer, turns
from serving.pages.turns import BusyError, Turns

NAMES = (
    "half_life_hours", "like_decay_hours", "crowd_weight", "left_out_weight", "popularity_exponent",
    "max_neighbours", "max_per_author", "author_spacing", "media",
)  # fmt: skip


def test_a_client_has_one_turn_and_strangers_few(tmp_path: Path) -> None:
    held = Turns(tmp_path / "lock")
    with ExitStack() as stack:
        stack.enter_context(held.turn("203.0.113.1", 0.0))
        with pytest.raises(BusyError), held.turn("203.0.113.1", 0.1):
            pass
        stack.enter_context(held.turn("203.0.113.2", 0.0))
        with pytest.raises(BusyError), held.turn("203.0.113.3", 0.1):
            pass
        with held.turn("", 0.0):
            pass
    with held.turn("203.0.113.3", 0.0):
        pass


def test_an_ipv6_network_is_one_client(tmp_path: Path) -> None:
    held = Turns(tmp_path / "lock")
    with held.turn("2001:db8:1:2::5", 0.0):
        with pytest.raises(BusyError), held.turn("2001:db8:1:2:9::6", 0.1):
            pass
        with held.turn("2001:db8:1:3::5", 0.0):
            pass


def test_a_client_has_few_places(tmp_path: Path) -> None:
    held = Turns(tmp_path / "lock")
    with ExitStack() as stack:
        for _ in range(turns.PLACES_OF_CLIENT):
            stack.enter_context(held.place("203.0.113.1"))
        with pytest.raises(BusyError), held.place("203.0.113.1"):
            pass
        for number in range(turns.PLACES_OF_STRANGERS - turns.PLACES_OF_CLIENT):
            stack.enter_context(held.place(f"203.0.113.{number + 2}"))
        with pytest.raises(BusyError), held.place("203.0.113.99"):
            pass
        with held.place(""):
            pass
    assert not held._places


def test_turns_count_over_processes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, pathlib\nfrom serving.pages.turns import Turns\n"
        "with Turns(pathlib.Path(sys.argv[1])).turn('203.0.113.1', 0.0):\n  print(1, flush=True)\n  sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        held = Turns(path)
        with pytest.raises(BusyError), held.turn("203.0.113.1", 0.1):
            pass
        with held.turn("203.0.113.2", 0.0), pytest.raises(BusyError), held.turn("203.0.113.3", 0.1):
            pass
        other.kill()  # the system gives back what a killed worker held
    with held.turn("203.0.113.1", 1.0):
        pass


def test_a_looping_stranger_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stranger asks for other lists without end, several at a time; others still get theirs: whoever
    waits longer than a second for a turn is refused."""
    monkeypatch.setattr(explainer, "TURN_SECONDS", 1.0)
    values = dict.fromkeys(NAMES, 1) | {"language": 1}
    answer = {"viewer": "did:plc:x", "neighbours": 0, "length": 0, "public": True, "posts": []}
    (tmp_path / "why.json").write_text(json.dumps(answer | {"parameters": values, "usual": values}))
    slow = ("/bin/sh", "-c", f"while read -r line; do sleep 0.3; cat {tmp_path}/why.json; echo; done")
    client = TestClient(create_app(config_of(tmp_path, explain=slow, pages="public"), now=Clock()))
    stop = threading.Event()
    looped: list[int] = []

    def page(number: int, address: str, host: str = "feed.example.com") -> Result:
        query = f"viewer={plc_did(number)}"
        return client.simulate_get("/why", query_string=query, remote_addr=address, host=host)

    def loop(start: int) -> None:
        number = start
        while not stop.is_set():
            looped.append(page(number, "203.0.113.66").status_code)
            number += 1

    threads = [threading.Thread(target=loop, args=(n * 10_000,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        for number in range(3):
            assert page(number, "198.51.100.7").status_code == 200
            assert page(number + 50, "127.0.0.1", "localhost").status_code == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)
    assert 503 in looped and 200 in looped
