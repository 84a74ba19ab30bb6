"""``foryou backfill`` as it is typed: wrong usage, help, and what it says when it can't begin."""

from pathlib import Path

import commands
import pytest
from streams import free_port

WRONG = [
    (),
    ("--days", "0"),
    ("--days", "many"),
    ("--days", "3", "--waiting"),
    ("--viewer", "did:plc:x", "--file", "-"),
    ("--key", "abc"),
]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_usage_is_status_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = commands.run("backfill", *arguments, env=commands.environment(tmp_path))
    assert result.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_help_describes_every_flag() -> None:
    result = commands.run("backfill", "--help")
    assert result.returncode == 0
    for flag in (
        "--days N",
        "--viewer DID",
        "--waiting",
        "--file PATH",
        "--key-file FILE",
        "--archive URL",
        "--estimate",
    ):
        assert flag in result.stdout


def test_an_address_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    env = commands.environment(tmp_path)
    result = commands.run("backfill", "--days", "3", "--archive", "jetstream", env=env)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "foryou: --archive-url = 'jetstream': expected an http:// or https:// address"
    ]


def test_a_key_is_not_sent_over_an_open_line(tmp_path: Path) -> None:
    env = commands.environment(tmp_path, archive_key="secret")
    result = commands.run("backfill", "--days", "3", "--archive", "http://archive.example.com", env=env)
    assert result.returncode == 1
    assert "is not https" in result.stderr
    assert "secret" not in result.stderr


def test_a_key_that_is_no_setting_is_refused_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "foryou.toml").write_text('archive_key = "secret"\n')
    env = commands.environment(tmp_path, config=str(tmp_path / "foryou.toml"))
    result = commands.run("backfill", "--days", "3", "--archive", f"http://localhost:{free_port()}", env=env)
    assert result.returncode == 1
    assert "unknown setting archive_key" in result.stderr


def test_two_runs_do_not_meet(tmp_path: Path) -> None:
    from pipeline.store.locks import exclusive

    with exclusive(tmp_path, "backfill"):
        env = commands.environment(tmp_path)
        result = commands.run("backfill", "--days", "3", "--archive", "http://localhost:1", env=env)
    assert result.returncode == 1
    assert "another backfill" in result.stderr.splitlines()[-1]
