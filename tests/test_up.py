"""``foryou up`` and ``foryou schedule``: parts under one parent, jobs on their timetable."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import commands
import httpx
import pytest
from batch_tools import settings_for as settings_for_batch
from streams import free_port, wait_until

from pipeline.run import supervisor, timetable
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import WorldParameters
from pipeline.store.locks import exclusive
from pipeline.store.newest_generation import newest_generation


@pytest.fixture(scope="module")
def network() -> Iterator[SimulatedNetwork]:
    parameters = WorldParameters(users=150, days=2, seed=3, end_us=1_790_000_000_000_000)
    with SimulatedNetwork(parameters, speed=60) as running:
        yield running


def settings_for(tmp_path: Path, network: SimulatedNetwork) -> tuple[dict[str, str], str]:
    port = free_port()
    env = commands.environment(
        tmp_path / "data",
        stream_url=network.stream_url,
        stream_start_hours="1000000",
        hostname=f"localhost:{port}",
        listen=f"127.0.0.1:{port}",
        plc_url=network.plc_url,
        candidates_minutes="0.05",
        everybody_minutes="0.05",  # else a slow first run delays the next by twenty times its seconds
        neighbours_minutes="0.05",
        compact_minutes="0.05",
    )
    return env, f"http://127.0.0.1:{port}"


def children(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Return the parts that run under ``up``: name to process id."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in listing.splitlines():
        pid, parent, arguments = line.split(None, 2)
        named = re.search(r"pipeline\.cli (\w+) --with-parent", arguments)
        if int(parent) == process.pid and named:
            found[named[1]] = int(pid)
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_up_serves_restarts_what_crashes_and_stops_within_five_seconds(
    tmp_path: Path, network: SimulatedNetwork
) -> None:
    env, address = settings_for(tmp_path, network)
    log = tmp_path / "log"
    with commands.running("up", env=env, log=log) as process:
        wait_until(lambda: newest_generation(tmp_path / "data") > 0)
        wait_until(lambda: answers(address))
        parts = children(process)
        assert set(parts) == {"ingest", "schedule", "serve"}
        for name, pid in parts.items():
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda name=name, pid=pid: children(process).get(name, pid) != pid)
        wait_until(lambda: answers(address))
        parts = children(process)
        before = newest_generation(tmp_path / "data")
        wait_until(lambda: newest_generation(tmp_path / "data") > before)
        os.kill(parts["ingest"], signal.SIGSTOP)  # it hears nothing, and nobody waits for it
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert supervisor.STOP_SECONDS < 5
    assert not any(alive(pid) for pid in parts.values())
    text = log.read_text()
    assert "ingest did not stop within 4 s; killing it" in text
    for name in parts:
        assert re.search(rf"{name} was ended by SIGKILL after \d+ s; starting it again in", text)


def test_no_part_outlives_a_killed_parent(tmp_path: Path, network: SimulatedNetwork) -> None:
    env, address = settings_for(tmp_path, network)
    with commands.running("up", env=env, log=tmp_path / "log") as process:
        wait_until(lambda: answers(address) or newest_generation(tmp_path / "data") > 0)
        parts = children(process)
        assert set(parts) == {"ingest", "schedule", "serve"}
        process.kill()
        process.wait()
    wait_until(lambda: not any(alive(pid) for pid in parts.values()))


def test_up_gives_up_when_a_part_cannot_start(tmp_path: Path, network: SimulatedNetwork) -> None:
    env, address = settings_for(tmp_path, network)
    host, port = address.removeprefix("http://").split(":")
    with commands.running("serve", env=env, log=tmp_path / "first"):
        wait_until(lambda: "listens" in (tmp_path / "first").read_text())
        # On a busy machine it takes longer than five seconds to start and to fail.
        result = commands.run("up", env=env, constants={"pipeline.run.supervisor.START_SECONDS": 600.0})
    assert result.returncode == 1
    assert f"{host}:{port}" in result.stderr
    assert "foryou: serve could not start; its own line above says why" in result.stderr


def test_a_part_that_was_up_is_started_again_whatever_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that says that it is up and fails at once: how long it lived decides nothing."""
    script = "from pipeline.notify import service_manager; service_manager().ready(); raise SystemExit(1)"
    monkeypatch.setattr(supervisor, "foryou_command", lambda *_: [sys.executable, "-c", script])
    parent = supervisor.Supervisor(os.environ)
    parent.add("ingest")
    thread = threading.Thread(target=parent.run)
    thread.start()
    try:
        wait_until(lambda: caplog.text.count("ingest ended with status 1") > 1)
    finally:
        parent.request_stop()
        thread.join()


def test_without_likes_the_timetable_waits_and_says_what_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(timetable, "FIRST_LIKES_SECONDS", 0.0)
    monkeypatch.setattr(timetable, "FIRST_LIKES_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(timetable, "FIRST_LISTS_SECONDS", 0.01)
    stopping = threading.Event()
    thread = threading.Thread(target=timetable.Timetable(settings_for_batch(tmp_path), stopping).run)
    thread.start()
    try:
        wait_until(lambda: "run 'foryou ingest' first" in caplog.text)
        with exclusive(tmp_path, "ingest"):
            caplog.clear()
            wait_until(lambda: "ingest is running: if this lasts, 'foryou doctor'" in caplog.text)
            assert "foryou ingest" not in caplog.text.split("if this lasts", 1)[1]
    finally:
        stopping.set()
        thread.join()


def test_the_timetable_survives_a_failing_run_and_says_when_the_next_is_due(
    tmp_path: Path, network: SimulatedNetwork
) -> None:
    env, _ = settings_for(tmp_path, network)
    data_dir = tmp_path / "data"
    log = tmp_path / "log"
    with (
        commands.running("ingest", env=env) as ingest,
        commands.running("schedule", env=env, log=log) as schedule,
    ):
        wait_until(lambda: newest_generation(data_dir) > 0)
        commands.stop(ingest)
        landing = (data_dir / "landing.sqlite").rename(data_dir / "aside")
        (data_dir / "landing.sqlite").write_bytes(b"no database" * 1000)
        wait_until(
            lambda: (
                re.search(r"candidates failed after .* the timetable continues", log.read_text()) is not None
            ),
            300,
        )
        landing.replace(data_dir / "landing.sqlite")
        before = newest_generation(data_dir)
        wait_until(lambda: newest_generation(data_dir) > before)
        assert commands.stop(schedule) == 0
    assert re.search(r"candidates: .*lists [\d,]+, [\d.]+ s", log.read_text())


def test_a_second_schedule_is_refused(tmp_path: Path, network: SimulatedNetwork) -> None:
    env, _ = settings_for(tmp_path, network)
    with commands.running("schedule", env=env):
        wait_until(lambda: (tmp_path / "data" / ".schedule.lock").exists())
        second = commands.run("schedule", env=env)
    assert second.returncode == 1
    assert "another schedule (process " in second.stderr
