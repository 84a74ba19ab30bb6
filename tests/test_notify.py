"""What systemd is told: over a real socket, by the real commands."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import commands
import httpx
import pytest
from streams import free_port, wait_until

from pipeline.notify import ServiceManager

PARTS = ("ingest", "schedule", "serve", "up")


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that receives what a service says, as systemd's does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(30)
        yield receiver


@pytest.mark.parametrize("part", PARTS)
def test_a_service_says_that_it_is_up_and_alive(part: str, heard: socket.socket, tmp_path: Path) -> None:
    env = commands.environment(
        tmp_path / "data",
        stream_url=f"ws://127.0.0.1:{free_port()}/subscribe",
        listen=f"127.0.0.1:{free_port()}",
    )
    env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with commands.running(part, env=env) as process:
        while (word := heard.recv(100)) == b"WATCHDOG=1":
            assert part == "up"  # it waits for its parts, and is alive meanwhile
        assert word == b"READY=1"
        if part in ("serve", "up"):
            address = f"http://{env['FORYOU_LISTEN']}/robots.txt"
            assert httpx.get(address, trust_env=False).status_code == 200
        for _ in range(2 if part != "serve" else 1):  # serve looks at itself every ten seconds
            assert heard.recv(100) == b"WATCHDOG=1"
        assert commands.stop(process) == 0


def test_a_web_app_that_does_not_answer_is_not_called_alive(heard: socket.socket, tmp_path: Path) -> None:
    env = commands.environment(tmp_path / "data", listen=f"127.0.0.1:{free_port()}")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", int(env["FORYOU_LISTEN"].rpartition(":")[2])))
        deaf.listen()
        env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with commands.running("serve", env=env) as process:
            wait_until(lambda: process.poll() is not None)
        assert process.returncode == 1
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(100)


def test_what_systemd_says_is_taken_out_of_the_environment(heard: socket.socket, tmp_path: Path) -> None:
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": str(os.getpid()),
        "OTHER": "stays",
    }
    manager = ServiceManager(environment)
    assert environment == {"OTHER": "stays"}
    for _ in range(5):
        manager.alive()
    manager.ready()
    assert [heard.recv(100), heard.recv(100)] == [b"WATCHDOG=1", b"READY=1"]


def test_without_systemd_or_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "hidden_accounts"), "WATCHDOG_USEC": "1"}):
        manager = ServiceManager(environment)
        manager.ready()
        manager.alive()


def test_a_watchdog_for_another_process_is_not_ours(heard: socket.socket, tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    manager = ServiceManager(environment)
    manager.alive()
    manager.ready()
    assert heard.recv(100) == b"READY=1"


def test_a_socket_that_nobody_reads_stops_nothing(heard: socket.socket, tmp_path: Path) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    sending = threading.Thread(target=lambda: [manager.ready() for _ in range(5_000)], daemon=True)
    sending.start()
    sending.join(120)
    assert not sending.is_alive()
    assert heard.recv(100) == b"READY=1"
