"""``simulate`` as a command: its flags, its first line, writing, ending; and the calibration's table."""

import argparse
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from bench import bench_calibration

from pipeline.errors import SettingError
from pipeline.simulate import command
from pipeline.simulate.timeline import World, WorldParameters

SMALL = ["--users", "50", "--days", "0.2", "--end", "2026-07-03T00:00:00Z"]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([*SMALL, *words])


def test_write_writes_the_history(tmp_path: Path) -> None:
    target = tmp_path / "history.jsonl"
    command.run(parsed("--write", str(target)))
    parameters = WorldParameters(users=50, days=0.2, end_us=1_783_036_800_000_000)
    assert target.read_bytes().splitlines() == list(World(parameters).lines())


@pytest.mark.parametrize(
    "words",
    [
        ("--users", "few"),
        ("--users", "1"),
        ("--days", "-1"),
        ("--seed", "1.5"),
        ("--speed", "-1"),
        ("--speed", "fast"),
        ("--end", "tomorrow"),
        ("--clustering", "tight"),
        ("--communities", "0"),
        ("--rubbish", "2"),
        ("--faults", "explode:3"),
        ("--listen", "6008"),
        ("--listen", "127.0.0.1:99999"),
        ("--write", "/nonexistent/folder/file"),
    ],
)
def test_a_bad_flag_is_one_clear_line(words: tuple[str, str]) -> None:
    with pytest.raises(SettingError, match=words[0]) as caught:
        command.run(parsed(*words))
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SettingError, match=address):
            command.run(parsed("--listen", address))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_on_a_signal(how: signal.Signals) -> None:
    code = (
        "import argparse; from pipeline.simulate import command; p = argparse.ArgumentParser(); "
        "command.add_arguments(p); command.run(p.parse_args())"
    )
    words = [sys.executable, "-c", code, *SMALL, "--listen", "127.0.0.1:0"]
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=root, env=environment) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        assert line.startswith("simulate: listening on ws://127.0.0.1:"), line
        address = line.split("ws://")[1].split("/")[0]
        assert httpx.get(f"http://{address}/simulator/status").json()["users"] == 50
        running.send_signal(how)
        assert running.wait(120) == 0
        assert running.stderr.read() == ""


def test_calibration_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench_calibration.main(["--users", "600", "--days", "4"])
    table = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert all(len(row) == 3 for row in table)
    figures = {row[0].strip(): row[2] for row in table}
    assert 60 < float(figures["active people who like"].split()[0]) < 90
    assert 40 < float(figures["top-level posts without likes"].split()[0]) < 70
    assert float(figures["first like after, min: P10 25 50 75 90 95 99"].split()[2]) < 15


def test_exponent_finds_the_one_that_was_drawn() -> None:
    rng = np.random.default_rng(1)
    counts = np.floor(127 * rng.random(20_000) ** (-1 / 1.15)).astype(np.int64)
    found, size = bench_calibration.exponent(counts, 127)
    assert size == 20_000
    assert abs(found - 2.15) < 0.03
