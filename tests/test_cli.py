"""The command line: help for everything, exit statuses, one clear line."""

import json
import os
import re
import subprocess
from pathlib import Path

import commands
import pytest

from pipeline import cli
from pipeline.settings import option_names
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
    "sync",
    "node",
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


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_what_was_mistyped_is_named_with_what_may_be_meant(capsys: pytest.CaptureFixture[str]) -> None:
    meant = "unknown command statsu (did you mean status?); 'foryou --help' lists them"
    assert refusal(capsys, "statsu").endswith(meant)
    assert "did you mean" not in refusal(capsys, "qqq")
    for typed in ("--data_dir", "--datadir=x", "--data-dri"):
        flag = typed.partition("=")[0]
        assert refusal(capsys, "status", typed).endswith(
            f"error: unknown flag {flag} (did you mean --data-dir?)"
        )
    assert refusal(capsys, "batch", "--jb", "all").endswith("unknown flag --jb (did you mean --job?)")
    assert refusal(capsys, "batch", "surplus").endswith("unrecognized arguments: surplus")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("backfill", "--days", "x"), "--days: 'x' must be a whole number from 1 to 99999"),
        (("backfill", "--days", "-3"), "--days: '-3' must be a whole number from 1 to 99999"),
        (("backfill", "--days", "1e3"), "--days: '1e3' must be a whole number from 1 to 99999"),
        (("backup", "x", "--keep", "0"), "--keep: '0' must be a whole number of at least 1"),
        (("evaluate", "--window-hours", "abc"), "--window-hours: 'abc' must be a number above 0"),
        (("evaluate", "--window-hours", "nan"), "--window-hours: 'nan' must be a number above 0"),
        (("evaluate", "--seed", "0.5"), "--seed: '0.5' must be a whole number of at least 0"),
        (("sql", "--max-rows", "many"), "--max-rows: 'many' must be a whole number of at least 1"),
    ],
)
def test_a_number_that_is_none_is_refused_in_plain_words(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, *arguments).endswith(f"error: argument {expected}")


def test_a_commands_own_flags_come_first_and_settings_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    def helped(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 0
        return capsys.readouterr().out

    for name in ("status", "batch", "backfill", "explain"):
        text = helped(name, "--help")
        assert "--help-settings" in text
        assert "--data-dir" not in text
        assert len(text.splitlines()) < 40
        whole = helped(name, "--help-settings")
        for option in option_names():
            assert f"\n  --{option.replace('_', '-')} VALUE" in whole
        assert whole.index("--help-settings", whole.index("options:")) < whole.index("\nsettings:")


def test_an_encoding_that_lacks_characters_is_no_error() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("FORYOU_")}

    def refused(*arguments: str, **changed: str) -> str:
        result = subprocess.run(
            commands.command(*arguments), env=env | changed, capture_output=True, text=True, check=False
        )
        assert result.returncode == 1
        return result.stderr

    said = refused("status", PYTHONIOENCODING="ascii", FORYOU_SERVICE_DID="x")
    assert said.endswith("did:web:feed.example.com or did:plc:...\n")
    ascii_alone = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    said = refused("status", "--data-dir", "/n\u00e9ant", **ascii_alone)
    assert said.startswith("foryou: there is no store in /n?ant:")


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
