"""The command line: help for everything, exit statuses, one clear line."""

import json
import re
from pathlib import Path

import commands
import pytest

from sql.sqlite import connect

COMMANDS = (
    "up",
    "ingest",
    "schedule",
    "serve",
    "batch",
    "sql",
    "explain",
    "block",
    "allow",
    "status",
    "simulate",
    "demo",
    "publish",
    "doctor",
    "backup",
    "restore",
    "evaluate",
    "viewer",
)


def test_help_names_every_command() -> None:
    result = commands.run("--help")
    assert result.returncode == 0
    for name in COMMANDS:
        assert f"    {name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_every_flag_is_described(name: str) -> None:
    result = commands.run(name, "--help")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    flags = [number for number, line in enumerate(lines) if line.startswith("  --")]
    assert flags or name == "demo"
    for number in flags:
        described = len(lines[number].split("  ")) > 2 or lines[number + 1].startswith("        ")
        assert described, lines[number]


def test_the_version_is_shown() -> None:
    assert re.fullmatch(r"foryou \d+\.\d+\.\d+\n", commands.run("--version").stdout)


@pytest.mark.parametrize(
    "arguments", [(), ("fly",), ("batch", "--job", "everything"), ("serve", "--no-such-flag")]
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...]) -> None:
    assert commands.run(*arguments).returncode == 2


def test_status_of_an_empty_installation(tmp_path: Path) -> None:
    env = commands.environment(tmp_path)
    missing = commands.run("status", env=env)
    assert missing.returncode == 1
    assert missing.stderr.startswith("foryou: there is no store in ")
    connect(tmp_path / "landing.sqlite").close()  # ingest was ended before its first commit
    text = commands.run("status", env=env)
    assert text.returncode == 1
    assert text.stdout.startswith("state ")
    assert "nothing stored yet" in text.stdout
    assert "none published yet" in text.stdout
    status = json.loads(commands.run("status", "--json", env=env).stdout)
    assert status["stream"] is None
    assert status["generation"] is None


@pytest.mark.parametrize("job", ["compact", "neighbours", "candidates"])
def test_a_batch_without_a_store_is_one_clear_line(tmp_path: Path, job: str) -> None:
    result = commands.run("batch", "--job", job, env=commands.environment(tmp_path))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("foryou: no likes yet")


def test_a_wrong_ranking_parameter_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "foryou.toml").write_text("[ranking]\nmax_sedes = 3\n")
    env = commands.environment(tmp_path) | {"FORYOU_CONFIG": str(tmp_path / "foryou.toml")}
    result = commands.run("batch", env=env)
    assert result.returncode == 1
    assert "max_sedes" in result.stderr
    assert len(result.stderr.splitlines()) == 1
